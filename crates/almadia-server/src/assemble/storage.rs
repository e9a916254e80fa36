//! What a member keeps on disk, with the threads that write it.

use super::{ServerError, abort};
use crate::vitals::SyncTimer;
use almadia_consensus::KeeperHandle;
use almadia_disk::{Disk, DiskError};
use almadia_member::Durations;
use almadia_store::Store;
use almadia_store::disk::Keeper;
use almadia_wal::{Options, Wal, WalError, WalThread, spawn_thread};
use std::sync::{Arc, Mutex};
use tracing::{error, info};

/// Log and store, opened and driven.
pub(super) struct Storage {
    pub(super) wal: Wal,
    pub(super) keeper: KeeperHandle,
    thread: WalThread,
    /// How long the log's syncs took.
    pub(super) syncs: Arc<Durations>,
    /// Until the member takes it.
    store: Mutex<Option<Store>>,
}

impl Storage {
    /// Opens both and starts their threads. `life` draws numbers that do not repeat.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        life: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<Self, ServerError> {
        let threads = |cause| ServerError::System {
            what: "threads",
            cause,
        };
        refuse_without_log(&**disk)?;
        let syncs = Arc::new(Durations::of_disk());
        let options = Options {
            observer: Box::new(SyncTimer::new(syncs.clone())),
            ..Options::new(Box::new(life), Box::new(abort))
        };
        let (wal, writer, recovered) = Wal::open(disk.clone(), options)?;
        info!(last = ?recovered.last, "opened the log");
        let (keeper, store) = Keeper::open(disk.clone(), almadia_store::disk::Options::default())?;
        for damage in keeper.damages() {
            error!(%damage, "a file of the store is damaged; went back to the state before it and the log. Look at the disk");
        }
        info!(revision = %store.views().load().revision(), "opened the store");
        // A member that lost its log but not its store would vote without the entries it had acknowledged.
        let applied = store.views().load().applied().0.get();
        let last = recovered.last.map_or(0, |last| last.index.get());
        if last == 0 && applied > 0 {
            return Err(ServerError::LogMissing {
                store: format!("entries up to {applied}"),
            });
        }
        let keeper = KeeperHandle::spawn_thread(keeper).map_err(threads)?;
        let thread = spawn_thread(writer).map_err(threads)?;
        Ok(Self {
            wal,
            keeper,
            thread,
            syncs,
            store: Mutex::new(Some(store)),
        })
    }

    /// The store, for the member that is its only writer.
    pub(super) fn store(&self) -> Store {
        let mut store = self.store.lock().expect("nobody panics while taking the store");
        store.take().expect("a store has one writer")
    }

    /// Writes what is queued and ends the log's thread. Blocks.
    pub(super) fn close(self) -> Result<(), WalError> {
        self.wal.close();
        self.thread.join()
    }
}

/// A member that lost its log but not its store would vote without the entries it had acknowledged, under the id of
/// the one that acknowledged them. The log's first segment is durable before the first manifest is written, so a
/// manifest without a segment means that the log was taken away.
fn refuse_without_log(disk: &dyn Disk) -> Result<(), ServerError> {
    let root = disk.list("")?;
    let Some(manifest) = root.into_iter().find(|name| name.starts_with("MANIFEST-")) else {
        return Ok(());
    };
    if has_segment(disk)? {
        return Ok(());
    }
    Err(ServerError::LogMissing { store: manifest })
}

/// Spares do not count: nothing was ever written there that is still promised.
fn has_segment(disk: &dyn Disk) -> Result<bool, DiskError> {
    let is_segment = |name: &String| {
        let number = name.strip_suffix(".wal");
        number.is_some_and(|number| number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Ok(disk.list("wal")?.iter().any(is_segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_disk::MemDisk;

    fn opened(disk: &MemDisk) -> Result<(), ServerError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Storage::open(&disk, || 7)?
            .close()
            .expect("the disk does not fail");
        Ok(())
    }

    /// Promise: a member whose wal/ is gone does not vote under its old id, not even when the store is empty.
    #[test]
    fn a_store_without_its_log_is_refused() {
        let disk = MemDisk::new();
        opened(&disk).unwrap();
        disk.create("MANIFEST-77").unwrap();
        let kept = disk.list("wal").unwrap();
        assert!(has_segment(&disk).unwrap(), "{kept:?}");
        for name in kept {
            disk.remove(&format!("wal/{name}")).unwrap();
        }
        disk.create("wal/spare-1.wal").unwrap();
        let refused = opened(&disk).unwrap_err();
        assert!(
            matches!(&refused, ServerError::LogMissing { store } if store.starts_with("MANIFEST-")),
            "{refused}"
        );
        assert!(!has_segment(&disk).unwrap(), "a refused start makes no new log");
    }
}
