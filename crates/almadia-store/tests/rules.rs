//! etcd's rules, one by one, in the words of docs: what a reader of the rules would try first. The model test
//! covers the same ground at random; these say which promise is broken.

use almadia_command::{
    Command, Compact, Compare, CompareTarget, DeleteRange, Kind, LogIndex, Operation, OperationKind, Put,
    Range, SortTarget, Term, Txn,
};
use almadia_store::{Answer, NESTING_MAX, OpAnswer, Refusal, Store, TxnAnswer, View};
use bytes::Bytes;

struct Script {
    store: Store,
    index: u64,
}

impl Script {
    fn new() -> Self {
        Self {
            store: Store::empty(),
            index: 0,
        }
    }

    fn apply(&mut self, kind: Kind) -> Result<Answer, Refusal> {
        self.index += 1;
        self.store
            .apply(LogIndex(self.index), Term(1), &Command::from(kind))
            .result
    }

    fn put(&mut self, key: &str, value: &str) {
        self.apply(Kind::Put(put(key, value)))
            .expect("a plain put is never refused");
    }

    fn txn(&mut self, operations: Vec<OperationKind>) -> Result<TxnAnswer, Refusal> {
        match self.apply(Kind::Txn(txn(operations)))? {
            Answer::Txn(answer) => Ok(answer),
            other => panic!("a transaction is not answered with {other:?}"),
        }
    }

    /// Everything there is, as `key=value@revision`.
    fn all(&mut self) -> Vec<String> {
        let view = self.store.publish();
        shown(&view, &range("\0", "\0"))
    }

