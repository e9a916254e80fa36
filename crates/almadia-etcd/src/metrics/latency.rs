//! How long reads and writes took, in buckets fine enough to see a millisecond change: etcd's for calls begin at five.

use super::registered;
use prometheus::core::Metric;
use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry, exponential_buckets};

/// The first bucket's bound, in seconds; each of the next is twice the one before, the last about 13 s.
const FIRST: f64 = 0.000_025;
const BUCKETS: usize = 20;

/// Handles for whoever answers.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    reads: Histogram,
    writes: Histogram,
}

/// What was counted until now: by bucket, and beyond all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    /// Upper bound in seconds, and how many took as long or less.
    pub(crate) up_to: Vec<(f64, u64)>,
    pub(crate) count: u64,
}

impl Latency {
    pub(super) fn register(registry: &Registry) -> Self {
        let buckets = exponential_buckets(FIRST, 2.0, BUCKETS).expect("the bounds grow");
        let options = HistogramOpts::new(
            "almadia_request_seconds",
            "How long reads (Range) and writes (Put, DeleteRange, Txn) took until their answer was laid down, in finer buckets than grpc_server_handling_seconds.",
        );
        let family = registered(registry, HistogramVec::new(options.buckets(buckets), &["kind"]));
        Self {
            reads: family.with_label_values(&["read"]),
            writes: family.with_label_values(&["write"]),
        }
    }

    /// Where the times of a method's calls are counted too.
    pub(super) fn of(&self, path: &str) -> Option<Histogram> {
        match path {
            "/etcdserverpb.KV/Range" => Some(self.reads.clone()),
            "/etcdserverpb.KV/Put" | "/etcdserverpb.KV/DeleteRange" | "/etcdserverpb.KV/Txn" => {
                Some(self.writes.clone())
            }
            _ => None,
        }
    }

    /// Reads and writes as they are counted now.
    pub(crate) fn read(&self) -> [Spread; 2] {
        [Spread::of(&self.reads), Spread::of(&self.writes)]
    }
}

impl Spread {
    fn of(histogram: &Histogram) -> Self {
        let metric = histogram.metric();
        let counted = metric.get_histogram();
        let buckets = counted.get_bucket().iter();
        Self {
            up_to: buckets
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                .collect(),
            count: counted.get_sample_count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_are_told_apart_and_others_are_left_out() {
        let latency = Latency::register(&Registry::new());
        for (path, seconds) in [
            ("/etcdserverpb.KV/Range", 0.000_03),
            ("/etcdserverpb.KV/Put", 0.002),
            ("/etcdserverpb.KV/Txn", 60.0),
        ] {
            latency.of(path).expect("it is one of them").observe(seconds);
        }
        assert!(latency.of("/etcdserverpb.Lease/LeaseGrant").is_none());
        let [reads, writes] = latency.read();
        assert_eq!((reads.count, reads.up_to[0].1, reads.up_to[1].1), (1, 0, 1));
        assert_eq!((writes.count, writes.up_to[BUCKETS - 1].1), (2, 1));
        assert!(writes.up_to[BUCKETS - 1].0 > 13.0);
    }
}
