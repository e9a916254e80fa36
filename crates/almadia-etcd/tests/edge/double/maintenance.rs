//! The double as the Maintenance service sees it: its backups are real ones, of a keeper on a disk in memory.

use super::Double;
use almadia_consensus::KeeperHandle;
use almadia_disk::MemDisk;
use almadia_etcd::MaintenanceBackend;
use almadia_member::backup::Backup;
use almadia_store::disk::{Keeper, Options};
use std::sync::Arc;

impl MaintenanceBackend for Double {
    async fn backup(&self) -> Result<Backup, String> {
        let opened = Keeper::open(Arc::new(MemDisk::new()), Options::deterministic());
        let (keeper, _) = opened.map_err(|error| error.to_string())?;
        Backup::open(KeeperHandle::spawn_inline(keeper), self.views.load()).await
    }
}
