//! The leader's lease of time, on clusters in one process and in virtual time: as long as a leader renews leases on its own
//! word, nobody else leads; and when it does not, it asks the others.

use crate::world::World;
use almadia_command::{Kind, LeaseGrant, LeaseId, LeaseRevoke, MemberId, Term};
use almadia_member::Member;
use std::time::Duration;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// Longer than the used part of a lease, with the settings of this world.
const LEASE: Duration = Duration::from_millis(600);

async fn grant(member: &Member, id: i64, ttl: i64) {
    let granted = member
        .propose(Kind::LeaseGrant(LeaseGrant { id, ttl }).into())
        .await;
    granted.unwrap().outcome.result.unwrap();
}

/// A world of three with lease 7, and its leader and followers.
async fn three() -> (World, MemberId, [MemberId; 2]) {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let followers: Vec<MemberId> = world.ids().into_iter().filter(|id| *id != leader).collect();
    grant(&world.member(leader), 7, 3600).await;
    (world, leader, [followers[0], followers[1]])
}

/// Whether the member renews on its own word now. If so, nobody leads a later term: that is the promise.
fn renews(world: &World, id: MemberId, up: &[MemberId]) -> bool {
    let member = world.member(id);
    let Some(ttl) = member.renew_lease_at_once(LeaseId(7)) else {
        return false;
    };
    assert_eq!(ttl, 3600);
    let term = member.term();
    for other in up.iter().filter(|other| **other != id) {
        let standing = *world.member(*other).standing().borrow();
        assert!(
            !(standing.leading && standing.term > term),
            "{other} leads term {:?} while {id} renews on its own word in {term:?}",
            standing.term
        );
    }
    true
}

/// Looks each millisecond; how often each of these renewed on its own word.
async fn watch(world: &World, up: &[MemberId], time: Duration) -> Vec<u32> {
    let mut counts = vec![0; up.len()];
    let end = Instant::now() + time;
    while Instant::now() < end {
        for (count, id) in counts.iter_mut().zip(up) {
            *count += u32::from(renews(world, *id, up));
        }
        tokio::time::sleep(MS).await;
    }
    counts
}

/// With nothing wrong the leader renews on its own word all the time, and nobody else ever does.
#[tokio::test(start_paused = true)]
async fn a_leader_with_a_majority_asks_nobody() {
    let (world, leader, _) = three().await;
    tokio::time::sleep(LEASE).await;
    let ids = world.ids();
    let counts = watch(&world, &ids, Duration::from_secs(5)).await;
    for (id, count) in ids.iter().zip(&counts) {
        assert_eq!(*count > 4990, *id == leader, "{counts:?}");
        assert_eq!(*count == 0, *id != leader, "{counts:?}");
    }
}

/// A leader that is cut off stops before the others may elect, whenever in its heartbeats that was.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_in_time() {
    let (world, _, _) = three().await;
    let ids = world.ids();
    for round in 0..20 {
        let leader = world.leader().await;
        tokio::time::sleep(LEASE + round * 7 * MS).await;
        assert!(renews(&world, leader, &ids));
        world.isolate(leader, true);
        let counts = watch(&world, &ids, LEASE * 4).await;
        let own = counts[ids.iter().position(|id| *id == leader).unwrap()];
        assert!(own < 300, "half a lease at most: {own}");
        assert_ne!(world.leader().await, leader, "another leads");
        let member = world.member(leader);
        let kept = member.keep_lease_alive(LeaseId(7));
        let asked = tokio::time::timeout(Duration::from_secs(2), kept).await;
        assert!(
            asked.is_err(),
            "it has nobody to ask, and says nothing: {asked:?}"
        );
        world.isolate(leader, false);
    }
}

