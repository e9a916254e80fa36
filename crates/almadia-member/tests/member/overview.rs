//! The whole cluster as one member sees it: what the console shows is what is so.

use crate::world::{World, put};
use almadia_command::MemberId;
use almadia_member::chronicle::Isolation;
use almadia_member::overview::{EventKind, Lookout, Sighting};
use std::time::Duration;

fn of(seen: &[Sighting], id: MemberId) -> &Sighting {
    seen.iter().find(|sighting| sighting.member.id == id).unwrap()
}

/// Looks until it is so, as the console does.
async fn look_until(lookout: &mut Lookout, is_so: impl Fn(&[Sighting]) -> bool) -> Vec<Sighting> {
    let looking = async {
        loop {
            let seen = lookout.look().await;
            if is_so(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking)
        .await
        .expect("it becomes so")
}

/// Any member shows all of them: roles, terms, how far each log is, and the terms of its last entries.
#[tokio::test(start_paused = true)]
async fn a_follower_shows_everybody() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let follower = *world.ids().iter().find(|id| **id != leader).unwrap();
    for number in 0..50 {
        world
            .member(follower)
            .propose(put("k", &number.to_string()))
            .await
            .unwrap();
    }
    let last = world.member(leader).status().last_log.get();
    let mut lookout = world.member(follower).lookout();
    let seen = look_until(&mut lookout, |seen| {
        seen.iter().all(|one| {
            let report = one.report.as_ref();
            report.is_some_and(|report| report.committed == last)
        })
    })
    .await;
    assert_eq!(seen.len(), 3);
    for sighting in &seen {
        let report = sighting.report.as_ref().unwrap();
        let is_leader = sighting.member.id == leader;
        assert_eq!(report.role, if is_leader { 3 } else { 1 });
        assert_eq!((report.leader, report.keys), (leader.get(), 1));
        assert_eq!(report.tail_terms.len(), 40);
        assert_eq!(report.tail_terms.last(), Some(&report.term));
        assert_eq!(report.followers.len(), if is_leader { 2 } else { 0 });
        assert_eq!(sighting.round_trip.is_none(), sighting.member.id == follower);
    }
}

/// A leader that is cut off is seen to be gone, another in a higher term, and the old one as it comes back; each event is
/// told once.
#[tokio::test(start_paused = true)]
async fn a_change_of_leader_is_seen_and_told() {
    let world = World::new(3);
    world.start_all().await;
    let old = world.leader().await;
    let watcher = *world.ids().iter().find(|id| **id != old).unwrap();
    let mut lookout = world.member(watcher).lookout();
    let before = lookout.look().await;
    let term = of(&before, watcher).report.as_ref().unwrap().term;
    world.isolate(old, true);
    let seen = look_until(&mut lookout, |seen| {
        let leads = |one: &Sighting| one.report.as_ref().is_some_and(|report| report.role == 3);
        of(seen, old).report.is_none() && seen.iter().any(leads)
    })
    .await;
    let new = seen
        .iter()
        .find(|one| one.report.as_ref().is_some_and(|report| report.role == 3))
        .unwrap();
    assert!(new.report.as_ref().unwrap().term > term);
    assert!(of(&seen, old).silent_for.is_some(), "it was heard before");
    world.isolate(old, false);
    let seen = look_until(&mut lookout, |seen| {
        of(seen, old)
            .report
            .as_ref()
            .is_some_and(|report| report.role == 1)
    })
    .await;
    let told = &of(&seen, old).report.as_ref().unwrap().events;
    let stepped_down = told.iter().any(|event| event.kind == EventKind::Follower as i32);
    assert!(stepped_down, "{told:?}");
    let again = lookout.look().await;
    assert!(
        again
            .iter()
            .all(|one| one.report.as_ref().unwrap().events.is_empty()),
        "what was told is not told again"
    );
    // Whoever begins to look is told of everything from the beginning.
    let anew = world.member(watcher).lookout().look().await;
    let numbers: Vec<u64> = of(&anew, new.member.id)
        .report
        .as_ref()
        .unwrap()
        .events
        .iter()
        .map(|event| event.number)
        .collect();
    assert_eq!(numbers.first(), Some(&1));
    assert!(numbers.is_sorted());
}

/// Who was cut off on purpose tells of it as soon as it can be asked again.
#[tokio::test(start_paused = true)]
async fn an_isolation_is_told() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let [one, other] = world
        .ids()
        .into_iter()
        .filter(|id| *id != leader)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let mut lookout = world.member(one).lookout();
    look_until(&mut lookout, |seen| of(seen, other).report.is_some()).await;
    world.isolate(other, true);
    world.member(other).note_isolation(Isolation::From(Vec::new()));
    look_until(&mut lookout, |seen| of(seen, other).report.is_none()).await;
    world.isolate(other, false);
    world.member(other).note_isolation(Isolation::Over);
    world.member(other).note_isolation(Isolation::From(vec![leader]));
    let seen = look_until(&mut lookout, |seen| of(seen, other).report.is_some()).await;
    let events = &of(&seen, other).report.as_ref().unwrap().events;
    let told: Vec<(i32, &str)> = events
        .iter()
        .filter(|event| event.kind == EventKind::Isolated as i32 || event.kind == EventKind::Healed as i32)
        .map(|event| (event.kind, event.words.as_str()))
        .collect();
    let named = world.member(leader).status().name;
    assert_eq!(
        told,
        [
            (EventKind::Isolated as i32, ""),
            (EventKind::Healed as i32, ""),
            (EventKind::Isolated as i32, named.as_str()),
        ]
    );
}

/// A member that went down and came back tells of its new life from the beginning.
#[tokio::test(start_paused = true)]
async fn a_new_life_is_told_from_its_beginning() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let [one, other] = world
        .ids()
        .into_iter()
        .filter(|id| *id != leader)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let mut lookout = world.member(one).lookout();
    let first = look_until(&mut lookout, |seen| of(seen, other).report.is_some()).await;
    let life = of(&first, other).report.as_ref().unwrap().life;
    world.crash(other).await;
    look_until(&mut lookout, |seen| of(seen, other).report.is_none()).await;
    world.start(other).await;
    let seen = look_until(&mut lookout, |seen| {
        let report = of(seen, other).report.as_ref();
        report.is_some_and(|report| report.life != life && !report.events.is_empty())
    })
    .await;
    let events = &of(&seen, other).report.as_ref().unwrap().events;
    assert_eq!((events[0].number, events[0].kind), (1, EventKind::Started as i32));
}
