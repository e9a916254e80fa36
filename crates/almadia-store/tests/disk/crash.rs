//! Power loss at every moment: a start finds a whole state, never older than the last acknowledged checkpoint.

use std::sync::Arc;

use crate::common::{Member, State, delete, noise, open, put, small, state_of};
use almadia_disk::{Loss, MemDisk};
use almadia_store::disk::SnapshotSink;
use proptest::prelude::*;

/// What was acknowledged by the time so many calls had reached the disk.
struct Acknowledged {
    at_step: usize,
    /// Position in the list of states.
    state: usize,
}

/// A member at work, with every state that a start may find, in order.
struct Work {
    member: Member,
    states: Vec<State>,
    acknowledged: Vec<Acknowledged>,
}

impl Work {
    fn new() -> Self {
        let mut member = Member::new(small());
        let states = vec![member.state()];
        member.disk.start_recording();
        Self {
            member,
            states,
            acknowledged: vec![Acknowledged { at_step: 0, state: 0 }],
        }
    }

    fn acknowledge(&mut self, state: State) {
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
        let at_step = self.member.disk.recording().unwrap().steps();
        self.acknowledged.push(Acknowledged {
            at_step,
            state: self.states.len() - 1,
        });
    }

    fn checkpoint(&mut self) {
        let state = self.member.checkpoint().unwrap();
        self.acknowledge(state);
    }

    fn collect_garbage(&mut self) {
        let state = self.member.state();
        let before = self.member.keeper.checkpointed();
        self.member.collect_garbage();
        if self.member.keeper.checkpointed() != before {
            self.acknowledge(state);
        }
    }

    /// Replaces the state by a snapshot of another member.
    fn receive(&mut self) {
        let mut other = Member::new(small());
        for revision in 0..60 {
            other.apply(put(&format!("other-{}", revision % 7), &noise(revision, 50)));
        }
        let view = other.view();
        let source = other.keeper.snapshot(&view).unwrap();
        assert!(source.files().len() > 1);
        let disk = Arc::new(self.member.disk.clone());
        let mut sink = SnapshotSink::begin(disk, source.header()).unwrap();
        while let Some((file, offset)) = sink.next() {
            sink.write(file, offset, &source.read(file, offset, 700).unwrap())
                .unwrap();
        }
        self.member.store = sink.finish(&mut self.member.keeper).unwrap();
        self.member.log = other.log;
        self.acknowledge(state_of(&view));
    }

    /// Checkpoints, a rewrite, a snapshot sent and one received.
    fn whole_life(&mut self) {
        for round in 0..6_u8 {
            for key in 0..5_u8 {
                self.member.apply(put(&format!("key-{key}"), &[round; 40]));
            }
            self.member.apply(delete("key-2"));
            self.checkpoint();
        }
        let revision = self.member.state_revision();
        self.member.compact(revision - 3);
        self.collect_garbage();
        self.member.apply(put("before", b"the snapshot"));
        let view = self.member.view();
        let source = self.member.keeper.snapshot(&view).unwrap();
        self.acknowledge(state_of(&view));
        drop(source);
        self.receive();
        self.member.apply(put("after", b"the snapshot"));
        self.checkpoint();
    }

    /// Opens what a power loss after `step` calls left and checks what is found.
    fn check(&self, step: usize, image: &MemDisk, loss: Loss) {
        let what = format!("after {step} calls, {loss:?}");
        let (keeper, mut store) = open(image, small()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(keeper.damages().is_empty(), "{what}: {:?}", keeper.damages());
        let found = state_of(&store.publish());
        let acknowledged = self
            .acknowledged
            .iter()
            .rfind(|it| it.at_step <= step)
            .unwrap()
            .state;
        // The next one may have been on its way.
        let may_be = &self.states[acknowledged..(acknowledged + 2).min(self.states.len())];
        assert!(
            may_be.contains(&found),
            "{what}: entry {} was found",
            found.applied.0
        );
        // And it can go on from there.
        let mut member = Member {
            disk: image.clone(),
            options: small(),
            keeper,
            store,
            log: self.member.log.clone(),
        };
        member.log.truncate(found.applied.0.0 as usize);
        while member.log.len() < found.applied.0.0 as usize {
            member
                .log
                .push(crate::common::Entry::Membership(Default::default()));
        }
        member.apply(put("later", b"on"));
        let expected = member.checkpoint().unwrap();
        assert_eq!(member.restart(), expected, "{what}");
    }
}

/// Every call, with all unsynced bytes and names lost, with all kept, and with some of them.
#[test]
fn every_moment_leaves_a_whole_state() {
    let mut work = Work::new();
    work.whole_life();
    let recording = work.member.disk.recording().unwrap();
    let mut replay = recording.replay();
    for step in 0..=recording.steps() {
        for loss in [
            Loss::DropUnsynced,
            Loss::KeepAll,
            Loss::Seeded(step as u64),
            Loss::Seeded(!step as u64),
        ] {
            work.check(step, &replay.image(loss), loss);
        }
        replay.step();
    }
}

/// A crash while a start cleans up after a crash.
#[test]
fn a_crash_at_start_is_survived() {
    let mut work = Work::new();
    work.whole_life();
    let recording = work.member.disk.recording().unwrap();
    for step in (0..recording.steps()).step_by(7) {
        let image = recording.image_at_step(step, Loss::KeepAll);
        image.start_recording();
        open(&image, small()).unwrap();
        let second = image.recording().unwrap();
        for again in 0..=second.steps() {
            work.check(
                step,
                &second.image_at_step(again, Loss::DropUnsynced),
                Loss::DropUnsynced,
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The same for other pieces of unsynced work that may survive.
    #[test]
    fn any_mixture_of_lost_writes_leaves_a_whole_state(seed: u64, at: prop::sample::Index) {
        let mut work = Work::new();
        work.whole_life();
        let recording = work.member.disk.recording().unwrap();
        let step = at.index(recording.steps());
        let loss = Loss::Seeded(seed);
        work.check(step, &recording.image_at_step(step, loss), loss);
    }
}
