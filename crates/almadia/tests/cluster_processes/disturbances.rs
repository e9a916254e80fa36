//! What clients are promised while a leader dies or leaves: M1.4, M1.6 and M1.7.

use crate::deployment::Deployment;
use almadia::demo::watching::Leader;
use almadia::demo::writer::Writers;
use std::time::{Duration, Instant};

/// The longest time writes may stand still at default timers, and how many new terms a dead leader may cost (M1.7).
const SILENCE_MAX: Duration = Duration::from_secs(2);
const TERMS_MAX: u64 = 2;

/// Kills measured; the machine that runs tests is busy with others of them, so the middle one counts.
const KILLS: usize = 3;

/// Acknowledged writes before and after a disturbance.
const WRITES: i64 = 50;

/// Waits until the members' store has moved on by this many revisions.
async fn written(deployment: &Deployment, count: i64) {
    let mut first = None;
    let revision = |statuses: &almadia::demo::watching::Statuses| {
        statuses
            .iter()
            .flatten()
            .filter_map(|status| Some(status.header.as_ref()?.revision))
            .max()
    };
    deployment
        .wait("writes", |statuses| {
            let now = revision(statuses)?;
            (now >= *first.get_or_insert(now) + count).then_some(())
        })
        .await;
}

/// M1.4, M1.6, M1.7: clients that know only the members that stay never see an error, nothing acknowledged is lost, the gap
/// and the number of terms are bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_costs_neither_writes_nor_errors() {
    let (mut deployment, mut leader) = Deployment::of_three().await;
    let mut silences = Vec::new();
    for round in 0..KILLS {
        let staying: Vec<String> = (0..3)
            .filter(|ordinal| *ordinal != leader.ordinal)
            .map(|ordinal| deployment.urls[ordinal].clone())
            .collect();
        let writers = Writers::start(&staying, &format!("w/{round}"), 4).unwrap();
        written(&deployment, WRITES).await;
        let killed = Instant::now();
        deployment.cluster.kill(&[leader.ordinal]);
        let next: Leader = deployment.leader_above(leader.term).await;
        assert!(
            next.term <= leader.term + TERMS_MAX,
            "term {} after {}",
            next.term,
            leader.term
        );
        written(&deployment, WRITES).await;
        let journal = writers.stop().await;
        assert!(
            journal.refused.is_empty() && journal.unknown.is_empty(),
            "a client saw an error: {:?} {:?}",
            journal.refused,
            journal.unknown
        );
        assert_eq!(journal.violations, Vec::<String>::new());
        silences.push(journal.longest_silence_after(killed).expect("writes went on"));
        deployment.cluster.start(leader.ordinal).unwrap();
        deployment.caught_up().await;
        for ordinal in 0..3 {
            let contents = deployment
                .client(ordinal)
                .await
                .contents(&format!("w/{round}/"))
                .await
                .unwrap();
            assert_eq!(
                journal.compare(&contents.pairs),
                Vec::<String>::new(),
                "almadia-{ordinal}"
            );
        }
        leader = deployment.leader_above(0).await;
    }
    silences.sort_unstable();
    println!("writes stood still for {silences:?}");
    assert!(
        silences[KILLS / 2] <= SILENCE_MAX,
        "writes stood still for {silences:?}"
    );
}

/// A leader that is asked to stop hands over first: the others go on in one new term, and it ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_leader_hands_over() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let staying: Vec<String> = (0..3)
        .filter(|ordinal| *ordinal != leader.ordinal)
        .map(|ordinal| deployment.urls[ordinal].clone())
        .collect();
    let writers = Writers::start(&staying, "w", 2).unwrap();
    written(&deployment, WRITES).await;
    let status = deployment
        .cluster
        .stop(leader.ordinal, Duration::from_secs(10))
        .unwrap();
    assert!(status.success(), "{status}\n{}", deployment.last_words());
    let next = deployment.leader_above(leader.term).await;
    assert_eq!(
        next.term,
        leader.term + 1,
        "leadership was handed over, not fought for\n{}",
        deployment.last_words()
    );
    written(&deployment, WRITES).await;
    let journal = writers.stop().await;
    assert!(
        journal.refused.is_empty() && journal.unknown.is_empty(),
        "{:?} {:?}",
        journal.refused,
        journal.unknown
    );
    deployment.cluster.start(leader.ordinal).unwrap();
    deployment.caught_up().await;
    let contents = deployment
        .client(leader.ordinal)
        .await
        .contents("w/")
        .await
        .unwrap();
    assert_eq!(journal.compare(&contents.pairs), Vec::<String>::new());
}

/// M1.6, a machine that stands still: the leader's process is paused, the others go on without it, and when it wakes it
/// neither answers with what was true before nor fights for the lead (etcd#20418 answered stale reads here).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_serves_nothing_stale_when_it_wakes() {
    let (mut deployment, leader) = Deployment::of_three().await;
    let other = (0..3).find(|ordinal| *ordinal != leader.ordinal).unwrap();
    let (paused, awake) = (
        deployment.client(leader.ordinal).await,
        deployment.client(other).await,
    );
    awake.put("k", "before").await.unwrap();
    let pid = deployment.cluster.pid(leader.ordinal).unwrap().to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    // Asked while it sleeps: answered after it woke, by when another leads.
    let asked = tokio::spawn(async move { paused.get("k").await });
    let written = awake.put("k", "after").await;
    signal("-CONT");
    written.expect("the majority goes on");
    let found = asked.await.unwrap().unwrap().expect("the key is there");
    assert_eq!(
        found.value, "after",
        "a read that was asked for before the write ended, answered after it"
    );
    assert!(deployment.leader_above(leader.term).await.term > leader.term);
    deployment.caught_up().await;
}
