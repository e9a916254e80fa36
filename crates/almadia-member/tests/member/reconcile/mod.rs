//! Life on Kubernetes without Kubernetes: sets of pods that found, join, grow, shrink and heal by themselves, on disks and
//! networks that the test breaks (DESIGN's founding, joining, wished size; C1, C2, C3, C14, C16, C17, C30).

mod pods;

use almadia_disk::MemDisk;
use almadia_member::identity::Identity;
use pods::{Pods, get};
use std::time::Duration;
use tokio::time::sleep;

/// Longer than any silence that is taken for death, and than all pauses between two questions.
const A_WHILE: Duration = Duration::from_secs(20);

/// Founders start in any order, with pauses; some that are no founders are there first. One cluster, of the founders.
#[tokio::test(start_paused = true)]
async fn members_start_in_any_order() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2]] {
        let mut pods = Pods::new(3);
        for ordinal in order {
            pods.start(ordinal);
            sleep(Duration::from_secs(3)).await;
        }
        pods.size_is(3).await;
        assert_eq!(pods.clusters().len(), 1);
        assert!(pods.member(3).is_none(), "nobody has asked for a fourth");
        pods.wish(4);
        pods.size_is(4).await;
        assert_eq!(pods.clusters().len(), 1);
    }
}

/// M5.6, C3, C16: up and down by the wished size alone, one at a time; the leader goes too, and what was written stays.
#[tokio::test(start_paused = true)]
async fn it_grows_and_shrinks_as_wished() {
    let mut pods = Pods::of(1).await;
    pods.put("k", "1").await;
    for (wished, value) in [(3, "3"), (5, "5"), (3, "3 again"), (1, "1 again"), (2, "2")] {
        for ordinal in 0..wished {
            if pods.member(ordinal).is_none() {
                pods.start(ordinal);
            }
        }
        pods.wish(wished);
        pods.put("during", value).await;
        pods.size_is(wished).await;
        pods.put("k", value).await;
        for ordinal in 0..wished {
            let member = pods.member(ordinal).unwrap();
            assert_eq!(get(&member, "k").await.as_deref(), Some(value.as_bytes()));
        }
        // Whoever left for good comes back, if ever, with an empty volume.
        for ordinal in wished..5 {
            if let Some(member) = pods.member(ordinal) {
                pods.until("it has been told", |pods| {
                    pods.leader().is_some_and(|leader| leader.is_removed(member.id()))
                })
                .await;
                pods.kill(ordinal).await;
                pods.wipe(ordinal);
            }
        }
    }
}

/// Nobody leaves for good when all are to rest, and nobody comes.
#[tokio::test(start_paused = true)]
async fn a_size_of_none_changes_nothing() {
    let pods = Pods::of(3).await;
    pods.wish(0);
    sleep(A_WHILE).await;
    pods.size_is(3).await;
}

/// C2: each in turn loses its disk, the leader too: the old identity leaves, a new one votes, nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_lost_disk_heals() {
    let mut pods = Pods::of(3).await;
    for round in 0..3 {
        pods.put("k", &round.to_string()).await;
        let old = pods.member(round).unwrap().id();
        pods.kill(round).await;
        pods.wipe(round);
        pods.start(round);
        pods.size_is(3).await;
        let healed = pods.member(round).unwrap();
        assert_ne!(healed.id(), old);
        assert!(
            pods.leader().unwrap().is_removed(old),
            "the old identity never votes again"
        );
        assert_eq!(get(&healed, "k").await.unwrap(), round.to_string().as_bytes());
    }
    assert_eq!(pods.clusters().len(), 1);
}

/// The new pod dies half-way, again and again, with its disk or without it.
#[tokio::test(start_paused = true)]
async fn whoever_joins_may_die_half_way() {
    let mut pods = Pods::of(3).await;
    pods.put("k", "v").await;
    for (pause_ms, wipes) in [
        (10, true),
        (60, false),
        (150, true),
        (400, false),
        (1200, true),
        (2500, false),
    ] {
        pods.kill(1).await;
        if wipes {
            pods.wipe(1);
        }
        pods.start(1);
        sleep(Duration::from_millis(pause_ms)).await;
    }
    pods.kill(1).await;
    pods.wipe(1);
    pods.start(1);
    pods.size_is(3).await;
    assert_eq!(
        get(&pods.member(1).unwrap(), "k").await.as_deref(),
        Some(&b"v"[..])
    );
    assert_eq!(pods.clusters().len(), 1);
}

