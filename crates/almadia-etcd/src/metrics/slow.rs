//! How many requests were slow: by what took longest, and under etcd's names.

use super::{counter, registered};
use crate::slow::{PARTS, Part, Parts};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// Handles for whoever notices.
#[derive(Clone, Debug)]
pub(crate) struct SlowCounters {
    by_part: [IntCounter; 6],
    applies: IntCounter,
    confirmations: IntCounter,
}

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
        Self {
            by_part: PARTS.map(|part| family.with_label_values(&[part])),
            applies: counter(
                registry,
                "etcd_server_slow_apply_total",
                "The total number of slow apply requests (likely overloaded from slow disk).",
            ),
            confirmations: counter(
                registry,
                "etcd_server_slow_read_indexes_total",
                "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
            ),
        }
    }

    /// One more, with what of it alone took as long as a slow request.
    pub(crate) fn note(&self, parts: &Parts, threshold: Duration, is_write: bool) {
        let longest = parts.longest();
        if let Some(at) = PARTS.iter().position(|part| *part == longest) {
            self.by_part[at].inc();
        }
        // etcd counts reading a range as applying, too.
        if parts.apply + parts.read >= threshold {
            self.applies.inc();
        }
        if !is_write && parts.quorum >= threshold {
            self.confirmations.inc();
        }
    }

    /// How many there were.
    pub(crate) fn read(&self) -> [(Part, u64); 6] {
        std::array::from_fn(|at| (PARTS[at], self.by_part[at].get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parts: Parts, is_write: bool, expected: [u64; 2]) {
        let counters = SlowCounters::register(&Registry::new());
        counters.note(&parts, Duration::from_millis(100), is_write);
        let counted = [&counters.applies, &counters.confirmations].map(IntCounter::get);
        assert_eq!(counted, expected, "{parts:?}");
    }

    #[test]
    fn what_etcd_calls_slow() {
        let ms = Duration::from_millis;
        let nothing = Parts::default();
        check(
            Parts {
                apply: ms(100),
                ..nothing
            },
            true,
            [1, 0],
        );
        check(
            Parts {
                read: ms(250),
                ..nothing
            },
            false,
            [1, 0],
        );
        check(
            Parts {
                quorum: ms(250),
                ..nothing
            },
            false,
            [0, 1],
        );
        check(
            Parts {
                quorum: ms(250),
                ..nothing
            },
            true,
            [0, 0],
        );
        check(
            Parts {
                queue: ms(60),
                apply: ms(60),
                ..nothing
            },
            true,
            [0, 0],
        );
    }
}
