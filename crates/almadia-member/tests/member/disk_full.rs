//! A full disk: puts are refused before anything breaks, the rest goes on, and room is all it takes to go on.
//!
//! The volumes are tiny, so that a few hundred writes fill them; time is virtual, so waiting costs nothing.

use crate::world::{World, get, put};
use almadia_command::{Command, DeleteRange, Kind};
use almadia_disk::Disk;
use almadia_member::{Member, ProposeError};
use bytes::Bytes;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

fn delete(key: &str) -> Command {
    Kind::DeleteRange(DeleteRange {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..DeleteRange::default()
    })
    .into()
}

/// Text that does not compress: segments are compressed, and a volume must get full.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 57) as u8 % 90)
    };
    (0..bytes).map(|_| next()).collect()
}

/// Puts values of 64 KiB until they are refused; how many were not.
async fn fill(member: &Member, round: &str) -> usize {
    for number in 0..10_000 {
        let value = noise(number as u64, 64 * 1024);
        match member.propose(put(&format!("{round}-{number}"), &value)).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(ProposeError::NoSpace) => return number,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the volume does not get full");
}

async fn accepted_within(member: &Member, command: Command, limit: Duration) {
    let attempt = async {
        while member.propose(command.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, attempt)
        .await
        .expect("accepted again by itself");
}

/// Promise: with a full disk puts say so, reads and deletes go on, and nothing has to be restarted. The world panics
/// when the log's writer fails.
#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_puts_and_nothing_else() {
    for capacity in [40 * MIB, 100 * MIB] {
        let world = World::new(1);
        let id = world.ids()[0];
        world.disk(id).set_capacity(capacity);
        let member = world.start(id).await;
        world.leader().await;
        let count = fill(&member, "a").await;
        assert!(count > 20, "{count} values of 64 KiB on {capacity} bytes");
        for number in 0..100 {
            assert!(get(&member, &format!("a-{}", number % count)).await.is_some());
            let deleted = member.propose(delete(&format!("b-{number}"))).await;
            assert!(
                deleted.is_ok(),
                "delete {number} on {capacity} bytes: {deleted:?}"
            );
        }
        member.propose(delete("a-0")).await.unwrap();
        assert_eq!(get(&member, "a-0").await, None);
        // Long enough for checkpoints, purges and many attempts at spares.
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert!(get(&member, "a-1").await.is_some());

        world.disk(id).set_capacity(2 * capacity + 40 * MIB);
        accepted_within(&member, put("c", "there is room"), Duration::from_secs(2)).await;
        assert_eq!(get(&member, "c").await.as_deref(), Some(&b"there is room"[..]));
        assert!(fill(&member, "d").await > count);
    }
}

/// Promise: not even a volume that somebody else fills to the last byte stops a member.
#[tokio::test(start_paused = true)]
async fn a_volume_without_a_byte_left_does_not_stop_a_member() {
    let world = World::new(1);
    let id = world.ids()[0];
    let member = world.start(id).await;
    world.leader().await;
    member.propose(put("before", "1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let space = world.disk(id).space().unwrap();
    world.disk(id).set_capacity(space.total_bytes - space.free_bytes);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for number in 0..2000 {
        let refused = member.propose(put("during", "2")).await.unwrap_err();
        assert!(matches!(refused, ProposeError::NoSpace), "{refused}");
        // Deletes go on as long as the log can: its spares last, and then it says so.
        match member.propose(delete(&format!("gone-{number}"))).await {
            Ok(_) | Err(ProposeError::NoSpace) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(other) => panic!("{other}"),
        }
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(get(&member, "before").await.is_some());
    world.disk(id).set_capacity(u64::MAX);
    accepted_within(&member, put("after", "3"), Duration::from_secs(2)).await;
}

/// Waits, in virtual time, until `holds`.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .unwrap_or_else(|_| panic!("{what} within a minute"));
}

/// Promise: a disk that is full at a follower alone costs the cluster nothing but that follower's vote. The others go on;
/// it acknowledges nothing that it has not synced, refuses what it is asked to store, and with room it catches up by
/// itself. The world panics when a log's writer fails.
#[tokio::test(start_paused = true)]
async fn a_full_disk_at_a_follower_stops_nobody() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let follower = world.ids().into_iter().find(|id| *id != leader).unwrap();
    let (leading, full) = (world.member(leader), world.member(follower));
    leading.propose(put("before", "1")).await.unwrap();
    get(&full, "before").await.unwrap();
    // Somebody else fills the volume to the last byte.
    let disk = world.disk(follower);
    let space = disk.space().unwrap();
    disk.set_capacity(space.total_bytes - space.free_bytes);
    let mut written = 0;
    while !full.log_waits_for_room() {
        let value = noise(written, 64 * 1024);
        leading
            .propose(put(&format!("during-{written}"), &value))
            .await
            .unwrap();
        written += 1;
        assert!(written < 2_000, "the follower's log never gets full");
    }
    let refused = full.propose(put("refused", "2")).await.unwrap_err();
    assert!(matches!(refused, ProposeError::NoSpace), "{refused}");

    // A long time later the others still go on, and the follower still answers what it can.
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(world.leader().await, leader, "nobody stood for election");
    for number in 0..20 {
        leading
            .propose(put(&format!("later-{number}"), "3"))
            .await
            .unwrap();
    }
    assert!(full.log_waits_for_room() && full.view().get(b"before").is_some());

    // What a loss of power now leaves of its disk has everything that it ever acknowledged: it starts and catches up.
    let after = disk.after_power_loss(almadia_disk::Loss::DropUnsynced);
    let (wal, ..) = almadia_wal::Wal::open(
        std::sync::Arc::new(after),
        almadia_wal::Options::new(Box::new(|| 77), Box::new(|error| panic!("{error}"))),
    )
    .unwrap();
    let (synced, asked) = (wal.last().unwrap().index, full.status().last_log);
    assert!(synced < asked, "{synced} of {asked} are on the disk");

    disk.set_capacity(u64::MAX);
    until("the log goes on", || !full.log_waits_for_room()).await;
    let revision = leading.view().revision();
    until("the follower has it all", || full.view().revision() >= revision).await;
    assert_eq!(get(&full, "later-19").await.as_deref(), Some(&b"3"[..]));
    accepted_within(&full, put("after", "4"), Duration::from_secs(2)).await;

    // It is a full member again: with it alone the leader has a majority.
    let other = world
        .ids()
        .into_iter()
        .find(|id| ![leader, follower].contains(id))
        .unwrap();
    world.crash(other).await;
    accepted_within(&leading, put("with-two", "5"), Duration::from_secs(10)).await;
}

/// Promise: a follower whose disk is full never makes a majority: what only it and the leader could hold is not acknowledged
/// before there is room.
#[tokio::test(start_paused = true)]
async fn a_follower_without_room_makes_no_majority() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let follower = world.ids().into_iter().find(|id| *id != leader).unwrap();
    let other = world
        .ids()
        .into_iter()
        .find(|id| ![leader, follower].contains(id))
        .unwrap();
    let (leading, full) = (world.member(leader), world.member(follower));
    let disk = world.disk(follower);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let space = disk.space().unwrap();
    disk.set_capacity(space.total_bytes - space.free_bytes);
    let mut written = 0;
    while !full.log_waits_for_room() {
        let value = noise(written, 64 * 1024);
        leading
            .propose(put(&format!("during-{written}"), &value))
            .await
            .unwrap();
        written += 1;
        assert!(written < 2_000, "the follower's log never gets full");
    }
    world.crash(other).await;
    let unknown = leading.propose(put("alone", "1")).await.unwrap_err();
    assert!(!matches!(unknown, ProposeError::NoSpace), "{unknown}");
    assert_eq!(leading.view().get(b"alone"), None);

    disk.set_capacity(u64::MAX);
    accepted_within(&leading, put("together", "2"), Duration::from_secs(20)).await;
    for member in [&leading, &full] {
        assert_eq!(get(member, "together").await.as_deref(), Some(&b"2"[..]));
        assert_eq!(
            get(member, &format!("during-{}", written - 1))
                .await
                .map(|value| value.len()),
            Some(64 * 1024)
        );
    }
}
