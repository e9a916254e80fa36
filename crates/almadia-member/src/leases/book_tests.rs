//! The books against time told by hand: nothing here waits.

use super::book::{Book, Renewal};
use almadia_command::{
    Command, Kind, LeaseCheckpoint, LeaseGrant, LeaseId, LeaseRemaining, LeaseRevoke, Term,
};
use almadia_store::{LeaseTable, Store};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const TERM: Term = Term(2);

/// A store with books over it, and a clock.
struct Scene {
    store: Store,
    book: Book,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            store: Store::empty(),
            book: Book::begin(TERM, &LeaseTable::default(), now),
            now,
        }
    }

    fn apply(&mut self, kind: Kind) {
        let index = self.store.publish().applied().0.next();
        let result = self.store.apply(index, TERM, &kind.into()).result;
        assert!(result.is_ok(), "{result:?}");
        let view = self.store.publish();
        self.book.catch_up(view.leases(), self.now);
        self.book.check();
    }

    fn grant(&mut self, id: i64, ttl: i64) {
        self.apply(Kind::LeaseGrant(LeaseGrant { id, ttl }));
    }

    fn revoke(&mut self, id: i64) {
        self.apply(Kind::LeaseRevoke(LeaseRevoke {
            id,
            expired_in_term: TERM.0,
        }));
    }

    fn note(&mut self, leases: Vec<LeaseRemaining>) {
        self.apply(Kind::LeaseCheckpoint(LeaseCheckpoint {
            leases: leases.clone(),
            term: TERM.0,
        }));
        self.book.settle_notes(&leases);
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.book.advance(self.now);
        self.book.check();
    }

    fn renew(&mut self, id: i64) -> Renewal {
        self.book.renew(LeaseId(id), self.now)
    }

    fn left_ms(&self, id: i64) -> Option<u128> {
        let left = self.book.time_left(LeaseId(id), self.now);
        left.map(|(_, left)| left.as_millis())
    }

    /// A new leader: the same store, new books.
    fn change_leader(&mut self) {
        let view = self.store.publish();
        self.book = Book::begin(TERM, view.leases(), self.now);
        self.book.check();
    }
}

/// B3.6: at the deadline, not a moment before; in the order of the deadlines.
#[test]
fn a_lease_ends_at_its_deadline() {
    let mut scene = Scene::new();
    scene.grant(1, 10);
    scene.grant(2, 5);
    scene.pass(4999);
    assert_eq!(scene.book.take_ending(9), []);
    assert_eq!(scene.left_ms(2), Some(1));
    scene.pass(1);
    assert_eq!(scene.left_ms(2), None, "it has reached its end");
    assert_eq!(scene.renew(2), Renewal::Open, "and is renewed no more");
    scene.pass(5000);
    assert_eq!(scene.book.take_ending(9), [LeaseId(2), LeaseId(1)]);
    scene.revoke(2);
    assert_eq!(scene.renew(2), Renewal::Unknown);
    scene.book.end_again([LeaseId(2), LeaseId(1)]);
    assert_eq!(
        scene.book.take_ending(9),
        [LeaseId(1)],
        "the one that is gone is not revoked twice"
    );
}

/// B3.3: a lease that is renewed each third of its time needs no log entry, ever.
#[test]
fn a_lease_that_is_kept_alive_costs_no_entries() {
    let mut scene = Scene::new();
    scene.grant(1, 9);
    for _ in 0..100 {
        scene.pass(3000);
        assert_eq!(scene.renew(1), Renewal::Renewed(9));
        assert_eq!(scene.book.take_notes(9, scene.now), []);
    }
    assert_eq!(scene.left_ms(1), Some(9000));
}

/// B3.7: half of the time after a renewal, then each tenth of it, the log hears what is left.
#[test]
fn remaining_time_is_noted() {
    let mut scene = Scene::new();
    scene.grant(1, 100);
    scene.pass(49_999);
    assert_eq!(scene.book.take_notes(9, scene.now), []);
    let mut noted = Vec::new();
    while scene.left_ms(1).is_some() {
        scene.pass(1);
        let notes = scene.book.take_notes(9, scene.now);
        if !notes.is_empty() {
            noted.push(notes[0].remaining_ms);
            scene.note(notes);
        }
        scene.pass(4999);
    }
    assert_eq!(noted, [50_000, 40_000, 30_000, 20_000, 10_000]);
}

/// B3.7, known failure 20: each change of leader adds a tenth at most, however many there are.
#[test]
fn time_left_survives_any_number_of_leaders() {
    let mut scene = Scene::new();
    scene.grant(1, 100);
    scene.pass(50_000);
    let notes = scene.book.take_notes(9, scene.now);
    scene.note(notes);
    for leader in 1..=4 {
        scene.change_leader();
        assert_eq!(scene.left_ms(1), Some(60_000 - leader * 10_000));
        scene.pass(10_000);
        let notes = scene.book.take_notes(9, scene.now);
        scene.note(notes);
        // And again nearly a tenth that nobody notes.
        scene.pass(9_999);
        assert_eq!(scene.book.take_notes(9, scene.now), []);
    }
    scene.change_leader();
    scene.pass(10_000);
    assert_eq!(scene.book.take_ending(9), [LeaseId(1)]);
}

