//! What was done to a memory disk, so that every moment can be made again.
//!
//! Never records reads or failed calls (a short write is recorded as what it wrote).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Loss, MemDisk};
use crate::{Disk, DiskFile};

/// A file, whatever its names are. Given by the disk, never used twice.
pub(super) type FileId = u64;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Create(String, FileId),
    CreateDir(String),
    Rename(String, String),
    Link(String, String),
    Remove(String),
    SyncDir(String),
    Write(FileId, u64, Arc<[u8]>),
    SetLen(FileId, u64),
    Sync(FileId),
}

impl Step {
    fn is_sync(&self) -> bool {
        matches!(self, Step::Sync(_) | Step::SyncDir(_))
    }
}

/// All that was done since [`MemDisk::start_recording`].
#[derive(Clone, Debug)]
pub struct Recording {
    pub(super) base: MemDisk,
    pub(super) steps: Vec<Step>,
}

impl Recording {
    /// How many calls were recorded.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// How many of them were syncs, of files and of directories.
    pub fn syncs(&self) -> usize {
        self.steps.iter().filter(|step| step.is_sync()).count()
    }

    /// The disk after a power loss right after the `n`-th sync (from 1; 0 is the beginning) that dropped all
    /// unsynced bytes and names.
    pub fn image_at_sync(&self, n: usize) -> MemDisk {
        let mut replay = self.replay();
        for _ in 0..n {
            replay.to_next_sync();
        }
        replay.image(Loss::DropUnsynced)
    }

    /// The disk after a power loss right after the first `n` calls.
    pub fn image_at_step(&self, n: usize, loss: Loss) -> MemDisk {
        let mut replay = self.replay();
        while replay.done < n && replay.step() {}
        replay.image(loss)
    }

    /// Walks through the recording once, for those who want an image of every moment.
    pub fn replay(&self) -> Replay<'_> {
        let disk = self.base.copy();
        let files = disk.open_files();
        Replay {
            recording: self,
            disk,
            files,
            done: 0,
        }
    }
}

/// A recording being carried out again on a disk of its own.
#[derive(Debug)]
pub struct Replay<'a> {
    recording: &'a Recording,
    disk: MemDisk,
    files: BTreeMap<FileId, Box<dyn DiskFile>>,
    done: usize,
}

impl Replay<'_> {
    /// Carries out the next call; false at the end.
    pub fn step(&mut self) -> bool {
        let Some(step) = self.recording.steps.get(self.done) else {
            return false;
        };
        self.done += 1;
        let file = |id: &FileId| self.files.get(id).expect("a file is created before it is used");
        match step {
            Step::Create(name, id) => self.disk.create(name).map(|file| {
                self.files.insert(*id, file);
            }),
            Step::CreateDir(name) => self.disk.create_dir(name),
            Step::Rename(from, to) => self.disk.rename(from, to),
            Step::Link(from, to) => self.disk.link(from, to),
            Step::Remove(name) => self.disk.remove(name),
            Step::SyncDir(name) => self.disk.sync_dir(name),
            Step::Write(id, offset, bytes) => file(id).write_at(*offset, bytes),
            Step::SetLen(id, len) => file(id).set_len(*len),
            Step::Sync(id) => file(id).sync_all(),
        }
        .expect("what succeeded when it was recorded succeeds again");
        true
    }

    /// Whether the next call is a sync.
    pub fn next_is_sync(&self) -> bool {
        self.recording.steps.get(self.done).is_some_and(Step::is_sync)
    }

    /// Goes on to right after the next sync; false when there is none.
    pub fn to_next_sync(&mut self) -> bool {
        loop {
            let is_sync = self.next_is_sync();
            if !self.step() {
                return false;
            }
            if is_sync {
                return true;
            }
        }
    }

    /// The disk as a power loss at this moment would leave it.
    pub fn image(&self, loss: Loss) -> MemDisk {
        self.disk.after_power_loss(loss)
    }
}
