//! The frames that members exchange on each lane, as types and as bytes.
//!
//! Small and rare messages are protobuf; entries, which are many, have a layout of their own in [`append`]. Every
//! decoder takes any bytes and answers with an error at worst. Nothing here acts on a message.

pub mod append;
pub mod control;
pub mod snapshot;
pub mod spoken;

use crate::raft::{RaftLogId, RaftVote, from_position, from_vote, to_position, to_vote};
use almadia_command::{LogIndex, MemberId, Term};

/// A frame that cannot be understood. The connection it came on is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame on the {lane} lane cannot be read: {reason}")]
pub struct BadFrame {
    /// Which lane.
    pub lane: &'static str,
    /// What does not fit.
    pub reason: String,
}

/// A vote on the wire.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WireVote {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub member: u64,
    #[prost(bool, tag = "3")]
    pub committed: bool,
}

impl From<&RaftVote> for WireVote {
    fn from(vote: &RaftVote) -> Self {
        let vote = to_vote(vote);
        Self {
            term: vote.term.0,
            member: vote.member.0,
            committed: vote.committed,
        }
    }
}

impl From<WireVote> for RaftVote {
    fn from(wire: WireVote) -> Self {
        let (term, member) = (Term(wire.term), MemberId(wire.member));
        from_vote(&almadia_wal::Vote {
            term,
            member,
            committed: wire.committed,
        })
    }
}

/// A position in the log on the wire; index 0 means "none".
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct WirePosition {
    #[prost(uint64, tag = "1")]
    pub index: u64,
    #[prost(uint64, tag = "2")]
    pub term: u64,
}

impl From<Option<&RaftLogId>> for WirePosition {
    fn from(log_id: Option<&RaftLogId>) -> Self {
        let (index, term) = to_position(log_id);
        Self {
            index: index.0,
            term: term.0,
        }
    }
}

impl From<WirePosition> for Option<RaftLogId> {
    fn from(wire: WirePosition) -> Self {
        from_position(LogIndex(wire.index), Term(wire.term))
    }
}
