//! M1.6 under the worst: all members killed at once, at random points, under load, again and again. Nothing acknowledged may
//! be missing at the end, and term, commit index and revision never go back.

use crate::deployment::Deployment;
use almadia::demo::watching::{Statuses, statuses};
use almadia::demo::writer::Writers;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How often all members are killed; ten times as often in the long form (`FULL=1 .ci/run`).
fn rounds() -> usize {
    if std::env::var_os("ALMADIA_TEST_FULL").is_some() {
        500
    } else {
        50
    }
}

/// A round is this long at most, from the start of its members or from their first leader.
const ROUND_MS_MAX: u64 = 700;

/// Where the cluster stood, as its members said.
#[derive(Debug, Default, Clone, Copy)]
struct Mark {
    term: u64,
    committed: u64,
    revision: i64,
}

impl Mark {
    fn of(statuses: &Statuses) -> Self {
        statuses
            .iter()
            .flatten()
            .fold(Self::default(), |mark, status| Self {
                term: mark.term.max(status.raft_term),
                committed: mark.committed.max(status.raft_index),
                revision: mark
                    .revision
                    .max(status.header.as_ref().map_or(0, |header| header.revision)),
            })
    }
}

/// Chance that differs from run to run: what it hits cannot be repeated anyway, since processes are not.
fn chance(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_all_members_are_killed_again_and_again() {
    let mut deployment = Deployment::planned(3);
    deployment.cluster.start_all().unwrap();
    deployment.leader_above(0).await;
    let writers = Writers::start(&deployment.urls, "w", 6).unwrap();
    let mut mark = Mark::default();
    let rounds = rounds();
    for round in 0..rounds {
        // Half of the kills hit members that are still recovering or electing, the others a cluster at work.
        if round % 2 == 0 {
            deployment.leader_above(0).await;
            let now = Mark::of(&statuses(&deployment.urls).await);
            let went_back =
                now.term < mark.term || now.committed < mark.committed || now.revision < mark.revision;
            assert!(!went_back, "round {round}: {now:?} after {mark:?}");
            mark = now;
        }
        tokio::time::sleep(Duration::from_millis(chance(ROUND_MS_MAX))).await;
        deployment.cluster.kill_all();
        deployment.cluster.start_all().unwrap();
    }
    deployment.leader_above(0).await;
    let journal = writers.stop().await;
    deployment.caught_up().await;
    println!(
        "{rounds} kills of all members: {} writes acknowledged, {} of unknown fate, {} refused",
        journal.acknowledged.len(),
        journal.unknown.len(),
        journal.refused.values().sum::<usize>()
    );
    assert!(
        journal.acknowledged.len() > rounds,
        "too little was written to prove anything"
    );
    assert_eq!(journal.violations, Vec::<String>::new());
    for ordinal in 0..3 {
        let contents = deployment.client(ordinal).await.contents("w/").await.unwrap();
        let wrong = journal.compare(&contents.pairs);
        assert!(
            wrong.is_empty(),
            "almadia-{ordinal}: {} wrong, such as {}",
            wrong.len(),
            wrong[0]
        );
    }
}