/// The leader dies at every stage of a replacement: whoever leads next goes on with it, a joint configuration included.
#[tokio::test(start_paused = true)]
async fn the_leader_dies_while_a_member_is_replaced() {
    for pause_ms in [0, 100, 200, 400, 800, 1200, 1300, 1400, 1600, 2000] {
        let mut pods = Pods::of(5).await;
        pods.put("k", "v").await;
        let leader = pods.leader().unwrap().id();
        let is_leader = |ordinal: &u32| pods.member(*ordinal).unwrap().id() == leader;
        let leads = (0..5).find(is_leader).unwrap();
        let lost = (leads + 1) % 5;
        pods.kill(lost).await;
        pods.wipe(lost);
        pods.start(lost);
        sleep(Duration::from_millis(pause_ms)).await;
        pods.kill(leads).await;
        sleep(Duration::from_secs(3)).await;
        pods.start(leads);
        pods.size_is(5).await;
        assert_eq!(
            get(&pods.member(lost).unwrap(), "k").await.as_deref(),
            Some(&b"v"[..])
        );
    }
}

/// A machine is cut off, its pod runs on, and the node controller lets a namesake start elsewhere with an empty volume. The
/// cluster replaces the one that it does not hear; when the old one can be heard again, it is told that it has left.
#[tokio::test(start_paused = true)]
async fn an_old_pod_runs_on_while_its_namesake_starts() {
    let mut pods = Pods::of(3).await;
    pods.put("k", "v").await;
    let old = pods.member(1).unwrap();
    let run = 2;
    pods.isolate(run, true);
    pods.wipe(1);
    pods.start(1);
    pods.size_is(3).await;
    assert!(pods.leader().unwrap().is_removed(old.id()));
    pods.isolate(run, false);
    pods.until("the old one is told to leave", |pods| pods.was_told_to_leave(run))
        .await;
    pods.size_is(3).await;
    pods.put("k", "after").await;
    assert_eq!(pods.clusters().len(), 1);
}

/// As long as the old one is heard of it is the member, and an empty one of its name waits; when it is gone, the new one joins.
#[tokio::test(start_paused = true)]
async fn a_namesake_that_is_heard_of_stays() {
    let mut pods = Pods::of(3).await;
    let old = pods.member(1).unwrap().id();
    let kept = pods.disks[&1].clone();
    pods.wipe(1);
    let new = pods.start(1);
    sleep(A_WHILE).await;
    assert!(pods.member(1).is_none(), "it has not been let in");
    let is_still =
        |members: Vec<almadia_member::Membered>| members.iter().any(|one| one.id == old && one.votes);
    assert!(is_still(pods.leader().unwrap().members()));
    pods.end(2).await;
    pods.size_is(3).await;
    pods.end(new).await;
    // The old volume turns up again: its member has left, and says so instead of taking part.
    let run = pods.start_on(1, kept).unwrap();
    pods.until("it is told to leave", |pods| pods.was_told_to_leave(run))
        .await;
}

/// C30: with the majority's disks gone there is no leader; whoever is empty waits and never founds a second cluster. When the
/// majority is back, it is let in.
#[tokio::test(start_paused = true)]
async fn an_empty_member_waits_while_quorum_is_lost() {
    let mut pods = Pods::of(3).await;
    pods.put("k", "v").await;
    for ordinal in 0..3 {
        pods.kill(ordinal).await;
    }
    pods.wipe(0);
    pods.start(0);
    pods.start(1);
    sleep(10 * A_WHILE).await;
    assert!(pods.member(0).is_none() && pods.leader().is_none());
    assert_eq!(pods.clusters().len(), 1, "and nobody founds another one");
    pods.start(2);
    pods.size_is(3).await;
    assert_eq!(
        get(&pods.member(0).unwrap(), "k").await.as_deref(),
        Some(&b"v"[..])
    );
    assert_eq!(pods.clusters().len(), 1);
}

