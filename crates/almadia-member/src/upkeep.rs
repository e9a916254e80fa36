//! What a member does for itself while it runs: checkpoints, purging the log, dropping what compactions left,
//! collecting garbage in segments, spare log files, and watching the room on the disk.
//!
//! All of it is paced by one slow tick and done on the keeper's thread or in slices; none of it delays a request.

use crate::gate::SpaceGate;
use crate::waiters::Waiters;
use almadia_command::LogIndex;
use almadia_consensus::{Consensus, Ended, KeeperHandle};
use almadia_disk::{Disk, Space};
use almadia_wal::Wal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two looks at what is to be done.
const TICK: Duration = Duration::from_millis(500);

/// A checkpoint is made at the latest this long after the first change since the last one.
const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

/// A checkpoint is made at the latest after this many bytes of log: restart replays them.
const CHECKPOINT_BYTES: u64 = 128 * 1024 * 1024;

/// Entries kept behind the checkpoint for followers that are a little late; farther ones get a snapshot.
const KEPT_ENTRIES: u64 = 10_000;

/// Revisions whose leftovers are dropped in one slice.
const SLICE_REVISIONS: usize = 2_000;

/// The gate closes below this much free room, or a twentieth of the volume where that is less.
const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;

/// What the upkeep found out and the status shows.
#[derive(Debug, Default)]
pub struct Sizes {
    /// Bytes of segment files and manifests.
    pub disk_bytes: AtomicU64,
}

/// What the upkeep works on.
pub struct Upkeep {
    /// Consensus, for checkpoints and purges.
    pub consensus: Consensus,
    /// The thread for file work.
    pub keeper: KeeperHandle,
    /// The log, for its spare files.
    pub wal: Wal,
    /// The disk, for its room.
    pub disk: Arc<dyn Disk>,
    /// Closed and opened here.
    pub gate: SpaceGate,
    /// Written here.
    pub sizes: Arc<Sizes>,
    /// Where callers who gave up are forgotten now and then.
    pub waiters: Arc<Waiters>,
}

impl Upkeep {
    /// Runs until consensus ends.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checkpoint = Pace {
            at: Instant::now(),
            bytes: self.wal.counters().bytes,
        };
        loop {
            ticks.tick().await;
            if let Err(error) = self.tick(&mut checkpoint).await {
                tracing::debug!(%error, "the upkeep ends");
                return;
            }
        }
    }

    async fn tick(&self, checkpoint: &mut Pace) -> Result<(), Ended> {
        self.waiters.sweep();
        self.compact().await?;
        if self.checkpoint_is_due(checkpoint) {
            *checkpoint = Pace {
                at: Instant::now(),
                bytes: self.wal.counters().bytes,
            };
            self.consensus.checkpoint().await?;
        }
        self.purge().await?;
        self.files().await
    }

    fn checkpoint_is_due(&self, last: &Pace) -> bool {
        let progress = self.consensus.progress();
        if progress.applied <= progress.checkpoint {
            return false;
        }
        let bytes = self.wal.counters().bytes.saturating_sub(last.bytes);
        last.at.elapsed() >= CHECKPOINT_AGE || bytes >= CHECKPOINT_BYTES
    }

    /// Drops what compactions left, slice by slice; the worker applies entries between two slices.
    async fn compact(&self) -> Result<(), Ended> {
        while self.consensus.view().compaction_pending() {
            self.consensus.compact_slice(SLICE_REVISIONS).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn purge(&self) -> Result<(), Ended> {
        let progress = self.consensus.progress();
        let purgeable = self.keeper.run(|keeper| keeper.purgeable()).await;
        let Ok((index, _)) = purgeable else {
            return Ok(());
        };
        let behind = LogIndex(progress.applied.0.saturating_sub(KEPT_ENTRIES));
        let upto = index.min(behind);
        if upto > progress.purged {
            self.consensus.purge(upto).await?;
        }
        Ok(())
    }

    async fn files(&self) -> Result<(), Ended> {
        let (wal, view, disk) = (self.wal.clone(), self.consensus.view(), self.disk.clone());
        let work = move |keeper: &mut almadia_store::disk::Keeper| {
            if let Err(error) = wal.prepare_spares() {
                tracing::warn!(%error, "cannot prepare log files; will try again");
            }
            match keeper.collect_garbage(&view) {
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot collect garbage; will try again"),
            }
            (keeper.disk_bytes(), disk.space())
        };
        let done = self
            .keeper
            .run(work)
            .await
            .map_err(|gone| Ended(gone.to_string()))?;
        let (disk_bytes, space) = done;
        self.sizes.disk_bytes.store(disk_bytes, Ordering::Relaxed);
        match space {
            Ok(space) => self.watch_room(space),
            Err(error) => tracing::warn!(%error, "cannot tell how much room the disk has"),
        }
        Ok(())
    }

    fn watch_room(&self, space: Space) {
        let closed = is_nearly_full(space);
        if self.gate.set_closed(closed) {
            let free_mib = space.free_bytes / (1024 * 1024);
            if closed {
                tracing::error!(
                    free_mib,
                    "the disk is nearly full: writes are refused until there is room"
                );
            } else {
                tracing::info!(free_mib, "the disk has room again: writes are accepted");
            }
        }
    }
}

struct Pace {
    at: Instant,
    bytes: u64,
}

fn is_nearly_full(space: Space) -> bool {
    space.free_bytes < FREE_BYTES_MIN.min(space.total_bytes / 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_follows_the_smaller_of_both_bounds() {
        let gib = 1024 * 1024 * 1024;
        let space = |free_bytes, total_bytes| Space {
            free_bytes,
            total_bytes,
        };
        assert!(!is_nearly_full(space(2 * gib, 100 * gib)));
        assert!(is_nearly_full(space(gib - 1, 100 * gib)));
        assert!(!is_nearly_full(space(gib / 10, gib)));
        assert!(is_nearly_full(space(gib / 21, gib)));
    }
}
