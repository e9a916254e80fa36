//! Members that know each other by one pattern come, go and heal by themselves, as processes (M1.10 to M1.12, M5.3, M5.6; C1, C2,
//! C3, C14, C16, C17, C25, C30). The test does what Kubernetes does: it starts, kills and stops pods, wipes volumes, writes the size.

use crate::deployment::{Deployment, PATIENCE, PROGRAM};
use crate::metrics::{fetch, value};
use almadia::demo::writer::{Journal, Writers};
use almadia_etcd::proto::etcdserverpb as pb;
use pb::cluster_client::ClusterClient;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A stop ends well inside this (M5.3).
const STOP_MAX: Duration = Duration::from_secs(8);

/// Pods and their volumes.
struct Set {
    deployment: Deployment,
    founders: usize,
    pattern: String,
    size_file: PathBuf,
    volumes: tempfile::TempDir,
}

impl Set {
    /// Of which so many found the cluster, on addresses of this machine that differ by the ordinal as pods' names do.
    fn new(founders: usize, pods: usize) -> Self {
        let deployment = Deployment::planned(pods);
        let port = deployment.cluster.members()[0]
            .peer_url
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned();
        let process = std::process::id();
        let (a, b) = (process / 200 % 200 + 20, process % 200 + 20);
        let volumes = tempfile::tempdir().unwrap();
        let set = Self {
            pattern: format!("http://127.{a}.{b}.%d:{port}"),
            size_file: volumes.path().join("size"),
            deployment,
            founders,
            volumes,
        };
        set.wish(founders);
        set
    }

    /// The same, started, with a leader.
    async fn of(founders: usize, pods: usize) -> Self {
        let mut set = Self::new(founders, pods);
        for ordinal in 0..founders {
            set.start(ordinal);
        }
        set.size_is(founders).await;
        set
    }

    fn wish(&self, size: usize) {
        let next = self.volumes.path().join("next");
        std::fs::write(&next, format!("{size}\n")).unwrap();
        std::fs::rename(&next, &self.size_file).unwrap();
    }

    fn start(&mut self, ordinal: usize) {
        let member = &self.deployment.cluster.members()[ordinal];
        let mut command = Command::new(PROGRAM);
        command
            .arg("server")
            .env("POD_NAME", &member.name)
            .arg("--data-dir")
            .arg(&member.data_dir)
            .args(["--peer-pattern", &self.pattern])
            .args([
                "--listen-peer-urls",
                &self.pattern.replace("%d", &ordinal.to_string()),
            ])
            .args(["--cluster-size", &self.founders.to_string()])
            .args(["--wished-size", &format!("file:{}", self.size_file.display())])
            .args(["--listen-client-urls", &member.client_url])
            .args(["--advertise-client-urls", &member.client_url]);
        self.deployment.cluster.start_as(ordinal, command).unwrap();
    }

    fn wipe(&self, ordinal: usize) {
        std::fs::remove_dir_all(&self.deployment.cluster.members()[ordinal].data_dir).unwrap();
    }

