//! What a member does for itself while it runs: checkpoints, purging the log, dropping what compactions left,
//! collecting garbage in segments, spare log files, and watching the room on the disk.
//!
//! All of it is paced by one slow tick and done on the keeper's thread or in slices; none of it delays a request.

use crate::gate::{Room, SpaceGate};
use crate::limits::Limits;
use crate::waiters::Waiters;
use almadia_command::LogIndex;
use almadia_consensus::{Consensus, Ended, KeeperHandle};
use almadia_disk::{Disk, Space};
use almadia_store::disk::Scrubbed;
use almadia_wal::Wal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two looks at what is to be done.
const TICK: Duration = Duration::from_millis(500);

/// A checkpoint is made at the latest this long after the first change since the last one.
const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

/// A checkpoint is made at the latest after this many bytes of log: restart replays them, and the log keeps up to twice
/// as many. Less would make more small segments, which are merged later and so written once more.
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// Entries kept behind the checkpoint for followers that are a little late; farther ones get a snapshot.
const KEPT_ENTRIES: u64 = 10_000;

/// The same in bytes, by the average size of an entry: large entries must not keep gigabytes of log.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;

/// Between two segments whose checksums are looked at again while the member runs.
const SCRUB_EVERY: Duration = Duration::from_secs(60);

/// Revisions whose leftovers are dropped in one slice.
const SLICE_REVISIONS: usize = 2_000;

/// Between two looks at the room on the disk, unless there is plenty.
const LOOK_SHORT: Duration = Duration::from_millis(50);

/// Room is far from short with this many times what closes the gate: nobody writes that between two slow looks.
const FAR: u64 = 16;

/// How many more spares the head room is for, besides those that are ready.
const SPARES_MORE: u64 = 2;

/// The gate closes below this much free room, or a twentieth of the volume where that is less.
const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;

/// What the upkeep found out and the status shows.
#[derive(Debug, Default)]
pub struct Sizes {
    /// Bytes of segment files and manifests.
    pub disk_bytes: AtomicU64,
    /// Segments of the newest checkpoint.
    pub segments: AtomicU64,
    /// Bytes in them that can still be read.
    pub segment_live_bytes: AtomicU64,
    /// Room on the volume.
    pub free_bytes: AtomicU64,
    /// Its size.
    pub total_bytes: AtomicU64,
    /// Memory this member may use; 0 for no bound.
    pub memory_bytes_max: AtomicU64,
    /// The operator's quota; 0 for none.
    pub quota_bytes: AtomicU64,
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
    /// What else closes it.
    pub limits: Limits,
    /// Written here.
    pub sizes: Arc<Sizes>,
    /// Where callers who gave up are forgotten now and then.
    pub waiters: Arc<Waiters>,
}

impl Upkeep {
    /// Runs until consensus ends.
    pub async fn run(self) {
        let files = Files::default();
        tokio::select! {
            () = self.work(&files) => {}
            () = self.watch(&files) => {}
        }
    }

