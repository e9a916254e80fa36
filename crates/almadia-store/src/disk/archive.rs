//! A backup as one run of bytes: what it is, the manifest, then the segments one after the other.
//!
//! ```text
//! magic 8, format version u32, manifest length u32, manifest, segment, segment, ..., zeros up to a multiple of 512
//! ```
//!
//! The manifest names every segment with its length and checksum, so nothing more is needed to check it. Whoever
//! stores the bytes may put a checksum of all behind them: etcdctl tells by the length, 512 times something and the
//! checksum's, that there is one.

use super::error::{Damage, KeeperError};
use super::fields::{Fields, put_u32};
use super::keeper::Keeper;
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::snapshot_sink::SnapshotSink;
use super::snapshot_source::SnapshotSource;
use crate::Store;
use almadia_command::{LogIndex, Revision, Term};
use almadia_disk::Disk;
use bytes::Bytes;
use std::io::Read;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"ALMA-bak";
const FORMAT_VERSION: u32 = 1;
const PRELUDE_BYTES: usize = 16;

/// Read and written at once while a backup is unpacked.
const PIECE_BYTES: usize = 1024 * 1024;

/// A backup's length is a multiple of it.
const PAGE_BYTES: u64 = 512;

/// What a backup is called in errors.
const NAME: &str = "the backup";

/// A snapshot as the bytes of a backup.
#[derive(Debug)]
pub struct ArchiveSource {
    snapshot: SnapshotSource,
    front: Bytes,
}

impl ArchiveSource {
    /// Of this snapshot.
    pub fn new(snapshot: SnapshotSource) -> Self {
        let manifest = snapshot.header();
        let mut front = MAGIC.to_vec();
        put_u32(&mut front, FORMAT_VERSION);
        put_u32(
            &mut front,
            u32::try_from(manifest.len()).expect("a manifest is at most 64 MiB long"),
        );
        front.extend_from_slice(manifest);
        Self {
            front: front.into(),
            snapshot,
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        (self.front.len() as u64 + self.snapshot.bytes()).next_multiple_of(PAGE_BYTES)
    }

    /// Up to `bytes_max` bytes from `offset` on; none at the end. Blocks.
    ///
    /// # Errors
    /// A failing disk.
    pub fn read(&self, offset: u64, bytes_max: usize) -> Result<Bytes, KeeperError> {
        let front = self.front.len() as u64;
        if offset < front {
            let rest = self.front.slice(offset as usize..);
            return Ok(rest.slice(..rest.len().min(bytes_max)));
        }
        let mut inside = offset - front;
        for (number, file) in self.snapshot.files().iter().enumerate() {
            if inside < file.bytes {
                return self.snapshot.read(number, inside, bytes_max);
            }
            inside -= file.bytes;
        }
        let zeros = self.bytes().saturating_sub(offset).min(bytes_max as u64);
        Ok(vec![0; zeros as usize].into())
    }
}

/// A backup that is being read.
pub struct Archive<R> {
    manifest: Manifest,
    rest: R,
}

/// What is changed in a backup's state when it becomes the beginning of a new cluster.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Where the new cluster's log begins: everything in the backup counts as before and at it.
    pub applied: (LogIndex, Term),
    /// The members, as the consensus layer writes them.
    pub membership: Bytes,
    /// Added to the revision, so that no client meets a revision it has seen with other data.
    pub revisions_more: u64,
    /// Makes all revisions of the backup compacted: watches from before are cancelled and begin anew.
    pub mark_compacted: bool,
}

