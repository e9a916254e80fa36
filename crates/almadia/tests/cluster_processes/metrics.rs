//! What members show of themselves: every metric is in the list that dashboards and alerts rely on, and a slow request is
//! explained.

use crate::deployment::{Deployment, PATIENCE, succeeded};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Shown only when there is a reason; each is tested where the reason is made.
const SOMETIMES: [(&str, &str); 4] = [
    (
        "almadia_certificate_expiry_timestamp_seconds",
        "gauge almadia_certificate_expiry_timestamp_seconds{purpose}",
    ),
    ("almadia_cluster_wished_size", "gauge almadia_cluster_wished_size"),
    ("almadia_membership_waiting", "gauge almadia_membership_waiting"),
    (
        "etcd_debugging_server_alarms",
        "gauge etcd_debugging_server_alarms{alarm_type,server_id}",
    ),
];

pub fn fetch(url: &str, path: &str) -> String {
    let authority = url.rsplit("//").next().unwrap();
    let mut connection = TcpStream::connect(authority).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// Kind, name and names of labels of each metric, by its name.
fn read(text: &str, into: &mut BTreeMap<String, String>) {
    let mut kind = "";
    let mut name = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            (name, kind) = rest.split_once(' ').unwrap();
        } else if line.starts_with(name) && !name.is_empty() && !into.contains_key(name) {
            let labels = line
                .split_once('{')
                .map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let mut labels: Vec<&str> = labels
                .split("\",")
                .filter_map(|pair| Some(pair.split_once('=')?.0))
                .filter(|label| *label != "le")
                .collect();
            labels.sort_unstable();
            let labels = if labels.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", labels.join(","))
            };
            into.insert(name.to_owned(), format!("{kind} {name}{labels}"));
        }
    }
}

/// Promise: no metric vanishes or changes its labels unnoticed. `UPDATE=1` writes the list anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_are_those_of_the_list() {
    let (deployment, _) = Deployment::of_three().await;
    deployment.client(0).await.put("k", "v").await.unwrap();
    deployment.client(1).await.get("k").await.unwrap();
    deployment.caught_up().await;
    let mut shown = BTreeMap::new();
    for url in &deployment.urls {
        assert!(fetch(url, "/readyz").starts_with("HTTP/1.1 200"));
        read(&fetch(url, "/metrics"), &mut shown);
    }
    for (name, line) in SOMETIMES {
        assert!(shown.insert(name.to_owned(), line.to_owned()).is_none(), "{name}");
    }
    let text: String = shown.values().map(|line| format!("{line}\n")).collect();
    let list = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating/metric-names.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&list, &text).unwrap();
    }
    let listed = std::fs::read_to_string(&list).unwrap_or_default();
    let missing: Vec<&str> = listed
        .lines()
        .filter(|line| !text.lines().any(|own| own == *line))
        .collect();
    let new: Vec<&str> = text
        .lines()
        .filter(|line| !listed.lines().any(|own| own == *line))
        .collect();
    assert!(
        missing.is_empty() && new.is_empty(),
        "metrics differ from docs/operating/metric-names.txt (UPDATE=1 writes it anew); gone: {missing:#?}; new: {new:#?}"
    );
}

/// The value of a metric with these labels, as it is written.
pub fn value(text: &str, start: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start} in:\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Numbers mean something: what was done is seen in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_follow_what_is_done() {
    let (deployment, leader) = Deployment::of_three().await;
    let client = deployment.client(leader.ordinal).await;
    for number in 0..20 {
        client.put(&format!("k/{number}"), "v").await.unwrap();
    }
    deployment.caught_up().await;
    let leads = fetch(&deployment.urls[leader.ordinal], "/metrics");
    let follows = fetch(&deployment.urls[(leader.ordinal + 1) % 3], "/metrics");
    assert_eq!(value(&leads, "etcd_server_is_leader "), 1.0);
    assert_eq!(value(&follows, "etcd_server_is_leader "), 0.0);
    for text in [&leads, &follows] {
        assert_eq!(value(text, "etcd_server_has_leader "), 1.0);
        assert_eq!(value(text, "etcd_debugging_mvcc_keys_total "), 20.0);
        assert_eq!(value(text, "etcd_mvcc_put_total "), 20.0);
        assert_eq!(value(text, "almadia_cluster_voters "), 3.0);
        assert!(value(text, "etcd_server_leader_changes_seen_total ") >= 1.0);
        assert!(value(text, "etcd_disk_wal_fsync_duration_seconds_count ") >= 2.0);
        assert!(value(text, "process_resident_memory_bytes ") > 1e6);
        assert!(value(text, "almadia_disk_free_bytes ") > 0.0);
    }
    assert!(value(&leads, "almadia_proposals_batched_total ") >= 20.0);
    assert!(value(&leads, "etcd_network_peer_round_trip_time_seconds_count{") > 0.0);
    assert_eq!(value(&leads, "almadia_peer_lag_entries{"), 0.0);
    let put = "grpc_server_handling_seconds_count{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} ";
    assert_eq!(value(&leads, put), 20.0);
}

/// The survivor of a lost majority does not go on saying that somebody leads, and says so again when somebody does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_survivor_of_a_majority_says_that_nobody_leads() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let survivor = (leader.ordinal + 1) % 3;
    let others: Vec<usize> = (0..3).filter(|ordinal| *ordinal != survivor).collect();
    let url = deployment.urls[survivor].clone();
    deployment.cluster.kill(&others);
    has_leader(&url, 0.0).await;
    let said = deployment.almadia(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("no leader"), "{said}");
    for ordinal in others {
        deployment.cluster.start(ordinal).unwrap();
    }
    has_leader(&url, 1.0).await;
}

async fn has_leader(url: &str, expected: f64) {
    let deadline = Instant::now() + PATIENCE;
    while value(&fetch(url, "/metrics"), "etcd_server_has_leader ") != expected {
        assert!(Instant::now() < deadline, "etcd_server_has_leader stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A request that waits for a majority that stands still is told of in words: in the log, in a count, by `almadia status`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_request_says_where_its_time_went() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let client = deployment.client(leader.ordinal).await;
    client.put("k", "v").await.unwrap();
    let others: Vec<usize> = (0..3).filter(|ordinal| *ordinal != leader.ordinal).collect();
    for ordinal in &others {
        signal(&mut deployment, *ordinal, "STOP");
    }
    let writing = tokio::spawn(async move { client.put("slow\"key", "v").await });
    // Half the time after which a leader without a majority gives up.
    tokio::time::sleep(Duration::from_millis(400)).await;
    for ordinal in &others {
        signal(&mut deployment, *ordinal, "CONT");
    }
    writing.await.unwrap().unwrap();
    let line = deployment.says(leader.ordinal, "slow request").await;
    assert!(line.contains("a majority took long to answer"), "{line}");
    assert!(
        line.contains("etcdserverpb.KV/Put") && line.contains("slow"),
        "{line}"
    );
    let text = fetch(&deployment.urls[leader.ordinal], "/metrics");
    assert!(value(&text, "almadia_slow_requests_total{part=\"quorum\"} ") >= 1.0);
    let said = succeeded(&deployment.almadia(&["status"]));
    assert!(
        said.contains("mostly because a majority took long to answer"),
        "{said}"
    );
}

fn signal(deployment: &mut Deployment, ordinal: usize, signal: &str) {
    let pid = deployment.cluster.pid(ordinal).unwrap().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", signal, &pid])
        .status();
    assert!(sent.unwrap().success());
}
