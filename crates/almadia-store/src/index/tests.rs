//! The index against a `BTreeMap` that stores every version.

use super::node::Node;
use super::remove::Dropped;
use super::*;
use crate::history::History;
use crate::record::RecordParts;
use almadia_command::LeaseId;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, Vec<Record>>;

fn record(key: &[u8], main: i64, tombstone: bool) -> Record {
    Record::from_parts(RecordParts {
        main: Revision(main),
        sub: 0,
        create_revision: Revision(main),
        version: 1,
        lease: LeaseId(0),
        tombstone,
        key,
        value: b"value",
    })
}

/// What every node promises, checked all through.
fn check(index: &Index) {
    fn walk(node: &Node, low: Option<&[u8]>, high: Option<&[u8]>, root: bool) -> (Counts, usize) {
        assert!(root || node.len() > 0, "only the root may be empty");
        let inner = match node {
            Node::Leaf(leaf) => {
                let keys: Vec<&[u8]> = (0..leaf.len()).map(|slot| leaf.key(slot)).collect();
                assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "keys ascend");
                let inside =
                    |key: &&[u8]| low.is_none_or(|low| low <= *key) && high.is_none_or(|high| *key < high);
                assert!(keys.iter().all(inside), "keys lie between the separators");
                let newest = (0..leaf.len()).map(|slot| leaf.newest(slot));
                let live = newest.filter(|record| !record.is_tombstone()).count() as u64;
                let counts = Counts {
                    entries: keys.len() as u64,
                    live,
                };
                assert_eq!(node.counts(), counts);
                return (counts, 1);
            }
            Node::Inner(inner) => inner,
        };
        let (mut sum, mut depth) = (Counts::default(), None);
        for at in 0..inner.len() {
            let low = if at == 0 {
                low
            } else {
                Some(inner.separator(at - 1))
            };
            let high = if at + 1 == inner.len() {
                high
            } else {
                Some(inner.separator(at))
            };
            let (counts, below) = walk(inner.child(at), low, high, false);
            assert_eq!(
                inner.counts_of(at),
                counts,
                "an inner node knows what its children hold"
            );
            assert!(
                depth.is_none_or(|depth| depth == below),
                "all leaves are equally deep"
            );
            depth = Some(below);
            sum += counts;
        }
        (sum, depth.unwrap_or(0) + 1)
    }
    let (counts, _) = walk(&index.root, None, None, true);
    assert_eq!(index.total, counts);
}

fn versions(entry: EntryRef<'_>) -> Vec<Record> {
    let mut all = Vec::new();
    let mut history = entry.leaf.history(entry.slot).cloned();
    while let Some(oldest) = history.as_mut().and_then(History::drop_oldest) {
        all.push(oldest);
    }
    let superseded: Vec<&Record> = entry.leaf.superseded(entry.slot).collect();
    all.extend(superseded.into_iter().rev().cloned());
    all.push(entry.newest.clone());
    check_neighbours(entry, &all);
    all
}

/// Every version knows the next one, and what is no version has none.
fn check_neighbours(entry: EntryRef<'_>, all: &[Record]) {
    assert_eq!(Some(entry.oldest()), all.first());
    for pair in all.windows(2) {
        assert_eq!(entry.after(&pair[0]), Some(&pair[1]));
        let between = record(entry.newest.key(), pair[0].mod_revision().0 + 1, false);
        if between.position() != pair[1].position() {
            assert_eq!(entry.after(&between), None);
        }
    }
    assert_eq!(entry.after(entry.newest), None);
}

fn content(index: &Index) -> Model {
    let everything = Bounds {
        start: b"",
        end: End::Open,
    };
    index
        .forward(index.span(everything))
        .map(|entry| (entry.newest.key().to_vec(), versions(entry)))
        .collect()
}

/// The slow twin of [`Index::settle`].
fn settle_model(model: &mut Model, at: &Record) -> Dropped {
    let Some(all) = model.get_mut(at.key()) else {
        return Dropped::default();
    };
    let goes = |record: &Record| {
        record.position() < at.position() || (record.position() == at.position() && at.is_tombstone())
    };
    let (gone, stay): (Vec<Record>, Vec<Record>) = all.drain(..).partition(goes);
    let bytes = gone.iter().map(|record| record.encoded().len() as u64).sum();
    let dropped = Dropped {
        records: gone.len() as u64,
        bytes,
        entry: stay.is_empty(),
    };
    *all = stay;
    if dropped.entry {
        model.remove(at.key());
    }
    dropped
}

fn check_range(index: &Index, model: &Model, bounds: Bounds<'_>) {
    let inside: Vec<&Record> = model
        .iter()
        .filter(|(key, _)| bounds.contains(key))
        .map(|(_, all)| &all[all.len() - 1])
        .collect();
    let live = inside.iter().filter(|record| !record.is_tombstone()).count() as u64;
    let (span, entries) = (index.span(bounds), inside.len() as u64);
    assert_eq!(span.inside, Counts { entries, live });
    let forward: Vec<&Record> = index.forward(span).map(|entry| entry.newest).collect();
    assert_eq!(forward, inside);
    let mut backward: Vec<&Record> = index.backward(span).map(|entry| entry.newest).collect();
    backward.reverse();
    assert_eq!(backward, inside);
    let seen: Vec<&Record> = index.seen(bounds, None).collect();
    assert_eq!(
        seen,
        inside
            .into_iter()
            .filter(|record| !record.is_tombstone())
            .collect::<Vec<_>>()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u16,
        count: u16,
        stride: u16,
    },
    Delete {
        key: u16,
        count: u16,
        stride: u16,
    },
    /// Settle every version made so far for these keys.
    Settle {
        key: u16,
        count: u16,
        stride: u16,
    },
    Keep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let run = || (0u16..3000, 1u16..700, 1u16..7);
    let step = prop_oneof![
        4 => run().prop_map(|(key, count, stride)| Step::Put { key, count, stride }),
        2 => run().prop_map(|(key, count, stride)| Step::Delete { key, count, stride }),
        3 => run().prop_map(|(key, count, stride)| Step::Settle { key, count, stride }),
        1 => Just(Step::Keep),
    ];
    proptest::collection::vec(step, 1..24)
}