impl<R: Read> Archive<R> {
    /// Reads the front of a backup.
    ///
    /// # Errors
    /// [`KeeperError::Damaged`] or [`KeeperError::Newer`] when it is none that this release reads.
    pub fn open(mut from: R) -> Result<Self, KeeperError> {
        let mut prelude = [0; PRELUDE_BYTES];
        from.read_exact(&mut prelude)
            .map_err(|error| damaged(format!("its first {PRELUDE_BYTES} bytes cannot be read: {error}")))?;
        let mut fields = Fields(&prelude);
        if fields.take(MAGIC.len()) != Some(MAGIC) {
            return Err(damaged("it does not begin as a backup of Almadia does"));
        }
        let (version, len) = (fields.u32().unwrap_or(0), fields.u32().unwrap_or(0));
        if version == 0 {
            return Err(damaged("it has no format version"));
        }
        if version > FORMAT_VERSION {
            return Err(KeeperError::Newer {
                name: NAME.to_owned(),
                version,
                known: FORMAT_VERSION,
            });
        }
        if u64::from(len) > MANIFEST_BYTES_MAX {
            return Err(damaged(format!("a manifest of {len} bytes is too long")));
        }
        let mut manifest = Vec::new();
        let read = from.by_ref().take(u64::from(len)).read_to_end(&mut manifest);
        if read.map_err(|error| damaged(error.to_string()))? < len as usize {
            return Err(damaged("it ends within its manifest"));
        }
        let manifest = Manifest::decode(&manifest, NAME)?;
        Ok(Self { manifest, rest: from })
    }

    /// The revision of the backup.
    pub fn revision(&self) -> Revision {
        Revision(self.manifest.revision)
    }

    /// Unpacks the backup into an empty directory and makes it the state there: `beginning` says of which cluster;
    /// without it the state is what it was. Every byte is checked. `progress` hears of bytes as they are written.
    ///
    /// # Errors
    /// Damage, a directory that is not empty, or a failing disk; the directory is then of no use.
    pub fn unpack(
        mut self,
        disk: Arc<dyn Disk>,
        options: super::Options,
        beginning: Option<Beginning>,
        mut progress: impl FnMut(u64),
    ) -> Result<Store, KeeperError> {
        if let Some(beginning) = beginning {
            self.begin(beginning)?;
        }
        let (mut keeper, _) = Keeper::open(Arc::clone(&disk), options)?;
        if keeper.checkpointed().0 != LogIndex(0) || keeper.segment_count() > 0 {
            return Err(KeeperError::Transfer(
                "the directory holds a store already".to_owned(),
            ));
        }
        let mut sink = SnapshotSink::begin(disk, &self.manifest.encode())?;
        let mut piece = vec![0; PIECE_BYTES];
        while let Some((file, offset)) = sink.next() {
            let left = sink.files()[file].bytes - offset;
            let wanted = left.min(PIECE_BYTES as u64) as usize;
            self.rest.read_exact(&mut piece[..wanted]).map_err(|error| {
                damaged(format!(
                    "{} cannot be read whole: {error}",
                    sink.files()[file].name
                ))
            })?;
            sink.write(file, offset, &piece[..wanted])?;
            progress(wanted as u64);
        }
        check_end(&mut self.rest)?;
        sink.finish(&mut keeper)
    }

    fn begin(&mut self, beginning: Beginning) -> Result<(), KeeperError> {
        let manifest = &mut self.manifest;
        let more = i64::try_from(beginning.revisions_more).ok();
        manifest.revision = more
            .and_then(|more| manifest.revision.checked_add(more))
            .ok_or_else(|| KeeperError::Transfer("the revision cannot be raised that far".to_owned()))?;
        if beginning.mark_compacted {
            manifest.compacted = manifest.revision;
        }
        manifest.applied = beginning.applied;
        manifest.membership = beginning.membership;
        Ok(())
    }
}

/// Behind the last segment there are only the zeros that fill a page.
fn check_end(rest: &mut impl Read) -> Result<(), KeeperError> {
    let mut end = Vec::new();
    let read = rest.take(PAGE_BYTES).read_to_end(&mut end);
    read.map_err(|error| damaged(error.to_string()))?;
    if end.len() as u64 == PAGE_BYTES || end.iter().any(|byte| *byte != 0) {
        return Err(damaged(
            "something that does not belong to it follows its last segment",
        ));
    }
    Ok(())
}

fn damaged(why: impl Into<String>) -> KeeperError {
    Damage::new(NAME, why).into()
}
