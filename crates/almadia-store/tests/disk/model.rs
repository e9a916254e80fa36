//! The keeper against the store it keeps: whatever was written, compacted, checkpointed, rewritten and restarted in
//! whatever order, a restart finds exactly the last checkpoint, and going on from there gives the same store.

use crate::common::{
    Entry, Member, State, compact, delete, delete_all, noise, open, put, put_together, small, state_of,
};
use almadia_disk::Disk;
use almadia_store::disk::{Options, Scrubbed, SnapshotSink};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    PutTogether(Vec<(u8, u8)>),
    Delete(u8),
    DeleteAll,
    /// How many revisions before the present.
    Compact(i64),
    Slice(usize),
    Blank,
    Membership(u8),
    Checkpoint,
    Garbage(usize),
    Scrub,
    Restart,
    Transfer,
}

fn step() -> impl Strategy<Value = Step> {
    let pairs = vec((0..20_u8, any::<u8>()), 1..6).prop_map(|mut pairs| {
        pairs.sort_unstable_by_key(|pair| pair.0);
        pairs.dedup_by_key(|pair| pair.0);
        pairs
    });
    prop_oneof![
        20 => (0..20_u8, any::<u8>()).prop_map(|(key, size)| Step::Put(key, size)),
        6 => pairs.prop_map(Step::PutTogether),
        8 => (0..20_u8).prop_map(Step::Delete),
        1 => Just(Step::DeleteAll),
        5 => (0..12_i64).prop_map(Step::Compact),
        6 => (1..20_usize).prop_map(Step::Slice),
        1 => Just(Step::Blank),
        1 => any::<u8>().prop_map(Step::Membership),
        10 => Just(Step::Checkpoint),
        10 => (1..40_usize).prop_map(Step::Garbage),
        2 => Just(Step::Scrub),
        3 => Just(Step::Restart),
        1 => Just(Step::Transfer),
    ]
}

fn key(key: u8) -> String {
    format!("key-{key}")
}

fn value(size: u8) -> Vec<u8> {
    (0..size).map(|at| at.wrapping_mul(size)).collect()
}

/// A member, the store as it would be without any disk, and the last checkpoint's state.
struct Run {
    member: Member,
    checkpointed: State,
}

impl Run {
    fn new() -> Self {
        let mut member = Member::new(small());
        let checkpointed = member.state();
        Self { member, checkpointed }
    }

    fn step(&mut self, step: Step) {
        let member = &mut self.member;
        match step {
            Step::Put(name, size) => member.apply(put(&key(name), &value(size))),
            Step::PutTogether(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(name, size)| (key(*name), value(*size)))
                    .collect();
                member.apply(put_together(&pairs));
            }
            Step::Delete(name) => member.apply(delete(&key(name))),
            Step::DeleteAll => member.apply(delete_all()),
            Step::Compact(back) => {
                let revision = member.view().revision().0 - back;
                member.apply(compact(revision));
            }
            Step::Slice(revisions) => {
                member.store.compact_slice(revisions);
            }
            // A compaction that is refused changes nothing but the applied index.
            Step::Blank => member.apply(compact(i64::MAX)),
            Step::Membership(byte) => member.enter(Entry::Membership(vec![byte].into())),
            Step::Checkpoint => self.checkpointed = member.checkpoint().unwrap(),
            Step::Garbage(pieces) => self.garbage(pieces),
            Step::Scrub => {
                let view = member.view();
                let scrubbed = member.keeper.scrub(&view).unwrap();
                assert!(!matches!(scrubbed, Scrubbed::Repaired(_)), "{scrubbed:?}");
            }
            Step::Restart => self.restart(),
            Step::Transfer => self.transfer(),
        }
    }

    fn garbage(&mut self, pieces: usize) {
        for _ in 0..pieces {
            let view = self.member.view();
            let more = self.member.keeper.collect_garbage(&view).unwrap();
            // A piece that completes a rewrite is a checkpoint.
            if self.member.keeper.checkpointed() != self.checkpointed.applied {
                self.checkpointed = state_of(&view);
            }
            if !more {
                return;
            }
        }
    }

    fn restart(&mut self) {
        let expected = self.member.state();
        let found = self.member.restart();
        assert_eq!(found, self.checkpointed);
        assert!(self.member.keeper.damages().is_empty());
        assert_eq!(
            self.member.state(),
            expected,
            "the log leads from the checkpoint to where it was"
        );
    }

    /// Sends the state to another member, which already has one.
    fn transfer(&mut self) {
        let view = self.member.view();
        let source = self.member.keeper.snapshot(&view).unwrap();
        self.checkpointed = state_of(&view);
        if view.applied().0.0 == 0 {
            return;
        }
        let mut other = Member::new(small());
        other.apply(put("its own", b"to be replaced"));
        other.checkpoint().unwrap();
        let mut sink = SnapshotSink::begin(Arc::new(other.disk.clone()), source.header()).unwrap();
        while let Some((file, offset)) = sink.next() {
            let bytes = source.read(file, offset, 1000).unwrap();
            sink.write(file, offset, &bytes).unwrap();
        }
        other.store = sink.finish(&mut other.keeper).unwrap();
        other.log = self.member.log.clone();
        assert_eq!(other.state(), self.checkpointed);
        assert_eq!(other.restart(), self.checkpointed);
    }
}

/// Threads change how fast a store is loaded and nothing else, whole or damaged.
#[test]
fn threads_load_the_same() {
    let mut member = Member::new(small());
    for key in 0..300_u64 {
        member.apply(put(&format!("key-{}", key % 100), &noise(key, 70)));
    }
    let expected = member.checkpoint().unwrap();
    assert!(member.keeper.segment_count() > 5);
    let segment = member.disk.list("seg").unwrap().swap_remove(3);
    let damaged = member.disk.copy();
    damaged.flip_bit(&format!("seg/{segment}"), 500, 0);
    let damage = open(&damaged, small()).unwrap().0.damages().to_vec();
    assert_eq!(damage.len(), 1);
    for load_threads in 1..6 {
        let options = Options {
            load_threads,
            ..small()
        };
        let (_, mut store) = open(&member.disk, options).unwrap();
        assert_eq!(state_of(&store.publish()), expected);
        assert_eq!(open(&damaged, options).unwrap().0.damages(), damage);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// See the file's header.
    #[test]
    fn a_restart_finds_the_last_checkpoint(steps in vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.restart();
        run.member.collect_garbage();
        run.checkpointed = run.member.checkpoint().unwrap();
        run.restart();
    }
}
