//! Disks that fail: every call of every kind, once and for a while, with EIO and with ENOSPC. The keeper says so, the
//! last acknowledged checkpoint stays whole on disk at every moment, and the work goes on when the disk is well.

use std::sync::Arc;

use crate::common::{Member, State, delete, delete_all, noise, open, put, small, state_of};
use almadia_disk::{Disk, Failure, Fault, Loss, MemDisk, Operation};
use almadia_store::disk::{KeeperError, Options, SnapshotSink};

const OPERATIONS: [Operation; 11] = [
    Operation::Create,
    Operation::Open,
    Operation::List,
    Operation::Rename,
    Operation::Link,
    Operation::Remove,
    Operation::SyncDir,
    Operation::Read,
    Operation::Write,
    Operation::Sync,
    Operation::SetLen,
];

/// A member whose checkpoints may fail.
struct Work {
    member: Member,
    /// What a start may find: the last acknowledged state, then those that failed since.
    possible: Vec<State>,
    failures: usize,
}

impl Work {
    fn new() -> Self {
        let mut member = Member::new(small());
        for key in 0..30 {
            member.apply(put(&format!("key-{key}"), &noise(key, 60)));
            if key % 5 == 0 {
                member.checkpoint().unwrap();
            }
        }
        let possible = vec![member.checkpoint().unwrap()];
        Self {
            member,
            possible,
            failures: 0,
        }
    }

    fn note(&mut self, state: State, result: Result<(), KeeperError>) {
        match result {
            Ok(()) => self.possible = vec![state],
            Err(_) => {
                self.failures += 1;
                self.possible.push(state);
            }
        }
        self.check_power_loss();
    }

    fn check_power_loss(&self) {
        // The losses take turns, so that each of many runs stays quick.
        let losses = [
            Loss::DropUnsynced,
            Loss::KeepAll,
            Loss::Seeded(self.failures as u64),
        ];
        let loss = losses[(self.failures + self.member.log.len()) % losses.len()];
        let image = self.member.disk.after_power_loss(loss);
        let (_, mut store) = open(&image, small()).unwrap_or_else(|error| panic!("{loss:?}: {error}"));
        let found = state_of(&store.publish());
        assert!(
            self.possible.contains(&found),
            "{loss:?}: entry {} was found",
            found.applied.0
        );
    }

    fn checkpoint(&mut self) {
        let view = self.member.view();
        let result = self.member.keeper.checkpoint(&view).map(|_| ());
        self.note(state_of(&view), result);
    }

    fn collect_garbage(&mut self) {
        for _ in 0..100 {
            let view = self.member.view();
            let before = self.member.keeper.checkpointed();
            match self.member.keeper.collect_garbage(&view) {
                Ok(more) => {
                    if self.member.keeper.checkpointed() != before {
                        self.note(state_of(&view), Ok(()));
                    }
                    if !more {
                        return;
                    }
                }
                Err(error) => self.note(state_of(&view), Err(error)),
            }
        }
    }

