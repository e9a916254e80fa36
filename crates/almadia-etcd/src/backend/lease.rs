//! What the Lease service asks of a member beyond the log: what only the leader knows of leases.

use almadia_command::LeaseId;
use almadia_member::Member;

pub use almadia_member::{AskError, TimeLeft};

/// The time that leases have left.
pub trait LeaseBackend {
    /// A positive id that no lease has had, as far as chance goes.
    fn draw_lease_id(&self) -> LeaseId;

    /// Gives a lease its whole time again without waiting for anything, if that can be done here and now, and answers as
    /// [`LeaseBackend::keep_lease_alive`] does.
    fn renew_lease_at_once(&self, lease: LeaseId) -> Option<i64>;

    /// Gives a lease its whole time again, and answers it in seconds; 0 when there is no such lease.
    ///
    /// # Errors
    /// [`AskError`] when the leader did not answer within the member's request limit.
    fn keep_lease_alive(&self, lease: LeaseId) -> impl Future<Output = Result<i64, AskError>> + Send;

    /// What a lease has left; `None` when there is no such lease, or it has reached its end.
    ///
    /// # Errors
    /// As [`LeaseBackend::keep_lease_alive`].
    fn lease_time_left(
        &self,
        lease: LeaseId,
    ) -> impl Future<Output = Result<Option<TimeLeft>, AskError>> + Send;

    /// All leases, soonest to end first.
    ///
    /// # Errors
    /// As [`LeaseBackend::keep_lease_alive`].
    fn leases_by_expiry(&self) -> impl Future<Output = Result<Vec<LeaseId>, AskError>> + Send;
}

impl LeaseBackend for Member {
    fn draw_lease_id(&self) -> LeaseId {
        Self::draw_lease_id(self)
    }

    fn renew_lease_at_once(&self, lease: LeaseId) -> Option<i64> {
        Self::renew_lease_at_once(self, lease)
    }

    fn keep_lease_alive(&self, lease: LeaseId) -> impl Future<Output = Result<i64, AskError>> + Send {
        Self::keep_lease_alive(self, lease)
    }

    fn lease_time_left(
        &self,
        lease: LeaseId,
    ) -> impl Future<Output = Result<Option<TimeLeft>, AskError>> + Send {
        Self::lease_time_left(self, lease)
    }

    fn leases_by_expiry(&self) -> impl Future<Output = Result<Vec<LeaseId>, AskError>> + Send {
        Self::leases_by_expiry(self)
    }
}
