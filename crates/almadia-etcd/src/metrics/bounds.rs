//! What the limits of the edge do: how full they are, and what was turned away at them.

use super::{counter, gauge, registered};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Handles for whoever applies a limit.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Connections open.
    pub(crate) connections: IntGauge,
    /// Connections that were let in.
    pub(crate) connections_opened: IntCounter,
    /// Connections that were not.
    pub(crate) connections_refused: IntCounter,
    /// Ended by this side, in the order of `connection::Ending`.
    pub(crate) connections_ended: [IntCounter; 4],
    /// Watches on this member.
    pub(crate) watches: IntGauge,
    /// Watches that were refused.
    pub(crate) watches_refused: IntCounter,
    /// Leases that were refused.
    pub(crate) leases_refused: IntCounter,
    /// Logins that were refused before the password was looked at.
    pub(crate) logins_refused: IntCounter,
    /// Messages that there was no room for while they were unfinished.
    pub(crate) messages_refused: IntCounter,
    /// Messages whose rest has not come in time.
    pub(crate) messages_late: IntCounter,
    /// Large answers under way.
    pub(crate) answers_large: IntGauge,
    /// Large answers that wait for their turn.
    pub(crate) answers_waiting: IntGauge,
    /// Large answers refused, because too many wait.
    pub(crate) answers_refused: IntCounter,
}

impl Bounds {
    pub(super) fn register(registry: &Registry) -> Self {
        let ended = IntCounterVec::new(
            Opts::new(
                "almadia_client_connections_ended_total",
                "Client connections that this member has ended, by reason.",
            ),
            &["reason"],
        );
        let ended = registered(registry, ended);
        Self {
            connections: gauge(registry, "almadia_client_connections", "Client connections open."),
            connections_opened: counter(
                registry,
                "almadia_client_connections_total",
                "Client connections that were let in.",
            ),
            connections_refused: counter(
                registry,
                "almadia_client_connections_refused_total",
                "Client connections closed at once, because all places were in use.",
            ),
            connections_ended: ["cancelled", "evicted", "slow_headers", "idle"]
                .map(|reason| ended.with_label_values(&[reason])),
            watches: gauge(
                registry,
                "etcd_debugging_mvcc_watcher_total",
                "Total number of watchers.",
            ),
            watches_refused: counter(
                registry,
                "almadia_watches_refused_total",
                "Watches refused, because there are too many.",
            ),
            leases_refused: counter(
                registry,
                "almadia_leases_refused_total",
                "Leases refused, because there are too many.",
            ),
            logins_refused: counter(
                registry,
                "almadia_logins_refused_total",
                "Logins refused after too many wrong passwords.",
            ),
            answers_large: gauge(registry, "almadia_large_answers", "Large answers under way."),
            answers_waiting: gauge(
                registry,
                "almadia_large_answers_waiting",
                "Large answers that wait until there is room for them.",
            ),
            answers_refused: counter(
                registry,
                "almadia_large_answers_refused_total",
                "Large answers refused, because too many wait.",
            ),
            messages_refused: counter(
                registry,
                "almadia_unfinished_messages_refused_total",
                "Requests refused because too many bytes of unfinished ones were held.",
            ),
            messages_late: counter(
                registry,
                "almadia_late_messages_total",
                "Requests refused because their rest did not come in time.",
            ),
        }
    }
}
