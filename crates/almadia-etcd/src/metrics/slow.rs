//! How many requests were slow, by what took longest.

use super::registered;
use crate::slow::{PARTS, Part};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Handles for whoever notices.
#[derive(Clone, Debug)]
pub(crate) struct SlowCounters([IntCounter; 6]);

impl SlowCounters {
    pub(super) fn register(registry: &Registry) -> Self {
        let family = IntCounterVec::new(
            Opts::new(
                "almadia_slow_requests_total",
                "Requests that took longer than --slow-request-threshold, by the part that took longest.",
            ),
            &["part"],
        );
        let family = registered(registry, family);
        Self(PARTS.map(|part| family.with_label_values(&[part])))
    }

    /// One more.
    pub(crate) fn note(&self, longest: Part) {
        if let Some(at) = PARTS.iter().position(|part| *part == longest) {
            self.0[at].inc();
        }
    }

    /// How many there were.
    pub(crate) fn read(&self) -> [(Part, u64); 6] {
        std::array::from_fn(|at| (PARTS[at], self.0[at].get()))
    }
}
