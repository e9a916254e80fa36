//! What it costs to count a call: a measurement, printed and not asserted; a short one unless `ALMADIA_MEASURE_CALLS` says how
//! many calls. docs/operating/monitoring.md has the numbers.

use super::Metrics;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tonic::body::Body;
use tonic::codegen::http;

const PUT: &str = "/etcdserverpb.KV/Put";

/// All that a unary call is counted with: begun, timed, how it went.
fn count(metrics: &Metrics) {
    let method = metrics.begin(black_box(PUT)).expect("it is a method");
    let begun = Instant::now();
    method.note_time(begun.elapsed());
    black_box(method.note(http::Response::new(Body::empty()), None));
}

fn calls() -> u32 {
    let asked = std::env::var("ALMADIA_MEASURE_CALLS").ok();
    asked.map_or(1000, |calls| {
        calls.parse().expect("ALMADIA_MEASURE_CALLS is a number")
    })
}

fn tell(name: &str, took: Duration, calls: u32) {
    println!("{name}: {:.0} ns", took.as_secs_f64() * 1e9 / f64::from(calls));
}

fn measured(name: &str, calls: u32, mut once: impl FnMut()) {
    let begun = Instant::now();
    for _ in 0..calls {
        once();
    }
    tell(name, begun.elapsed(), calls);
}

#[test]
fn cost_of_counting_a_call() {
    let calls = calls();
    let metrics = Metrics::default();
    let method = metrics.begin(PUT).expect("it is a method");
    measured("one call, all of it", calls, || count(&metrics));
    measured(
        "of that: finding the method, counting that it begins",
        calls,
        || {
            black_box(metrics.begin(black_box(PUT)));
        },
    );
    measured("of that: reading the clock twice", calls, || {
        black_box(Instant::now().elapsed());
    });
    measured("of that: both histograms of how long it took", calls, || {
        method.note_time(black_box(Duration::from_micros(350)));
    });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..calls).for_each(|_| count(&metrics)));
        }
    });
    tell(
        "one call while another thread counts, too",
        begun.elapsed(),
        calls,
    );
    let (counted, _) = metrics.handled(PUT);
    assert_eq!(counted, 3 * u64::from(calls), "everything was counted");
}
