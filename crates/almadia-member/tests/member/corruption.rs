//! A member whose store went another way than the others' is found at the next compaction, serves nobody, and is set right
//! from the leader, in place (known failures 1, 7; B5.3).

use crate::world::{World, get, put};
use almadia_command::{Command, Compact, Kind, LogIndex, MemberId};
use almadia_store::disk::{Keeper, Options};
use std::sync::Arc;
use std::time::Duration;

fn compact(revision: i64) -> Command {
    Kind::Compact(Compact {
        revision,
        physical: false,
    })
    .into()
}

/// Changes what a member has on its disk, with all checksums right: as if it had once applied another command than the
/// others.
fn tamper(world: &World, id: MemberId) {
    let disk = Arc::new(world.disk(id).clone());
    let (mut keeper, mut store) = Keeper::open(disk, Options::deterministic()).unwrap();
    let (applied, term) = store.publish().applied();
    let outcome = store.apply(LogIndex(applied.0 + 1), term, &put("key-3", "rogue"));
    assert!(outcome.result.is_ok());
    keeper.checkpoint(&store.publish()).unwrap();
}

async fn write(world: &World, id: MemberId, from: u32, to: u32) {
    for number in from..to {
        let command = put(&format!("key-{number}"), "right");
        world.member(id).propose(command).await.unwrap();
    }
}

/// Stops `victim` behind its checkpoint, changes its state there and starts it again.
async fn make_differ(world: &World, victim: MemberId, writer: MemberId) {
    write(world, writer, 0, 10).await;
    world.member(victim).read_barrier().await.unwrap();
    drop(world.member(victim).backup().await.unwrap()); // makes a checkpoint
    write(world, writer, 10, 20).await;
    world.member(victim).read_barrier().await.unwrap();
    world.crash(victim).await;
    tamper(world, victim);
    world.start(victim).await;
    world.leader().await;
    world.member(victim).read_barrier().await.unwrap();
}

fn hash(world: &World, id: MemberId) -> (i64, u64) {
    let view = world.member(id).view();
    (view.revision().0, view.hash_at(view.revision()).unwrap().get())
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_differs_is_set_right_while_others_write() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let victim = world.ids().into_iter().find(|id| *id != leader).unwrap();
    make_differ(&world, victim, leader).await;
    assert_eq!(
        get(&world.member(victim), "key-3").await.as_deref(),
        Some(b"rogue".as_slice())
    );
    assert_ne!(hash(&world, victim).1, hash(&world, leader).1);

    world.member(leader).propose(compact(12)).await.unwrap();
    let key = |id| {
        world
            .member(id)
            .view()
            .get(b"key-3")
            .map(|record| record.value().to_vec())
    };
    let set_right = async {
        let mut number = 20;
        while key(victim) != key(leader) || world.member(victim).status().corrupt {
            write(&world, leader, number, number + 1).await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), set_right).await;
    let status = world.member(victim).status();
    assert!(
        done.is_ok(),
        "it is set right: {status:?}, leader {:?}",
        world.member(leader).status()
    );
    assert_eq!(
        get(&world.member(victim), "key-3").await.as_deref(),
        Some(b"right".as_slice())
    );
    write(&world, victim, 500, 501).await;
    for id in world.ids() {
        world.member(id).read_barrier().await.unwrap();
        assert_eq!(hash(&world, id), hash(&world, leader));
    }
    assert_eq!(world.member(leader).view().alarms().raised().count(), 0);

    // It survives a restart, under its old id.
    world.crash(victim).await;
    world.start(victim).await;
    assert_eq!(
        get(&world.member(victim), "key-3").await.as_deref(),
        Some(b"right".as_slice())
    );
}

/// While a member is fenced it answers nobody with what it has.
#[tokio::test(start_paused = true)]
async fn a_fenced_member_serves_nobody() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let victim = world.ids().into_iter().find(|id| *id != leader).unwrap();
    make_differ(&world, victim, leader).await;
    world.member(leader).propose(compact(12)).await.unwrap();
    let member = world.member(victim);
    let fenced = async {
        while !member.status().corrupt {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), fenced)
        .await
        .expect("it is found");
    assert!(member.propose(put("k", "v")).await.is_err());
    assert!(member.recovered().await.is_err());
    assert!(member.is_fenced());
}

