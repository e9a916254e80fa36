//! The forward lane: what a follower hands to the leader, and the leader's words about it.
//!
//! Proposals carry the term they are meant for; the leader appends them in that term or refuses. Outcomes do not
//! come back here: the follower finds them when it applies the entries itself.

use bytes::Bytes;
use prost::Message;

/// From a follower to the leader.
#[derive(Clone, PartialEq, Message)]
pub struct ToLeader {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub request: Option<Request>,
}

/// What a follower may want.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Request {
    #[prost(message, tag = "1")]
    Propose(Propose),
    /// Confirm leadership and name the position a linearizable read must wait for; the number is echoed.
    #[prost(uint64, tag = "2")]
    ReadIndex(u64),
    /// Anything else that only the leader knows or does.
    #[prost(message, tag = "3")]
    Ask(Asked),
}

/// A question, or the answer to the one with this number.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Asked {
    /// Counted by the follower, echoed by the leader.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// A [`Question`](crate::leader::Question) or an [`Answer`](crate::leader::Answer).
    #[prost(bytes = "bytes", tag = "2")]
    pub bytes: Bytes,
}

/// Proposals in the order of their tickets.
#[derive(Clone, PartialEq, Message)]
pub struct Propose {
    /// The term in which they may be appended, and in no other.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(message, repeated, tag = "2")]
    pub proposals: Vec<WireProposal>,
}

/// A proposal's bytes and checksum.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WireProposal {
    #[prost(fixed32, tag = "1")]
    pub checksum: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub bytes: Bytes,
}

/// From the leader to a follower.
#[derive(Clone, PartialEq, Message)]
pub struct ToFollower {
    #[prost(oneof = "Reply", tags = "1, 2, 3, 4")]
    pub reply: Option<Reply>,
}

/// What a leader may say.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Reply {
    /// The proposals with these tickets were certainly not appended.
    #[prost(message, tag = "1")]
    Refused(Tickets),
    #[prost(message, tag = "2")]
    ReadIndex(ReadIndex),
    /// The read with this number cannot be confirmed here.
    #[prost(uint64, tag = "3")]
    ReadRefused(u64),
    /// The answer to a question.
    #[prost(message, tag = "4")]
    Answer(Asked),
}

/// Several tickets.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Tickets {
    #[prost(uint64, repeated, tag = "1")]
    pub tickets: Vec<u64>,
    /// Refused because the leader's disk is nearly full; else because it does not lead in the term asked for.
    #[prost(bool, tag = "2")]
    pub no_space: bool,
}

/// The position a linearizable read must wait for.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ReadIndex {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

/// The bytes of a message.
pub fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// A message from its bytes; byte fields are slices of the frame.
///
/// # Errors
/// When the bytes are no such message; never panics, whatever the bytes.
pub fn decode<M: Message + Default>(frame: Bytes) -> Result<M, prost::DecodeError> {
    M::decode(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let proposals = vec![WireProposal {
            checksum: 1,
            bytes: Bytes::from_static(b"p"),
        }];
        let message = ToLeader {
            request: Some(Request::Propose(Propose { term: 2, proposals })),
        };
        let golden = b"\x0a\x0c\x08\x02\x12\x08\x0d\x01\0\0\0\x12\x01p";
        assert_eq!(encode(&message).as_ref(), golden);
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode::<ToLeader>(bytes.clone().into());
            let _ = decode::<ToFollower>(bytes.into());
        }
    }
}
