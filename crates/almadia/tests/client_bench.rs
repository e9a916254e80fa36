//! The benchmark as a user runs it, against a member that is just enough of etcd: does the generator's own HTTP/2 agree
//! with a server that others wrote?
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod client_fake;

use client_fake::{Fake, Mood, almadia, nobody, outcome};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn writes_are_counted_and_none_fails() {
    let member = Fake::start(Mood::Serving);
    let words = [
        "bench",
        "put",
        "--clients",
        "1,40",
        "--value-bytes",
        "20000",
        "--keys",
        "50",
        "--no-preload",
        "--rounds",
        "1",
        "--duration",
        "150ms",
        "--warm-up",
        "20ms",
        "-o",
        "json",
    ];
    let (text, code) = outcome(&almadia(&[&member.address], &words));
    let report = json(&text);
    assert_eq!(code, 0, "{text}");
    for (load, clients) in [(0, 1), (1, 40)] {
        let load = &report["loads"][load];
        assert_eq!(load["clients"], clients);
        let side = &load["sides"][0];
        assert!(side["operations"].as_u64().unwrap() > 0, "{text}");
        assert_eq!(side["failures"], serde_json::json!({}));
        assert!(side["figures"]["p99_ms"].as_f64().unwrap() >= side["figures"]["p50_ms"].as_f64().unwrap());
    }
    assert!(member.puts() as u64 >= report["loads"][1]["sides"][0]["operations"].as_u64().unwrap());
}

/// Promise: at a fixed rate no more calls are made than are due.
#[test]
fn a_fixed_rate_is_kept() {
    let member = Fake::start(Mood::Serving);
    let words = [
        "bench",
        "put",
        "--clients",
        "8",
        "--keys",
        "50",
        "--no-preload",
        "--rounds",
        "1",
        "--rate",
        "400",
        "--duration",
        "250ms",
        "--warm-up",
        "10ms",
        "-o",
        "json",
    ];
    let (text, _) = outcome(&almadia(&[&member.address], &words));
    let operations = json(&text)["loads"][0]["sides"][0]["operations"]
        .as_u64()
        .unwrap();
    assert!((1..=110).contains(&operations), "{text}");
}

/// Promise: a slow server cannot hide behind a generator that waits for it. Forty calls are due in 200 ms; served one after
/// the other in 20 ms each they take 800 ms, so the last ones are 600 ms late and more, and all of them count.
#[test]
fn latency_counts_from_when_a_call_was_due() {
    let member = Fake::start(Mood::Slow);
    let words = [
        "bench",
        "put",
        "--clients",
        "1",
        "--keys",
        "50",
        "--no-preload",
        "--rounds",
        "1",
        "--rate",
        "200",
        "--duration",
        "200ms",
        "--warm-up",
        "1ms",
        "-o",
        "json",
    ];
    let (text, _) = outcome(&almadia(&[&member.address], &words));
    assert!((39..=42).contains(&member.puts()), "{text}");
    let latest = json(&text)["loads"][0]["sides"][0]["figures"]["max_ms"]
        .as_f64()
        .unwrap();
    assert!(latest > 550.0, "{text}");
}

#[test]
fn failures_are_told() {
    let leaderless = Fake::start(Mood::NoLeader);
    let words = [
        "bench",
        "put",
        "--clients",
        "1",
        "--no-preload",
        "--rounds",
        "1",
        "--duration",
        "50ms",
        "--warm-up",
        "1ms",
        "-o",
        "json",
    ];
    let (text, code) = outcome(&almadia(&[&leaderless.address], &words));
    assert_eq!(code, 1);
    let failures = json(&text)["loads"][0]["sides"][0]["failures"].clone();
    assert!(
        failures["gRPC code 14: etcdserver: no leader"].as_u64().unwrap() > 0,
        "{text}"
    );
}

#[test]
fn wrong_command_lines_say_what_is_right() {
    let address = nobody();
    for (words, expected) in [
        (&["bench", "fly"][..], "serializable-get"),
        (&["bench", "--value-bytes", "99999999"], "60000"),
        (&["bench", "failover", "--pids", "1,2"], "one for one"),
        (&["bench", "put", "--timeout", "100ms"], "no leader"),
    ] {
        let output = almadia(&[&address], words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(
            text.contains(expected) || text.contains("cannot reach"),
            "{words:?}: {text}"
        );
    }
}
