//! B0.13 on real members, in virtual time: when a stream that wants a leader is told that there is none.

use crate::world::{World, put};
use std::time::Duration;
use tokio::time::{Instant, timeout};

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

/// Whether somebody leads is told by proof: who lost the majority stops saying so, leader or follower, and nobody else does.
#[tokio::test(start_paused = true)]
async fn a_leader_is_had_by_proof() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let all = world.ids();
    let [one, other] = all.iter().copied().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        panic!("two follow");
    };
    world.member(one).propose(put("k", "v")).await.unwrap();
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for id in &all {
            assert!(world.member(*id).has_leader(), "{id}, in a cluster that rests");
        }
    }
    let soon = Duration::from_secs(2);
    world.isolate(leader, true);
    tokio::time::sleep(soon).await;
    assert!(!world.member(leader).has_leader(), "a leader that nobody follows");
    timeout(Duration::from_secs(20), async {
        while !(world.member(one).has_leader() && world.member(other).has_leader()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the others have a new one");
    world.isolate(leader, false);
    tokio::time::sleep(soon).await;
    assert!(world.member(leader).has_leader(), "it follows the new one");

    let heir = world.leader().await;
    let survivor = if heir == one { other } else { one };
    world.crash(heir).await;
    world.crash(leader).await;
    tokio::time::sleep(soon).await;
    assert!(!world.member(survivor).has_leader(), "nobody is left to lead");
    world.crash(survivor).await;
    world.start(survivor).await;
    for _ in 0..30 {
        assert!(
            !world.member(survivor).has_leader(),
            "what its disk says is no proof"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_leads_itself() {
    let world = World::new(1);
    world.start_all().await;
    let alone = world.leader().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.member(alone).has_leader());
}