    /// As pods that are deleted: all are asked to stop at the same time, and end well and in time.
    async fn stop(&mut self, ordinals: &[usize]) -> Duration {
        let asked = Instant::now();
        for ordinal in ordinals {
            if let Some(pid) = self.deployment.cluster.pid(*ordinal) {
                let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
                assert!(sent.unwrap().success());
            }
        }
        for ordinal in ordinals {
            while self.deployment.cluster.is_running(*ordinal) {
                assert!(asked.elapsed() < STOP_MAX, "{}", self.deployment.last_words());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let status = self.deployment.cluster.exit_status(*ordinal).unwrap();
            assert!(status.success(), "{status}\n{}", self.deployment.last_words());
        }
        asked.elapsed()
    }

    /// Everyone, as one member has it from a majority.
    async fn members(&self, ordinal: usize) -> Option<Vec<pb::Member>> {
        let client = almadia::demo::client::MemberClient::connect(&self.deployment.urls[ordinal])
            .await
            .ok()?;
        let request = pb::MemberListRequest { linearizable: true };
        let mut client = ClusterClient::new(client.channel());
        let list = tokio::time::timeout(Duration::from_secs(3), client.member_list(request))
            .await
            .ok()?;
        Some(list.ok()?.into_inner().members)
    }

    /// Waits until the first ordinals are the members, each with a vote, as each of them says.
    async fn size_is(&self, size: usize) {
        let mut expected: Vec<String> = (0..size).map(|ordinal| format!("almadia-{ordinal}")).collect();
        expected.sort_unstable();
        let deadline = Instant::now() + PATIENCE;
        let mut ordinal = 0;
        while ordinal < size {
            let members = self.members(ordinal).await.unwrap_or_default();
            let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            names.sort_unstable();
            if names == expected && members.iter().all(|member| !member.is_learner) {
                ordinal += 1;
                continue;
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain for {size} members; almadia-{ordinal} has {names:?}\n{}",
                self.deployment.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn pids(&mut self, size: usize) -> Vec<Option<u32>> {
        (0..size)
            .map(|ordinal| self.deployment.cluster.pid(ordinal))
            .collect()
    }

    /// Nothing acknowledged is lost, and clients saw no error but that an answer is not known.
    async fn holds(&self, journal: &Journal, prefix: &str, size: usize) {
        assert!(journal.refused.is_empty(), "{:?}", journal.refused);
        assert_eq!(journal.violations, Vec::<String>::new());
        for ordinal in 0..size {
            let contents = self
                .deployment
                .client(ordinal)
                .await
                .contents(prefix)
                .await
                .unwrap();
            assert_eq!(
                journal.compare(&contents.pairs),
                Vec::<String>::new(),
                "almadia-{ordinal}"
            );
        }
    }
}

/// M5.6, C3: 1, 3, 5, 3, 1 under load, by the size alone. Nobody is restarted, whoever goes has left before its process ends, and
/// nothing acknowledged is lost. A pod that comes back on its old volume joins as a new member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_scales_up_and_down_under_load() {
    let mut set = Set::of(1, 5).await;
    let writers = Writers::start(&set.deployment.urls[..1], "w/", 2).unwrap();
    let first = set.pids(1);
    for (from, to) in [(1, 3), (3, 5), (5, 3), (3, 1), (1, 3)] {
        let staying = set.pids(from.min(to));
        set.wish(to);
        for ordinal in from..to {
            set.start(ordinal);
        }
        let going: Vec<usize> = (to..from).collect();
        set.stop(&going).await;
        set.size_is(to).await;
        assert_eq!(set.pids(from.min(to)), staying, "nobody else was restarted");
        for ordinal in to..from {
            set.deployment
                .says(ordinal, "has left the cluster for good")
                .await;
        }
    }
    assert_eq!(set.pids(1), first);
    let journal = writers.stop().await;
    set.holds(&journal, "w/", 3).await;
}

/// M5.6's leader: where it is to go itself, leadership goes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_to_go_hands_over_first() {
    let mut set = Set::of(3, 3).await;
    let leader = set.deployment.leader_above(0).await;
    if leader.ordinal != 2 {
        let target = set.members(0).await.unwrap();
        let target = target
            .iter()
            .find(|member| member.name == "almadia-2")
            .unwrap()
            .id;
        let moved = set.deployment.almadia(&["move-leader", &format!("{target:x}")]);
        assert!(moved.status.success(), "{moved:?}");
    }
    set.wish(2);
    set.deployment.says(2, "has left the cluster for good").await;
    set.size_is(2).await;
    let shown = [0, 1].map(|ordinal| fetch(&set.deployment.urls[ordinal], "/metrics"));
    let sum = |name| shown.each_ref().map(|text| value(text, name)).iter().sum::<f64>();
    assert_eq!(sum("almadia_cluster_wished_size "), 4.0, "two, as both say");
    assert!(sum("almadia_membership_changes_total ") >= 1.0);
    let waiting: Vec<&str> = shown
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.starts_with("almadia_membership_waiting "))
        .collect();
    assert_eq!(waiting.len(), 1, "the leader tells: {waiting:?}");
    set.deployment.client(0).await.put("k", "v").await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while set.deployment.cluster.is_running(2) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = set.deployment.cluster.exit_status(2);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

/// C1, C2: a lost disk heals by itself while clients write; the old identity is gone for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_heals_by_itself() {
    let mut set = Set::of(3, 3).await;
    let writers = Writers::start(&set.deployment.urls[..1], "w/", 2).unwrap();
    let before = set.members(0).await.unwrap();
    let old = before
        .iter()
        .find(|member| member.name == "almadia-2")
        .unwrap()
        .id;
    set.deployment.cluster.kill(&[2]);
    set.wipe(2);
    let wiped = Instant::now();
    set.start(2);
    loop {
        let members = set.members(0).await.unwrap_or_default();
        let namesakes: Vec<&pb::Member> = members.iter().filter(|one| one.name == "almadia-2").collect();
        let is_healed =
            members.len() == 3 && matches!(namesakes[..], [one] if one.id != old && !one.is_learner);
        if is_healed {
            break;
        }
        assert!(
            wiped.elapsed() < PATIENCE,
            "{members:?}\n{}",
            set.deployment.last_words()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("healed {:?} after its start", wiped.elapsed());
    assert!(wiped.elapsed() < Duration::from_secs(30));
    // Until it has applied that it votes, it answers as a learner does.
    set.size_is(3).await;
    let journal = writers.stop().await;
    set.holds(&journal, "w/", 3).await;
    let told = set.deployment.almadia(&["status", "--cluster", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["cluster"]["wished_size"], 3, "{told}");
    assert_eq!(told["cluster"]["voters"], 3, "{told}");
    assert_eq!(
        told["members"][0]["ordinal"].as_u64().map(|ordinal| ordinal < 3),
        Some(true),
        "{told}"
    );
}

/// C30: the majority's machines are gone, one of them comes back empty: it lives, is not ready, waits, and founds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_member_waits_while_quorum_is_lost() {
    let mut set = Set::of(3, 3).await;
    set.deployment.client(0).await.put("k", "v").await.unwrap();
    let cluster = set
        .deployment
        .client(0)
        .await
        .status()
        .await
        .unwrap()
        .header
        .unwrap()
        .cluster_id;
    set.deployment.cluster.kill_all();
    set.wipe(2);
    set.start(2);
    set.start(0);
    set.deployment.says(2, "waiting to be admitted").await;
    assert_eq!(
        probe(&set, 2, "/livez").await,
        200,
        "nobody must restart it for waiting"
    );
    assert_eq!(probe(&set, 2, "/readyz").await, 503);
    let state = |ordinal: usize| {
        let told = fetch(&set.deployment.urls[ordinal], "/metrics");
        let states = told
            .lines()
            .filter(|line| line.starts_with("almadia_member_state{"));
        let now: Vec<String> = states
            .filter_map(|line| line.strip_suffix(" 1"))
            .map(str::to_owned)
            .collect();
        now.join(" ")
    };
    assert_eq!(state(2), r#"almadia_member_state{state="admission"}"#);
    assert_eq!(state(0), r#"almadia_member_state{state="member"}"#);
    assert_eq!(probe(&set, 0, "/livez").await, 200, "nor who lacks a majority");
    set.start(1);
    set.size_is(3).await;
    let client = set.deployment.client(2).await;
    assert_eq!(client.get("k").await.unwrap().unwrap().value, "v");
    assert_eq!(client.status().await.unwrap().header.unwrap().cluster_id, cluster);
    assert_eq!(probe(&set, 2, "/readyz").await, 200);
    let told = fetch(&set.deployment.urls[2], "/metrics");
    assert_eq!(value(&told, r#"almadia_member_state{state="member"}"#), 1.0);
    assert_eq!(value(&told, r#"almadia_member_state{state="admission"}"#), 0.0);
}

async fn probe(set: &Set, ordinal: usize, path: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = set.deployment.urls[ordinal]
        .trim_start_matches("http://")
        .to_owned();
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        stream.read_to_end(&mut told).await.unwrap();
        String::from_utf8_lossy(&told)
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    };
    // A probe of Kubernetes is patient for a second or a few.
    tokio::time::timeout(Duration::from_secs(4), asked)
        .await
        .expect("an answer in time")
}

/// C25, M5.3: five are restarted one after the other while clients write to all that run; the longest gap and the changes of
/// leader are told. The promise that is held here is M1.7's: the goal of 300 ms is measured on a quiet machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_goes_unnoticed() {
    let mut set = Set::of(5, 5).await;
    let before = set.deployment.leader_above(0).await;
    let writers = Writers::start(&set.deployment.urls, "w/", 3).unwrap();
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for ordinal in (0..5).rev() {
        slowest = slowest.max(set.stop(&[ordinal]).await);
        set.start(ordinal);
        let deadline = Instant::now() + PATIENCE;
        while !is_ready(&set, ordinal).await {
            assert!(Instant::now() < deadline, "{}", set.deployment.last_words());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let after = set.deployment.leader_above(0).await;
    let journal = writers.stop().await;
    let gap = journal.longest_silence_after(began).expect("writes went on");
    println!(
        "rolling restart of five: longest gap in writes {gap:?}, slowest stop {slowest:?}, terms {} to {}",
        before.term, after.term
    );
    assert!(
        gap <= Duration::from_secs(2),
        "{gap:?}\n{}",
        set.deployment.last_words()
    );
    assert!(slowest < STOP_MAX, "{slowest:?}");
    set.holds(&journal, "w/", 5).await;
}

async fn is_ready(set: &Set, ordinal: usize) -> bool {
    let address = set.deployment.urls[ordinal]
        .trim_start_matches("http://")
        .to_owned();
    if tokio::net::TcpStream::connect(&address).await.is_err() {
        return false;
    }
    probe(set, ordinal, "/readyz").await == 200
}
