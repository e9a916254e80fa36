//! What the edge asks of a member beyond reads and writes: here nobody asks.

use super::Constant;
use almadia_command::{LeaseId, MemberId};
use almadia_etcd::{
    AskError, ClusterBackend, LeaseBackend, Lookout, MaintenanceBackend, OverviewBackend, TimeLeft,
    WatchBackend,
};
use almadia_member::backup::Backup;
use almadia_member::{Changed, MemberChangeError, MoveLeaderError};
use almadia_store::WatchHub;
use std::time::Duration;

const NOBODY_ASKS: &str = "the clients of this program only read and write";

impl WatchBackend for Constant {
    fn watches(&self) -> WatchHub {
        unreachable!("{NOBODY_ASKS}")
    }

    fn has_leader(&self) -> bool {
        true
    }

    fn leaderless(&self, _: Duration) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }

    fn is_fenced(&self) -> bool {
        false
    }

    fn fenced(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }
}

impl MaintenanceBackend for Constant {
    async fn backup(&self) -> Result<Backup, String> {
        Err(NOBODY_ASKS.to_owned())
    }
}

impl OverviewBackend for Constant {
    fn lookout(&self) -> Box<dyn Lookout> {
        unreachable!("{NOBODY_ASKS}")
    }
}

impl LeaseBackend for Constant {
    fn draw_lease_id(&self) -> LeaseId {
        LeaseId(1)
    }

    fn renew_lease_at_once(&self, _: LeaseId) -> Option<i64> {
        None
    }

    async fn keep_lease_alive(&self, _: LeaseId) -> Result<i64, AskError> {
        Err(AskError::Stopped)
    }

    async fn lease_time_left(&self, _: LeaseId) -> Result<Option<TimeLeft>, AskError> {
        Err(AskError::Stopped)
    }

    async fn leases_by_expiry(&self) -> Result<Vec<LeaseId>, AskError> {
        Err(AskError::Stopped)
    }
}

impl ClusterBackend for Constant {
    async fn add_member(&self, _: Vec<String>, _: bool) -> Result<Changed, MemberChangeError> {
        unreachable!("{NOBODY_ASKS}")
    }

    async fn remove_member(&self, _: MemberId) -> Result<Changed, MemberChangeError> {
        unreachable!("{NOBODY_ASKS}")
    }

    async fn update_member(&self, _: MemberId, _: Vec<String>) -> Result<Changed, MemberChangeError> {
        unreachable!("{NOBODY_ASKS}")
    }

    async fn promote_member(&self, _: MemberId) -> Result<Changed, MemberChangeError> {
        unreachable!("{NOBODY_ASKS}")
    }

    async fn move_leader(&self, _: MemberId) -> Result<(), MoveLeaderError> {
        unreachable!("{NOBODY_ASKS}")
    }

    fn is_learner(&self) -> bool {
        false
    }
}
