//! The table by itself: what stays the same between views, and bytes of every kind.

use super::*;
use crate::store::Store;
use almadia_command::{Command, Kind, LeaseRemaining, Put};
use proptest::collection::vec;
use proptest::prelude::*;

const TERM: Term = Term(3);

fn grant(id: i64, ttl: i64) -> Command {
    Kind::LeaseGrant(LeaseGrant { id, ttl }).into()
}

fn put(key: &'static str, lease: i64) -> Command {
    let put = Put {
        key: Bytes::from_static(key.as_bytes()),
        lease,
        ..Put::default()
    };
    Kind::Put(put).into()
}

fn note(term: u64, id: i64, remaining_ms: i64) -> Command {
    let leases = vec![LeaseRemaining { id, remaining_ms }];
    Kind::LeaseCheckpoint(LeaseCheckpoint { leases, term }).into()
}

/// A store with commands applied one after the other.
struct Run(Store);

impl Run {
    fn of(commands: impl IntoIterator<Item = Command>) -> Self {
        let mut run = Self(Store::empty());
        for command in commands {
            let result = run.apply(&command);
            assert!(result.is_ok(), "{command:?}: {result:?}");
        }
        run
    }

    fn apply(&mut self, command: &Command) -> Result<Answer, Refusal> {
        let index = self.0.publish().applied().0.next();
        self.0.apply(index, TERM, command).result
    }

    fn table(&mut self) -> LeaseTable {
        self.0.publish().leases().clone()
    }
}

/// What counts time hears of leases and of nothing else: not of keys that come and go.
#[test]
fn changes_between_tables() {
    let mut run = Run::of([grant(1, 10), grant(2, 20)]);
    let before = run.table();
    run.apply(&put("k", 1)).unwrap();
    let with_key = run.table();
    assert_eq!(with_key.changes_since(&before).count(), 0);
    assert_ne!(with_key, before);
    run.apply(&note(TERM.0, 1, 4000)).unwrap();
    run.apply(
        &Kind::LeaseRevoke(LeaseRevoke {
            id: 2,
            expired_in_term: 0,
        })
        .into(),
    )
    .unwrap();
    run.apply(&grant(2, 20)).unwrap();
    run.apply(&grant(-5, 7)).unwrap();
    let after = run.table();
    let lease = |ttl, remaining_ms, granted| Lease {
        ttl,
        remaining_ms,
        granted: LogIndex(granted),
    };
    let changes: Vec<LeaseChange> = after.changes_since(&before).collect();
    let expected = [
        LeaseChange::Granted(LeaseId(-5), lease(7, 0, 7)),
        LeaseChange::Noted(LeaseId(1), lease(10, 4000, 1)),
        // The same id, another lease.
        LeaseChange::Granted(LeaseId(2), lease(20, 0, 6)),
    ];
    assert_eq!(changes, expected);
    let back: Vec<LeaseChange> = before.changes_since(&after).collect();
    assert_eq!(back[0], LeaseChange::Ended(LeaseId(-5)));
    assert_eq!(back.len(), 3);
}

/// B3.7, known failures 19 and 20: what a leader of another term counted changes nothing.
#[test]
fn other_terms_are_refused() {
    let mut run = Run::of([grant(1, 10), put("k", 1)]);
    for term in [2, 4, 0] {
        assert_eq!(run.apply(&note(term, 1, 5)), Err(Refusal::StaleTerm));
    }
    for expired_in_term in [2, 4] {
        let revoke = LeaseRevoke {
            id: 1,
            expired_in_term,
        };
        assert_eq!(
            run.apply(&Kind::LeaseRevoke(revoke).into()),
            Err(Refusal::StaleTerm)
        );
    }
    assert_eq!(run.table().get(LeaseId(1)).unwrap().remaining_ms, 0);
    let revoke = LeaseRevoke {
        id: 1,
        expired_in_term: TERM.0,
    };
    assert_eq!(
        run.apply(&Kind::LeaseRevoke(revoke).into()),
        Ok(Answer::LeaseRevoke)
    );
    assert!(run.table().is_empty());
}

/// A note about a lease that has ended meanwhile is passed over, the others in it count.
#[test]
fn notes_pass_over_what_is_gone() {
    let mut run = Run::of([grant(1, 10)]);
    let leases = [(9, 1), (1, 2)].map(|(id, remaining_ms)| LeaseRemaining { id, remaining_ms });
    let noted = LeaseCheckpoint {
        leases: leases.to_vec(),
        term: TERM.0,
    };
    assert_eq!(
        run.apply(&Kind::LeaseCheckpoint(noted).into()),
        Ok(Answer::LeaseCheckpoint)
    );
    assert_eq!(run.table().get(LeaseId(1)).unwrap().remaining_ms, 2);
    assert_eq!(run.table().len(), 1);
}

/// Released bytes keep their meaning: these are the bytes of version 0.2.
#[test]
fn golden_bytes() {
    let mut run = Run::of([grant(-2, 10), note(TERM.0, -2, 300)]);
    let golden = [
        10, 16, 9, 254, 255, 255, 255, 255, 255, 255, 255, 16, 10, 24, 172, 2, 32, 1,
    ];
    let table = run.table();
    assert_eq!(table.encode().as_ref(), golden);
    assert_eq!(LeaseTable::decode(Bytes::copy_from_slice(&golden)), Ok(table));
}

/// A key that is put again and again under its lease costs nothing here.
#[test]
fn a_key_that_stays_is_not_touched() {
    let mut run = Run::of([grant(1, 10), put("k", 1)]);
    let before = run.table();
    run.apply(&put("k", 1)).unwrap();
    let after = run.table();
    assert_eq!(after, before);
    assert!(after.leases.ptr_eq(&before.leases));
}

proptest! {
    /// No bytes make the decoder panic.
    #[test]
    fn garbage_is_an_error_or_a_table(bytes in vec(any::<u8>(), 0..80)) {
        let _ = LeaseTable::decode(bytes.into());
    }

    /// What goes in comes out, and damage of it is an error or a table.
    #[test]
    fn bytes_and_back(
        leases in vec((1_i64..40, 1_i64..100, 0_i64..2000, any::<u64>()), 0..30),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut table = LeaseTable::default();
        for (id, ttl, remaining_ms, granted) in leases {
            table.leases.insert(LeaseId(id), Lease { ttl, remaining_ms, granted: LogIndex(granted) });
        }
        let bytes = table.encode();
        prop_assert_eq!(LeaseTable::decode(bytes.clone()), Ok(table));
        if !bytes.is_empty() {
            let mut damaged = bytes.to_vec();
            let at = at.index(damaged.len());
            damaged[at] = with;
            let _ = LeaseTable::decode(damaged.into());
        }
    }
}
