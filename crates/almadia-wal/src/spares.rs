//! Upkeep: old segments become spares or go, and there are always spares ready.
//!
//! Runs on the keeper's thread, never in the hot path, and never touches the segment being written.

use std::io::ErrorKind;
use std::sync::{Arc, PoisonError};

use almadia_disk::{Disk, DiskError};

use crate::WalError;
use crate::segment::{self, DIRECTORY, Spare};
use crate::wal::Wal;

const MIB: u64 = 1024 * 1024;

/// A spare takes at most this part of the volume, ...
const VOLUME_SHARE: u64 = 64;

/// ... but no volume is too small for this.
const SMALL_SPARE_BYTES: u64 = 4 * MIB;

/// What one upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Spares written anew.
    pub made: u64,
    /// Purged segments that became spares.
    pub recycled: u64,
    /// Purged segments that were removed.
    pub removed: u64,
    /// Spares that are ready now.
    pub ready: u64,
}

impl Wal {
    /// Turns segments that are wholly purged into spares (or removes them) and makes spares up to
    /// [`crate::Options::spares_min`]. To be called by the keeper, about once a second and after each purge.
    ///
    /// An error is no danger to what is stored: the call may be repeated. While it keeps failing (the disk is full),
    /// the member should take no new proposals, as the writer waits when it needs a spare and cannot make one.
    pub fn prepare_spares(&self) -> Result<Upkeep, WalError> {
        let _one_at_a_time = self.shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let mut upkeep = Upkeep::default();
        self.fit_spares_to_volume();
        while self.retire_oldest(&mut upkeep)? {}
        while self.make_missing(&mut upkeep)? {}
        upkeep.ready = self.shared.lock().spares.len() as u64;
        self.shared.tell_of_room();
        Ok(upkeep)
    }

    /// Two spares and what is in use must fit into a small volume too.
    fn fit_spares_to_volume(&self) {
        if let Ok(space) = self.shared.disk.space() {
            let share = space.total_bytes / VOLUME_SHARE / MIB * MIB;
            let mut state = self.shared.lock();
            state.spare_bytes = state.spare_bytes.min(share.max(SMALL_SPARE_BYTES));
        }
    }

    /// How many spares are ready for the writer.
    pub fn spares_ready(&self) -> usize {
        self.shared.lock().spares.len()
    }

    /// What the next spare takes on the disk; it is made to fit the volume.
    pub fn next_spare_bytes(&self) -> u64 {
        self.fit_spares_to_volume();
        self.shared.lock().spare_bytes
    }

    /// Takes the oldest segment out of the log when nothing in it is needed. One at a time and each synced: the
    /// sequences on disk must never have a gap, whatever a crash keeps.
    fn retire_oldest(&self, upkeep: &mut Upkeep) -> Result<bool, WalError> {
        let (oldest, spare_name) = {
            let mut state = self.shared.lock();
            state.check()?;
            let Some(oldest) = state.segments.front().map(Arc::clone) else {
                return Ok(false);
            };
            if state.segments.len() < 2 || !state.positions.is_past(oldest.sequence) {
                return Ok(false);
            }
            let is_wanted = state.spares.len() <= self.shared.spares_min && oldest.bytes == state.spare_bytes;
            let spare_name = is_wanted.then(|| segment::spare_name(state.next_spare));
            state.next_spare += u64::from(is_wanted);
            (oldest, spare_name)
        };
        let disk = &*self.shared.disk;
        match &spare_name {
            Some(name) => disk.rename(&oldest.name, name)?,
            None => disk.remove(&oldest.name)?,
        }
        // Only now, and even if the next call fails: the file has lost its name.
        let is_synced = disk.sync_dir(DIRECTORY);
        let mut state = self.shared.lock();
        state.segments.pop_front();
        is_synced?;
        if let Some(name) = spare_name {
            state.spares.push_back(Spare {
                name,
                bytes: oldest.bytes,
                file: Arc::clone(&oldest.file),
            });
            upkeep.recycled += 1;
        } else {
            upkeep.removed += 1;
        }
        Ok(true)
    }

    fn make_missing(&self, upkeep: &mut Upkeep) -> Result<bool, WalError> {
        let (name, bytes) = {
            let mut state = self.shared.lock();
            state.check()?;
            if state.spares.len() >= self.shared.spares_min {
                return Ok(false);
            }
            let name = segment::spare_name(state.next_spare);
            state.next_spare += 1;
            (name, state.spare_bytes)
        };
        check_room(&*self.shared.disk, &name, bytes)?;
        let spare = segment::make_spare(&*self.shared.disk, name, bytes)?;
        self.shared.lock().spares.push_back(spare);
        upkeep.made += 1;
        Ok(true)
    }
}

/// An attempt that must fail would take all the room there is for as long as it lasts, again and again, and a
/// checkpoint that could have helped would not get it. When the disk cannot tell, trying is the answer.
pub(crate) fn check_room(disk: &dyn Disk, name: &str, bytes: u64) -> Result<(), DiskError> {
    match disk.space() {
        Ok(space) if space.free_bytes < bytes => Err(DiskError {
            action: "make",
            name: name.to_owned(),
            cause: ErrorKind::StorageFull.into(),
        }),
        _ => Ok(()),
    }
}
