//! What the Maintenance service asks of a member: backups.

use almadia_member::Member;

pub use almadia_member::backup::Backup;

/// Looking after a member.
pub trait MaintenanceBackend {
    /// A backup of everything this member has applied. Costs disk space, not memory, until it is dropped.
    ///
    /// # Errors
    /// In words, when the disk does not allow it.
    fn backup(&self) -> impl Future<Output = Result<Backup, String>> + Send;
}

impl MaintenanceBackend for Member {
    fn backup(&self) -> impl Future<Output = Result<Backup, String>> + Send {
        Self::backup(self)
    }
}
