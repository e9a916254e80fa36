//! B0.13 on real members, in virtual time: when a stream that wants a leader is told that there is none.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[allow(dead_code)] // what is not needed here
mod world;

use std::time::Duration;
use tokio::time::{Instant, timeout};
use world::{World, put};

const LIMIT: Duration = Duration::from_secs(3);

/// Nobody is told so while there is a leader, also over a change of leader.
#[tokio::test(start_paused = true)]
async fn a_cluster_with_a_leader_ends_nothing() {
    let world = World::new(3);
    world.start_all().await;
    let old = world.leader().await;
    let others: Vec<_> = world.ids().into_iter().filter(|id| *id != old).collect();
    let ends = others
        .iter()
        .map(|id| tokio::spawn(world.member(*id).leaderless(LIMIT)));
    let ends: Vec<_> = ends.collect();
    let leading = tokio::spawn(world.member(old).leaderless(LIMIT));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!leading.is_finished());
    world.crash(old).await;
    let applied = world.member(others[0]).propose(put("k", "v")).await;
    applied.expect("the others elect a leader");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(ends.iter().all(|end| !end.is_finished()));
}

/// A follower that is cut off is told so after a while, and so is a leader, which would go on leading nobody.
#[tokio::test(start_paused = true)]
async fn who_is_cut_off_is_told_so() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let follower = world.ids().into_iter().find(|id| *id != leader).unwrap();
    for id in [leader, follower] {
        let member = world.member(id);
        let mut end = std::pin::pin!(member.leaderless(LIMIT));
        assert!(timeout(Duration::from_secs(20), end.as_mut()).await.is_err());
        world.isolate(id, true);
        let begun = Instant::now();
        let told = timeout(Duration::from_secs(60), end.as_mut()).await;
        assert!(told.is_ok(), "a member that is cut off knows no leader");
        assert!(begun.elapsed() <= 4 * LIMIT, "after {:?}", begun.elapsed());
        world.isolate(id, false);
        let healed = timeout(Duration::from_secs(60), member.propose(put("k", "v"))).await;
        healed.expect("in time").expect("the cluster is whole again");
    }
}