    async fn work(&self, files: &Files) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checkpoint = Pace {
            at: Instant::now(),
            bytes: self.wal.counters().bytes,
            index: self.consensus.progress().checkpoint,
        };
        files.saved_bytes.store(checkpoint.bytes, Ordering::Relaxed);
        let mut scrubbed = Instant::now();
        loop {
            ticks.tick().await;
            if scrubbed.elapsed() >= SCRUB_EVERY {
                scrubbed = Instant::now();
                self.scrub().await;
            }
            if let Err(error) = self.tick(&mut checkpoint, files).await {
                tracing::debug!(%error, "the upkeep ends");
                return;
            }
        }
    }

    async fn tick(&self, checkpoint: &mut Pace, files: &Files) -> Result<(), Ended> {
        self.waiters.sweep();
        // Spares come first: a checkpoint that takes the last room would leave the log without.
        self.files(files).await?;
        self.compact().await?;
        if self.consensus.progress().checkpoint > checkpoint.index {
            files.saved_bytes.store(checkpoint.bytes, Ordering::Relaxed);
        }
        if self.checkpoint_is_due(checkpoint) {
            *checkpoint = Pace {
                at: Instant::now(),
                bytes: self.wal.counters().bytes,
                index: self.consensus.progress().checkpoint,
            };
            self.consensus.checkpoint().await?;
        }
        self.purge().await
    }

    fn checkpoint_is_due(&self, last: &Pace) -> bool {
        let progress = self.consensus.progress();
        if progress.applied <= progress.checkpoint {
            return false;
        }
        let bytes = self.wal.counters().bytes.saturating_sub(last.bytes);
        // While room is short the log must not outgrow its spares: it is given back after a checkpoint only.
        let bytes_max = if self.gate.is_disk_short() {
            self.wal.next_spare_bytes()
        } else {
            let volume = self.disk.space().map_or(u64::MAX, |space| space.total_bytes);
            CHECKPOINT_BYTES.min(volume / 16)
        };
        last.at.elapsed() >= CHECKPOINT_AGE || bytes >= bytes_max
    }

    /// Drops what compactions left, slice by slice; the worker applies entries between two slices.
    async fn compact(&self) -> Result<(), Ended> {
        while self.consensus.view().compaction_pending() {
            self.consensus.compact_slice(SLICE_REVISIONS).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn kept_entries(&self) -> u64 {
        let counters = self.wal.counters();
        kept_entries(counters.bytes, counters.entries)
    }

    /// Looks at one segment again: rot is found, and mended from memory, while the truth is still in memory.
    async fn scrub(&self) {
        let view = self.consensus.view();
        match self.keeper.run(move |keeper| keeper.scrub(&view)).await {
            Ok(Ok(Scrubbed::Repaired(damage))) => {
                tracing::error!(
                    ?damage,
                    "a segment was damaged on the disk and was written anew; look at the disk"
                );
            }
            Ok(Ok(Scrubbed::Nothing | Scrubbed::Clean(_))) => {}
            Ok(Err(error)) => tracing::error!(%error, "a segment cannot be read back; look at the disk"),
            // The member is stopping.
            Err(_) => {}
        }
    }

    async fn purge(&self) -> Result<(), Ended> {
        let progress = self.consensus.progress();
        let purgeable = self.keeper.run(|keeper| keeper.purgeable()).await;
        let Ok((index, _)) = purgeable else {
            return Ok(());
        };
        // A follower that is late gets a snapshot then; better than a log that cannot go on.
        let kept = if self.gate.is_disk_short() {
            0
        } else {
            self.kept_entries()
        };
        let behind = LogIndex(progress.applied.0.saturating_sub(kept));
        let upto = index.min(behind);
        if upto > progress.purged {
            self.consensus.purge(upto).await?;
        }
        Ok(())
    }

    async fn files(&self, files: &Files) -> Result<(), Ended> {
        let (wal, view) = (self.wal.clone(), self.consensus.view());
        let work = move |keeper: &mut almadia_store::disk::Keeper| {
            let spares = wal.prepare_spares();
            let garbage = keeper.collect_garbage(&view);
            let disk_bytes = keeper.disk_bytes() + keeper.manifest_bytes();
            let segments = (keeper.segment_count() as u64, keeper.disk_live_bytes());
            (disk_bytes, segments, spares.err(), garbage.err())
        };
        let done = self
            .keeper
            .run(work)
            .await
            .map_err(|gone| Ended(gone.to_string()))?;
        let (disk_bytes, (segments, live_bytes), spares, garbage) = done;
        self.sizes.disk_bytes.store(disk_bytes, Ordering::Relaxed);
        self.sizes.segments.store(segments, Ordering::Relaxed);
        self.sizes.segment_live_bytes.store(live_bytes, Ordering::Relaxed);
        let is_new = turned(&files.spares_fail, spares.is_some());
        if let Some(error) = spares.filter(|_| is_new) {
            tracing::warn!(%error, "cannot prepare log files: writes are refused; will try again");
        }
        let is_new = turned(&files.garbage_fails, garbage.is_some());
        if let Some(error) = garbage.filter(|_| is_new) {
            tracing::warn!(%error, "cannot collect garbage; will try again");
        }
        Ok(())
    }

    /// Watches the room apart from the work, which may take long: one look is one cheap question to the system.
    ///
    /// What is behind the gate when it closes is in the log or on its way there, and is not stopped: at most 5000
    /// queued proposals of 1.5 MiB each, in practice what arrives between two looks. It goes into the current segment,
    /// the spares that are ready (2 or more) and, made by the writer itself, those the head room is for. A follower takes
    /// what its leader lets in, whose disk may be larger: its log waits when even those are full.
    async fn watch(&self, files: &Files) {
        let memory = self.limits.memory.as_ref().map_or(0, |memory| memory.bytes_max);
        self.sizes.memory_bytes_max.store(memory, Ordering::Relaxed);
        let quota = self.limits.live_bytes_max.unwrap_or(0);
        self.sizes.quota_bytes.store(quota, Ordering::Relaxed);
        loop {
            let is_far = self
                .limits
                .look(&self.gate, self.consensus.view().sizes().live_bytes);
            let pause = match self.disk.space() {
                Ok(space) => {
                    turned(&files.blind, false);
                    self.sizes.free_bytes.store(space.free_bytes, Ordering::Relaxed);
                    self.sizes.total_bytes.store(space.total_bytes, Ordering::Relaxed);
                    self.look(space, files)
                }
                Err(error) => {
                    if turned(&files.blind, true) {
                        tracing::warn!(%error, "cannot tell how much room the disk has");
                    }
                    TICK
                }
            };
            self.look_at_log(files);
            tokio::time::sleep(if is_far { pause } else { LOOK_SHORT }).await;
        }
    }

    /// A log without room for its next file answers nobody: a person should know.
    fn look_at_log(&self, files: &Files) {
        let waits = self.wal.waits_for_room();
        if turned(&files.log_waits, waits) {
            if waits {
                tracing::error!(
                    "the disk is full and the log waits: this member acknowledges nothing until there is room"
                );
            } else {
                tracing::info!("the log goes on: there is room again");
            }
        }
    }

    /// Sets the gate by the disk; how long until the next look.
    fn look(&self, space: Space, files: &Files) -> Duration {
        let written = self.wal.counters().bytes;
        let need = Need {
            spare_bytes: self.wal.next_spare_bytes(),
            checkpoint_bytes: written.saturating_sub(files.saved_bytes.load(Ordering::Relaxed)),
            spares_ready: self.wal.spares_ready(),
            spares_fail: files.spares_fail.load(Ordering::Relaxed),
        };
        let room = need.room(space, self.gate.is_disk_short());
        if self.gate.set(room) {
            let free_mib = space.free_bytes / (1024 * 1024);
            match room {
                Room::Plenty => tracing::info!(free_mib, "the disk has room again"),
                Room::Short => {
                    tracing::error!(
                        free_mib,
                        "the disk is nearly full: puts are refused until there is room"
                    );
                }
                Room::Nothing => {
                    tracing::error!(
                        free_mib,
                        "the log has no room: all writes are refused until there is room"
                    );
                }
            }
        }
        let is_far = room == Room::Plenty && space.free_bytes / FAR >= need.head_room(space);
        if is_far { TICK } else { LOOK_SHORT }
    }
}

/// What the work tells the watch, and what has been logged already.
#[derive(Debug, Default)]
struct Files {
    /// Bytes of log that the last checkpoint made superfluous, of those counted since the start.
    saved_bytes: AtomicU64,
    /// The last attempt to prepare spares failed.
    spares_fail: AtomicBool,
    garbage_fails: AtomicBool,
    /// The log has no room for its next file.
    log_waits: AtomicBool,
    /// The disk does not tell its room.
    blind: AtomicBool,
}

/// Sets a flag; true when that is a change.
fn turned(flag: &AtomicBool, value: bool) -> bool {
    flag.swap(value, Ordering::Relaxed) != value
}

/// When the last checkpoint was asked for.
struct Pace {
    at: Instant,
    bytes: u64,
    /// The last one that was there then.
    index: LogIndex,
}

/// What room is needed for.
#[derive(Clone, Copy, Debug)]
struct Need {
    spare_bytes: u64,
    /// A checkpoint writes at most about what the log took since the last one.
    checkpoint_bytes: u64,
    spares_ready: usize,
    spares_fail: bool,
}

impl Need {
    /// Below this the gate closes. At most a quarter of the volume, so that tiny ones work.
    fn head_room(&self, space: Space) -> u64 {
        let share = FREE_BYTES_MIN.min(space.total_bytes / 20);
        let files = SPARES_MORE * self.spare_bytes + self.checkpoint_bytes;
        share.max(files).min(space.total_bytes / 4)
    }

    fn room(&self, space: Space, is_closed: bool) -> Room {
        if self.spares_ready == 0 && (self.spares_fail || space.free_bytes < self.spare_bytes) {
            return Room::Nothing;
        }
        // It takes a little more to open the gate than to keep it open: it shall not flap.
        let head_room = self.head_room(space);
        let enough = if is_closed {
            head_room + head_room / 8
        } else {
            head_room
        };
        if self.spares_fail || space.free_bytes < enough {
            return Room::Short;
        }
        Room::Plenty
    }
}

/// How many entries are kept behind the checkpoint, by what entries weighed so far.
fn kept_entries(bytes: u64, entries: u64) -> u64 {
    let average_bytes = (bytes / entries.max(1)).max(1);
    KEPT_ENTRIES.min(KEPT_BYTES / average_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_entries_keep_fewer_of_them() {
        assert_eq!(kept_entries(0, 0), KEPT_ENTRIES);
        assert_eq!(kept_entries(300 * 1000, 1000), KEPT_ENTRIES);
        assert_eq!(kept_entries(1024 * 1024 * 100, 100), 32);
    }

    const MIB: u64 = 1024 * 1024;

    fn space(free_mib: u64, total_mib: u64) -> Space {
        Space {
            free_bytes: free_mib * MIB,
            total_bytes: total_mib * MIB,
        }
    }

    const NEED: Need = Need {
        spare_bytes: 64 * MIB,
        checkpoint_bytes: 10 * MIB,
        spares_ready: 2,
        spares_fail: false,
    };

    #[test]
    fn the_gate_closes_while_there_is_room_for_spares_and_a_checkpoint() {
        let room = |free, total| NEED.room(space(free, total), false);
        assert_eq!(room(1024, 100_000), Room::Plenty);
        assert_eq!(room(1023, 100_000), Room::Short);
        assert_eq!(
            room(138, 1024),
            Room::Plenty,
            "two spares and a checkpoint are more than 5 %"
        );
        assert_eq!(room(137, 1024), Room::Short);
        assert_eq!(room(25, 100), Room::Plenty, "never more than a quarter");
        assert_eq!(room(24, 100), Room::Short);
    }

    #[test]
    fn it_opens_when_there_is_a_little_more_and_spares_can_be_made() {
        assert_eq!(NEED.room(space(140, 1024), true), Room::Short);
        assert_eq!(NEED.room(space(160, 1024), true), Room::Plenty);
        let failing = Need {
            spares_fail: true,
            ..NEED
        };
        assert_eq!(failing.room(space(900, 1024), false), Room::Short);
    }

    /// Promise: nothing enters the log when its writer could not go on to another file.
    #[test]
    fn without_spares_and_room_all_is_refused() {
        let bare = Need {
            spares_ready: 0,
            ..NEED
        };
        assert_eq!(bare.room(space(63, 1024), false), Room::Nothing);
        assert_eq!(
            bare.room(space(900, 1024), false),
            Room::Plenty,
            "the writer makes one itself"
        );
        let failing = Need {
            spares_fail: true,
            ..bare
        };
        assert_eq!(failing.room(space(900, 1024), false), Room::Nothing);
    }
}