/// The streams of a member that differs hear of it as soon as it is found out, and not before; those of others never.
#[tokio::test(start_paused = true)]
async fn streams_hear_of_the_fence() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let victim = world.ids().into_iter().find(|id| *id != leader).unwrap();
    make_differ(&world, victim, leader).await;
    let others = world.ids().into_iter().filter(|id| *id != victim);
    let others: Vec<_> = others.map(|id| tokio::spawn(world.member(id).fenced())).collect();
    let mut fenced = std::pin::pin!(world.member(victim).fenced());
    let early = tokio::time::timeout(Duration::from_secs(5), fenced.as_mut()).await;
    assert!(early.is_err(), "nothing is known of it before a compaction");
    world.member(leader).propose(compact(12)).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), fenced).await;
    assert!(told.is_ok(), "its streams are told");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(others.iter().all(|other| !other.is_finished()));
    assert!(
        !world.member(victim).is_fenced(),
        "it was set right and serves again"
    );
}

/// A leader that differs from the two others hands leadership over, is fenced as their follower, and takes the state of its
/// successor; clients' writes go on, and no alarm is raised.
#[tokio::test(start_paused = true)]
async fn a_leader_that_differs_hands_over_and_is_set_right() {
    let world = World::new(3);
    world.start_all().await;
    let first = world.leader().await;
    let victim = world.ids().into_iter().find(|id| *id != first).unwrap();
    make_differ(&world, victim, first).await;
    if world.leader().await != victim {
        let leader = world.member(world.leader().await);
        leader.move_leader(victim).await.expect("leadership is moved");
    }
    assert_eq!(world.leader().await, victim);
    // What a client of this leader reads is wrong, and nobody knows yet.
    let key = |id| {
        let view = world.member(id).view();
        view.get(b"key-3").map(|record| record.value().to_vec())
    };
    assert_eq!(key(victim).as_deref(), Some(b"rogue".as_slice()));
    let fenced = tokio::spawn(world.member(victim).fenced());
    world.member(victim).propose(compact(12)).await.unwrap();
    let other = world.ids().into_iter().find(|id| *id != victim).unwrap();
    let set_right = async {
        let mut number = 20;
        while key(victim).as_deref() != Some(b"right") || world.member(victim).status().corrupt {
            write(&world, other, number, number + 1).await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), set_right).await;
    assert!(
        done.is_ok(),
        "it is set right: {:?}",
        world.member(victim).status()
    );
    assert!(fenced.is_finished(), "it served nobody meanwhile");
    assert_ne!(world.leader().await, victim, "it leads no more");
    write(&world, victim, 500, 501).await;
    for id in world.ids() {
        world.member(id).read_barrier().await.unwrap();
        assert_eq!(hash(&world, id), hash(&world, other));
    }
    assert_eq!(world.member(other).view().alarms().raised().count(), 0);
}

/// With two members nobody can say who is right: the alarm is raised and changes are refused.
#[tokio::test(start_paused = true)]
async fn without_a_majority_the_alarm_is_raised() {
    let world = World::new(2);
    world.start_all().await;
    let leader = world.leader().await;
    let victim = world.ids().into_iter().find(|id| *id != leader).unwrap();
    make_differ(&world, victim, leader).await;
    let leader = world.leader().await;
    world.member(leader).propose(compact(12)).await.unwrap();
    let raised = async {
        while world.member(leader).view().alarms().raised().count() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), raised)
        .await
        .expect("the alarm is raised");
    let refused = world.member(leader).propose(put("k", "v")).await.unwrap();
    assert_eq!(refused.outcome.result, Err(almadia_store::Refusal::Corrupt));
    let alarm = world.member(leader).view().alarms().raised().next().unwrap();
    assert!(world.ids().contains(&alarm.member));
}

/// Members that agree are left alone, compaction after compaction.
#[tokio::test(start_paused = true)]
async fn members_that_agree_are_left_alone() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    for round in 0..4 {
        write(&world, leader, 0, 10).await;
        world
            .member(leader)
            .propose(compact(5 + round * 10))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        for id in world.ids() {
            assert!(!world.member(id).status().corrupt);
        }
    }
    assert_eq!(world.member(leader).view().alarms().raised().count(), 0);
}
