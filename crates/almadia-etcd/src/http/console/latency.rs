//! How long reads and writes took in the last seconds, from what the member counts anyway. Remembers a few readings of the
//! counters, for as long as somebody looks.

use crate::metrics::Spread;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Looks that are summed up: at two a second, five seconds.
const WINDOW_LOOKS: usize = 10;

/// The readings of the window, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<[Spread; 2]>);

/// Of reads and writes how long half and nearly all of them took.
pub(super) type Latencies = [Option<Quantiles>; 2];

/// In microseconds, interpolated within a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantiles {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) count: u64,
}

impl Recent {
    /// Takes one more reading; none for what was not asked in the window.
    pub(super) fn note(&mut self, now: [Spread; 2]) -> Latencies {
        let before = self.0.front().unwrap_or(&now);
        let latencies = std::array::from_fn(|kind| quantiles(&before[kind], &now[kind]));
        if self.0.len() == WINDOW_LOOKS {
            self.0.pop_front();
        }
        self.0.push_back(now);
        latencies
    }
}

/// As the stream says them.
pub(super) fn json(latencies: &Latencies) -> Value {
    let of = |one: &Option<Quantiles>| {
        one.map(
            |one| json!({ "p50_us": one.p50_us.round(), "p99_us": one.p99_us.round(), "count": one.count }),
        )
    };
    json!({ "read": of(&latencies[0]), "write": of(&latencies[1]) })
}

fn quantiles(before: &Spread, now: &Spread) -> Option<Quantiles> {
    let count = now.count.saturating_sub(before.count);
    let since = |at: usize| before.up_to.get(at).map_or(0, |(_, count)| *count);
    let counts = now.up_to.iter().enumerate();
    let up_to: Vec<(f64, u64)> = counts
        .map(|(at, (bound, count))| (*bound, count.saturating_sub(since(at))))
        .collect();
    (count > 0).then(|| Quantiles {
        p50_us: quantile(&up_to, count, 0.50) * 1e6,
        p99_us: quantile(&up_to, count, 0.99) * 1e6,
        count,
    })
}

/// The time within which this share took, in seconds; the last bound for what lies beyond it.
fn quantile(up_to: &[(f64, u64)], count: u64, share: f64) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        reason = "a share of a count needs no more than 53 bits"
    )]
    let of = |count: u64| count as f64;
    let wanted = of(count) * share;
    let (mut lower, mut below) = (0.0, 0);
    for (bound, cumulated) in up_to {
        if of(*cumulated) >= wanted {
            let within = of(cumulated - below);
            let part = if within > 0.0 {
                (wanted - of(below)) / within
            } else {
                1.0
            };
            return lower + (bound - lower) * part;
        }
        (lower, below) = (*bound, *cumulated);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds of 1, 2 and 4 ms, and how many took as long or less.
    fn spread(counts: [u64; 3], count: u64) -> Spread {
        let bounds = [0.001, 0.002, 0.004];
        Spread {
            up_to: bounds.into_iter().zip(counts).collect(),
            count,
        }
    }

    #[track_caller]
    fn check(counts: [u64; 3], count: u64, expected: [f64; 2]) {
        let found = quantiles(&spread([0; 3], 0), &spread(counts, count)).expect("there are some");
        let near = |one: f64, other: f64| (one - other).abs() < 0.01;
        assert!(
            near(found.p50_us, expected[0]) && near(found.p99_us, expected[1]),
            "{found:?}"
        );
    }

    #[test]
    fn quantiles_lie_within_their_buckets() {
        check([100, 100, 100], 100, [500.0, 990.0]);
        check([50, 100, 100], 100, [1000.0, 1980.0]);
        check([0, 98, 100], 100, [1000.0 + 1000.0 * 50.0 / 98.0, 3000.0]);
        // Beyond all bounds nothing more is known than that.
        check([0, 0, 10], 100, [4000.0, 4000.0]);
        assert_eq!(quantiles(&spread([1; 3], 1), &spread([1; 3], 1)), None);
    }

    /// Bound: a few readings, and what was before them does not count.
    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut recent = Recent::default();
        assert_eq!(recent.note([spread([5; 3], 5), spread([0; 3], 0)]), [None, None]);
        let slow = recent.note([spread([5, 5, 6], 6), spread([0; 3], 0)]);
        assert_eq!(slow[0].map(|one| one.count), Some(1));
        assert!(slow[0].is_some_and(|one| one.p50_us > 2000.0) && slow[1].is_none());
        for _ in 0..WINDOW_LOOKS - 1 {
            assert!(recent.note([spread([5, 5, 6], 6), spread([0; 3], 0)])[0].is_some());
        }
        assert_eq!(recent.note([spread([5, 5, 6], 6), spread([0; 3], 0)])[0], None);
        assert_eq!(recent.0.len(), WINDOW_LOOKS);
    }
}
