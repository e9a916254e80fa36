//! Bounds on memory and on live data: what stores is refused before anything breaks, the rest goes on, and room is all it takes
//! to go on.

use crate::world::{World, get, put};
use almadia_command::{Command, Compact, DeleteRange, Kind, LeaseGrant, MemberId};
use almadia_member::{Limits, Member, MemoryBudget, ProposeError};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

fn delete(key: &str) -> Command {
    Kind::DeleteRange(DeleteRange {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..DeleteRange::default()
    })
    .into()
}

fn compact(revision: i64) -> Command {
    let physical = false;
    Kind::Compact(Compact { revision, physical }).into()
}

fn grant() -> Command {
    Kind::LeaseGrant(LeaseGrant { id: 7, ttl: 60 }).into()
}

/// Nothing that stores gets in, and everything else does.
async fn check_closed(member: &Member, number: u32) {
    for command in [put("more", "x"), grant()] {
        let refused = member.propose(command).await.unwrap_err();
        assert!(matches!(refused, ProposeError::NoSpace), "{refused}");
    }
    assert!(
        member.status().no_space,
        "a status and the list of alarms show it"
    );
    member.propose(delete(&format!("key-{number}"))).await.unwrap();
    assert_eq!(get(member, &format!("key-{number}")).await, None);
    member.propose(compact(member.view().revision().0)).await.unwrap();
}

/// Puts until it is refused; how many were not.
async fn fill(member: &Member) -> u32 {
    for number in 0..10_000 {
        let value = "v".repeat(1000);
        match member.propose(put(&format!("key-{number}"), &value)).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(ProposeError::NoSpace) => return number,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the limit is never reached");
}

async fn accepted(member: &Member, command: Command) {
    let attempt = async {
        while member.propose(command.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(2);
    tokio::time::timeout(limit, attempt)
        .await
        .expect("accepted again by itself");
}

async fn led_by_the_first(world: &World) -> (MemberId, Member) {
    let id = world.ids()[0];
    let member = world.start(id).await;
    world.leader().await;
    (id, member)
}

/// Promise (B1.20): the quota counts live data, closes and opens by itself, and is off unless set.
#[tokio::test(start_paused = true)]
async fn a_quota_counts_what_lives() {
    let world = World::new(1);
    world.limit(
        world.ids()[0],
        Limits {
            live_bytes_max: Some(MIB),
            ..Limits::default()
        },
    );
    let (id, member) = led_by_the_first(&world).await;
    // Overwriting the same key leaves history, which does not count.
    for _ in 0..2_000 {
        member.propose(put("key-0", &"v".repeat(1000))).await.unwrap();
    }
    assert!(member.view().sizes().bytes > MIB && !member.status().no_space);
    let count = fill(&member).await;
    assert!(
        (1_000..1_300).contains(&count),
        "{count} values of 1000 bytes in a MiB"
    );
    check_closed(&member, 0).await;
    for number in 1..100 {
        member.propose(delete(&format!("key-{number}"))).await.unwrap();
    }
    accepted(&member, put("more", "x")).await;
    assert!(!member.status().no_space);

    world.crash(id).await;
    let member = world.start(id).await;
    world.leader().await;
    for number in 0..300 {
        accepted(&member, put(&format!("more-{number}"), &"v".repeat(1000))).await;
    }
    assert!(member.view().sizes().live_bytes > MIB, "off unless set");
}

/// Promise: before memory runs out writes are refused with etcd's "no space", reads and deletions go on, and writes are
/// accepted again as soon as there is memory.
#[tokio::test(start_paused = true)]
async fn full_memory_refuses_writes_until_there_is_room() {
    let world = World::new(1);
    let used = Arc::new(AtomicU64::new(50 * MIB));
    let tell = used.clone();
    world.limit(
        world.ids()[0],
        Limits {
            memory: Some(MemoryBudget {
                bytes_max: 100 * MIB,
                used: Box::new(move || Some(tell.load(Ordering::Relaxed))),
            }),
            ..Limits::default()
        },
    );
    let (_, member) = led_by_the_first(&world).await;
    accepted(&member, put("key-0", "x")).await;
    used.store(84 * MIB, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    accepted(&member, put("key-1", "x")).await;
    used.store(86 * MIB, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    check_closed(&member, 0).await;
    assert!(get(&member, "key-1").await.is_some());
    used.store(70 * MIB, Ordering::Relaxed);
    accepted(&member, put("key-2", "x")).await;
}
