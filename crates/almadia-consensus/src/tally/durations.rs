//! How long things took, in buckets: two additions each, no lock. Read whole when somebody looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets at most, the one without an end included.
const BUCKETS_MAX: usize = 17;

/// How long something took, each time. The bounds of the buckets double from the first.
#[derive(Debug)]
pub struct Durations {
    first: Duration,
    bounds_count: usize,
    counts: [AtomicU64; BUCKETS_MAX],
    sum_ns: AtomicU64,
}

/// What [`Durations`] held when somebody looked.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The upper bounds in seconds, rising, and how many were within each and not within the one before.
    pub buckets: Vec<(f64, u64)>,
    /// How many were above the last bound.
    pub beyond: u64,
    /// All together, in seconds.
    pub sum: f64,
}

impl Durations {
    /// etcd's buckets for its disk: 1 ms to 8 s.
    pub fn of_disk() -> Self {
        Self::doubling(Duration::from_millis(1), 14)
    }

    /// etcd's buckets for round trips: 0.1 ms to 3.2 s.
    pub fn of_network() -> Self {
        Self::doubling(Duration::from_micros(100), 16)
    }

    /// Bounds from `first` on, each twice the one before.
    ///
    /// # Panics
    /// With more than 16 bounds.
    pub fn doubling(first: Duration, bounds_count: usize) -> Self {
        assert!(bounds_count < BUCKETS_MAX, "there are at most 16 bounds");
        Self {
            first,
            bounds_count,
            counts: [const { AtomicU64::new(0) }; BUCKETS_MAX],
            sum_ns: AtomicU64::new(0),
        }
    }

    /// Notes one.
    pub fn note(&self, took: Duration) {
        let mut bound = self.first;
        let mut bucket = 0;
        while bucket < self.bounds_count && took > bound {
            bound *= 2;
            bucket += 1;
        }
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was noted so far.
    pub fn read(&self) -> Counted {
        let mut bound = self.first;
        let mut buckets = Vec::with_capacity(self.bounds_count);
        for count in &self.counts[..self.bounds_count] {
            buckets.push((bound.as_secs_f64(), count.load(Ordering::Relaxed)));
            bound *= 2;
        }
        Counted {
            buckets,
            beyond: self.counts[self.bounds_count].load(Ordering::Relaxed),
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

impl Counted {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum::<u64>() + self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_into_the_first_bucket_that_holds_it() {
        let durations = Durations::doubling(Duration::from_millis(1), 3);
        for ms in [0, 1, 2, 3, 4, 5, 60] {
            durations.note(Duration::from_millis(ms));
        }
        let read = durations.read();
        assert_eq!(read.buckets, [(0.001, 2), (0.002, 1), (0.004, 2)]);
        assert_eq!((read.beyond, read.count()), (2, 7));
        assert!((read.sum - 0.075).abs() < 1e-9, "{}", read.sum);
    }

    /// What dashboards made for etcd compute quantiles from.
    #[test]
    fn the_bounds_are_etcd_s() {
        let bounds = |durations: Durations| -> Vec<f64> {
            durations.read().buckets.iter().map(|(bound, _)| *bound).collect()
        };
        let disk = bounds(Durations::of_disk());
        assert_eq!((disk.len(), disk[0], disk[13]), (14, 0.001, 8.192));
        let network = bounds(Durations::of_network());
        assert_eq!((network.len(), network[0], network[15]), (16, 0.0001, 3.2768));
    }
}
