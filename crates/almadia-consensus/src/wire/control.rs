//! The control lane: votes, pre-votes, heartbeats and transfers of leadership, each a question with a number
//! and an answer with the same number.

use super::{BadFrame, WirePosition, WireVote};
use bytes::Bytes;
use prost::Message;

/// A question on the control lane.
#[derive(Clone, PartialEq, Message)]
pub struct Question {
    /// Chosen by who asks, unique on one connection.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(oneof = "Ask", tags = "2, 3, 4, 5")]
    pub ask: Option<Ask>,
}

/// What can be asked.
#[derive(Clone, Copy, PartialEq, Eq, prost::Oneof)]
pub enum Ask {
    #[prost(message, tag = "2")]
    Vote(AskVote),
    #[prost(message, tag = "3")]
    PreVote(AskVote),
    #[prost(message, tag = "4")]
    Heartbeat(AskHeartbeat),
    #[prost(message, tag = "5")]
    Transfer(AskTransfer),
}

/// "Vote for me", or "would you?".
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AskVote {
    #[prost(message, required, tag = "1")]
    pub vote: WireVote,
    #[prost(message, required, tag = "2")]
    pub last: WirePosition,
    #[prost(bool, tag = "3")]
    pub leadership_transfer: bool,
}

/// "I lead; this much is committed."
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AskHeartbeat {
    #[prost(message, required, tag = "1")]
    pub vote: WireVote,
    #[prost(message, required, tag = "2")]
    pub matching: WirePosition,
    #[prost(message, required, tag = "3")]
    pub committed: WirePosition,
}

/// "Take over" (to its target), or "let it" (to the others).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AskTransfer {
    #[prost(message, required, tag = "1")]
    pub from: WireVote,
    #[prost(uint64, tag = "2")]
    pub to: u64,
    #[prost(message, required, tag = "3")]
    pub last: WirePosition,
}

/// The answer to the question with the same number.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(oneof = "Say", tags = "2, 3, 4, 5")]
    pub say: Option<Say>,
}

/// What can be answered.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Say {
    #[prost(message, tag = "2")]
    Vote(SayVote),
    #[prost(message, tag = "3")]
    Heartbeat(SayHeartbeat),
    /// Empty: the transfer is under way. Else why not.
    #[prost(string, tag = "4")]
    Transfer(String),
    /// The member cannot answer (it is stopping).
    #[prost(string, tag = "5")]
    Unable(String),
}

/// Granted or not, and what this member has seen.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct SayVote {
    #[prost(message, required, tag = "1")]
    pub vote: WireVote,
    #[prost(bool, tag = "2")]
    pub granted: bool,
    #[prost(message, required, tag = "3")]
    pub last: WirePosition,
}

/// How a heartbeat was taken.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct SayHeartbeat {
    /// The log does not have the entry that was said to match.
    #[prost(bool, tag = "1")]
    pub conflict: bool,
    /// Another member has a higher vote.
    #[prost(message, optional, tag = "2")]
    pub higher: Option<WireVote>,
}

/// The bytes of a message.
pub fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// A message from its bytes.
///
/// # Errors
/// [`BadFrame`] when the bytes are no such message.
pub fn decode<M: Message + Default>(frame: Bytes) -> Result<M, BadFrame> {
    M::decode(frame).map_err(|error| BadFrame {
        lane: "control",
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let vote = WireVote {
            term: 3,
            member: 4,
            committed: true,
        };
        let last = WirePosition { index: 5, term: 2 };
        let ask = Some(Ask::Vote(AskVote {
            vote,
            last,
            leadership_transfer: false,
        }));
        let question = Question { number: 7, ask };
        let bytes = encode(&question);
        let golden = b"\x08\x07\x12\x0e\x0a\x06\x08\x03\x10\x04\x18\x01\x12\x04\x08\x05\x10\x02";
        assert_eq!(bytes.as_ref(), golden);
        assert_eq!(decode::<Question>(bytes), Ok(question));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode::<Question>(bytes.clone().into());
            let _ = decode::<Answer>(bytes.into());
        }
    }
}
