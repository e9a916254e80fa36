//! What a member counts of its clients' commands and reads; see [`almadia_consensus::Tally`] for what is below it.

use almadia_consensus::{Durations, Marks};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counted since the member started.
#[derive(Debug)]
pub struct Tally {
    /// How long the first command of each batch had waited in the queue.
    pub queue_wait: Durations,
    /// Commands that went on in batches.
    pub batched: AtomicU64,
    /// Commands without an outcome: refused because too many wait, timed out, stopped.
    pub proposals_failed: AtomicU64,
    /// Commands that had to be proposed again, because their leader was gone.
    pub proposals_lost: AtomicU64,
    /// Confirming that a leader leads, once for all reads that wait, and waiting until that much is applied.
    pub confirmations: Durations,
    /// Reads that were not confirmed.
    pub reads_failed: AtomicU64,
    /// This member's own commands that left the queue, by the log index they came to stand at.
    pub entered: Marks,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            queue_wait: Durations::doubling(Duration::from_micros(50), 16),
            batched: AtomicU64::new(0),
            proposals_failed: AtomicU64::new(0),
            proposals_lost: AtomicU64::new(0),
            confirmations: Durations::doubling(Duration::from_micros(50), 16),
            reads_failed: AtomicU64::new(0),
            entered: Marks::default(),
        }
    }
}

/// One more.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
