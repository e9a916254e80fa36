//! Leases on clusters in one process, in virtual time: what the surface promises of them (B3.3, B3.4, B3.6, B3.7, B0.16) and
//! what went wrong elsewhere (known failures 19, 20, 21).

use crate::world::{World, get};
use almadia_command::{
    Command, Kind, LeaseCheckpoint, LeaseGrant, LeaseId, LeaseRemaining, LeaseRevoke, MemberId, Put,
};
use almadia_member::Member;
use almadia_store::Refusal;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

async fn carry_out(member: &Member, kind: Kind) {
    let applied = member
        .propose(Command::from(kind))
        .await
        .expect("it is carried out");
    applied.outcome.result.expect("it is not refused");
}

async fn grant(member: &Member, id: i64, ttl: i64) {
    carry_out(member, Kind::LeaseGrant(LeaseGrant { id, ttl })).await;
}

async fn put_on(member: &Member, key: &str, lease: i64) {
    let put = Put {
        key: key.as_bytes().to_vec().into(),
        lease,
        ..Put::default()
    };
    carry_out(member, Kind::Put(put)).await;
}

async fn three() -> (World, MemberId, Vec<MemberId>) {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let followers = world.ids().into_iter().filter(|id| *id != leader).collect();
    (world, leader, followers)
}