    fn send_and_receive(&mut self) {
        let view = self.member.view();
        let (source, result) = match self.member.keeper.snapshot(&view) {
            Ok(source) => (Some(source), Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.note(state_of(&view), result);
        let Some(source) = source else { return };
        let received = self.receive(&source);
        // Its own snapshot: the state is the same whether it was taken over or not.
        self.note(state_of(&view), received);
    }

    fn receive(&mut self, source: &almadia_store::disk::SnapshotSource) -> Result<(), KeeperError> {
        let mut sink = SnapshotSink::begin(Arc::new(self.member.disk.clone()), source.header())?;
        while let Some((file, offset)) = sink.next() {
            let bytes = source.read(file, offset, 500)?;
            sink.write(file, offset, &bytes)?;
        }
        self.member.store = sink.finish(&mut self.member.keeper)?;
        Ok(())
    }

    fn live(&mut self) {
        self.member.apply(put("more", &noise(1, 500)));
        self.checkpoint();
        self.member.apply(delete("key-3"));
        for key in 0..25 {
            self.member.apply(put(&format!("key-{key}"), b"new"));
        }
        self.checkpoint();
        let revision = self.member.state_revision();
        self.member.compact(revision);
        self.collect_garbage();
        let view = self.member.view();
        let _ = self.member.keeper.scrub(&view);
        self.check_power_loss();
        self.send_and_receive();
        self.member.apply(put("last", b"entry"));
        self.checkpoint();
    }

    /// The disk is well again.
    fn recover(mut self) -> usize {
        self.member.disk.clear_faults();
        self.member.apply(put("well", b"again"));
        self.member.checkpoint().unwrap();
        self.member.collect_garbage();
        // Two checkpoints that drop nothing: then both manifests need the same files.
        self.member.apply(put("well", b"indeed"));
        self.member.checkpoint().unwrap();
        self.member.apply(put("well", b"for good"));
        let expected = self.member.checkpoint().unwrap();
        let left = self.member.disk.list("seg").unwrap();
        assert_eq!(left.len(), self.member.keeper.segment_count(), "{left:?}");
        assert_eq!(self.member.restart(), expected);
        assert!(self.member.keeper.damages().is_empty());
        self.failures
    }
}

fn check(operation: Operation, failure: Failure, forever: bool) {
    let mut met = 0;
    let mut skip = 0;
    while skip < 400 {
        let mut work = Work::new();
        let prefix = String::new();
        work.member.disk.inject(Fault {
            operation,
            prefix,
            skip,
            failure,
            forever,
        });
        work.live();
        let failures = work.recover();
        met += failures;
        skip += 1 + skip / 20;
        if failures == 0 && skip > 60 {
            return;
        }
    }
    assert!(met > 0);
}

/// Each call of each kind fails once with EIO.
#[test]
fn every_call_may_fail_once() {
    for operation in OPERATIONS {
        check(operation, Failure::Io, false);
    }
}

/// From each write, creation or link on, there is no room, until there is.
#[test]
fn the_volume_may_be_full() {
    for operation in [
        Operation::Create,
        Operation::Link,
        Operation::Write,
        Operation::Rename,
        Operation::Sync,
    ] {
        check(operation, Failure::NoSpace, true);
    }
    check(Operation::Write, Failure::ShortWrite { bytes: 13 }, false);
}

/// The rename of a manifest whose directory sync failed may survive a power loss although it was undone: what it
/// names must be there.
#[test]
fn a_manifest_that_may_be_named_is_whole() {
    for seed in 0..200 {
        let mut work = Work::new();
        work.member.apply(put("more", b"1"));
        let prefix = String::new();
        let operation = Operation::SyncDir;
        // The first one is that of the segments.
        work.member.disk.inject(Fault {
            operation,
            prefix,
            skip: 1,
            failure: Failure::Io,
            forever: false,
        });
        let view = work.member.view();
        work.member.keeper.checkpoint(&view).unwrap_err();
        work.possible.push(state_of(&view));
        let image = work.member.disk.after_power_loss(Loss::Seeded(seed));
        let (keeper, mut store) = open(&image, small()).unwrap();
        assert!(work.possible.contains(&state_of(&store.publish())));
        assert!(keeper.damages().is_empty(), "{:?}", keeper.damages());
    }
}

/// A full volume: the reserve is given up so that the manifest can be written and the log be purged.
#[test]
fn the_reserve_is_for_the_manifest() {
    let disk = MemDisk::new();
    disk.set_capacity(2 << 20);
    let options = Options {
        reserve_bytes_max: 64 << 20,
        ..small()
    };
    let mut member = Member::on(disk.clone(), options);
    let reserve = disk.contents("reserve").expect("there was room").len() as u64;
    assert_eq!(reserve, (2 << 20) / 50);
    member.apply(put("key", b"value"));
    let full = member.checkpoint().unwrap();
    assert_eq!(disk.contents("reserve").unwrap().len() as u64, reserve);

    let filler = disk.create("filler").unwrap();
    filler
        .write_at(0, &vec![1; disk.space().unwrap().free_bytes as usize])
        .unwrap();
    member.apply(put("key", b"other"));
    let error = member.checkpoint().unwrap_err();
    assert!(error.is_no_space(), "a segment does not get the reserve: {error}");
    assert_eq!(disk.contents("reserve").unwrap().len() as u64, reserve);
    assert_eq!(
        state_of(&open(&disk, options).unwrap().1.publish()),
        full,
        "a start needs no room"
    );

    // Only the applied index and the compacted revision change: no segment, one manifest.
    let mut member = Member::on(disk.clone(), options);
    for _ in 0..3 {
        let index = member.keeper.checkpointed().0.next();
        member.store.note_applied(index, crate::common::TERM);
        let view = member.view();
        member.keeper.checkpoint(&view).unwrap();
    }
    assert!(disk.contents("reserve").is_none());
    disk.remove("filler").unwrap();
    let index = member.keeper.checkpointed().0.next();
    member.store.note_applied(index, crate::common::TERM);
    let view = member.view();
    member.keeper.checkpoint(&view).unwrap();
    assert_eq!(
        disk.contents("reserve").unwrap().len() as u64,
        reserve,
        "there is room again"
    );
}

/// A store that was emptied gives its room back on a volume that has none left.
#[test]
fn garbage_goes_from_a_full_volume() {
    let disk = MemDisk::new();
    disk.set_capacity(100_000);
    let mut member = Member::on(
        disk.clone(),
        Options {
            reserve_bytes_max: 64 << 20,
            ..small()
        },
    );
    for key in 0..200 {
        member.apply(put(&format!("key-{key}"), &noise(key, 200)));
    }
    member.checkpoint().unwrap();
    member.apply(delete_all());
    member.compact(member.state_revision());
    member.checkpoint().unwrap();
    let filler = disk.create("filler").unwrap();
    filler
        .write_at(0, &vec![1; disk.space().unwrap().free_bytes as usize - 1000])
        .unwrap();
    let before = disk.space().unwrap().free_bytes;
    member.collect_garbage();
    member.apply(put("a", b"b"));
    let expected = member.checkpoint().unwrap();
    assert!(disk.space().unwrap().free_bytes > before + 40_000);
    assert_eq!(member.restart(), expected);
}