/// Leadership that is handed over: the old leader stops before the new one begins, though followers would have waited.
#[tokio::test(start_paused = true)]
async fn who_hands_over_stops_before_the_next_begins() {
    let (world, _, _) = three().await;
    let ids = world.ids();
    for round in 0..30 {
        let leader = world.leader().await;
        tokio::time::sleep(LEASE + round * 3 * MS).await;
        assert!(renews(&world, leader, &ids));
        let heir = *ids.iter().find(|id| **id != leader).unwrap();
        let member = world.member(leader);
        let moving = tokio::spawn(async move { member.move_leader(heir).await });
        while !moving.is_finished() {
            // Often within a millisecond: most of a hand-over takes no time in this world.
            for _ in 0..50 {
                for id in &ids {
                    renews(&world, *id, &ids);
                }
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(MS).await;
        }
        moving.await.unwrap().unwrap();
        watch(&world, &ids, LEASE).await;
    }
}

/// A follower that restarts has forgotten that it answered the leader a moment ago, and what that leader may rely on. Here it is
/// the only one whose answers the leader has: the other is cut off from the leader and asks for votes all the time.
#[tokio::test(start_paused = true)]
async fn a_follower_that_restarts_elects_nobody_at_once() {
    let (world, leader, [witness, rival]) = three().await;
    let ids = world.ids();
    world.part(leader, rival, true);
    tokio::time::sleep(LEASE * 4).await;
    let mut renewed = 0;
    for round in 0..40 {
        world.leader().await;
        assert!(renews(&world, leader, &ids), "one of two followers is a majority");
        world.crash(witness).await;
        world.start(witness).await;
        renewed += watch(&world, &ids, LEASE + round * 11 * MS)
            .await
            .iter()
            .sum::<u32>();
        assert_eq!(
            world.leader().await,
            leader,
            "the witness hears the leader again before it may elect another"
        );
    }
    assert!(renewed > 0);
}

/// The rule for those who come back does not keep a cluster from coming back.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_restarts_elects_within_a_second_or_so() {
    let (world, _, _) = three().await;
    for _ in 0..10 {
        for id in world.ids() {
            world.crash(id).await;
        }
        let begun = Instant::now();
        world.start_all().await;
        world.leader().await;
        assert!(
            begun.elapsed() < Duration::from_millis(2500),
            "{:?}",
            begun.elapsed()
        );
    }
    let alone = World::new(1);
    let id = alone.ids()[0];
    alone.start(id).await;
    alone.leader().await;
    alone.crash(id).await;
    let begun = Instant::now();
    alone.start(id).await;
    alone.leader().await;
    assert!(
        begun.elapsed() < LEASE / 2,
        "who is alone waits for nobody: {:?}",
        begun.elapsed()
    );
}

/// What was acknowledged at a follower the leader knows, though it renews without asking: a lease granted there is known, and one
/// revoked there is gone.
#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_elsewhere_is_known() {
    let (world, leader, followers) = three().await;
    tokio::time::sleep(LEASE).await;
    let leader = world.member(leader);
    let mut at_once = 0;
    for lease in 100..300 {
        let follower = world.member(followers[lease as usize % 2]);
        grant(&follower, lease, 60).await;
        at_once += u32::from(
            leader
                .renew_lease_at_once(LeaseId(lease))
                .is_some_and(|ttl| ttl == 60),
        );
        assert_ne!(
            leader.renew_lease_at_once(LeaseId(lease)),
            Some(0),
            "{lease} was granted"
        );
        assert_eq!(leader.keep_lease_alive(LeaseId(lease)).await, Ok(60));
        let revoke = LeaseRevoke {
            id: lease,
            expired_in_term: 0,
        };
        let revoked = follower.propose(Kind::LeaseRevoke(revoke).into()).await;
        revoked.unwrap().outcome.result.unwrap();
        assert_ne!(
            leader.renew_lease_at_once(LeaseId(lease)),
            Some(60),
            "{lease} was revoked"
        );
        assert_eq!(leader.keep_lease_alive(LeaseId(lease)).await, Ok(0));
    }
    assert!(at_once > 0, "it did renew without asking");
    assert!(leader.term() > Term(0));
}
