//! A snapshot that is received: gathered beside the state, verified whole, then put in its place at one moment.

use std::sync::Arc;

use almadia_command::{LogIndex, Revision, Term};
use almadia_disk::{Disk, DiskFile};
use bytes::Bytes;

use super::error::KeeperError;
use super::garbage::Garbage;
use super::keeper::Keeper;
use super::load::load;
use super::manifest::Manifest;
use super::names::{self, INCOMING_DIR, SEGMENT_DIR};
use super::segment::SegmentInfo;
use super::snapshot_source::{SnapshotFile, list_files};
use crate::Store;

/// Gathers the files of a snapshot. They may arrive in any order, each from its beginning on; after an interruption
/// it goes on where it was. Dropping it removes what has arrived. One at a time per data directory.
#[derive(Debug)]
pub struct SnapshotSink {
    disk: Arc<dyn Disk>,
    manifest: Manifest,
    files: Vec<SnapshotFile>,
    arriving: Vec<Arriving>,
}

/// What has come of one file.
#[derive(Debug, Default)]
struct Arriving {
    file: Option<Box<dyn DiskFile>>,
    bytes: u64,
}

impl SnapshotSink {
    /// Begins with the sender's header.
    ///
    /// # Errors
    /// [`KeeperError::Damaged`] or [`KeeperError::Newer`] for a header that cannot be read, or a failing disk.
    pub fn begin(disk: Arc<dyn Disk>, header: &[u8]) -> Result<Self, KeeperError> {
        let manifest = Manifest::decode(header, "the header of the snapshot")?;
        for name in disk.list(INCOMING_DIR)? {
            disk.remove(&names::inside(INCOMING_DIR, &name))?;
        }
        let files = list_files(&manifest);
        let arriving = files.iter().map(|_| Arriving::default()).collect();
        Ok(Self {
            disk,
            manifest,
            files,
            arriving,
        })
    }

    /// The files to be received.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// The last log entry that is in the snapshot.
    pub fn applied(&self) -> (LogIndex, Term) {
        self.manifest.applied
    }

    /// Who the members are at that entry; opaque, as [`crate::View::membership`] has it.
    pub fn membership(&self) -> &Bytes {
        &self.manifest.membership
    }

    /// How many bytes of a file have arrived: where its sender goes on.
    pub fn received(&self, file: usize) -> Option<u64> {
        self.arriving.get(file).map(|arriving| arriving.bytes)
    }

    /// The first file that is not complete, and where to go on in it; None when all are there.
    pub fn next(&self) -> Option<(usize, u64)> {
        let missing = |(at, file): (usize, &SnapshotFile)| {
            let bytes = self.arriving[at].bytes;
            (bytes < file.bytes).then_some((at, bytes))
        };
        self.files.iter().enumerate().find_map(missing)
    }

    /// Takes a piece of a file, which must begin where the last one ended.
    ///
    /// # Errors
    /// [`KeeperError::Transfer`] for a piece that does not fit (nothing is written), or a failing disk (the piece
    /// may be sent again).
    pub fn write(&mut self, file: usize, offset: u64, bytes: &[u8]) -> Result<(), KeeperError> {
        let (Some(wanted), Some(arriving)) = (self.files.get(file), self.arriving.get_mut(file)) else {
            return Err(KeeperError::Transfer(format!("there is no file {file}")));
        };
        let fits = offset == arriving.bytes && bytes.len() as u64 <= wanted.bytes - offset;
        if !fits {
            let len = bytes.len();
            let have = arriving.bytes;
            let why = format!(
                "{len} bytes at {offset} of {}, which has {have} of {}",
                wanted.name, wanted.bytes
            );
            return Err(KeeperError::Transfer(why));
        }
        let target = match &arriving.file {
            Some(target) => target,
            None => arriving.file.insert(self.disk.create(&incoming(file))?),
        };
        target.write_at(offset, bytes)?;
        arriving.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Verifies everything and makes the snapshot the state of `keeper`, with one manifest: a crash at any point
    /// leaves the state before or this one. Answers the store built from it. The log before
    /// [`SnapshotSink::applied`] is then no longer needed, and the one after it belongs to this state only if its
    /// entries follow.
    ///
    /// # Errors
    /// Damage, or a failing disk: the state of `keeper` is what it was, and what had arrived is gone.
    pub fn finish(mut self, keeper: &mut Keeper) -> Result<Store, KeeperError> {
        let (have, sent) = (keeper.checkpointed().0, self.manifest.applied.0);
        if sent < have {
            let why = format!("it ends at entry {sent}, and entry {have} is already in a checkpoint here");
            return Err(KeeperError::Transfer(why));
        }
        if let Some((file, bytes)) = self.next() {
            let wanted = &self.files[file];
            let why = format!("{} has {bytes} of {} bytes", wanted.name, wanted.bytes);
            return Err(KeeperError::Transfer(why));
        }
        for arriving in &mut self.arriving {
            if let Some(file) = arriving.file.take() {
                file.sync_all()?;
            }
        }
        keeper.take_over(&self.manifest)
    }
}

impl Drop for SnapshotSink {
    /// What cannot be removed the next open removes.
    fn drop(&mut self) {
        self.arriving.iter_mut().for_each(|arriving| arriving.file = None);
        for file in 0..self.files.len() {
            let _ = self.disk.remove(&incoming(file));
        }
    }
}

impl Keeper {
    /// Begins to receive a snapshot into this keeper's directory; see [`SnapshotSink::begin`].
    ///
    /// # Errors
    /// As [`SnapshotSink::begin`].
    pub fn receive(&self, header: &[u8]) -> Result<SnapshotSink, KeeperError> {
        SnapshotSink::begin(self.disk.clone(), header)
    }

    /// Makes the files in [`INCOMING_DIR`] and the manifest they came with the state.
    fn take_over(&mut self, sent: &Manifest) -> Result<Store, KeeperError> {
        // Under generations of our own: the sender's may name other files here.
        let segments: Vec<SegmentInfo> = sent
            .segments
            .iter()
            .zip(self.next_generation..)
            .map(|(it, generation)| SegmentInfo { generation, ..*it })
            .collect();
        self.next_generation += segments.len() as u64;
        let manifest = Manifest {
            segments,
            next_generation: self.next_generation,
            ..sent.clone()
        };
        let loaded = self.move_in(&manifest.segments).and_then(|()| {
            let disk = self.disk.as_ref();
            load(disk, &manifest, self.options.load_threads)
        });
        let mut store = loaded.inspect_err(|_| self.give_up_segments(&manifest.segments, false))?;
        let new = manifest.segments.clone();
        self.abandon_rewrite();
        if let Err(error) = self.commit(manifest) {
            self.give_up_segments(&new, error.may_be_named);
            return Err(error.into());
        }
        self.garbage = Garbage::default();
        self.forget_previous();
        store.publish().note_checkpointed(Revision(self.current.revision));
        Ok(store)
    }

    fn move_in(&self, segments: &[SegmentInfo]) -> Result<(), KeeperError> {
        for (file, segment) in segments.iter().enumerate() {
            self.disk.rename(&incoming(file), &segment.name())?;
        }
        self.disk.sync_dir(SEGMENT_DIR)?;
        Ok(())
    }

    /// The state before a snapshot is no fallback: the log between the two is not here.
    fn forget_previous(&mut self) {
        let dropped = self.previous.take();
        self.prune(dropped);
    }
}

fn incoming(file: usize) -> String {
    names::inside(INCOMING_DIR, &file.to_string())
}
