//! Sending a snapshot: it can be interrupted anywhere, goes on where it was, and is taken over whole or not at all.

use std::sync::Arc;

use crate::common::{Member, State, noise, open, put, small, state_of};
use almadia_disk::{Disk, Failure, Fault, Operation};
use almadia_store::disk::{KeeperError, SnapshotSink, SnapshotSource};

const CHUNK_BYTES: usize = 333;

fn sender() -> (Member, SnapshotSource, State) {
    let mut member = Member::new(small());
    for revision in 0..90 {
        member.apply(put(&format!("key-{}", revision % 40), &noise(revision, 60)));
    }
    let view = member.view();
    let source = member.keeper.snapshot(&view).unwrap();
    assert!(source.files().len() > 2, "{:?}", source.files());
    (member, source, state_of(&view))
}

fn receiver() -> (Member, State) {
    let mut member = Member::new(small());
    member.apply(put("mine", b"before"));
    let state = member.checkpoint().unwrap();
    (member, state)
}

fn begin(member: &Member, source: &SnapshotSource) -> SnapshotSink {
    SnapshotSink::begin(Arc::new(member.disk.clone()), source.header()).unwrap()
}

/// Sends up to `chunks` pieces; true when all has been sent.
fn send(source: &SnapshotSource, sink: &mut SnapshotSink, chunks: usize) -> bool {
    for _ in 0..chunks {
        let Some((file, offset)) = sink.next() else {
            return true;
        };
        let bytes = source.read(file, offset, CHUNK_BYTES).unwrap();
        sink.write(file, offset, &bytes).unwrap();
    }
    sink.next().is_none()
}

fn chunk_count(source: &SnapshotSource) -> usize {
    source
        .files()
        .iter()
        .map(|file| (file.bytes as usize).div_ceil(CHUNK_BYTES))
        .sum()
}

/// The connection breaks after each piece; the sink is asked where to go on.
#[test]
fn an_interrupted_transfer_goes_on() {
    let (_sender, source, sent) = sender();
    let (mut member, _) = receiver();
    let mut sink = begin(&member, &source);
    let mut connections = 0;
    while !send(&source, &mut sink, 1) {
        connections += 1;
    }
    assert!(connections > 10);
    member.store = sink.finish(&mut member.keeper).unwrap();
    assert_eq!(member.state(), sent);
    assert_eq!(
        member.keeper.purgeable(),
        sent.applied,
        "the state before is no fallback"
    );
    assert_eq!(
        member
            .disk
            .list("")
            .unwrap()
            .iter()
            .filter(|name| name.starts_with("MANIFEST"))
            .count(),
        1
    );
    member.log = _sender.log.clone();
    assert_eq!(member.restart(), sent);
    member.apply(put("more", b"later"));
    let more = member.checkpoint().unwrap();
    assert_eq!(member.restart(), more);
}

/// The receiver ends after each number of pieces: its own state is untouched, and nothing is left over.
#[test]
fn a_transfer_that_ends_early_leaves_the_old_state() {
    let (_sender, source, _) = sender();
    for chunks in 0..chunk_count(&source) {
        let (mut member, before) = receiver();
        let mut sink = begin(&member, &source);
        assert!(!send(&source, &mut sink, chunks));
        let error = sink.finish(&mut member.keeper).unwrap_err();
        assert!(matches!(error, KeeperError::Transfer(_)), "{error}");
        assert!(member.disk.list("snap-in").unwrap().is_empty());
        assert_eq!(member.restart(), before);
    }
}

/// A wrong byte anywhere in what was received is found, and the receiver keeps its state.
#[test]
fn a_damaged_transfer_is_refused() {
    let (_sender, source, _) = sender();
    for at in (0..source.bytes()).step_by(97) {
        let (mut member, before) = receiver();
        let mut sink = begin(&member, &source);
        send(&source, &mut sink, usize::MAX);
        let mut left = at;
        let file = source.files().iter().position(|file| {
            let is_here = left < file.bytes;
            if !is_here {
                left -= file.bytes;
            }
            is_here
        });
        member
            .disk
            .flip_bit(&format!("snap-in/{}", file.unwrap()), left, 1);
        let error = sink.finish(&mut member.keeper).unwrap_err();
        assert!(matches!(error, KeeperError::Damaged(_)), "byte {at}: {error}");
        member.apply(put("still", b"works"));
        member.checkpoint().unwrap();
        member.log.truncate(1);
        assert_ne!(member.restart(), before);
        assert_eq!(member.keeper.segment_count(), 2);
    }
}