    fn revision(&self) -> i64 {
        self.store.revision().0
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn shown(view: &View, range: &Range) -> Vec<String> {
    let records = view.range(range).expect("these ranges can be read").records;
    records
        .iter()
        .map(|r| format!("{}={}@{}", text(r.key()), text(r.value()), r.mod_revision()))
        .collect()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> Put {
    Put {
        key: bytes(key),
        value: bytes(value),
        ..Put::default()
    }
}

fn delete(key: &str, range_end: &str) -> DeleteRange {
    DeleteRange {
        key: bytes(key),
        range_end: bytes(range_end),
        prev_kv: false,
    }
}

fn range(key: &str, range_end: &str) -> Range {
    Range {
        key: bytes(key),
        range_end: bytes(range_end),
        ..Range::default()
    }
}

fn txn(operations: Vec<OperationKind>) -> Txn {
    let success = operations
        .into_iter()
        .map(|kind| Operation { kind: Some(kind) })
        .collect();
    Txn {
        success,
        ..Txn::default()
    }
}

/// etcd 3.5 dies of this request, on every member and at each restart: here it is refused and changes nothing.
#[test]
fn keeping_what_the_transaction_deleted_is_refused() {
    for nested in [false, true] {
        for keep in [
            Put {
                ignore_value: true,
                ..put("k", "")
            },
            Put {
                ignore_lease: true,
                ..put("k", "v")
            },
        ] {
            let mut script = Script::new();
            script.put("k", "old");
            script.put("l", "old");
            let mut last = OperationKind::Put(keep);
            if nested {
                last = OperationKind::Txn(txn(vec![last]));
            }
            let operations = vec![
                OperationKind::Put(put("a", "new")),
                OperationKind::DeleteRange(delete("k", "\0")),
                last,
            ];
            assert_eq!(script.txn(operations), Err(Refusal::KeyNotFound));
            assert_eq!(
                (script.revision(), script.all()),
                (3, vec!["k=old@2".to_owned(), "l=old@3".to_owned()])
            );
            assert_eq!(
                script
                    .store
                    .publish()
                    .records_after(almadia_command::Revision(0))
                    .count(),
                2
            );
        }
    }
}

/// etcd 3.5 splits a cluster over this: one member refuses, the others do the writes.
#[test]
fn a_writing_transaction_with_an_unreadable_range_is_refused_whole() {
    let mut script = Script::new();
    (0..4).for_each(|_| script.put("k", "old"));
    script
        .apply(Kind::Compact(Compact {
            revision: 4,
            physical: false,
        }))
        .unwrap();
    for (revision, refusal) in [
        (3, Refusal::Compacted),
        (-1, Refusal::Compacted),
        (i64::MIN, Refusal::Compacted),
        (6, Refusal::FutureRevision),
    ] {
        let read = OperationKind::Range(Range {
            revision,
            ..range("k", "")
        });
        for operations in [
            vec![OperationKind::Put(put("k", "new")), read.clone()],
            vec![read.clone(), OperationKind::Put(put("k", "new"))],
            vec![
                OperationKind::Put(put("k", "new")),
                OperationKind::Txn(txn(vec![read.clone()])),
            ],
        ] {
            assert_eq!(script.txn(operations), Err(refusal), "at {revision}");
        }
        assert_eq!(script.all(), ["k=old@5"]);
    }
    // In the branch that is not taken it does not matter.
    let failure = txn(vec![OperationKind::Range(Range {
        revision: 99,
        ..range("k", "")
    })])
    .success;
    let unharmed = Txn {
        failure,
        ..txn(vec![OperationKind::Put(put("k", "new"))])
    };
    assert!(script.apply(Kind::Txn(unharmed)).is_ok());
}

fn headers(answer: &TxnAnswer) -> Vec<i64> {
    answer
        .responses
        .iter()
        .map(|OpAnswer { revision, .. }| revision.0)
        .collect()
}

/// A sub-response shows the revision before the transaction until something is really written.
#[test]
fn headers_of_sub_responses() {
    let mut script = Script::new();
    script.put("k", "v");
    let answer = script.txn(vec![
        OperationKind::Range(range("k", "")),
        OperationKind::DeleteRange(delete("nothing", "")),
        OperationKind::Put(put("l", "v")),
        OperationKind::Range(Range {
            revision: 2,
            ..range("\0", "\0")
        }),
        OperationKind::Txn(txn(vec![OperationKind::Range(range("l", ""))])),
        OperationKind::DeleteRange(delete("nothing", "")),
    ]);
    let answer = answer.unwrap();
    assert_eq!(headers(&answer), [2, 2, 3, 3, 0, 3]);
    let Answer::Range(at_two) = &answer.responses[3].answer else {
        panic!("a range is answered with a range")
    };
    assert_eq!(
        at_two.count, 1,
        "a range at the current revision does not see the transaction's own writes"
    );
    let Answer::Txn(nested) = &answer.responses[4].answer else {
        panic!("a transaction is answered with one")
    };
    assert_eq!(headers(nested), [3]);
}

/// Compares of nested transactions do not see the outer writes, ranges do.
#[test]
fn nested_compares_see_the_state_before() {
    let mut script = Script::new();
    let compare = Compare {
        key: bytes("k"),
        target: Some(CompareTarget::Version(0)),
        ..Compare::default()
    };
    let mut nested = txn(vec![OperationKind::Range(range("k", ""))]);
    nested.compares.push(compare);
    let answer = script
        .txn(vec![
            OperationKind::Put(put("k", "v")),
            OperationKind::Txn(nested),
        ])
        .unwrap();
    let Answer::Txn(nested) = &answer.responses[1].answer else {
        panic!("a transaction is answered with one")
    };
    assert!(nested.succeeded, "the key was not there before the transaction");
    let Answer::Range(found) = &nested.responses[0].answer else {
        panic!("a range is answered with a range")
    };
    assert_eq!(found.count, 1);
}

/// What changes nothing takes no revision.
#[test]
fn revisions_are_taken_by_changes_only() {
    let mut script = Script::new();
    script.apply(Kind::DeleteRange(delete("a", "\0"))).unwrap();
    script
        .txn(vec![OperationKind::DeleteRange(delete("a", ""))])
        .unwrap();
    script.txn(vec![]).unwrap();
    assert_eq!(script.revision(), 1);
    script.put("k", "v");
    script.put("k", "v");
    assert_eq!((script.revision(), script.all()), (3, vec!["k=v@3".to_owned()]));
    script
        .txn(vec![
            OperationKind::Put(put("a", "1")),
            OperationKind::Put(put("b", "2")),
        ])
        .unwrap();
    script.apply(Kind::DeleteRange(delete("a", "\0"))).unwrap();
    script
        .apply(Kind::Compact(Compact {
            revision: 5,
            physical: true,
        }))
        .unwrap();
    assert_eq!((script.revision(), script.all()), (5, vec![]));
}

/// A deletion without end and a put of the same key in one transaction are both done: the key starts anew.
#[test]
fn a_key_put_again_after_its_deletion_starts_anew() {
    let mut script = Script::new();
    script.put("k", "old");
    let operations = vec![
        OperationKind::DeleteRange(delete("k", "\0")),
        OperationKind::Put(put("k", "new")),
    ];
    script.txn(operations).unwrap();
    let view = script.store.publish();
    let record = view.get(b"k").unwrap();
    assert_eq!(
        (record.version(), record.create_revision().0, record.sub()),
        (1, 3, 1)
    );
    for (revision, seen) in [(2, "k=old@2"), (3, "k=new@3")] {
        assert_eq!(
            shown(
                &view,
                &Range {
                    revision,
                    ..range("k", "")
                }
            ),
            [seen]
        );
        let counted = view
            .range(&Range {
                revision,
                count_only: true,
                ..range("a", "z")
            })
            .unwrap();
        assert_eq!(
            (counted.count, counted.records.len(), counted.more),
            (1, 0, false)
        );
    }
}

/// etcd dies of an unknown sort target.
#[test]
fn an_unknown_sort_target_is_refused() {
    let view = Store::empty().publish();
    for sort_target in [5, -1, i32::MAX] {
        assert_eq!(
            view.range(&Range {
                sort_target,
                ..range("k", "")
            }),
            Err(Refusal::InvalidSort)
        );
    }
}

/// Seen on etcd 3.5.30: without an order and filters the limit is applied before sorting by anything but the key.
#[test]
fn a_limit_without_an_order_comes_before_sorting() {
    let mut script = Script::new();
    ["d", "c", "b", "a"].iter().for_each(|key| script.put(key, ""));
    let view = script.store.publish();
    let by_mod = Range {
        limit: 2,
        sort_target: SortTarget::Mod as i32,
        ..range("a", "z")
    };
    assert_eq!(shown(&view, &by_mod), ["c=@3", "b=@4"]);
    assert_eq!(
        shown(
            &view,
            &Range {
                sort_order: 1,
                ..by_mod.clone()
            }
        ),
        ["d=@2", "c=@3"]
    );
    assert_eq!(
        shown(
            &view,
            &Range {
                sort_order: 2,
                ..by_mod
            }
        ),
        ["a=@5", "b=@4"]
    );
}

/// The stack is not at the mercy of whoever writes the log.
#[test]
fn deep_nesting_is_refused() {
    let nested = |depth: usize| {
        let innermost = txn(vec![OperationKind::Put(put("k", "v"))]);
        (0..depth).fold(innermost, |inner, _| txn(vec![OperationKind::Txn(inner)]))
    };
    let mut script = Script::new();
    assert_eq!(
        script.apply(Kind::Txn(nested(NESTING_MAX + 1))),
        Err(Refusal::NestedTooDeeply)
    );
    assert!(script.apply(Kind::Txn(nested(NESTING_MAX))).is_ok());
    assert_eq!(script.all(), ["k=v@2"]);
}

/// Compaction answers as etcd does, and takes deleted keys away for good.
#[test]
fn compaction_moves_what_can_be_read() {
    let mut script = Script::new();
    script.put("k", "1");
    script.apply(Kind::DeleteRange(delete("k", ""))).unwrap();
    script.put("k", "2");
    let compact = |revision| {
        Kind::Compact(Compact {
            revision,
            physical: false,
        })
    };
    for (revision, refusal) in [
        (0, Refusal::Compacted),
        (-1, Refusal::Compacted),
        (5, Refusal::FutureRevision),
    ] {
        assert_eq!(script.apply(compact(revision)), Err(refusal));
    }
    assert_eq!(script.apply(compact(3)), Ok(Answer::Compact));
    assert_eq!(script.apply(compact(3)), Err(Refusal::Compacted));
    let view = script.store.publish();
    assert!(view.compaction_pending());
    let at = |revision| {
        view.range(&Range {
            revision,
            ..range("k", "")
        })
        .map(|answer| answer.count)
    };
    assert_eq!([at(2), at(3), at(4)], [Err(Refusal::Compacted), Ok(0), Ok(1)]);
    while script.store.compact_slice(1) {}
    assert_eq!(script.store.publish().sizes().revisions, 1);
    assert_eq!(view.sizes().revisions, 3, "a view that is held keeps what it saw");
}

/// The hash at a revision is what it was there, compaction does not show in it, and order matters.
#[test]
fn the_hash_of_a_revision_stays_what_it_was() {
    let mut script = Script::new();
    let mut hashes = Vec::new();
    for number in 0..40 {
        script.put(&format!("k{}", number % 7), &format!("v{number}"));
        if number % 9 == 0 {
            let key = Bytes::from(format!("k{}", number % 7));
            let delete = DeleteRange {
                key,
                ..DeleteRange::default()
            };
            script
                .apply(Kind::DeleteRange(delete))
                .expect("a deletion is never refused");
        }
        let view = script.store.publish();
        hashes.push((view.revision(), view.hash_at(view.revision())));
    }
    let sealed_before = script.store.publish().sealed().is_some();
    script
        .apply(Kind::Compact(Compact {
            revision: 20,
            ..Compact::default()
        }))
        .expect("it can be compacted");
    while script.store.compact_slice(3) {}
    let view = script.store.publish();
    for (revision, hash) in &hashes {
        let now = view.hash_at(*revision);
        if revision.0 < 20 {
            assert_eq!(now, Err(Refusal::Compacted));
        } else {
            assert_eq!(now, *hash);
        }
    }
    assert_eq!(
        view.hash_at(almadia_command::Revision(1000)),
        Err(Refusal::FutureRevision)
    );
    let mut distinct: Vec<u64> = hashes
        .iter()
        .map(|(_, hash)| hash.expect("nothing was compacted").get())
        .collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), hashes.len());
    assert!(!sealed_before && view.sealed().is_some());
}

/// Members that applied the same entries agree at a compaction; one change that differs shows.
#[test]
fn a_seal_tells_members_apart() {
    let sealed = |value: &str| {
        let mut script = Script::new();
        script.put("a", value);
        script.put("b", "same");
        script
            .apply(Kind::Compact(Compact {
                revision: 3,
                ..Compact::default()
            }))
            .expect("it can be compacted");
        let view = script.store.publish();
        view.sealed().expect("a compaction seals").hash()
    };
    assert_eq!(sealed("x"), sealed("x"));
    assert_ne!(sealed("x"), sealed("y"));
}
