//! Clusters of members in one process: what BRIEF's M1 promises, below the sockets.

use crate::world::{World, get, put};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A value written through any member is read through any other (M1.1, M1.4).
#[tokio::test(start_paused = true)]
async fn any_member_takes_writes_and_reads() {
    let world = World::new(3);
    world.start_all().await;
    let ids = world.ids();
    for (number, writer) in ids.iter().enumerate() {
        let key = format!("key-{number}");
        let applied = world
            .member(*writer)
            .propose(put(&key, "value"))
            .await
            .expect("a put is carried out");
        assert!(applied.outcome.result.is_ok());
        for reader in &ids {
            assert_eq!(
                get(&world.member(*reader), &key).await.as_deref(),
                Some(b"value".as_slice())
            );
        }
    }
}

/// Whoever waits for a member's end is not woken by what it does meanwhile, and hears of the end.
#[tokio::test(start_paused = true)]
async fn waiting_for_the_end_costs_nothing() {
    let world = World::new(1);
    world.start_all().await;
    let member = world.member(world.ids()[0]);
    member.propose(put("k", "v")).await.expect("a put is carried out");
    let polls = Arc::new(AtomicU64::new(0));
    let waiting = {
        let (member, polls) = (member.clone(), polls.clone());
        tokio::spawn(async move {
            let mut ended = pin!(member.ended());
            poll_fn(|context| {
                polls.fetch_add(1, Ordering::Relaxed);
                ended.as_mut().poll(context)
            })
            .await
        })
    };
    for number in 0..100 {
        let command = put("k", &number.to_string());
        member.propose(command).await.expect("a put is carried out");
    }
    let woken = polls.load(Ordering::Relaxed);
    assert!(woken <= 2, "woken {woken} times by 100 writes");
    member.shutdown().await;
    let ended = waiting.await.expect("waiting does not panic");
    assert!(ended.to_string().contains("stopped"), "{ended}");
}

/// A member alone is a cluster.
#[tokio::test(start_paused = true)]
async fn one_member_alone() {
    let world = World::new(1);
    world.start_all().await;
    let member = world.member(world.ids()[0]);
    member.propose(put("k", "v")).await.expect("a put is carried out");
    assert_eq!(get(&member, "k").await.as_deref(), Some(b"v".as_slice()));
}

/// The leader dies in the middle of writes; no caller at the others sees an error, nothing is done twice or lost
/// (M1.4, M1.6, M1.7).
#[tokio::test(start_paused = true)]
async fn writers_at_followers_do_not_notice_that_the_leader_died() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let followers: Vec<_> = world.ids().into_iter().filter(|id| *id != leader).collect();
    let mut writers = tokio::task::JoinSet::new();
    for follower in followers {
        let member = world.member(follower);
        writers.spawn(async move {
            let mut versions = Vec::new();
            for number in 0..150 {
                let command = put(&format!("counter-{follower}"), &number.to_string());
                let applied = member
                    .propose(command)
                    .await
                    .expect("no error while a majority is up");
                versions.push(applied.outcome.revision);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (member, follower, versions)
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.crash(leader).await;
    while let Some(done) = writers.join_next().await {
        let (member, follower, versions) = done.unwrap();
        assert!(versions.is_sorted(), "revisions never go back");
        member.read_barrier().await.unwrap();
        let range = almadia_command::Range {
            key: format!("counter-{follower}").into_bytes().into(),
            ..almadia_command::Range::default()
        };
        let record = member.view().range(&range).unwrap().records.remove(0);
        assert_eq!(record.version(), 150, "every put was carried out exactly once");
    }
}

/// What was acknowledged is there after all have died at once and come back (M1.6).
#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_when_all_die() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    for number in 0..50 {
        let command = put(&format!("key-{number}"), "value");
        world
            .member(leader)
            .propose(command)
            .await
            .expect("a put is carried out");
    }
    let term = world.member(leader).term();
    for id in world.ids() {
        world.crash(id).await;
    }
    world.start_all().await;
    let leader = world.leader().await;
    for number in 0..50 {
        let found = get(&world.member(leader), &format!("key-{number}")).await;
        assert_eq!(found.as_deref(), Some(b"value".as_slice()), "key-{number}");
    }
    assert!(world.member(leader).term() > term);
}

/// A leader that is cut off confirms no read and carries out no write; healed, it follows and has everything.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_serves_nothing_stale() {
    let world = World::new(3);
    world.start_all().await;
    let old = world.leader().await;
    world
        .member(old)
        .propose(put("k", "old"))
        .await
        .expect("a put is carried out");
    world.isolate(old, true);
    let cut_off = world.member(old);
    let read = tokio::spawn(async move { cut_off.read_barrier().await });
    let other = world.ids().into_iter().find(|id| *id != old).unwrap();
    world
        .member(other)
        .propose(put("k", "new"))
        .await
        .expect("the majority goes on");
    assert!(
        read.await.unwrap().is_err(),
        "a read at a leader without a majority is not confirmed"
    );
    world.isolate(old, false);
    assert_eq!(
        get(&world.member(old), "k").await.as_deref(),
        Some(b"new".as_slice())
    );
}

/// A follower that restarts within a term draws new tickets, perhaps lower ones: its writes must not be taken for old ones
/// that were sent again (found by review; before, they were dropped in silence).
#[tokio::test(start_paused = true)]
async fn a_follower_that_restarted_within_the_term_writes_at_once() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let follower = world.ids().into_iter().find(|id| *id != leader).unwrap();
    let term = world.member(leader).term();
    for number in 0..3 {
        let member = world.member(follower);
        let write = member.propose(put("k", &number.to_string()));
        let applied = tokio::time::timeout(Duration::from_secs(2), write)
            .await
            .expect("a write takes no time-out");
        applied.expect("a put is carried out");
        world.crash(follower).await;
        world.start(follower).await;
    }
    assert_eq!(world.member(leader).term(), term, "no election had to help");
}

/// A follower that missed more than the leader kept gets a snapshot.
#[tokio::test(start_paused = true)]
async fn a_follower_far_behind_takes_a_snapshot() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let late = world.ids().into_iter().find(|id| *id != leader).unwrap();
    world.crash(late).await;
    let member = world.member(leader);
    for number in 0..300 {
        member
            .propose(put(&format!("key-{number}"), "value"))
            .await
            .expect("a put is carried out");
    }
    member
        .checkpoint_and_purge_all()
        .await
        .expect("a checkpoint is made");
    let late = world.start(late).await;
    assert_eq!(get(&late, "key-299").await.as_deref(), Some(b"value".as_slice()));
    assert_eq!(late.view().revision(), member.view().revision());
}

/// A graceful stop hands leadership over (M5.3).
#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over() {
    let world = World::new(3);
    world.start_all().await;
    let old = world.leader().await;
    world
        .member(old)
        .propose(put("k", "v"))
        .await
        .expect("a put is carried out");
    let begun = tokio::time::Instant::now();
    world.member(old).shutdown().await;
    world.crash(old).await;
    let new = world.leader().await;
    assert_ne!(old, new);
    assert!(
        begun.elapsed() < Duration::from_millis(600),
        "took {:?}: no election timeout had to pass",
        begun.elapsed()
    );
}
