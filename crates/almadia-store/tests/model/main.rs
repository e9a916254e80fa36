//! The store against a naive model that keeps everything: random commands, transactions nested and not, reads at
//! every readable revision, compaction in slices of any size, restoring from records, and views kept for later.

mod commands;
mod naive;

use almadia_command::{Command, LeaseId, LogIndex, Range, Revision, Term, Txn};
use almadia_store::{Record, RestoredState, Sizes, Store, View};
use bytes::Bytes;
use naive::{Naive, Pair, Said, State};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const TERM: Term = Term(naive::MODEL_TERM);

/// What happens around one command.
#[derive(Clone, Debug)]
struct Step {
    command: Command,
    /// Revisions that compaction handles afterwards.
    slice: usize,
    publish: bool,
    /// Keep the view and look at it again at the end.
    keep: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slice = prop_oneof![3 => Just(0_usize), 2 => 1..4_usize, 1 => Just(1000)];
    let step = (
        commands::command(),
        slice,
        any::<bool>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(command, slice, publish, keep)| Step {
            command,
            slice,
            publish: publish || keep,
            keep,
        });
    vec(step, 1..60)
}

/// Ranges and transactions that are read from views.
#[derive(Clone, Debug)]
struct Reads {
    ranges: Vec<Range>,
    txns: Vec<Txn>,
}

fn reads() -> impl Strategy<Value = Reads> {
    (vec(commands::range(), 12), vec(commands::txn(1), 4)).prop_map(|(ranges, txns)| Reads { ranges, txns })
}

fn said_range(view: &View, range: &Range) -> Result<Said, almadia_store::Refusal> {
    view.range(range)
        .map(|answer| Said::from(&almadia_store::Answer::Range(answer)))
}

/// Everything a view can be asked, against the model as it was then.
fn check_view(view: &View, model: &Naive, records: &[Record], reads: &Reads) {
    assert_eq!(
        (view.revision().0, view.compacted().0),
        (model.revision, model.compacted)
    );
    for range in &reads.ranges {
        assert_eq!(said_range(view, range), model.read(range), "{range:?}");
        for revision in model.compacted.max(1)..=model.revision {
            let range = Range {
                revision,
                ..range.clone()
            };
            assert_eq!(said_range(view, &range), model.read(&range), "{range:?}");
        }
    }
    for txn in &reads.txns {
        assert_eq!(
            view.read_txn(txn)
                .as_ref()
                .map(Said::from)
                .map_err(|refusal| *refusal),
            model.read_txn(txn)
        );
    }
    for revision in model.compacted..=model.revision {
        let found: Vec<Pair> = view.records_after(Revision(revision)).map(Pair::from).collect();
        let expected: Vec<Pair> = model
            .changes
            .iter()
            .filter(|change| change.modified > revision)
            .cloned()
            .collect();
        assert_eq!(found, expected, "changes after {revision}");
    }
    for pair in records.windows(2) {
        let (before, after) = (pair[0].position(), pair[1].position());
        let expected = if before.0 == after.0 { before.1 + 1 } else { 0 };
        assert_eq!(after.1, expected, "the changes of a revision are numbered from 0");
    }
    let needed = needed(model, records);
    for record in records {
        assert_eq!(
            view.is_live(record),
            needed.contains(&record.position()),
            "{record:?}"
        );
    }
    check_sizes(view.sizes(), model, records, view.compaction_pending());
    check_leases(view, model);
}

/// The leases, what is noted of them, and the keys that hang on each.
fn check_leases(view: &View, model: &Naive) {
    let found: Vec<_> = view
        .leases()
        .iter()
        .map(|(id, lease)| (id.0, (lease.ttl, lease.remaining_ms)))
        .collect();
    let expected: Vec<_> = model.leases.iter().map(|(id, lease)| (*id, *lease)).collect();
    assert_eq!(found, expected);
    for (id, _) in found {
        let keys: Vec<Vec<u8>> = view.leases().keys(LeaseId(id)).map(<[u8]>::to_vec).collect();
        assert_eq!(keys, model.keys_on(id), "on lease {id}");
    }
}

