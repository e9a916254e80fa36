//! The leader's lease of time: for how long a leader may say that it leads without asking anybody, and what a member that
//! comes back owes to it.
//!
//! A follower that has heard a leader grants no vote to another for one lease (the longest election timeout). So a leader that a
//! majority answered knows, for as long after it *asked* them, that nobody else leads. It uses half of that: the clocks of two
//! members may differ in speed by a factor of two. Three things could break the promise, and each is seen to here:
//!
//! - A leader that hands over allows the election itself: from its first word about that on, it never answers by itself in that term.
//! - A member that restarts has forgotten whom it heard, and when: it grants no vote and stands for none for one lease ([`VoteHold`]).
//! - What is committed reaches other members, and their clients, before this one has applied it: the highest position that
//!   was ever told is kept ([`Said`]), and whoever relies on the lease has to have applied that far.
//!
//! It decides nothing for openraft. `docs/internals/leases.md` has the argument in full.

use crate::raft::{Raft, Types, to_position};
use almadia_command::{LogIndex, MemberId, Term};
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

type Metrics = openraft::type_config::alias::WatchReceiverOf<Types, RaftMetrics<Types>>;

/// The part of a lease that a leader uses.
const USED_SHARE: u32 = 2;

/// Certainty about leading, at the moment it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leads {
    /// In this term; nobody led a later one.
    pub term: Term,
    /// What was acknowledged to anybody is applied here when this position is.
    pub committed: LogIndex,
}

/// What this member has told its peers.
#[derive(Clone, Debug, Default)]
pub struct Said(Arc<SaidInner>);

#[derive(Debug, Default)]
struct SaidInner {
    committed: AtomicU64,
    handed_over: AtomicU64,
}

impl Said {
    /// To be called before a peer is told that everything up to `index` is committed.
    pub fn committed(&self, index: LogIndex) {
        self.0.committed.fetch_max(index.0, Ordering::SeqCst);
    }

    /// To be called before a peer is told to take over from the leader of `term`.
    pub fn hands_over(&self, term: Term) {
        self.0.handed_over.fetch_max(term.0, Ordering::SeqCst);
    }
}

/// Looks at what consensus shows of itself; asks nobody. Cheap to clone.
#[derive(Clone)]
pub struct LeaderLease {
    own: MemberId,
    metrics: Metrics,
    said: Said,
    span: Duration,
}

impl LeaderLease {
    /// `election_max` is the lease that followers grant.
    pub fn new(own: MemberId, raft: &Raft, said: Said, election_max: Duration) -> Self {
        Self {
            own,
            metrics: raft.metrics(),
            said,
            span: election_max / USED_SHARE,
        }
    }

    /// Certainty that this member leads now; none when it must ask a majority first. What is seen here may be a little
    /// old: a majority's answer then is older, too, and never worth more.
    pub fn leads(&self) -> Option<Leads> {
        let term = {
            let metrics = self.metrics.borrow_watched();
            let acked = **metrics.last_quorum_acked.as_ref()?;
            let leads = metrics.state.is_leader()
                && metrics.current_leader == Some(self.own.0)
                && Types::now() < acked + self.span;
            let term = Term(metrics.vote.leader_id.term);
            // With an entry of its own committed it knows of all that earlier leaders committed.
            if !leads || to_position(metrics.local_committed.as_ref()).1 != term {
                return None;
            }
            term
        };
        // After the look at the time: what it says from now on concerns nobody who has asked before.
        if self.said.0.handed_over.load(Ordering::SeqCst) >= term.0 {
            return None;
        }
        let committed = LogIndex(self.said.0.committed.load(Ordering::SeqCst));
        Some(Leads { term, committed })
    }
}

/// For one lease after it came back, a member grants no vote and stands for none: a leader that it answered before it
/// stopped may still rely on that. Only what that leader itself allowed is let through.
#[derive(Clone, Copy, Debug)]
pub struct VoteHold {
    until: Option<Instant>,
}

impl VoteHold {
    /// For a member that has voted before; others owe nothing.
    pub fn after_start(voted: Option<almadia_wal::Vote>, now: Instant, election_max: Duration) -> Self {
        Self {
            until: voted.map(|_| now + election_max),
        }
    }

    /// Whether there is anything to wait for.
    pub fn holds(&self) -> bool {
        self.until.is_some()
    }

    /// Returns when votes may be granted again.
    pub async fn is_over(&self) {
        if let Some(until) = self.until {
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Lets a member that comes back stand for election when its hold is over; at once when it is the only voter and has voted
/// for nobody else: there is no leader that it could owe anything to.
pub fn stand_after(raft: &Raft, own: MemberId, voted: Option<almadia_wal::Vote>, hold: VoteHold) {
    if !hold.holds() {
        raft.runtime_config().elect(true);
        return;
    }
    let voted_for_others = voted.is_some_and(|voted| voted.member != own);
    let (raft, metrics) = (raft.clone(), raft.metrics());
    tokio::spawn(async move {
        tokio::select! {
            () = hold.is_over() => {}
            () = is_alone(metrics, own), if !voted_for_others => {}
        }
        raft.runtime_config().elect(true);
    });
}

/// Returns once it is known that this member is the only voter; who votes is shown when consensus has taken over the log.
async fn is_alone(mut metrics: Metrics, own: MemberId) {
    while !metrics
        .borrow_and_update()
        .membership_config
        .voter_ids()
        .eq([own.0])
    {
        if metrics.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
