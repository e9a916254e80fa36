//! Rot in a segment at rest: a running member finds it within a round of scrubbing and mends it from memory; a start never
//! serves it, but goes back to the manifest before and the log.

use crate::world::{World, get, put};
use almadia_command::MemberId;
use almadia_disk::{Disk, MemDisk};
use almadia_store::disk::{Keeper, KeeperError, Options};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn segments(disk: &MemDisk) -> BTreeSet<String> {
    let names = disk.list("seg").unwrap();
    let segments = names.into_iter().filter(|name| name.ends_with(".seg"));
    segments.map(|name| format!("seg/{name}")).collect()
}

/// Flips one bit in the middle of a file, between two blocks' headers: where values lie.
fn rot(disk: &MemDisk, name: &str) {
    let middle = disk.contents(name).unwrap().len() as u64 / 2;
    disk.flip_bit(name, middle, 3);
}

/// What a start on this disk would find damaged.
fn damages(disk: &MemDisk) -> usize {
    let disk: Arc<dyn Disk> = Arc::new(disk.copy());
    let (keeper, _) = Keeper::open(disk, Options::deterministic()).unwrap();
    keeper.damages().len()
}

/// Three members with two checkpoints at `victim` and some log behind them.
async fn with_checkpoints(world: &World) -> (MemberId, MemberId) {
    world.start_all().await;
    let leader = world.leader().await;
    let victim = world.ids().into_iter().find(|id| *id != leader).unwrap();
    for round in 0..3 {
        for number in 0..50 {
            let key = format!("key-{round}-{number}");
            world.member(leader).propose(put(&key, "right")).await.unwrap();
        }
        world.member(victim).read_barrier().await.unwrap();
        if round < 2 {
            drop(world.member(victim).backup().await.unwrap()); // makes a checkpoint
        }
    }
    (leader, victim)
}

async fn check_content(world: &World, id: MemberId) {
    for round in 0..3 {
        for number in 0..50 {
            let value = get(&world.member(id), &format!("key-{round}-{number}")).await;
            assert_eq!(value.as_deref(), Some(&b"right"[..]), "key-{round}-{number}");
        }
    }
}

/// Promise: rot is found while the truth is still in memory, within a minute for each segment, and mended; nothing of it is ever
/// served, and a start afterwards finds whole files.
#[tokio::test(start_paused = true)]
async fn rot_at_rest_is_mended_while_the_member_serves() {
    let world = World::new(3);
    let (leader, victim) = with_checkpoints(&world).await;
    let disk = world.disk(victim);
    let before = segments(disk);
    assert!(before.len() >= 2, "{before:?}");
    let rotten = before.first().unwrap().clone();
    rot(disk, &rotten);
    let start = Keeper::open(Arc::new(disk.copy()), Options::deterministic());
    assert!(start.is_err(), "a start would have met it");

    let rounds = u64::try_from(before.len()).unwrap() + 3;
    for _ in 0..rounds {
        check_content(&world, victim).await;
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
    assert!(
        !segments(disk).contains(&rotten),
        "nobody names the rotten file any more"
    );
    assert_eq!(damages(disk), 0);

    world.crash(victim).await;
    world.start(victim).await;
    world.leader().await;
    check_content(&world, victim).await;
    world.member(leader).propose(put("after", "x")).await.unwrap();
}

/// Promise: a start on a rotten segment goes back to the manifest before and the log, and serves what is right.
#[tokio::test(start_paused = true)]
async fn a_start_does_not_serve_rot() {
    let world = World::new(3);
    let (_, victim) = with_checkpoints(&world).await;
    let disk = world.disk(victim);
    let newest = segments(disk).last().unwrap().clone();
    world.crash(victim).await;
    rot(disk, &newest);
    assert_eq!(damages(disk), 1);
    world.start(victim).await;
    world.leader().await;
    check_content(&world, victim).await;
}

/// Promise: where both manifests need what is rotten, a start says so and serves nothing.
#[tokio::test(start_paused = true)]
async fn a_start_without_a_whole_manifest_is_refused() {
    let world = World::new(3);
    let (_, victim) = with_checkpoints(&world).await;
    let disk = world.disk(victim);
    let oldest = segments(disk).first().unwrap().clone();
    world.crash(victim).await;
    rot(disk, &oldest);
    let opened = Keeper::open(Arc::new(disk.copy()), Options::deterministic());
    match opened.map(|_| ()) {
        Err(KeeperError::NothingValid(damages)) => {
            let told = KeeperError::NothingValid(damages).to_string();
            assert!(told.contains(&oldest), "{told}");
        }
        other => panic!("{other:?}"),
    }
}