/// The same pod loses its disk again and again, also while there is no leader: questions of the data directories that are gone
/// arrive late and change nothing for those that came after.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_lost_again_and_again_heals() {
    for pause_ms in [200, 900, 2100, 4000, 9000] {
        let mut pods = Pods::of(3).await;
        pods.put("k", "v").await;
        for round in 0..3 {
            pods.kill(2).await;
            pods.wipe(2);
            pods.start(2);
            sleep(Duration::from_millis(pause_ms * round / 2)).await;
        }
        pods.kill(1).await;
        pods.kill(2).await;
        pods.wipe(2);
        let run = pods.start(2);
        sleep(Duration::from_millis(pause_ms)).await;
        pods.start(1);
        let began = tokio::time::Instant::now();
        pods.size_is(3).await;
        assert!(
            began.elapsed() < A_WHILE,
            "{:?} with {pause_ms} ms",
            began.elapsed()
        );
        assert_eq!(
            get(&pods.member(2).unwrap(), "k").await.as_deref(),
            Some(&b"v"[..])
        );
        assert!(!pods.was_told_to_leave(run), "who was let in stays");
    }
}

/// Two volumes are bound to each other's pods: both refuse them, nobody takes part under a wrong name, and bound as they were
/// all goes on.
#[tokio::test(start_paused = true)]
async fn swapped_volumes_are_refused() {
    let mut pods = Pods::of(3).await;
    pods.put("k", "v").await;
    let (one, two) = (pods.disks[&1].clone(), pods.disks[&2].clone());
    for ordinal in [1, 2] {
        pods.kill(ordinal).await;
    }
    for (ordinal, disk) in [(1, two), (2, one)] {
        let refused = pods.start_on(ordinal, disk).unwrap_err();
        assert!(
            refused.contains("the data directory belongs to member m-"),
            "{refused}"
        );
    }
    sleep(A_WHILE).await;
    pods.start(1);
    pods.start(2);
    pods.size_is(3).await;
    pods.put("k", "after").await;
}

/// All pods are killed at once and come back: the same members, the same data.
#[tokio::test(start_paused = true)]
async fn all_are_killed_at_once() {
    let mut pods = Pods::of(3).await;
    for round in 0..5 {
        pods.put("k", &round.to_string()).await;
        let before: Vec<_> = (0..3).map(|ordinal| pods.member(ordinal).unwrap().id()).collect();
        for ordinal in 0..3 {
            pods.kill(ordinal).await;
        }
        for ordinal in [2, 0, 1] {
            pods.start(ordinal);
        }
        pods.size_is(3).await;
        let after: Vec<_> = (0..3).map(|ordinal| pods.member(ordinal).unwrap().id()).collect();
        assert_eq!(before, after);
        assert_eq!(
            get(&pods.member(0).unwrap(), "k").await.unwrap(),
            round.to_string().as_bytes()
        );
    }
}

/// A pod is let in and taken out before it has any of the log, because the size has changed back: it knows nobody, and nobody
/// calls on it. It shows itself, is told, and does not wait for ever.
#[tokio::test(start_paused = true)]
async fn who_was_taken_out_before_it_had_anything_is_told() {
    let mut pods = Pods::of(1).await;
    pods.put("k", "v").await;
    pods.wish(2);
    pods.start(1);
    while !has_cluster(&pods.disks[&1]) {
        sleep(Duration::from_millis(1)).await;
    }
    pods.kill(1).await;
    pods.wish(1);
    pods.size_is(1).await;
    let run = pods.start(1);
    pods.until("it is told to leave", |pods| pods.was_told_to_leave(run))
        .await;
}

fn has_cluster(disk: &MemDisk) -> bool {
    let identity = Identity::load(disk).unwrap();
    identity.is_some_and(|identity| identity.is_founded())
}
