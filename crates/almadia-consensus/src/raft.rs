//! openraft's types as this project uses them, and the way between its numbers and ours.
//!
//! openraft counts entries from 0 (the founding membership), we count from 1: [`to_index`] and [`from_index`]
//! are the only places that know. Nothing here is visible outside the crate.

use crate::membership::MemberInfo;
use crate::verdict::Verdict;
use almadia_command::{LogIndex, MemberId, Proposal, Term};
use openraft::EntryPayload;
use openraft::impls::leader_id_std;
use std::fmt;

/// The types that openraft is told to work with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

impl openraft::RaftTypeConfig for Types {
    type D = Payload;
    type R = ();
    type NodeId = u64;
    type Node = MemberInfo;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Payload, u64, MemberInfo>;
    type Entry = openraft::Entry<CommittedLeader, Self::Payload>;
    type AsyncRuntime = crate::chance::Runtime;
    type Responder<T>
        = Verdict<T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub type Raft = openraft::Raft<Types, crate::state_machine::StateMachine>;
pub type RaftEntry = openraft::type_config::alias::EntryOf<Types>;
pub type RaftLogId = openraft::type_config::alias::LogIdOf<Types>;
pub type RaftVote = openraft::type_config::alias::VoteOf<Types>;
pub type RaftMembership = openraft::Membership<u64, MemberInfo>;
pub type RaftStoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub type RaftSnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
pub type CommittedLeader = <leader_id_std::LeaderId<u64, u64> as openraft::vote::RaftLeaderId>::Committed;

/// A proposal as openraft carries it.
#[derive(Clone, Debug)]
pub struct Payload(pub Proposal);

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from {}", self.0.bytes().len(), self.0.origin())
    }
}

/// openraft's position as ours.
pub fn to_index(index: u64) -> LogIndex {
    LogIndex(index + 1)
}

/// Our position as openraft's; `None` for "before the first entry".
pub fn from_index(index: LogIndex) -> Option<u64> {
    index.0.checked_sub(1)
}

/// Position and term of one of openraft's log ids; (0, 0) for none.
pub fn to_position(log_id: Option<&RaftLogId>) -> (LogIndex, Term) {
    log_id.map_or((LogIndex(0), Term(0)), |id| {
        (to_index(id.index), Term(id.leader_id.term))
    })
}

/// The reverse of [`to_position`].
pub fn from_position(index: LogIndex, term: Term) -> Option<RaftLogId> {
    Some(RaftLogId {
        leader_id: CommittedLeader::new(term.0),
        index: from_index(index)?,
    })
}

/// openraft's vote as the log keeps it.
pub fn to_vote(vote: &RaftVote) -> almadia_wal::Vote {
    almadia_wal::Vote {
        term: Term(vote.leader_id.term),
        member: MemberId(vote.leader_id.voted_for),
        committed: vote.committed,
    }
}

/// The reverse of [`to_vote`].
pub fn from_vote(vote: &almadia_wal::Vote) -> RaftVote {
    let leader_id = leader_id_std::LeaderId {
        term: vote.term.0,
        voted_for: vote.member.0,
    };
    RaftVote {
        leader_id,
        committed: vote.committed,
    }
}

/// One of openraft's entries as the log keeps it. Cheap: the proposal's bytes are shared.
pub fn to_entry(entry: &RaftEntry) -> almadia_wal::Entry {
    use almadia_wal::EntryKind;
    let (kind, data, checksum) = match &entry.payload {
        EntryPayload::Blank => (EntryKind::Blank, bytes::Bytes::new(), 0),
        EntryPayload::Normal(Payload(proposal)) => {
            (EntryKind::Command, proposal.bytes().clone(), proposal.checksum())
        }
        EntryPayload::Membership(membership) => {
            let (data, checksum) = crate::membership::encode(membership);
            (EntryKind::Membership, data, checksum)
        }
    };
    let term = Term(entry.log_id.leader_id.term);
    almadia_wal::Entry {
        index: to_index(entry.log_id.index),
        term,
        kind,
        checksum,
        data,
    }
}

/// The reverse of [`to_entry`], for entries from the log or from a peer.
///
/// # Errors
/// When the bytes do not fit their checksum or are not what their kind says.
pub fn from_entry(entry: almadia_wal::Entry) -> Result<RaftEntry, BadEntry> {
    use almadia_wal::EntryKind;
    let bad = |reason: String| BadEntry {
        index: entry.index,
        reason,
    };
    let payload = match entry.kind {
        EntryKind::Blank => EntryPayload::Blank,
        EntryKind::Command => {
            let proposal = Proposal::from_parts(entry.data.clone(), entry.checksum);
            EntryPayload::Normal(Payload(proposal.map_err(|error| bad(error.to_string()))?))
        }
        EntryKind::Membership => {
            let membership = crate::membership::decode(&entry.data, entry.checksum);
            EntryPayload::Membership(membership.map_err(|error| bad(error.to_string()))?)
        }
    };
    let log_id = from_position(entry.index, entry.term).ok_or_else(|| bad("position 0".to_owned()))?;
    Ok(RaftEntry { log_id, payload })
}

/// An entry whose bytes cannot be what its proposer wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} is damaged: {reason}")]
pub struct BadEntry {
    /// Its position.
    pub index: LogIndex,
    /// What does not fit.
    pub reason: String,
}
