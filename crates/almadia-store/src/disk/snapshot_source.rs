//! A snapshot to be sent: a list of immutable files that cannot vanish while they are read.

use std::sync::Arc;

use almadia_command::{LogIndex, Term};
use almadia_disk::Disk;
use bytes::Bytes;

use super::error::{Damage, KeeperError};
use super::keeper::Keeper;
use super::manifest::Manifest;
use super::names::{self, OUTGOING_DIR};
use crate::View;

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its plain name, for people; sender and receiver tell files apart by their position in the list.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// CRC32C of all of it.
    pub checksum: u32,
}

/// The store at one log index, as files with second names (hard links). Holds disk space, not memory, until it is
/// dropped. Reading blocks, so it belongs on a thread that may.
#[derive(Debug)]
pub struct SnapshotSource {
    disk: Arc<dyn Disk>,
    header: Bytes,
    applied: (LogIndex, Term),
    files: Vec<SnapshotFile>,
    /// The second names, in the order of `files`.
    links: Vec<String>,
}

impl Keeper {
    /// Makes a checkpoint of `view` and a snapshot of that. Costs the checkpoint and one link per segment.
    ///
    /// # Errors
    /// A failing disk; nothing is left behind.
    pub fn snapshot(&mut self, view: &View) -> Result<SnapshotSource, KeeperError> {
        self.checkpoint(view)?;
        self.snapshots_made += 1;
        let mut source = SnapshotSource {
            disk: Arc::clone(&self.disk),
            header: self.current.encode().into(),
            applied: self.current.applied,
            files: list_files(&self.current),
            links: Vec::new(),
        };
        for segment in &self.current.segments {
            let plain = format!("{}-{}.seg", self.snapshots_made, segment.generation);
            let link = names::inside(OUTGOING_DIR, &plain);
            self.disk.link(&segment.name(), &link)?;
            source.links.push(link);
        }
        Ok(source)
    }
}

/// The files that a manifest stands for.
pub(super) fn list_files(manifest: &Manifest) -> Vec<SnapshotFile> {
    let file = |segment: &super::segment::SegmentInfo| {
        let name = segment.name().rsplit('/').next().unwrap_or_default().to_owned();
        SnapshotFile {
            name,
            bytes: segment.bytes,
            checksum: segment.checksum,
        }
    };
    manifest.segments.iter().map(file).collect()
}

impl SnapshotSource {
    /// What the receiver needs first: [`super::SnapshotSink::begin`] takes it.
    pub fn header(&self) -> &Bytes {
        &self.header
    }

    /// The last log entry that is in it.
    pub fn applied(&self) -> (LogIndex, Term) {
        self.applied
    }

    /// The files to send.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Up to `bytes_max` bytes of a file from `offset` on; none at its end.
    ///
    /// # Errors
    /// [`KeeperError::Transfer`] for a file or offset that is not there, or a failing disk.
    pub fn read(&self, file: usize, offset: u64, bytes_max: usize) -> Result<Bytes, KeeperError> {
        let outside =
            || KeeperError::Transfer(format!("there is no byte {offset} of file {file} to be sent"));
        let wanted = self.files.get(file).ok_or_else(outside)?;
        let left = wanted.bytes.checked_sub(offset).ok_or_else(outside)?;
        let mut bytes = vec![0; left.min(bytes_max as u64) as usize];
        self.disk.open(&self.links[file])?.read_at(offset, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Reads a whole file and compares it with its checksum: for whoever copies the files (a backup).
    ///
    /// # Errors
    /// [`KeeperError::Damaged`], or a failing disk.
    pub fn verify(&self, file: usize) -> Result<(), KeeperError> {
        let wanted = self
            .files
            .get(file)
            .ok_or_else(|| KeeperError::Transfer(format!("there is no file {file}")))?;
        let opened = self.disk.open(&self.links[file])?;
        let checksum = super::segment_reader::file_checksum(opened.as_ref(), wanted.bytes)?;
        if checksum == wanted.checksum {
            Ok(())
        } else {
            Err(Damage::new(&self.links[file], "the checksum of the file is wrong").into())
        }
    }
}

impl Drop for SnapshotSource {
    /// Removes the second names. What cannot be removed the next open removes.
    fn drop(&mut self) {
        for link in &self.links {
            let _ = self.disk.remove(link);
        }
    }
}
