//! What is read when somebody looks, in the form that is written out: numbers that are kept elsewhere, under their names.
//! It counts nothing itself.

use almadia_member::Counted;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Something that has numbers to show. Asked at each scrape, so it must be cheap and wait for nobody.
pub trait Source: Send + Sync {
    /// Writes them down.
    fn write(&self, sheet: &mut Sheet);
}

/// Sources from below and beside the edge.
#[derive(Clone, Default)]
pub struct Sources(pub Vec<Arc<dyn Source>>);

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sources", self.0.len())
    }
}

/// Names and values of the labels of one number.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Numbers with their names.
#[derive(Debug, Default)]
pub struct Sheet(BTreeMap<&'static str, MetricFamily>);

impl Sheet {
    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: impl IntoNumber) {
        self.gauge_of(name, help, &[], value);
    }

    /// One of several such numbers.
    pub fn gauge_of(&mut self, name: &'static str, help: &str, labels: Labels<'_>, value: impl IntoNumber) {
        let mut gauge = Gauge::default();
        gauge.set_value(value.into_number());
        self.family(name, help, MetricType::GAUGE, labels)
            .set_gauge(gauge);
    }

    /// A number that only grows.
    pub fn counter(&mut self, name: &'static str, help: &str, value: impl IntoNumber) {
        self.counter_of(name, help, &[], value);
    }

    /// One of several such numbers.
    pub fn counter_of(&mut self, name: &'static str, help: &str, labels: Labels<'_>, value: impl IntoNumber) {
        let mut counter = Counter::default();
        counter.set_value(value.into_number());
        self.family(name, help, MetricType::COUNTER, labels)
            .set_counter(counter);
    }

    /// How long something took.
    pub fn durations(&mut self, name: &'static str, help: &str, counted: &Counted) {
        self.durations_of(name, help, &[], counted);
    }

    /// The same for one of several.
    pub fn durations_of(&mut self, name: &'static str, help: &str, labels: Labels<'_>, counted: &Counted) {
        let mut histogram = Histogram::default();
        let mut cumulated = 0;
        let buckets = counted.buckets.iter().map(|(bound, count)| {
            cumulated += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulated);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counted.count());
        histogram.set_sample_sum(counted.sum);
        self.family(name, help, MetricType::HISTOGRAM, labels)
            .set_histogram(histogram);
    }

    fn family(
        &mut self,
        name: &'static str,
        help: &str,
        kind: MetricType,
        labels: Labels<'_>,
    ) -> &mut Metric {
        let family = self.0.entry(name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        let mut metric = Metric::default();
        let pairs = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        metric.set_label(pairs.collect());
        let metrics = family.mut_metric();
        metrics.push(metric);
        metrics.last_mut().expect("one was just added")
    }

    /// All of it, by name.
    pub(super) fn into_families(self) -> impl Iterator<Item = MetricFamily> {
        self.0.into_values()
    }
}

/// What can be shown as a number. Above 2^53 it is rounded, as everything that Prometheus keeps is.
pub trait IntoNumber {
    /// The number.
    fn into_number(self) -> f64;
}

impl IntoNumber for f64 {
    fn into_number(self) -> f64 {
        self
    }
}

impl IntoNumber for u32 {
    fn into_number(self) -> f64 {
        self.into()
    }
}

impl IntoNumber for u64 {
    fn into_number(self) -> f64 {
        self as f64
    }
}

impl IntoNumber for i64 {
    fn into_number(self) -> f64 {
        self as f64
    }
}

impl IntoNumber for usize {
    fn into_number(self) -> f64 {
        self as f64
    }
}

impl IntoNumber for bool {
    fn into_number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl IntoNumber for &std::sync::atomic::AtomicU64 {
    fn into_number(self) -> f64 {
        self.load(std::sync::atomic::Ordering::Relaxed) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_member::Durations;
    use std::time::Duration;

    #[test]
    fn it_is_written_as_prometheus_reads_it() {
        let mut sheet = Sheet::default();
        sheet.gauge("almadia_b", "B.", true);
        sheet.counter_of("almadia_a_total", "A.", &[("To", "7")], 3u64);
        sheet.counter_of("almadia_a_total", "A.", &[("To", "8")], 4u64);
        let durations = Durations::doubling(Duration::from_millis(1), 2);
        durations.note(Duration::from_millis(2));
        durations.note(Duration::from_secs(1));
        sheet.durations("almadia_c_seconds", "C.", &durations.read());
        let families: Vec<MetricFamily> = sheet.into_families().collect();
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&families)
            .unwrap();
        let expected = "# HELP almadia_a_total A.\n# TYPE almadia_a_total counter\n\
            almadia_a_total{To=\"7\"} 3\nalmadia_a_total{To=\"8\"} 4\n\
            # HELP almadia_b B.\n# TYPE almadia_b gauge\nalmadia_b 1\n\
            # HELP almadia_c_seconds C.\n# TYPE almadia_c_seconds histogram\n\
            almadia_c_seconds_bucket{le=\"0.001\"} 0\nalmadia_c_seconds_bucket{le=\"0.002\"} 1\n\
            almadia_c_seconds_bucket{le=\"+Inf\"} 2\nalmadia_c_seconds_sum 1.002\nalmadia_c_seconds_count 2\n";
        assert_eq!(text, expected);
    }
}