/// Pieces that do not fit are refused and change nothing.
#[test]
fn pieces_must_fit() {
    let (_sender, source, _) = sender();
    let (member, _) = receiver();
    let mut sink = begin(&member, &source);
    let first = source.read(0, 0, 100).unwrap();
    sink.write(0, 0, &first).unwrap();
    for (file, offset, bytes) in [
        (0, 0, 100),
        (0, 101, 1),
        (0, 100, 1_000_000),
        (99, 0, 1),
        (1, u64::MAX, 1),
    ] {
        let error = sink.write(file, offset, &vec![0; bytes]).unwrap_err();
        assert!(matches!(error, KeeperError::Transfer(_)), "{error}");
        assert_eq!(sink.received(0), Some(100));
    }
    assert!(source.read(0, u64::MAX, 1).is_err() && source.read(99, 0, 1).is_err());
    assert!(SnapshotSink::begin(Arc::new(member.disk.clone()), b"garbage").is_err());
}

/// The sender's segments may have the same names as other segments here: those are not touched before the new
/// state is in place.
#[test]
fn files_of_the_same_name_are_left_alone() {
    let (mut member, mut other) = (Member::new(small()), Member::new(small()));
    for at in 0..90 {
        member.apply(put(&format!("key-{at}"), &noise(at, 60)));
        other.apply(put(&format!("key-{at}"), &noise(at + 1000, 60)));
    }
    let before = member.checkpoint().unwrap();
    let view = other.view();
    let source = other.keeper.snapshot(&view).unwrap();
    assert_eq!(member.disk.list("seg").unwrap(), other.disk.list("seg").unwrap());
    let mut sink = begin(&member, &source);
    send(&source, &mut sink, usize::MAX);
    member.disk.inject(Fault {
        operation: Operation::Create,
        prefix: "MANIFEST".to_owned(),
        skip: 0,
        failure: Failure::NoSpace,
        forever: false,
    });
    assert!(sink.finish(&mut member.keeper).unwrap_err().is_no_space());
    assert_eq!(member.restart(), before);
    assert!(member.keeper.damages().is_empty());
}

/// A state never goes back: what was acknowledged as checkpointed may have been purged from the log.
#[test]
fn an_older_snapshot_is_refused() {
    let (mut member, source, _) = sender();
    member.apply(put("newer", b"entry"));
    let newer = member.checkpoint().unwrap();
    let mut sink = begin(&member, &source);
    send(&source, &mut sink, usize::MAX);
    let error = sink.finish(&mut member.keeper).unwrap_err();
    assert!(matches!(error, KeeperError::Transfer(_)), "{error}");
    assert_eq!(member.restart(), newer);
}

/// What is being sent stays readable while the sender rewrites and drops everything it came from, and its second
/// names go with it, or at the next start.
#[test]
fn a_snapshot_outlives_its_segments() {
    let (mut member, source, sent) = sender();
    member.apply(crate::common::delete_all());
    member.compact(member.state_revision());
    member.checkpoint().unwrap();
    member.collect_garbage();
    member.apply(put("a", b"b"));
    member.checkpoint().unwrap();
    for file in 0..source.files().len() {
        source.verify(file).unwrap();
    }
    let (mut other, _) = receiver();
    let mut sink = begin(&other, &source);
    send(&source, &mut sink, usize::MAX);
    other.store = sink.finish(&mut other.keeper).unwrap();
    assert_eq!(other.state(), sent);
    assert_eq!(member.disk.list("snap-out").unwrap().len(), source.files().len());
    let copy = member.disk.copy();
    open(&copy, small()).unwrap();
    assert!(copy.list("snap-out").unwrap().is_empty());
    drop(source);
    assert!(member.disk.list("snap-out").unwrap().is_empty());
}
