//! The snapshot lane: one snapshot, as a header, pieces of files, and an end; then one answer.

use super::{BadFrame, WireVote};
use bytes::Bytes;
use prost::Message;

/// From the leader to the member that receives the snapshot.
#[derive(Clone, PartialEq, Message)]
pub struct Part {
    #[prost(oneof = "Piece", tags = "1, 2, 3")]
    pub piece: Option<Piece>,
}

/// The parts in their order: one header, any number of chunks, one end.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Piece {
    #[prost(message, tag = "1")]
    Header(Header),
    #[prost(message, tag = "2")]
    Chunk(Chunk),
    /// All chunks were sent.
    #[prost(bool, tag = "3")]
    End(bool),
}

/// Who sends, and the store's own description of the snapshot.
#[derive(Clone, PartialEq, Message)]
pub struct Header {
    #[prost(message, required, tag = "1")]
    pub vote: WireVote,
    /// The store's manifest: positions, membership, files with sizes and checksums.
    #[prost(bytes = "bytes", tag = "2")]
    pub manifest: Bytes,
}

/// A piece of one of the manifest's files.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Chunk {
    /// Which file of the manifest, from 0.
    #[prost(uint32, tag = "1")]
    pub file: u32,
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub data: Bytes,
}

/// From the receiver, in answer to the header (where to go on) and to the end (what it holds now).
#[derive(Clone, PartialEq, Message)]
pub struct Receipt {
    #[prost(oneof = "Said", tags = "1, 2, 3")]
    pub said: Option<Said>,
}

/// What the receiver may say.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Said {
    /// Go on with this file at this offset: what is before it is here already.
    #[prost(message, tag = "1")]
    From(From),
    /// Installed, or a higher vote was seen.
    #[prost(message, tag = "2")]
    Done(WireVote),
    /// The snapshot could not be taken; why.
    #[prost(string, tag = "3")]
    Failed(String),
}

/// A position in the sequence of files.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct From {
    #[prost(uint32, tag = "1")]
    pub file: u32,
    #[prost(uint64, tag = "2")]
    pub offset: u64,
}

/// A message from its bytes.
///
/// # Errors
/// [`BadFrame`] when the bytes are no such message.
pub fn decode<M: Message + Default>(frame: Bytes) -> Result<M, BadFrame> {
    M::decode(frame).map_err(|error| BadFrame {
        lane: "snapshot",
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let chunk = Chunk {
            file: 1,
            offset: 300,
            data: Bytes::from_static(b"d"),
        };
        let part = Part {
            piece: Some(Piece::Chunk(chunk)),
        };
        assert_eq!(part.encode_to_vec(), b"\x12\x08\x08\x01\x10\xac\x02\x1a\x01d");
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode::<Part>(bytes.clone().into());
            let _ = decode::<Receipt>(bytes.into());
        }
    }
}
