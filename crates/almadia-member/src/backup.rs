//! Backups of a running member, read from immutable files on the keeper's thread.

use almadia_consensus::KeeperHandle;
use almadia_store::View;
use almadia_store::disk::ArchiveSource;
use bytes::Bytes;
use std::sync::Arc;

/// A backup: its bytes can be read in pieces as long as it is held. Holds disk space, not memory.
#[derive(Debug)]
pub struct Backup {
    archive: Arc<ArchiveSource>,
    keeper: KeeperHandle,
}

impl Backup {
    /// Makes a checkpoint of `view` and a backup of that.
    ///
    /// # Errors
    /// In words, when the disk does not allow it.
    pub async fn open(keeper: KeeperHandle, view: Arc<View>) -> Result<Self, String> {
        let opened = keeper.run(move |keeper| keeper.snapshot(&view)).await;
        let snapshot = opened
            .map_err(|gone| gone.to_string())?
            .map_err(|error| error.to_string())?;
        Ok(Self {
            archive: Arc::new(ArchiveSource::new(snapshot)),
            keeper,
        })
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.archive.bytes()
    }

    /// Up to `bytes_max` bytes from `offset` on; none at the end.
    ///
    /// # Errors
    /// In words, when they cannot be read.
    pub async fn read(&self, offset: u64, bytes_max: usize) -> Result<Bytes, String> {
        let archive = Arc::clone(&self.archive);
        let read = self.keeper.run(move |_| archive.read(offset, bytes_max)).await;
        read.map_err(|gone| gone.to_string())?
            .map_err(|error| error.to_string())
    }
}
