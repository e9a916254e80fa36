//! What consensus counts of itself: an addition where something happens, read when somebody looks. It decides nothing, and
//! nothing is decided by it.

mod durations;
mod marks;

pub use durations::{Counted, Durations};
pub use marks::Marks;

use crate::bearing::SentBook;
use almadia_command::{Command, Kind, LogIndex, MemberId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// What consensus has counted since it started.
#[derive(Debug)]
pub struct Tally {
    /// Another member than before was seen to lead.
    pub leader_changes: AtomicU64,
    /// Applying a batch of committed entries.
    pub apply: Durations,
    /// Entries applied.
    pub entries: AtomicU64,
    /// What was applied, by kind.
    pub commands: Commands,
    /// Checkpoints made.
    pub checkpoints: Durations,
    /// Checkpoints that failed.
    pub checkpoints_failed: AtomicU64,
    /// States sent to peers.
    pub snapshots_sent: Durations,
    /// States that could not be sent.
    pub snapshots_failed: AtomicU64,
    /// The same, and to whom the last one went.
    pub(crate) sent: SentBook,
    /// States taken over from peers.
    pub snapshots_installed: AtomicU64,
    /// Entries that came to this member's log, before they are synced.
    pub received: Marks,
    /// Entries synced here.
    pub persisted: Marks,
    /// Entries whose applying began: they were known to be committed.
    pub committed: Marks,
    /// Entries applied and shown.
    pub applied: Marks,
    peers: Mutex<BTreeMap<MemberId, Arc<PeerTally>>>,
}

/// Applied commands by kind.
#[derive(Debug, Default)]
pub struct Commands {
    /// Single puts.
    pub puts: AtomicU64,
    /// Single deletions.
    pub deletes: AtomicU64,
    /// Transactions.
    pub txns: AtomicU64,
    /// Leases granted.
    pub grants: AtomicU64,
    /// Leases revoked.
    pub revokes: AtomicU64,
}

/// What was counted about one peer.
#[derive(Debug)]
pub struct PeerTally {
    /// From a heartbeat to its answer.
    pub round_trips: Durations,
    /// Heartbeats without an answer in time.
    pub heartbeats_failed: AtomicU64,
    /// Anything that could not be sent or was not answered, heartbeats included.
    pub failures: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            leader_changes: AtomicU64::new(0),
            apply: Durations::doubling(Duration::from_micros(50), 16),
            entries: AtomicU64::new(0),
            commands: Commands::default(),
            checkpoints: Durations::of_disk(),
            checkpoints_failed: AtomicU64::new(0),
            snapshots_sent: Durations::doubling(Duration::from_millis(10), 16),
            snapshots_failed: AtomicU64::new(0),
            sent: SentBook::default(),
            snapshots_installed: AtomicU64::new(0),
            received: Marks::default(),
            persisted: Marks::default(),
            committed: Marks::default(),
            applied: Marks::default(),
            peers: Mutex::default(),
        }
    }
}

impl Default for PeerTally {
    fn default() -> Self {
        Self {
            round_trips: Durations::of_network(),
            heartbeats_failed: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// What is counted about this peer.
    pub fn peer(&self, peer: MemberId) -> Arc<PeerTally> {
        let mut peers = self.peers.lock().expect("nobody panics while holding the peers");
        peers.entry(peer).or_default().clone()
    }

    /// Everyone about whom something was counted.
    pub fn peers(&self) -> Vec<(MemberId, Arc<PeerTally>)> {
        let peers = self.peers.lock().expect("nobody panics while holding the peers");
        peers.iter().map(|(id, tally)| (*id, tally.clone())).collect()
    }

    /// A batch was applied, since `begun`, up to and with `upto`.
    pub(crate) fn note_applied(&self, begun: Instant, upto: LogIndex, entries: u64) {
        let now = Instant::now();
        self.apply.note(now.duration_since(begun));
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.committed.note(upto, begun);
        self.applied.note(upto, now);
    }
}

impl Commands {
    pub(crate) fn note(&self, command: &Command) {
        let counter = match &command.kind {
            Some(Kind::Put(_)) => &self.puts,
            Some(Kind::DeleteRange(_)) => &self.deletes,
            Some(Kind::Txn(_)) => &self.txns,
            Some(Kind::LeaseGrant(_)) => &self.grants,
            Some(Kind::LeaseRevoke(_)) => &self.revokes,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One more.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
