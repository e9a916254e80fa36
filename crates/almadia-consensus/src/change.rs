//! Changing who belongs: one entry for one change, and only on top of the membership that was looked at.
//!
//! It carries out what others have decided. openraft sees to the rest: a change is refused while the one before it is not
//! committed, or before the leader has committed an entry of its own term, and two majorities always share a member
//! because at most one vote comes or goes at a time, or both sets of voters decide together.

use crate::consensus::{Consensus, Ended};
use crate::membership::{self, MemberInfo, Membered};
use crate::raft::{CommittedLeader, RaftMembership, RaftStoredMembership, Types, to_index, to_position};
use almadia_command::planted::{Bug, planted};
use almadia_command::{LogIndex, MemberId, Term};
use openraft::async_runtime::WatchReceiver;
use openraft::entry::RaftPayload;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::Precondition;
use openraft::{ChangeMembers, EntryPayload, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everyone by the newest membership entry, committed or not, with what only a leader knows of them.
#[derive(Clone, Debug)]
pub struct Roster {
    /// The members in order of their ids.
    pub members: Vec<Rostered>,
    /// The last entry of the leader's log.
    pub last: LogIndex,
    /// Where the membership entry stands.
    pub index: LogIndex,
    term: Term,
    stored: RaftStoredMembership,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Rostered {
    /// Who it is.
    pub member: Membered,
    /// Up to where its log is known to be the leader's.
    pub matched: Option<LogIndex>,
    /// How long ago it last answered the leader; `None` when it never did. Zero for the leader itself.
    pub silent_for: Option<Duration>,
}

/// What is to be different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new member, without a vote.
    Add(MemberId, MemberInfo),
    /// It leaves. The leader must not remove itself: it hands over first.
    Remove(MemberId),
    /// Its name, its addresses.
    SetInfo(MemberId, MemberInfo),
    /// A member that has none gets a vote.
    GiveVote(MemberId),
    /// `new` gets a vote and `dead` loses its own, in one joint change: from now on a majority is one by either count, until
    /// [`MemberChange::Settle`].
    Swap {
        /// Has no vote yet.
        new: MemberId,
        /// Votes, and is not this leader.
        dead: MemberId,
    },
    /// Ends the joint change: only the new voters count, and who lost its vote leaves.
    Settle,
}

/// Why a change was not carried out, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This member does not lead, or not any more: the change may or may not be carried out.
    #[error("this member does not lead, or stopped leading meanwhile")]
    NotLeader,
    /// Nothing was written: another change came before it, or is under way. Look again.
    #[error("the membership is being changed: {0}")]
    Again(String),
    /// Consensus has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl Roster {
    /// Two sets of voters decide together: a [`MemberChange::Swap`] that has not been settled.
    pub fn is_joint(&self) -> bool {
        self.stored.membership().get_joint_config().len() > 1
    }

    /// Both were seen by the leader of one term.
    pub fn is_of_term_of(&self, other: &Roster) -> bool {
        self.term == other.term
    }
}

impl Consensus {
    /// Who belongs, as this member sees it now; worth something at a leader only.
    pub fn roster(&self) -> Roster {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let matched = metrics.replication.unwrap_or_default();
        let heard = metrics.heartbeat.unwrap_or_default();
        let last = metrics.last_log_index.map_or(LogIndex(0), to_index);
        let rostered = |member: Membered| {
            let id = member.id.0;
            if id == metrics.id {
                return Rostered {
                    member,
                    matched: Some(last),
                    silent_for: Some(Duration::ZERO),
                };
            }
            let matched = matched.get(&id).and_then(Option::as_ref);
            let heard = heard.get(&id).and_then(Option::as_ref);
            Rostered {
                member,
                matched: matched.map(|matched| to_position(Some(matched)).0),
                silent_for: heard.map(|heard| heard.elapsed()),
            }
        };
        let stored = metrics.membership_config.as_ref().clone();
        let members = membership::list(stored.membership());
        Roster {
            members: members.into_iter().map(rostered).collect(),
            last,
            index: to_position(stored.log_id().as_ref()).0,
            term: Term(metrics.vote.leader_id.term),
            stored,
        }
    }

