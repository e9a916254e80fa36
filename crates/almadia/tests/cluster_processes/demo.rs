//! The README's first command.

use crate::deployment::{PATIENCE, PROGRAM, almadia_at, succeeded};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// It passes, says so to people and to programs, and leaves nothing behind.
#[test]
fn the_demo_keeps_every_promise_and_cleans_up() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("demo");
    let output = Command::new(PROGRAM)
        .args(["demo", "-o", "json", "--directory"])
        .arg(&directory)
        .output()
        .unwrap();
    let text = succeeded(&output);
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&summary["passed"], &summary["lost"]),
        (&Value::Bool(true), &Value::from(0)),
        "{summary}"
    );
    assert!(summary["acknowledged"].as_u64().unwrap() > 300, "{summary}");
    assert!(
        summary["terms"][1].as_u64() > summary["terms"][0].as_u64(),
        "{summary}"
    );
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(
        progress.contains("PASS") && !progress.contains('\x1b'),
        "no colours into a pipe: {progress}"
    );
    assert!(!directory.exists(), "data is left behind");
}

/// With --keep the cluster stays, and what is printed is enough to use and to stop it.
#[test]
fn a_kept_cluster_serves_until_it_is_stopped() {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args(["demo", "--keep", "--directory"])
        .arg(place.path())
        .output()
        .unwrap();
    let text = succeeded(&output);
    let endpoints = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("export ALMADIA_ENDPOINTS="))
        .expect("endpoints");
    let urls: Vec<String> = endpoints.split(',').map(str::to_owned).collect();
    let stop = text
        .lines()
        .find_map(|line| line.strip_prefix("To stop it: "))
        .expect("how to stop it")
        .to_owned();
    let kill = stop.split(" && ").next().expect("the first command");
    let pids: Vec<&str> = kill.split_whitespace().skip(1).collect();
    assert_eq!((urls.len(), pids.len()), (3, 3), "{text}");
    let put = almadia_at(&urls, &["put", "hello", "world"]);
    let got = almadia_at(&urls, &["get", "hello"]);
    let killed = Command::new("sh").args(["-c", kill]).status().unwrap();
    succeeded(&put);
    assert_eq!(succeeded(&got), "world\n");
    assert!(killed.success());
    let deadline = std::time::Instant::now() + PATIENCE;
    while pids
        .iter()
        .any(|pid| Path::new("/proc").join(pid).exists() && !is_zombie(pid))
    {
        assert!(
            std::time::Instant::now() < deadline,
            "a member did not stop when asked to"
        );
        std::thread::yield_now();
    }
}

/// Ended, and nobody has asked for its exit code yet: an orphan whose new parent is slow.
fn is_zombie(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    status
        .rsplit(") ")
        .next()
        .is_some_and(|rest| rest.starts_with('Z'))
}
