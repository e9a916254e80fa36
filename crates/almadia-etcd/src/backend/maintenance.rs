//! What the Maintenance service asks of a member: snapshots, hashes.

use almadia_member::Member;

/// Looking after a member.
pub trait MaintenanceBackend {}

impl MaintenanceBackend for Member {}