/// Long and short keys with common beginnings, in an order that is not that of the numbers.
fn name(number: u16) -> Vec<u8> {
    let swapped = (number % 64) * 64 + number / 64;
    let mut key = format!("/registry/kind/{swapped:04}").into_bytes();
    key.extend(std::iter::repeat_n(b'x', (number % 3) as usize));
    key
}

fn change(index: &mut Index, model: &mut Model, key: &[u8], main: i64, tombstone: bool) {
    let done = index.upsert(key, |previous| {
        assert_eq!(previous, model.get(key).and_then(|all| all.last()));
        record(key, main, tombstone)
    });
    let all = model.entry(key.to_vec()).or_default();
    assert_eq!(done.previous.as_ref(), all.last());
    all.push(done.record);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Puts, deletions and drops in any order agree with the model; every node stays well formed; clones never
    /// change; counts, ranges and both directions of walking agree.
    #[test]
    fn agrees_with_a_map(steps in steps(), ranges in proptest::collection::vec((0u16..4200, 0u16..4200), 4)) {
        let (mut index, mut model) = (Index::default(), Model::new());
        let mut kept = Vec::new();
        let mut main = 1;
        for step in steps {
            let keys = |key: u16, count: u16, stride: u16| (0..count).map(move |n| name((key + n * stride) % 4096));
            match step {
                Step::Put { key, count, stride } => for key in keys(key, count, stride) {
                    main += 1;
                    change(&mut index, &mut model, &key, main, false);
                },
                Step::Delete { key, count, stride } => for key in keys(key, count, stride) {
                    main += 1;
                    change(&mut index, &mut model, &key, main, true);
                },
                Step::Settle { key, count, stride } => for key in keys(key, count, stride) {
                    for at in model.get(&key).cloned().unwrap_or_default() {
                        prop_assert_eq!(index.settle(&at), settle_model(&mut model, &at));
                    }
                },
                Step::Keep => kept.push((index.clone(), model.clone())),
            }
            check(&index);
        }
        kept.push((index, model));
        for (index, model) in kept {
            check(&index);
            prop_assert_eq!(content(&index), model.clone());
            for (a, b) in &ranges {
                let (start, end) = (name(*a), name(*b));
                for end in [End::Only, End::Open, End::Before(&end), End::Before(&start)] {
                    check_range(&index, &model, Bounds { start: &start, end });
                }
                let newest = index.get(&start).map(|entry| entry.newest);
                prop_assert_eq!(newest, model.get(&start).and_then(|all| all.last()));
            }
        }
    }

    /// A build from sorted entries is well formed and holds them, whatever their number.
    #[test]
    fn a_build_is_an_index(count in 0u16..4000, deleted in 1u16..5) {
        let mut model = Model::new();
        for number in 0..count {
            let newest = record(&name(number), 9, number % deleted == 1);
            model.insert(name(number), vec![record(&name(number), 3, false), newest]);
        }
        let mut index = Index::build(model.values().map(|all| (all[1].clone(), Some(History::of(all[0].clone())))));
        check(&index);
        prop_assert_eq!(content(&index), model.clone());
        change(&mut index, &mut model, b"/registry/kind/2000+", 10, false);
        check(&index);
        prop_assert_eq!(content(&index), model);
    }
}

/// A read at a revision finds the right one of many versions, however they are kept.
#[test]
fn versions_at_each_revision() {
    let mut index = Index::default();
    for main in (2..300).step_by(2) {
        index.upsert(b"k", |_| record(b"k", main, main % 10 == 0));
    }
    for revision in 0..320 {
        let newest = (revision / 2 * 2).min(298);
        let expected = (newest >= 2 && newest % 10 != 0).then_some(newest);
        let seen = index
            .get(b"k")
            .and_then(|entry| entry.at(Some(Revision(revision))));
        assert_eq!(
            seen.map(|record| record.mod_revision().0),
            expected,
            "at {revision}"
        );
    }
}

/// Keys that come in order leave full leaves behind.
#[test]
fn keys_in_order_fill_their_leaves() {
    let mut index = Index::default();
    for number in 0..10_000 {
        let key = format!("{number:05}");
        index.upsert(key.as_bytes(), |_| record(key.as_bytes(), 2, false));
    }
    check(&index);
    fn leaves(node: &Node) -> usize {
        match node {
            Node::Leaf(_) => 1,
            Node::Inner(inner) => (0..inner.len()).map(|at| leaves(inner.child(at))).sum(),
        }
    }
    assert!(leaves(&index.root) <= 10_000_usize.div_ceil(leaf::LEAF_MAX) + 1);
}

/// Each slot's fresh versions are found, in any mixture and at any number of them.
#[test]
fn fresh_versions_are_found_by_their_slot() {
    let mut index = Index::default();
    let keys: Vec<Vec<u8>> = (0..leaf::LEAF_MAX as u16).map(name).collect();
    let mut model = Model::new();
    let mut main = 1;
    for round in 0..40_usize {
        for (at, key) in keys.iter().enumerate() {
            if (at * 7 + round * 5) % 3 == 0 {
                main += 1;
                change(&mut index, &mut model, key, main, (at + round) % 5 == 0);
                let kept = index.clone();
                assert_eq!(content(&kept), model);
            }
        }
        check(&index);
    }
}
