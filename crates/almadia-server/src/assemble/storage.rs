//! What a member keeps on disk, with the threads that write it.

use super::{ServerError, abort};
use almadia_consensus::KeeperHandle;
use almadia_disk::Disk;
use almadia_store::Store;
use almadia_store::disk::Keeper;
use almadia_wal::{Options, Wal, WalError, WalThread, spawn_thread};
use std::sync::{Arc, Mutex};
use tracing::info;

/// Log and store, opened and driven.
pub(super) struct Storage {
    pub(super) wal: Wal,
    pub(super) keeper: KeeperHandle,
    thread: WalThread,
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
        let options = Options::new(Box::new(life), Box::new(abort));
        let (wal, writer, recovered) = Wal::open(disk.clone(), options)?;
        info!(last = ?recovered.last, "opened the log");
        let (keeper, store) = Keeper::open(disk.clone(), almadia_store::disk::Options::default())?;
        info!(revision = %store.views().load().revision(), "opened the store");
        // A member that lost its log but not its store would vote without the entries it had acknowledged.
        let applied = store.views().load().applied().0.get();
        let last = recovered.last.map_or(0, |last| last.index.get());
        if last == 0 && applied > 0 {
            return Err(ServerError::LogMissing { applied });
        }
        let keeper = KeeperHandle::spawn_thread(keeper).map_err(threads)?;
        let thread = spawn_thread(writer).map_err(threads)?;
        Ok(Self {
            wal,
            keeper,
            thread,
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
