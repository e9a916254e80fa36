//! The benchmark as a user runs it, against a member that is just enough of etcd: does the generator's own HTTP/2 agree
//! with a server that others wrote? And against a real etcd where there is one.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::fake::{Fake, Mood, almadia, nobody, outcome};

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
/// the other in 20 ms each they take 800 ms, so the last ones are 600 ms late and more, and all of them count. How many fell due
/// depends on the machine, so the delay is asked of as many as were sent.
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
    let sent = member.puts();
    assert!((20..=60).contains(&sent), "{text}");
    let latest = json(&text)["loads"][0]["sides"][0]["figures"]["max_ms"]
        .as_f64()
        .unwrap();
    let served_in_ms = 20.0 * f64::from(u32::try_from(sent).unwrap());
    assert!(latest > 0.9 * (served_in_ms - 200.0), "{sent} sent: {text}");
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
        "1s",
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

/// Promise: streams that stay open work with a server that others wrote; every event comes, and renewals are counted.
#[test]
fn watchers_and_renewals_are_counted() {
    let member = Fake::start(Mood::Serving);
    let words = [
        "bench",
        "watch",
        "keepalive",
        "--clients",
        "4",
        "--watchers",
        "3",
        "--rate",
        "200",
        "--keys",
        "50",
        "--no-preload",
        "--rounds",
        "1",
        "--duration",
        "200ms",
        "--warm-up",
        "20ms",
        "-o",
        "json",
    ];
    let (text, code) = outcome(&almadia(&[&member.address], &words));
    let report = json(&text);
    assert_eq!(code, 0, "{text}");
    for load in report["loads"].as_array().unwrap() {
        let side = &load["sides"][0];
        assert!(side["operations"].as_u64().unwrap() > 0, "{text}");
        assert_eq!(side["failures"], serde_json::json!({}), "{text}");
        assert!(side["figures"]["p50_ms"].as_f64().unwrap() > 0.0, "{text}");
    }
}

/// Promise: events that do not come make the measurement fail.
#[test]
fn lost_events_are_a_failure() {
    let member = Fake::start(Mood::Serving);
    member.break_watch_after(2);
    let words = [
        "bench",
        "watch",
        "--clients",
        "4",
        "--watchers",
        "2",
        "--rate",
        "200",
        "--keys",
        "50",
        "--no-preload",
        "--rounds",
        "1",
        "--duration",
        "100ms",
        "--warm-up",
        "1ms",
        "-o",
        "json",
    ];
    let (text, code) = outcome(&almadia(&[&member.address], &words));
    assert_eq!(code, 1, "{text}");
    let failures = json(&text)["loads"][0]["sides"][0]["failures"].clone();
    assert!(failures["events are missing"].as_u64().unwrap() > 0, "{text}");
    let ended = "watch stream ended: gRPC code 14: etcdserver: server stopped";
    assert_eq!(failures[ended], 1, "{text}");
}

/// A real etcd with its data in a directory that goes with it.
struct Etcd {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Etcd {
    /// Starts one and waits until it serves; `None`, and it is said, where there is no etcd.
    fn start(test: &str) -> Option<Self> {
        let Ok(program) = std::env::var("ALMADIA_ETCD_BIN") else {
            let _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED: {test}: ALMADIA_ETCD_BIN does not name an etcd program\n"
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let address = nobody();
        let (client, peer) = (format!("http://{address}"), format!("http://{}", nobody()));
        let process = Command::new(program)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args(["--name", "x", "--unsafe-no-fsync", "--log-level", "error"])
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("x={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let etcd = Self {
            process,
            address,
            _directory: directory,
        };
        // The command itself waits for a cluster that does not serve yet.
        let words = ["put", "ready", "yes", "--timeout", "30s"];
        let (text, code) = outcome(&almadia(&[&etcd.address], &words));
        assert_eq!(code, 0, "etcd did not start: {text}");
        Some(etcd)
    }
}

/// Promise: against a server that is right every load and every disturbance runs, and nothing fails.
#[test]
fn everything_runs_against_a_real_etcd() {
    let Some(etcd) = Etcd::start("everything_runs_against_a_real_etcd") else {
        return;
    };
    let pid = etcd.process.id().to_string();
    let words = [
        "bench",
        "all",
        "compaction",
        "lease-expiry",
        "slow-watcher",
        "--pids",
        &pid,
        "--clients",
        "8",
        "--keys",
        "1000",
        "--watchers",
        "5",
        "--watches-per-stream",
        "2",
        "--revisions",
        "500",
        "--behind",
        "500",
        "--leases",
        "40",
        "--leases-due",
        "20",
        "--rounds",
        "1",
        "--duration",
        "200ms",
        "--warm-up",
        "20ms",
        "--clean-up",
        "-o",
        "json",
    ];
    let (text, code) = outcome(&almadia(&[&etcd.address], &words));
    assert_eq!(code, 0, "{text}");
    let report = json(&text);
    let (loads, disturbances) = (&report["loads"], &report["disturbances"]);
    let sides = |cells: &serde_json::Value| -> Vec<serde_json::Value> {
        let cells = cells.as_array().unwrap().iter();
        cells.map(|cell| cell["sides"][0].clone()).collect()
    };
    // The kube mix has a second row, for its events.
    assert_eq!((sides(loads).len(), sides(disturbances).len()), (12, 3), "{text}");
    for side in sides(loads).iter().chain(&sides(disturbances)) {
        assert_eq!(side["failures"], serde_json::json!({}), "{text}");
    }
    for side in sides(disturbances) {
        let p99 = |phase: &str| side["figures"][format!("p99_ms_{phase}")].as_f64().unwrap();
        assert!(p99("before") > 0.0 && p99("during") > 0.0, "{text}");
    }
    let (left, _) = outcome(&almadia(
        &[&etcd.address],
        &["get", "--prefix", "almadia-bench", "--count"],
    ));
    assert_eq!(left.trim(), "0");
}

#[test]
fn wrong_command_lines_say_what_is_right() {
    let address = nobody();
    for (words, expected) in [
        (&["bench", "fly"][..], "serializable-get"),
        (&["bench", "--value-bytes", "99999999"], "60000"),
        (&["bench", "compaction", "--done-max", "1h"], "ten minutes"),
        (&["bench", "kube", "--keys", "10", "--no-preload"], "--keys 1024"),
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
