//! The double as the lease service sees it: time passes by tokio's clock, and nothing ends by itself.

use super::Double;
use almadia_command::LeaseId;
use almadia_etcd::{AskError, Backend, LeaseBackend, TimeLeft};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Where the ids that the double draws begin. Two draws are the same, so that the edge has to draw again.
pub const FIRST_DRAWN: i64 = 1000;

/// When leases were renewed, and what was drawn.
#[derive(Default)]
pub struct Leases {
    renewed: Mutex<BTreeMap<LeaseId, Instant>>,
    draws: AtomicI64,
}

impl Double {
    fn ended_at(&self, lease: LeaseId) -> Option<(i64, Instant)> {
        let ttl = self.view().leases().get(lease)?.ttl;
        let mut renewed = self.leases.renewed.lock().expect("no test panics holding it");
        let from = *renewed.entry(lease).or_insert_with(Instant::now);
        Some((ttl, from + Duration::from_secs(ttl.unsigned_abs())))
    }

    fn renew(&self, lease: LeaseId) -> i64 {
        let Some((ttl, _)) = self.ended_at(lease) else {
            return 0;
        };
        let mut renewed = self.leases.renewed.lock().expect("no test panics holding it");
        renewed.insert(lease, Instant::now());
        ttl
    }

    fn check_leader(&self) -> Result<(), AskError> {
        if self.trouble().no_leader {
            return Err(AskError::NoLeader);
        }
        Ok(())
    }
}

impl LeaseBackend for Double {
    fn draw_lease_id(&self) -> LeaseId {
        LeaseId(FIRST_DRAWN + self.leases.draws.fetch_add(1, Ordering::Relaxed) / 2)
    }

    /// For every second id: so both ways are taken, and mixed on one stream.
    fn renew_lease_at_once(&self, lease: LeaseId) -> Option<i64> {
        let can = lease.get() % 2 != 0 && self.check_leader().is_ok();
        can.then(|| self.renew(lease))
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<i64, AskError> {
        // The way to a leader takes a moment.
        tokio::task::yield_now().await;
        self.check_leader()?;
        Ok(self.renew(lease))
    }

    async fn lease_time_left(&self, lease: LeaseId) -> Result<Option<TimeLeft>, AskError> {
        self.check_leader()?;
        Ok(self.ended_at(lease).map(|(granted, end)| TimeLeft {
            granted,
            // On a real member some time has passed since.
            left: end
                .saturating_duration_since(Instant::now())
                .saturating_sub(Duration::from_nanos(1)),
        }))
    }

    async fn leases_by_expiry(&self) -> Result<Vec<LeaseId>, AskError> {
        self.check_leader()?;
        let view = self.view();
        let ends = view
            .leases()
            .iter()
            .filter_map(|(id, _)| Some((self.ended_at(id)?.1, id)));
        let mut ends: Vec<(Instant, LeaseId)> = ends.collect();
        ends.sort_unstable();
        Ok(ends.into_iter().map(|(_, id)| id).collect())
    }
}