    /// Carries out a change, if the membership is still the one that was `seen` and this member still leads in that term.
    /// Returns where its entry stands, once it is committed and applied here.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change_members(&self, seen: &Roster, change: MemberChange) -> Result<LogIndex, ChangeError> {
        let conditions = [
            Precondition::LastMembershipLogId {
                last_membership_log_id: *seen.stored.log_id(),
            },
            Precondition::CommittedLeaderId {
                committed_leader_id: CommittedLeader::new(seen.term.0),
            },
        ];
        let conditions = match planted(Bug::StaleRoster) {
            true => Vec::new(),
            false => conditions.to_vec(),
        };
        let written = match next_membership(seen.stored.membership(), &change)? {
            Next::Whole(membership) => {
                let payload = EntryPayload::blank();
                self.raft.append_membership(membership, payload, conditions).await
            }
            // The only way to change what is known of a member; it costs one entry too, since no vote moves.
            Next::Info(id, info) => {
                let changes = ChangeMembers::SetNodes(BTreeMap::from([(id, info)]));
                self.raft.change_membership_if(changes, true, conditions).await
            }
        };
        match written {
            Ok(response) => Ok(to_index(response.log_id.index)),
            Err(RaftError::Fatal(error)) => Err(Ended(error.to_string()).into()),
            Err(RaftError::APIError(error)) => Err(refused(error)),
        }
    }

    /// Everyone by the newest membership entry that is applied here; before there is one, by the newest in the log.
    pub fn applied_members(&self) -> Vec<Membered> {
        let stored = membership::decode_stored(self.view().membership());
        // The store has checked these bytes, and this release wrote them.
        let stored = stored.expect("a membership that was applied can be read");
        match stored.log_id() {
            Some(_) => membership::list(stored.membership()),
            None => self.members(),
        }
    }

    /// Whether this id belonged to the cluster and does not any more, by what is applied here.
    pub fn is_removed(&self, id: MemberId) -> bool {
        !planted(Bug::RemovedNotTold) && membership::names_removed(self.view().membership(), id)
    }

    /// Asks `to` to take leadership over. Nothing happens when this member does not lead.
    ///
    /// # Errors
    /// [`Ended`] when consensus has ended.
    pub async fn transfer_to(&self, to: MemberId) -> Result<(), Ended> {
        let asked = self.raft.trigger().transfer_leader(to.0).await;
        asked.map_err(|error| Ended(error.to_string()))
    }
}

/// What is written for a change.
enum Next {
    Whole(RaftMembership),
    Info(u64, MemberInfo),
}

fn next_membership(now: &RaftMembership, change: &MemberChange) -> Result<Next, ChangeError> {
    let sets = now.get_joint_config();
    let mut members: BTreeMap<u64, MemberInfo> = now.nodes().map(|(id, info)| (*id, info.clone())).collect();
    let mut voters: BTreeSet<u64> = match (sets.as_slice(), change) {
        ([voters], _) => voters.clone(),
        ([before @ .., voters], MemberChange::Settle) => {
            let has_lost = |id: &u64| before.iter().any(|set| set.contains(id)) && !voters.contains(id);
            members.retain(|id, _| !has_lost(id) || planted(Bug::DeadStays));
            voters.clone()
        }
        _ => {
            return Err(ChangeError::Again(
                "two sets of voters decide together".to_owned(),
            ));
        }
    };
    match change {
        // Where there is one set there is nothing to end.
        MemberChange::Settle => {}
        MemberChange::Swap { new, dead } => {
            assert!(
                members.contains_key(&new.0) && voters.contains(&dead.0) && !voters.contains(&new.0),
                "a vote goes from one member to another"
            );
            let before = voters.clone();
            voters.remove(&dead.0);
            voters.insert(new.0);
            if planted(Bug::SwapNotJoint) {
                return whole(vec![voters], members);
            }
            return whole(vec![before, voters], members);
        }
        MemberChange::Add(id, info) => {
            assert!(!members.contains_key(&id.0), "an id is given once");
            members.insert(id.0, info.clone());
        }
        MemberChange::Remove(id) => {
            voters.remove(&id.0);
            members.remove(&id.0);
            if planted(Bug::ShrinksAtOnce)
                && voters.len() > 2
                && let Some(other) = voters.pop_last()
            {
                members.remove(&other);
            }
        }
        MemberChange::GiveVote(id) => {
            assert!(members.contains_key(&id.0), "who gets a vote belongs");
            voters.insert(id.0);
        }
        MemberChange::SetInfo(id, info) => {
            assert!(members.contains_key(&id.0), "what is known is known of a member");
            return Ok(Next::Info(id.0, info.clone()));
        }
    }
    assert!(!voters.is_empty(), "the last voter never leaves");
    whole(vec![voters], members)
}

fn whole(voters: Vec<BTreeSet<u64>>, members: BTreeMap<u64, MemberInfo>) -> Result<Next, ChangeError> {
    RaftMembership::new(voters, members)
        .map(Next::Whole)
        .map_err(|error| ChangeError::Again(error.to_string()))
}

fn refused(error: ClientWriteError<Types>) -> ChangeError {
    match error {
        ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_) => {
            ChangeError::NotLeader
        }
        ClientWriteError::ChangeMembershipError(error) => ChangeError::Again(error.to_string()),
        ClientWriteError::PreconditionFailed(error) => ChangeError::Again(error.to_string()),
    }
}
