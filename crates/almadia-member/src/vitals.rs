//! How a member is, in numbers: read when somebody looks, from what is counted anyway. No lock that a request waits for, and
//! nothing that grows with the data.

use crate::gate::Limit;
use crate::member::{Member, Status};
use crate::membership::reconcile::CourseNumbers;
use crate::phase::Phase;
use crate::proposer;
use crate::tally::Tally;
use crate::waiters::Waiters;
use almadia_command::{LogIndex, MemberId};
use almadia_consensus::{PeerTally, Progress};
use almadia_store::Sizes;
use almadia_wal::Counters;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A member in numbers.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// At a glance.
    pub status: Status,
    /// What it is doing.
    pub phase: Phase,
    /// Somebody leads, by proof and not by belief.
    pub has_leader: bool,
    /// How far the log is.
    pub progress: Progress,
    /// How far the logs of the others are, on a leader.
    pub replicated: Vec<(MemberId, LogIndex)>,
    /// What consensus counted.
    pub consensus: Arc<almadia_consensus::Tally>,
    pub(crate) waiters: Arc<Waiters>,
    /// What consensus counted about peers.
    pub peers: Vec<(MemberId, Arc<PeerTally>)>,
    /// What the log counted.
    pub wal: Counters,
    /// Bytes of the log's files.
    pub wal_bytes: u64,
    /// The disk is full and the log waits.
    pub wal_waits: bool,
    /// Commands in the queue.
    pub queued: usize,
    /// Commands that left the queue and have no outcome yet.
    pub undecided: usize,
    /// Reads in the queue.
    pub reads_queued: usize,
    /// How much the store holds.
    pub sizes: Sizes,
    /// Leases.
    pub leases: usize,
    /// The last revision, and the compacted one.
    pub revisions: (i64, i64),
    /// Compaction has not dropped everything yet.
    pub compaction_pending: bool,
    /// Since the last entry was applied; none when there was none in this life.
    pub view_age: Option<Duration>,
    /// Watchers that have been told everything.
    pub watchers_live: usize,
    /// What the files amount to.
    pub files: Files,
    /// What closes the gate: disk, memory, quota.
    pub gates: [bool; 3],
    /// How members come and go by themselves.
    pub course: CourseNumbers,
    /// The member has caught up with what it had before it was restarted.
    pub recovered: bool,
}

/// What the files amount to, as of the last look of the upkeep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Segments of the newest checkpoint.
    pub segments: u64,
    /// Bytes in them that can still be read.
    pub live_bytes: u64,
    /// Bytes of all segments and manifests.
    pub bytes: u64,
    /// Room on the volume.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
    /// Memory this member may use; 0 for no bound.
    pub memory_bytes_max: u64,
    /// The operator's quota; 0 for none.
    pub quota_bytes: u64,
}

/// When a command got how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// It left the queue and went to the log, here or at the leader.
    pub entered: Option<Instant>,
    /// Its entry came to this member's log: on a follower, from the leader.
    pub received: Option<Instant>,
    /// Its entry was synced on this member's disk.
    pub persisted: Option<Instant>,
    /// It was known to be committed, and applying began.
    pub committed: Option<Instant>,
    /// It was applied and could be read.
    pub applied: Option<Instant>,
}

impl Vitals {
    /// What the member counted.
    pub fn tally(&self) -> &Tally {
        &self.waiters.tally
    }
}

impl Member {
    /// This member in numbers.
    pub fn vitals(&self) -> Vitals {
        let inner = &self.inner;
        let view = self.view();
        let consensus = inner.consensus.tally().clone();
        let limits = [Limit::Memory, Limit::Quota].map(|limit| inner.gate.is_reached(limit));
        Vitals {
            status: self.status(),
            phase: self.phase(),
            has_leader: self.has_leader(),
            progress: inner.consensus.progress(),
            replicated: inner.consensus.replicated(),
            peers: consensus.peers(),
            view_age: consensus.applied.last().map(|(_, at)| at.elapsed()),
            consensus,
            waiters: inner.waiters.clone(),
            wal: inner.wal.counters(),
            wal_bytes: inner.wal.disk_bytes(),
            wal_waits: inner.wal.waits_for_room(),
            queued: inner.proposals.queued(),
            undecided: inner.waiters.undecided(),
            reads_queued: inner.reads.max_capacity() - inner.reads.capacity(),
            sizes: view.sizes(),
            leases: view.leases().len(),
            revisions: (view.revision().get(), view.compacted().get()),
            compaction_pending: view.compaction_pending(),
            watchers_live: inner.watches.live(),
            files: inner.sizes.read(),
            gates: [inner.gate.is_disk_short(), limits[0], limits[1]],
            course: inner.desk.numbers(),
            recovered: *inner.recovered.borrow(),
        }
    }

    /// When the command at this place of the log got how far; what is not known (any more) is left out. For the last
    /// moments only.
    pub fn stages(&self, index: LogIndex) -> Stages {
        let tally = self.inner.consensus.tally();
        Stages {
            entered: self.inner.waiters.tally.entered.find(index),
            received: tally.received.find(index),
            persisted: tally.persisted.find(index),
            committed: tally.committed.find(index),
            applied: tally.applied.find(index),
        }
    }

    /// Commands that may wait in the queue at most.
    pub fn queue_max() -> usize {
        proposer::QUEUE_MAX
    }
}

impl crate::upkeep::Sizes {
    fn read(&self) -> Files {
        let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        Files {
            segments: load(&self.segments),
            live_bytes: load(&self.segment_live_bytes),
            bytes: load(&self.disk_bytes),
            free_bytes: load(&self.free_bytes),
            total_bytes: load(&self.total_bytes),
            memory_bytes_max: load(&self.memory_bytes_max),
            quota_bytes: load(&self.quota_bytes),
        }
    }
}
