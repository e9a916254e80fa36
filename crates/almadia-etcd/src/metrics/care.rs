//! What supervisors and operators ask for: health checks and backups.

use super::{counter, gauge, registered};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::time::{SystemTime, UNIX_EPOCH};

/// Handles for whoever answers them.
#[derive(Clone, Debug)]
pub(crate) struct Care {
    healthy: IntCounter,
    unhealthy: IntCounter,
    check: IntGaugeVec,
    checks: IntCounterVec,
    last_backup: IntGauge,
}

impl Care {
    pub(super) fn register(registry: &Registry) -> Self {
        let check = IntGaugeVec::new(
            Opts::new(
                "etcd_server_healthcheck",
                "The result of each kind of healthcheck.",
            ),
            &["type", "name"],
        );
        let checks = IntCounterVec::new(
            Opts::new(
                "etcd_server_healthchecks_total",
                "The total number of each kind of healthcheck.",
            ),
            &["type", "name", "status"],
        );
        Self {
            healthy: counter(
                registry,
                "etcd_server_health_success",
                "The total number of successful health checks",
            ),
            unhealthy: counter(
                registry,
                "etcd_server_health_failures",
                "The total number of failed health checks",
            ),
            check: registered(registry, check),
            checks: registered(registry, checks),
            last_backup: gauge(
                registry,
                "almadia_last_backup_timestamp_seconds",
                "When the last backup was taken whole from this member; 0 for none since it was started.",
            ),
        }
    }

    /// Somebody asked `/health`.
    pub(crate) fn note_health(&self, is_healthy: bool) {
        if is_healthy {
            self.healthy.inc();
        } else {
            self.unhealthy.inc();
        }
    }

    /// Somebody asked one check of `/livez` or `/readyz`.
    pub(crate) fn note_check(&self, kind: &str, name: &str, is_right: bool) {
        self.check
            .with_label_values(&[kind, name])
            .set(i64::from(is_right));
        let status = if is_right { "success" } else { "error" };
        self.checks.with_label_values(&[kind, name, status]).inc();
    }

    /// A backup was sent whole.
    pub(crate) fn note_backup(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_backup
            .set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_backups_are_noted() {
        let care = Care::register(&Registry::new());
        care.note_health(true);
        care.note_health(false);
        care.note_health(false);
        assert_eq!((care.healthy.get(), care.unhealthy.get()), (1, 2));
        care.note_check("readyz", "non_learner", true);
        care.note_check("readyz", "non_learner", false);
        let count = |status| {
            care.checks
                .with_label_values(&["readyz", "non_learner", status])
                .get()
        };
        assert_eq!((count("success"), count("error")), (1, 1));
        assert_eq!(care.check.with_label_values(&["readyz", "non_learner"]).get(), 0);
        assert_eq!(care.last_backup.get(), 0);
        care.note_backup();
        assert!(care.last_backup.get() > 1_700_000_000);
    }
}
