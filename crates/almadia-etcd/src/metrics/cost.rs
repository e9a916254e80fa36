//! What it costs to count a call: a measurement, printed and not asserted. docs/operating/monitoring.md has the numbers.

use super::Metrics;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::body::Body;
use tonic::codegen::http;

const CALLS: u32 = 1_000_000;
const PUT: &str = "/etcdserverpb.KV/Put";

/// All that a unary call is counted with: begun, timed twice, how it went.
fn count(metrics: &Metrics) {
    let method = metrics.begin(black_box(PUT)).expect("it is a method");
    let begun = Instant::now();
    method.note_time(begun.elapsed());
    black_box(method.note(http::Response::new(Body::empty()), None));
}

fn nanoseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn measured(name: &str, mut once: impl FnMut()) {
    let begun = Instant::now();
    for _ in 0..CALLS {
        once();
    }
    println!("{name}: {:.0} ns", nanoseconds(begun.elapsed()));
}

#[test]
#[ignore = "a measurement: cargo test --release -p almadia-etcd --lib -- --ignored --nocapture metrics::cost"]
fn cost_of_counting_a_call() {
    let metrics = Arc::new(Metrics::default());
    let method = metrics.begin(PUT).expect("it is a method");
    measured("one call, all of it", || count(&metrics));
    measured("of that: finding the method and counting that it begins", || {
        black_box(metrics.begin(black_box(PUT)));
    });
    measured("of that: reading the clock twice", || {
        black_box(Instant::now().elapsed());
    });
    measured("of that: both histograms of how long it took", || {
        method.note_time(black_box(Duration::from_micros(350)));
    });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..CALLS).for_each(|_| count(&metrics)));
        }
    });
    println!(
        "one call while another thread counts, too: {:.0} ns",
        nanoseconds(begun.elapsed())
    );
    let (counted, _) = metrics.handled(PUT);
    assert_eq!(counted, 3 * u64::from(CALLS), "everything was counted");
}
