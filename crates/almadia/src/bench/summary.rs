//! Slices of the same load put together: medians for each side, medians of the ratios between the sides.
//!
//! Computes and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::engine::load::Load;
use super::slice::SliceResult;
use super::statistics::{median, ratio};

/// The figures of one side, or of the ratio between two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Operations per second.
    pub per_second: Option<f64>,
    /// Processor time of all members per operation, in microseconds.
    pub server_cpu_us: Option<f64>,
    /// Latencies in milliseconds.
    pub p50_ms: Option<f64>,
    /// 90 of 100 are faster.
    pub p90_ms: Option<f64>,
    /// 99 of 100 are faster.
    pub p99_ms: Option<f64>,
    /// 999 of 1000 are faster.
    pub p99_9_ms: Option<f64>,
    /// The slowest (not a median).
    pub max_ms: Option<f64>,
    /// Bytes written by the side's disk, or by all disks of this machine, per operation.
    pub disk_bytes: Option<f64>,
    /// Bytes written by all members per operation, as the kernel counts them.
    pub written_bytes: Option<f64>,
    /// Processor time of the generator per operation, in microseconds.
    pub generator_cpu_us: Option<f64>,
}

/// One side of one load.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The medians over all slices.
    pub figures: Figures,
    /// All operations counted.
    pub operations: u64,
    /// All failures by reason.
    pub failures: BTreeMap<String, u64>,
    /// Watchers were not told of what was written, or not as they should.
    pub is_wrong: bool,
}

impl Summary {
    /// Puts slices together.
    pub fn of(slices: &[SliceResult]) -> Self {
        let mut all = Load::empty();
        slices.iter().for_each(|slice| all.add(&slice.load));
        let each: Vec<Figures> = slices.iter().map(Figures::of).collect();
        let mut figures = Figures::combine(&each);
        figures.max_ms = each.iter().filter_map(|one| one.max_ms).reduce(f64::max);
        Self {
            figures,
            operations: all.operations,
            failures: all.failures,
            is_wrong: slices
                .iter()
                .filter_map(|slice| slice.events.as_ref())
                .any(|events| events.failed() > 0),
        }
    }
}

impl Figures {
    /// The figures of one slice.
    pub fn of(slice: &SliceResult) -> Self {
        if slice.load.operations == 0 {
            return Self {
                per_second: Some(0.0),
                ..Self::default()
            };
        }
        let latencies = &slice.load.latencies_ns;
        let quantile = |quantile| Some(latencies.value_at_quantile(quantile) as f64 / 1e6);
        let per_operation = |time: Duration| slice.microseconds_per_operation(time);
        let bytes_per_operation = |bytes: u64| bytes as f64 / slice.load.operations as f64;
        Self {
            per_second: Some(slice.per_second()),
            server_cpu_us: slice.server_cpu.map(per_operation),
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            p99_9_ms: quantile(0.999),
            max_ms: Some(latencies.max() as f64 / 1e6),
            disk_bytes: slice.disk_bytes.map(bytes_per_operation),
            written_bytes: slice.written_bytes.map(bytes_per_operation),
            generator_cpu_us: slice.generator_cpu.map(per_operation),
        }
    }

    /// The median of each figure.
    pub fn combine(each: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> Option<f64>| median(each.iter().filter_map(figure));
        Self {
            per_second: of(|one| one.per_second),
            server_cpu_us: of(|one| one.server_cpu_us),
            p50_ms: of(|one| one.p50_ms),
            p90_ms: of(|one| one.p90_ms),
            p99_ms: of(|one| one.p99_ms),
            p99_9_ms: of(|one| one.p99_9_ms),
            max_ms: of(|one| one.max_ms),
            disk_bytes: of(|one| one.disk_bytes),
            written_bytes: of(|one| one.written_bytes),
            generator_cpu_us: of(|one| one.generator_cpu_us),
        }
    }

    /// `self / other`, figure by figure.
    pub fn over(&self, other: &Self) -> Self {
        Self {
            per_second: ratio(self.per_second, other.per_second),
            server_cpu_us: ratio(self.server_cpu_us, other.server_cpu_us),
            p50_ms: ratio(self.p50_ms, other.p50_ms),
            p90_ms: ratio(self.p90_ms, other.p90_ms),
            p99_ms: ratio(self.p99_ms, other.p99_ms),
            p99_9_ms: ratio(self.p99_9_ms, other.p99_9_ms),
            max_ms: ratio(self.max_ms, other.max_ms),
            disk_bytes: ratio(self.disk_bytes, other.disk_bytes),
            written_bytes: ratio(self.written_bytes, other.written_bytes),
            generator_cpu_us: ratio(self.generator_cpu_us, other.generator_cpu_us),
        }
    }
}

/// The median over all rounds of the ratio between slices that ran next to each other.
pub fn ratios(subject: &[SliceResult], reference: &[SliceResult]) -> Figures {
    assert_eq!(subject.len(), reference.len(), "slices run in pairs");
    let each: Vec<Figures> = subject
        .iter()
        .zip(reference)
        .map(|(a, b)| Figures::of(a).over(&Figures::of(b)))
        .collect();
    Figures::combine(&each)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(operations: u64, latency_ms: u64, cpu_ms: u64) -> SliceResult {
        let mut load = Load::empty();
        load.operations = operations;
        for _ in 0..operations {
            load.latencies_ns.saturating_record(latency_ms * 1_000_000);
        }
        SliceResult {
            load,
            events: None,
            seconds: 2.0,
            server_cpu: Some(Duration::from_millis(cpu_ms)),
            disk_bytes: Some(2_000),
            written_bytes: Some(1_000),
            generator_cpu: Some(Duration::from_millis(1)),
        }
    }

    #[test]
    fn figures_per_operation() {
        let figures = Figures::of(&slice(1_000, 4, 20));
        assert_eq!(figures.per_second, Some(500.0));
        assert_eq!(figures.server_cpu_us, Some(20.0));
        assert_eq!(
            (figures.disk_bytes, figures.written_bytes),
            (Some(2.0), Some(1.0))
        );
        assert_eq!(figures.generator_cpu_us, Some(1.0));
        assert!((figures.p99_ms.expect("some") - 4.0).abs() < 0.01);
        assert_eq!(Figures::of(&slice(0, 1, 1)).p50_ms, None);
    }

    /// Promise: a slice that a busy neighbour spoiled on both sides does not spoil the ratio.
    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let subject = [slice(1_000, 1, 10), slice(100, 10, 10), slice(1_000, 1, 10)];
        let reference = [slice(500, 2, 10), slice(50, 20, 10), slice(500, 2, 10)];
        let ratios = ratios(&subject, &reference);
        assert_eq!(ratios.per_second, Some(2.0));
        assert_eq!(ratios.server_cpu_us, Some(0.5));
        assert!((ratios.p50_ms.expect("some") - 0.5).abs() < 0.01);
        let summary = Summary::of(&subject);
        assert_eq!(
            (summary.operations, summary.figures.per_second),
            (2_100, Some(500.0))
        );
        assert!((summary.figures.max_ms.expect("some") - 10.0).abs() < 0.1);
    }
}