/// B3.3: a renewal is only answered when the log no longer says that the lease has less than its whole time.
#[test]
fn a_reduced_lease_is_cleared_before_the_answer() {
    let mut scene = Scene::new();
    scene.grant(1, 10);
    scene.pass(5000);
    let notes = scene.book.take_notes(9, scene.now);
    // On its way into the log: what will be there is open.
    assert_eq!(scene.renew(1), Renewal::Open);
    scene.note(notes);
    assert_eq!(scene.renew(1), Renewal::Open);
    let clear = scene.book.take_notes(9, scene.now);
    assert_eq!(
        clear,
        [LeaseRemaining {
            id: 1,
            remaining_ms: 0
        }]
    );
    assert_eq!(scene.renew(1), Renewal::Open);
    scene.note(clear);
    assert_eq!(scene.renew(1), Renewal::Renewed(10));
    scene.change_leader();
    assert_eq!(scene.left_ms(1), Some(10_000));
}

/// A lease whose renewal waits for the log does not end meanwhile.
#[test]
fn an_open_renewal_counts_for_the_deadline() {
    let mut scene = Scene::new();
    scene.grant(1, 10);
    scene.pass(9000);
    let notes = scene.book.take_notes(9, scene.now);
    scene.note(notes);
    scene.pass(999);
    assert_eq!(scene.renew(1), Renewal::Open);
    scene.pass(5000);
    assert_eq!(scene.book.take_ending(9), []);
}

/// Known failure 21: the longest and the strangest times neither wrap nor end at once.
#[test]
fn extreme_times() {
    let mut scene = Scene::new();
    scene.grant(1, 9_000_000_000);
    scene.grant(2, i64::MAX);
    scene.grant(3, -5);
    scene.pass(60 * 60 * 1000);
    assert_eq!(scene.book.take_ending(9), [LeaseId(3)]);
    assert!(scene.left_ms(1) > Some(8_999_000_000_000));
    assert!(scene.left_ms(2).is_some());
    assert_eq!(scene.renew(1), Renewal::Renewed(9_000_000_000));
    scene.change_leader();
    assert!(scene.left_ms(2).is_some());
}

/// An id that is used again is another lease, with its whole time.
#[test]
fn a_lease_granted_again_is_new() {
    let mut scene = Scene::new();
    scene.grant(1, 10);
    scene.pass(9000);
    // Both in one batch: the books see only what came of it.
    for kind in [
        Kind::LeaseRevoke(LeaseRevoke {
            id: 1,
            expired_in_term: 0,
        }),
        Kind::LeaseGrant(LeaseGrant { id: 1, ttl: 10 }),
    ] {
        let index = scene.store.publish().applied().0.next();
        let command: Command = kind.into();
        scene.store.apply(index, TERM, &command).result.expect("it fits");
    }
    let view = scene.store.publish();
    scene.book.catch_up(view.leases(), scene.now);
    scene.book.check();
    assert_eq!(scene.left_ms(1), Some(10_000));
}

#[derive(Clone, Debug)]
enum Step {
    Grant(i64, i64),
    Revoke(i64),
    Renew(i64),
    Pass(u64),
    Note,
    ChangeLeader,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..6_i64, 2..40_i64).prop_map(|(id, ttl)| Step::Grant(id, ttl)),
        1 => (1..6_i64).prop_map(Step::Revoke),
        6 => (1..6_i64).prop_map(Step::Renew),
        8 => (1..9000_u64).prop_map(Step::Pass),
        6 => Just(Step::Note),
        1 => Just(Step::ChangeLeader),
    ]
}

proptest! {
    /// Whatever happens: no lease ends before its whole time after a renewal that was answered, and every lease ends.
    #[test]
    fn an_answered_renewal_is_kept(steps in proptest::collection::vec(step(), 1..120)) {
        let mut scene = Scene::new();
        // By lease: no end before this.
        let mut promised: BTreeMap<i64, Instant> = BTreeMap::new();
        let mut ttls: BTreeMap<i64, i64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Grant(id, ttl) if !ttls.contains_key(&id) => {
                    scene.grant(id, ttl);
                    ttls.insert(id, ttl);
                    promised.insert(id, scene.now + Duration::from_secs(ttl as u64));
                }
                Step::Revoke(id) if ttls.remove(&id).is_some() => scene.revoke(id),
                Step::Grant(..) | Step::Revoke(_) => {}
                Step::Renew(id) => if let Renewal::Renewed(ttl) = scene.renew(id) {
                    prop_assert_eq!(Some(&ttl), ttls.get(&id));
                    promised.insert(id, scene.now + Duration::from_secs(ttl as u64));
                },
                Step::Pass(ms) => scene.pass(ms),
                Step::Note => {
                    let notes = scene.book.take_notes(3, scene.now);
                    scene.note(notes);
                }
                Step::ChangeLeader => scene.change_leader(),
            }
            for LeaseId(id) in scene.book.take_ending(9) {
                prop_assert!(promised[&id] <= scene.now, "lease {} ended too early", id);
                ttls.remove(&id);
                scene.revoke(id);
            }
        }
        scene.pass(40_000);
        prop_assert_eq!(scene.book.take_ending(9).len(), ttls.len());
    }
}
