//! What this member is in its term, for those who look on: elections step by step, and snapshots that were sent.
//!
//! Nothing decides by it. It shows what [`Standing`](crate::Standing) leaves out because no decision needs it: that a member
//! is a candidate, and which membership entry is the newest.

use crate::raft::{Raft, to_position};
use almadia_command::{LogIndex, MemberId, Term};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use tokio::sync::watch;

/// What a member is in its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Receives entries and does not vote.
    Learner,
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks the others for their votes.
    Candidate,
    /// Leads.
    Leader,
}

/// A member's bearing at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bearing {
    /// What it is.
    pub role: Role,
    /// The highest term it has seen.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<MemberId>,
    /// Where the newest membership entry stands.
    pub membership: LogIndex,
}

/// Snapshots that this member has sent whole since its start: how many, and to whom the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotsSent {
    /// How many.
    pub count: u64,
    /// To whom the last one.
    pub last: Option<MemberId>,
}

/// Where a snapshot that was sent is noted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SentBook(Arc<watch::Sender<SnapshotsSent>>);

impl SentBook {
    pub(crate) fn note(&self, to: MemberId) {
        self.0.send_modify(|sent| {
            sent.count += 1;
            sent.last = Some(to);
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<SnapshotsSent> {
        self.0.subscribe()
    }
}

/// openraft's words in ours, told when they change; the last ones stay when consensus ends.
pub(crate) fn follow(raft: &Raft) -> watch::Receiver<Bearing> {
    let mut metrics = raft.server_metrics();
    let (tell, bearing) = watch::channel(Bearing::default());
    tokio::spawn(async move {
        loop {
            let now = {
                let metrics = metrics.borrow_and_update();
                let membership = metrics.membership_config.log_id();
                let role = match metrics.state {
                    ServerState::Leader => Role::Leader,
                    ServerState::Candidate => Role::Candidate,
                    ServerState::Learner => Role::Learner,
                    ServerState::Follower | ServerState::Shutdown => Role::Follower,
                };
                Bearing {
                    role,
                    term: Term(metrics.vote.leader_id.term),
                    leader: metrics.current_leader.map(MemberId),
                    membership: to_position(membership.as_ref()).0,
                }
            };
            tell.send_if_modified(|bearing| {
                let changed = *bearing != now;
                *bearing = now;
                changed
            });
            if metrics.changed().await.is_err() {
                return;
            }
        }
    });
    bearing
}
