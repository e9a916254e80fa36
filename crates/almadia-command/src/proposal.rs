//! A command on its way into the log: who asked for it, and the checksum that goes with it everywhere.
//!
//! Layout, little-endian: `origin u64, ticket u64, command bytes`. The checksum (CRC-32C over all of it) is
//! computed once by the proposer; log files, peers and recovery check that same number, so no hop can damage
//! a command unseen. It never interprets the command's bytes.

use crate::MemberId;
use bytes::{BufMut, Bytes, BytesMut};

const HEADER_BYTES: usize = 16;

/// What the asking member recognises its proposal by when it applies the entry. Unique for one member id: the
/// high 24 bits are drawn anew at each start, the low 40 count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The part that was drawn when its member started: tickets of one life share it.
    pub const fn life(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

/// A command with its origin, as the bytes of one log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    bytes: Bytes,
    checksum: u32,
}

/// Bytes that are not a proposal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// Fewer bytes than the fixed part.
    #[error("a proposal of {0} bytes is shorter than its fixed part")]
    Short(usize),
    /// The checksum does not fit the bytes.
    #[error("a proposal's checksum is {found:08x}, its bytes give {computed:08x}")]
    Checksum {
        /// What came with the bytes.
        found: u32,
        /// What the bytes give.
        computed: u32,
    },
}

impl Proposal {
    /// Wraps an encoded command. Copies it once, so that a proposal in the log never keeps a client's
    /// receive buffer alive.
    pub fn new(origin: MemberId, ticket: Ticket, command: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + command.len());
        bytes.put_u64_le(origin.0);
        bytes.put_u64_le(ticket.0);
        bytes.put_slice(command);
        let checksum = crc32c::crc32c(&bytes);
        Self {
            bytes: bytes.freeze(),
            checksum,
        }
    }

    /// Takes over bytes from a disk or a peer.
    ///
    /// # Errors
    /// [`ProposalError`] when they are too short or do not fit `checksum`.
    pub fn from_parts(bytes: Bytes, checksum: u32) -> Result<Self, ProposalError> {
        if bytes.len() < HEADER_BYTES {
            return Err(ProposalError::Short(bytes.len()));
        }
        let computed = crc32c::crc32c(&bytes);
        if computed != checksum {
            return Err(ProposalError::Checksum {
                found: checksum,
                computed,
            });
        }
        Ok(Self { bytes, checksum })
    }

    /// The member that asked.
    pub fn origin(&self) -> MemberId {
        MemberId(self.number_at(0))
    }

    /// What that member recognises it by.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.number_at(8))
    }

    /// The encoded command, as a slice of the entry's bytes.
    pub fn command(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// Everything that the checksum covers.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// CRC-32C of [`Proposal::bytes`].
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    fn number_at(&self, at: usize) -> u64 {
        let field = self.bytes[at..at + 8]
            .try_into()
            .expect("a proposal is at least its fixed part long");
        u64::from_le_bytes(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_and_back() {
        let proposal = Proposal::new(MemberId(0x0102), Ticket(3), b"cmd");
        let golden = [2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, b'c', b'm', b'd'];
        assert_eq!(proposal.bytes().as_ref(), golden);
        let back = Proposal::from_parts(proposal.bytes().clone(), proposal.checksum()).unwrap();
        assert_eq!((back.origin(), back.ticket()), (MemberId(0x0102), Ticket(3)));
        assert_eq!(back.command().as_ref(), b"cmd");
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let proposal = Proposal::new(MemberId(1), Ticket(2), b"a command");
        for bit in 0..proposal.bytes().len() * 8 {
            let mut bytes = proposal.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Proposal::from_parts(bytes.into(), proposal.checksum()).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn short_bytes_are_refused() {
        assert_eq!(
            Proposal::from_parts(Bytes::from_static(b"x"), 0),
            Err(ProposalError::Short(1))
        );
    }
}
