//! Named files that can be appended, read, synced and renamed, and in tests fail and forget.
//!
//! Names are relative to the disk's root, with `/` between parts (`wal/0000000000000001.wal`). All calls block;
//! only the wal and keeper threads (and start-up) make them. This crate never knows what bytes mean.

mod direct;
mod memory;
mod real;

use std::fmt::Debug;
use std::io;

pub use memory::{Failure, Fault, Loss, MemDisk, Operation, Recording, Replay};
pub use real::RealDisk;

/// What went wrong with which file, while doing what.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {name}: {cause}")]
pub struct DiskError {
    /// What was being done: "write", "sync", "rename to …".
    pub action: &'static str,
    /// The file or directory.
    pub name: String,
    /// Why not.
    #[source]
    pub cause: io::Error,
}

/// Room on the volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Free for us.
    pub free_bytes: u64,
    /// The whole volume.
    pub total_bytes: u64,
}

/// A directory tree with names. Shared by the threads of one member.
pub trait Disk: Send + Sync + Debug {
    /// Makes a new empty file, open for reading and writing. An error when it exists.
    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError>;
    /// As [`Disk::create`], for a file that is mostly written in whole blocks and hardly read: a log.
    fn create_for_log(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        self.create(name)
    }
    /// As [`Disk::open`], for such a file.
    fn open_for_log(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        self.open(name)
    }
    /// Makes a directory and its parents; no error when it is there.
    fn create_dir(&self, name: &str) -> Result<(), DiskError>;
    /// The plain names of a directory's files, sorted; empty when there is no such directory. `""` is the root.
    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError>;
    /// Gives a file another name, replacing what had it. Durable after [`Disk::sync_dir`] of the directory.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Gives a file a second name (a hard link). An error when `to` exists.
    fn link(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<(), DiskError>;
    /// Makes names made, changed and removed in a directory durable.
    fn sync_dir(&self, dir: &str) -> Result<(), DiskError>;
    /// Room on the volume.
    fn space(&self) -> Result<Space, DiskError>;
}

/// An open file. Offsets are explicit: there is no cursor.
pub trait DiskFile: Send + Sync + Debug {
    /// Length in bytes.
    fn len(&self) -> Result<u64, DiskError>;
    /// True when the file holds nothing.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }
    /// Fills the whole buffer from `offset`; an error when the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError>;
    /// Writes all bytes at `offset`, growing the file where needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Makes the written bytes durable (`fdatasync`).
    fn sync_data(&self) -> Result<(), DiskError>;
    /// Makes bytes and length durable (`fsync`).
    fn sync_all(&self) -> Result<(), DiskError>;
    /// Cuts or grows the file.
    fn set_len(&self, len: u64) -> Result<(), DiskError>;
}

/// Whether a name stays below the root: plain parts with single `/` between them; `""` is the root itself.
fn is_inside(name: &str) -> bool {
    name.is_empty() || name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\0')
}
