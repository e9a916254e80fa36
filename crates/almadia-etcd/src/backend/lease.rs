//! What the Lease service asks of a member beyond the log: what only the leader knows of leases.

use almadia_member::Member;

/// The time that leases have left.
pub trait LeaseBackend {}

impl LeaseBackend for Member {}