/// The positions of the records that a state is made of. One revision may make the same pair twice: the later
/// record is the one.
fn shown(state: &State, records: &[Record]) -> BTreeSet<(Revision, u32)> {
    let same = |record: &&Record| state.get(record.key()) == Some(&Pair::from(*record));
    let latest: BTreeMap<&[u8], &Record> = records
        .iter()
        .filter(same)
        .map(|record| (record.key(), record))
        .collect();
    latest.values().map(|record| record.position()).collect()
}

/// The positions of the records that a read or a watch can still ask for.
fn needed(model: &Naive, records: &[Record]) -> BTreeSet<(Revision, u32)> {
    let after = records
        .iter()
        .filter(|record| record.mod_revision().0 > model.compacted);
    let mut needed = shown(&model.state_at(model.compacted), records);
    needed.extend(after.map(Record::position));
    needed
}

fn check_sizes(sizes: Sizes, model: &Naive, records: &[Record], pending: bool) {
    let bytes = |positions: &BTreeSet<(Revision, u32)>| {
        let those = records
            .iter()
            .filter(|record| positions.contains(&record.position()));
        those.map(|record| record.encoded().len() as u64).sum::<u64>()
    };
    let newest = shown(&model.now(), records);
    assert_eq!(
        (sizes.keys, sizes.live_bytes),
        (newest.len() as u64, bytes(&newest))
    );
    let needed = needed(model, records);
    let expected = (needed.len() as u64, bytes(&needed));
    if pending {
        assert!(sizes.revisions >= expected.0 && sizes.bytes >= expected.1);
    } else {
        assert_eq!(
            (sizes.revisions, sizes.bytes),
            expected,
            "nothing is left of what was compacted"
        );
    }
}

/// A store that has seen some commands, with all records it ever made.
struct Run {
    store: Store,
    records: Vec<Record>,
    kept: Vec<(Arc<View>, Naive, usize)>,
}

fn run(steps: &[Step], model: &mut Naive) -> Run {
    let mut run = Run {
        store: Store::empty(),
        records: Vec::new(),
        kept: Vec::new(),
    };
    for (number, step) in steps.iter().enumerate() {
        let before = run.store.revision();
        let outcome = run.store.apply(LogIndex(number as u64 + 1), TERM, &step.command);
        let expected = model.apply(&step.command);
        assert_eq!(
            outcome
                .result
                .as_ref()
                .map(Said::from)
                .map_err(|refusal| *refusal),
            expected,
            "{step:?}"
        );
        assert_eq!(outcome.revision.0, model.revision);
        if step.slice > 0 {
            run.store.compact_slice(step.slice);
        }
        // The only way to see what was made is a view; it does not have to be a published one for readers.
        let view = run.store.publish();
        run.records.extend(view.records_after(before).cloned());
        if step.keep {
            run.kept.push((view, model.clone(), run.records.len()));
        }
    }
    run
}