/// Looks every 20 ms until the key is gone; how long that took since `begun`.
async fn gone_after(member: &Member, key: &str, begun: Instant) -> Duration {
    while get(member, key).await.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

/// B3.6, B0.16: the keys go when the time is over, not before and not much later, in one revision, on every member.
#[tokio::test(start_paused = true)]
async fn keys_go_with_their_lease() {
    let (world, _, followers) = three().await;
    let member = world.member(followers[0]);
    let begun = Instant::now();
    grant(&member, 7, 5).await;
    for key in ["b", "a", "c"] {
        put_on(&member, key, 7).await;
    }
    let before = member.view().revision();
    let after = gone_after(&world.member(followers[1]), "a", begun).await;
    assert!((5 * SECOND..6 * SECOND).contains(&after), "{after:?}");
    for id in world.ids() {
        let member = world.member(id);
        assert_eq!(get(&member, "c").await, None);
        let view = member.view();
        assert_eq!(view.revision().0, before.0 + 1, "all keys go in one revision");
        assert!(view.leases().is_empty());
        let buried: Vec<&[u8]> = view.records_after(before).map(|record| record.key()).collect();
        assert_eq!(buried, [b"a", b"b", b"c"], "in key order");
    }
}

/// B3.3: kept alive through a follower the lease lives on, without a single log entry; then it ends in its time.
#[tokio::test(start_paused = true)]
async fn keepalives_through_followers_cost_no_entries() {
    let (world, _, followers) = three().await;
    let (one, other) = (world.member(followers[0]), world.member(followers[1]));
    grant(&one, 7, 3).await;
    put_on(&one, "k", 7).await;
    assert_eq!(
        other.keep_lease_alive(LeaseId(8)).await,
        Ok(0),
        "there is no such lease"
    );
    let last = one.status().last_log;
    for round in 0..60 {
        let member = [&one, &other][round % 2];
        assert_eq!(member.keep_lease_alive(LeaseId(7)).await, Ok(3));
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(one.status().last_log, last);
    let kept = Instant::now() - SECOND;
    let after = gone_after(&one, "k", kept).await;
    assert!(
        (3 * SECOND - Duration::from_millis(50)..4 * SECOND).contains(&after),
        "{after:?}"
    );
    assert_eq!(one.keep_lease_alive(LeaseId(7)).await, Ok(0));
}

/// B3.3: a lease is known to the leader as soon as its grant was acknowledged anywhere.
#[tokio::test(start_paused = true)]
async fn a_lease_just_granted_can_be_kept_alive_anywhere() {
    let (world, _, _) = three().await;
    for (number, id) in world.ids().into_iter().enumerate() {
        let lease = number as i64 + 1;
        grant(&world.member(id), lease, 10).await;
        for other in world.ids() {
            assert_eq!(world.member(other).keep_lease_alive(LeaseId(lease)).await, Ok(10));
        }
    }
}

/// B3.4, B3.5: every member tells the same of what is left, and lists leases by their end.
#[tokio::test(start_paused = true)]
async fn what_is_left_is_told_by_every_member() {
    let (world, leader, _) = three().await;
    let member = world.member(leader);
    for (id, ttl) in [(1, 300), (2, 100), (3, 200)] {
        grant(&member, id, ttl).await;
    }
    tokio::time::sleep(10 * SECOND).await;
    for id in world.ids() {
        let member = world.member(id);
        let left = member.lease_time_left(LeaseId(2)).await.unwrap().unwrap();
        assert_eq!(left.granted, 100);
        assert!((89 * SECOND..90 * SECOND).contains(&left.left), "{:?}", left.left);
        assert_eq!(member.lease_time_left(LeaseId(9)).await, Ok(None));
        let leases = member.leases_by_expiry().await.unwrap();
        assert_eq!(leases, [LeaseId(2), LeaseId(3), LeaseId(1)]);
    }
    member.keep_lease_alive(LeaseId(2)).await.unwrap();
    tokio::time::sleep(195 * SECOND).await;
    assert_eq!(member.leases_by_expiry().await.unwrap(), [LeaseId(1)]);
}

/// Known failure 20 (etcd#17132, #9395, #13294, #20273): leaders that change more often than the lease's time do not make it
/// live for ever. Each adds a tenth of its time, and the while that nobody leads; the first also up to half of it.
#[tokio::test(start_paused = true)]
async fn a_lease_ends_through_any_number_of_leaders() {
    let (world, _, _) = three().await;
    let begun = Instant::now();
    grant(&world.member(world.ids()[0]), 7, 60).await;
    put_on(&world.member(world.ids()[0]), "k", 7).await;
    let (mut changes, mut next) = (0, begun + 13 * SECOND);
    let ended = loop {
        let leader = world.leader().await;
        if get(&world.member(leader), "k").await.is_none() {
            break begun.elapsed();
        }
        if Instant::now() >= next {
            world.crash(leader).await;
            changes += 1;
            next += 13 * SECOND;
            world.leader().await;
            world.start(leader).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(changes >= 5, "{changes}");
    let leaderless = 3 * SECOND;
    let bound = 60 * SECOND + 30 * SECOND + changes * (6 * SECOND + leaderless);
    assert!(
        (60 * SECOND..bound).contains(&ended),
        "{ended:?} after {changes} changes, bound {bound:?}"
    );
}

/// B3.7: a lease that is kept alive lives through any number of leaders, and the log never says that it has less than its
/// whole time when a renewal was answered.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_kept_alive_lives_through_any_number_of_leaders() {
    let (world, _, _) = three().await;
    grant(&world.member(world.ids()[0]), 7, 12).await;
    put_on(&world.member(world.ids()[0]), "k", 7).await;
    for round in 0..6_usize {
        let leader = world.leader().await;
        world.crash(leader).await;
        let up: Vec<MemberId> = world.ids().into_iter().filter(|id| *id != leader).collect();
        for beat in 0..4 {
            let member = world.member(up[(round + beat) % up.len()]);
            assert_eq!(member.keep_lease_alive(LeaseId(7)).await, Ok(12));
            let leader = world.member(world.leader().await);
            assert_eq!(leader.view().leases().get(LeaseId(7)).unwrap().remaining_ms, 0);
            tokio::time::sleep(4 * SECOND).await;
        }
        world.start(leader).await;
    }
    let member = world.member(world.ids()[0]);
    assert!(get(&member, "k").await.is_some());
}

/// Known failure 19 (etcd#15247, #12528): a leader that was cut off counts on, but ends no lease that is kept alive at its
/// successor; not while it is cut off, not when it comes back.
#[tokio::test(start_paused = true)]
async fn a_former_leader_ends_no_lease() {
    let (world, old, followers) = three().await;
    grant(&world.member(old), 7, 4).await;
    put_on(&world.member(old), "k", 7).await;
    let old_term = world.member(old).term();
    world.isolate(old, true);
    for _ in 0..20 {
        for follower in &followers {
            assert_eq!(world.member(*follower).keep_lease_alive(LeaseId(7)).await, Ok(4));
        }
        tokio::time::sleep(SECOND).await;
    }
    world.isolate(old, false);
    for _ in 0..10 {
        for id in world.ids() {
            assert_eq!(world.member(id).keep_lease_alive(LeaseId(7)).await, Ok(4));
            assert!(get(&world.member(id), "k").await.is_some());
        }
        tokio::time::sleep(SECOND).await;
    }
    // And if its word were to reach the log after all, it would not count.
    let stale = [
        Kind::LeaseRevoke(LeaseRevoke {
            id: 7,
            expired_in_term: old_term.0,
        }),
        Kind::LeaseCheckpoint(LeaseCheckpoint {
            leases: vec![LeaseRemaining {
                id: 7,
                remaining_ms: 1,
            }],
            term: old_term.0,
        }),
    ];
    for kind in stale {
        let applied = world.member(old).propose(kind.into()).await.unwrap();
        assert_eq!(applied.outcome.result, Err(Refusal::StaleTerm));
    }
    assert_eq!(world.member(old).keep_lease_alive(LeaseId(7)).await, Ok(4));
}

/// Puts one after the other until `until`; the worst of all but one in a hundred.
async fn put_p99(member: Member, until: Instant) -> Duration {
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        put_on(&member, "client", 0).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    assert!(times.len() > 100, "{}", times.len());
    times[times.len() * 99 / 100]
}

async fn side_by_side(member: &Member, count: i64, ttl: i64) {
    let mut under_way = JoinSet::new();
    for lease in 1..=count {
        let member = member.clone();
        under_way.spawn(async move {
            grant(&member, lease, ttl).await;
            put_on(&member, &format!("key-{lease:05}"), lease).await;
        });
        if lease % 1000 == 0 {
            while under_way.join_next().await.is_some() {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// B3.6: ten thousand leases that expire together are gone within a second or so, and clients' puts go on meanwhile.
#[tokio::test(start_paused = true)]
async fn ten_thousand_leases_expire_together() {
    let (world, leader, followers) = three().await;
    let client = world.member(followers[0]);
    let usual = put_p99(client.clone(), Instant::now() + SECOND).await;
    side_by_side(&client, 10_000, 60).await;
    let deadline = Instant::now() + 60 * SECOND;
    assert_eq!(world.member(leader).view().leases().len(), 10_000);
    tokio::time::sleep_until(deadline - 2 * SECOND).await;
    // Together: renewed at one moment.
    let mut renewals = JoinSet::new();
    for lease in 1..=10_000 {
        let client = client.clone();
        renewals.spawn(async move { client.keep_lease_alive(LeaseId(lease)).await });
    }
    while let Some(kept) = renewals.join_next().await {
        assert_eq!(kept.unwrap(), Ok(60));
    }
    let renewed = Instant::now();
    tokio::time::sleep_until(renewed + 59 * SECOND).await;
    assert_eq!(client.view().leases().len(), 10_000, "none ends early");
    let busy = tokio::spawn(put_p99(client.clone(), renewed + 62 * SECOND));
    while !client.view().leases().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = renewed.elapsed() - 60 * SECOND;
    assert!(took < 2 * SECOND, "{took:?}");
    assert_eq!(client.view().sizes().keys, 1, "only the client's own key is left");
    let busy = busy.await.unwrap();
    assert!(busy <= usual * 3, "{busy:?} while they expired, {usual:?} before");
    println!("10,000 leases gone {took:?} after their time; put p99 {busy:?}, before {usual:?}");
}

/// Leases and what hangs on them are in checkpoints and snapshots (B3.7).
#[tokio::test(start_paused = true)]
async fn leases_survive_restarts_and_snapshots() {
    let (world, leader, followers) = three().await;
    world.crash(followers[0]).await;
    let member = world.member(leader);
    grant(&member, 7, 1000).await;
    for key in ["a", "b"] {
        put_on(&member, key, 7).await;
    }
    put_on(&member, "b", 0).await;
    member.checkpoint_and_purge_all().await.unwrap();
    let late = world.start(followers[0]).await;
    assert!(get(&late, "a").await.is_some());
    let keys: Vec<Vec<u8>> = late
        .view()
        .leases()
        .keys(LeaseId(7))
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(keys, [b"a".to_vec()]);
    for id in world.ids() {
        world.crash(id).await;
    }
    world.start_all().await;
    let member = world.member(world.leader().await);
    assert_eq!(member.keep_lease_alive(LeaseId(7)).await, Ok(1000));
    carry_out(
        &member,
        Kind::LeaseRevoke(LeaseRevoke {
            id: 7,
            expired_in_term: 0,
        }),
    )
    .await;
    for id in world.ids() {
        assert_eq!(get(&world.member(id), "a").await, None);
        assert!(get(&world.member(id), "b").await.is_some(), "it hangs on nothing");
    }
}

/// Ids that members draw are positive and unlike each other, also for the same member after a restart.
#[tokio::test(start_paused = true)]
async fn drawn_ids_differ() {
    let (world, leader, _) = three().await;
    let mut drawn = Vec::new();
    for id in world.ids() {
        let member = world.member(id);
        drawn.extend((0..1000).map(|_| member.draw_lease_id().0));
    }
    world.crash(leader).await;
    let member = world.start(leader).await;
    drawn.extend((0..1000).map(|_| member.draw_lease_id().0));
    assert!(drawn.iter().all(|id| *id > 0));
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 4000);
}
