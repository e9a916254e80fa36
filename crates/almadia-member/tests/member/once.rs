//! A command that its client asked for once is carried out once, also when the leader that took it dies and is back before
//! anybody else is elected.

use crate::world::{World, put};
use std::time::Duration;

/// The leader dies so many steps after the command was asked for; every moment from "has not heard of it" to "everybody has
/// applied it" is among them.
const STEPS_MAX: u32 = 80;
const STEP: Duration = Duration::from_micros(50);

#[test]
fn a_leader_that_dies_and_is_back_at_once_does_nothing_twice() {
    for steps in 0..STEPS_MAX {
        // A runtime each: the members of one world would go on in the next.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(leader_gone_after(steps));
    }
}

async fn leader_gone_after(steps: u32) {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let asked = world.ids().into_iter().find(|id| *id != leader).unwrap();
    let member = world.member(asked);
    let before = member.view().revision();
    let asked = tokio::spawn({
        let member = member.clone();
        async move { member.propose(put("k", "v")).await }
    });
    tokio::time::sleep(STEP * steps).await;
    world.crash(leader).await;
    world.start(leader).await;
    let applied = asked.await.unwrap().unwrap();
    // Whatever is still on its way has come to an end by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let made = member.view().revision().get() - before.get();
    assert_eq!(
        made, 1,
        "revisions made by one put, leader gone after {steps} steps"
    );
    assert_eq!(applied.outcome.revision, member.view().revision());
}