fn finish_compaction(store: &mut Store) {
    while store.compact_slice(3) {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Every outcome and every read agrees with the model; a kept view never changes; compaction shows only in
    /// the sizes.
    #[test]
    fn agrees_with_the_model(steps in steps(), reads in reads()) {
        let mut model = Naive::new();
        let mut run = run(&steps, &mut model);
        check_view(&run.store.publish(), &model, &run.records, &reads);
        finish_compaction(&mut run.store);
        let view = run.store.publish();
        prop_assert!(!view.compaction_pending());
        check_view(&view, &model, &run.records, &reads);
        for (view, model, made) in &run.kept {
            check_view(view, model, &run.records[..*made], &reads);
        }
    }

    /// A store restored from its records is the same store, whether or not they hold what compaction hides.
    #[test]
    fn a_restored_store_is_the_same(steps in steps(), more in steps(), reads in reads(), all in any::<bool>()) {
        let mut model = Naive::new();
        let run = run(&steps, &mut model);
        let (mut store, mut records) = (run.store, run.records);
        let view = store.publish();
        let mut held = records.clone();
        if !all {
            // What a file may leave out: all that is not live.
            held.retain(|record| view.is_live(record));
        }
        let restored = RestoredState {
            sections: view.sections(),
            applied: view.applied(),
            membership: view.membership().clone(),
            revision: view.revision(),
            compacted: view.compacted(),
            records: held,
        };
        let mut again = Store::restore(restored).unwrap();
        let restored = again.publish();
        prop_assert_eq!(restored.applied(), view.applied());
        check_view(&restored, &model, &records, &reads);
        finish_compaction(&mut store);
        prop_assert_eq!(restored.sizes(), store.publish().sizes());
        // And it goes on like the one it was made of.
        for step in &more {
            let index = view.applied().0.0 + 1 + more.len() as u64;
            let index = LogIndex(index.max(again.publish().applied().0.0 + 1));
            let before = again.revision();
            prop_assert_eq!(again.apply(index, TERM, &step.command), store.apply(index, TERM, &step.command));
            let _ = model.apply(&step.command);
            again.compact_slice(step.slice);
            records.extend(again.publish().records_after(before).cloned());
        }
        check_view(&again.publish(), &model, &records, &reads);
    }

    /// The same commands make the same records and outcomes, whenever views are published and slices taken.
    #[test]
    fn the_same_commands_make_the_same_store(steps in steps()) {
        let (mut eager, mut lazy) = (Store::empty(), Store::empty());
        let mut kept = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let index = LogIndex(number as u64 + 1);
            prop_assert_eq!(eager.apply(index, TERM, &step.command), lazy.apply(index, TERM, &step.command));
            finish_compaction(&mut eager);
            if step.publish {
                kept.push(eager.publish());
            }
            lazy.compact_slice(step.slice);
        }
        let (eager_view, lazy_view) = (eager.publish(), lazy.publish());
        let from = eager_view.compacted();
        let records = |view: &View| view.records_after(from).cloned().collect::<Vec<_>>();
        prop_assert_eq!(records(&eager_view), records(&lazy_view));
        finish_compaction(&mut lazy);
        prop_assert_eq!(eager_view.sizes(), lazy.publish().sizes());
    }

    /// What no checkpoint holds yet stays in the revision log, however far compaction has come.
    #[test]
    fn compaction_waits_for_the_checkpoint(steps in steps(), mark in 1_i64..30) {
        let mut store = Store::empty();
        store.publish().note_checkpointed(Revision(mark));
        let mut model = Naive::new();
        for (number, step) in steps.iter().enumerate() {
            store.apply(LogIndex(number as u64 + 1), TERM, &step.command);
            let _ = model.apply(&step.command);
            finish_compaction(&mut store);
        }
        let after = |view: &View| view.records_after(Revision(mark)).map(Pair::from).collect::<Vec<_>>();
        let expected: Vec<Pair> = model.changes.iter().filter(|change| change.modified > mark).cloned().collect();
        let view = store.publish();
        prop_assert!(!view.compaction_pending());
        prop_assert_eq!(after(&view), expected);
        view.note_checkpointed(view.revision());
        // Now that a checkpoint has it all, publishing lets go of what compaction has passed; what the compacted
        // revision itself changed can still be watched.
        let released = store.publish();
        let first = released.records_after(Revision(0)).next();
        prop_assert!(first.is_none_or(|first| first.mod_revision() >= released.compacted()));
    }
}

/// Membership and empty entries move the applied position and nothing else.
#[test]
fn entries_without_a_command_are_noted() {
    let mut store = Store::empty();
    store.note_applied(LogIndex(1), TERM);
    store.set_membership(LogIndex(4), Term(2), Bytes::from_static(b"members"));
    assert_eq!(
        store.views().load().applied().0,
        LogIndex(0),
        "nothing is seen before it is published"
    );
    let view = store.publish();
    assert_eq!(
        (view.applied(), view.revision()),
        ((LogIndex(4), Term(2)), Revision(1))
    );
    assert_eq!(store.views().load().membership().as_ref(), b"members");
}
