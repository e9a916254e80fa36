//! Watchers against a plain list of everything that ever happened (etcd-surface.md B2.10, B2.11, B2.12; rows 10 to 15, 17
//! and 24 of known-failures.md): random writes, compactions, snapshots, watchers that come at any revision, and readers
//! as slow as they like. The bounds of inboxes, turns and slices are small here, so that all of them are met.

use super::*;
use crate::record::Record;
use crate::store::Store;
use almadia_command::{
    Command, Compact, DeleteRange, Kind, LogIndex, Operation, OperationKind, Put, Term, Txn,
};
use bytes::Bytes;
use proptest::prelude::*;
use std::task::{Context, Poll, Waker};

/// What a test does next.
#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Delete(u8, u8),
    /// Two puts and a deletion in one revision.
    Txn(u8, u8, u8),
    /// This far back from now.
    Compact(i64),
    /// Makes what was applied visible.
    Publish,
    /// Lets the matching task run a turn.
    Turn,
    /// A follower gets the whole state as a snapshot, that many commands after its own.
    Snapshot,
    /// On a stream, a range, from this far before or after now (0: now), with previous values or not.
    Watch(u8, u8, u8, i64, bool),
    Forget(u8),
    /// A stream is read this often.
    Read(u8, u8),
    Progress(u8, bool),
}

const STREAMS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let key = 0u8..5;
    prop_oneof![
        8 => key.clone().prop_map(Step::Put),
        3 => (key.clone(), 1u8..4).prop_map(|(key, width)| Step::Delete(key, width)),
        3 => (key.clone(), key.clone(), key.clone()).prop_map(|(a, b, c)| Step::Txn(a, b, c)),
        2 => (0i64..6).prop_map(Step::Compact),
        8 => Just(Step::Publish),
        6 => Just(Step::Turn),
        1 => Just(Step::Snapshot),
        3 => (0..STREAMS as u8, key, 0u8..4, -8i64..6, any::<bool>())
            .prop_map(|(stream, key, width, from, prev)| Step::Watch(stream, key, width, from, prev)),
        1 => any::<u8>().prop_map(Step::Forget),
        6 => (0..STREAMS as u8, 1u8..8).prop_map(|(stream, times)| Step::Read(stream, times)),
        2 => (0..STREAMS as u8, any::<bool>()).prop_map(|(stream, all)| Step::Progress(stream, all)),
    ]
}

fn key(number: u8) -> Bytes {
    vec![b'a' + number].into()
}

fn put(number: u8, value: usize) -> Put {
    Put {
        key: key(number),
        value: value.to_string().into(),
        ..Put::default()
    }
}

/// Everything that ever happened, with what was there before.
#[derive(Default)]
struct Past {
    events: Vec<(Record, Option<Record>)>,
}

impl Past {
    /// All that `watcher` is to hear of, from revision `from` on and up to `upto`.
    fn expected(&self, watcher: &Expecting, from: i64, upto: i64) -> Vec<&(Record, Option<Record>)> {
        let within = |record: &Record| (from..=upto).contains(&record.mod_revision().0);
        self.events
            .iter()
            .filter(|(record, _)| within(record) && watcher.range.bounds().contains(record.key()))
            .collect()
    }
}

/// What is known of one watcher from outside.
struct Expecting {
    stream: usize,
    slot: WatchSlot,
    range: KeyRange,
    prev: bool,
    /// The first revision that it has not been told of.
    next: i64,
    is_ended: bool,
}

struct World {
    /// What clients see.
    store: Store,
    /// Has applied the same, and never compacts: remembers everything.
    oracle: Store,
    commands: Vec<Command>,
    past: Past,
    streams: Vec<Watches>,
    watchers: Vec<Expecting>,
}

impl World {
    fn new() -> Self {
        let store = Store::empty();
        let hub = store.watches();
        Self {
            store,
            oracle: Store::empty(),
            commands: Vec::new(),
            past: Past::default(),
            streams: (0..STREAMS).map(|_| hub.watches()).collect(),
            watchers: Vec::new(),
        }
    }

    fn apply(&mut self, kind: Kind) {
        let command = Command::from(kind);
        self.commands.push(command.clone());
        let index = LogIndex(self.commands.len() as u64);
        self.store.apply(index, Term(1), &command);
        while self.store.compact_slice(3) {
            if self.store.views().load().revision().0 % 2 == 0 {
                break;
            }
        }
        if !matches!(command.kind, Some(Kind::Compact(_))) {
            let before = self.oracle.publish();
            self.oracle.apply(index, Term(1), &command);
            let after = self.oracle.publish();
            for record in after.records_after(before.revision()) {
                let prev = before.get(record.key()).cloned();
                self.past.events.push((record.clone(), prev));
            }
        }
    }

    fn take(&mut self, step: Step) {
        let value = self.commands.len();
        match step {
            Step::Put(number) => self.apply(Kind::Put(put(number, value))),
            Step::Delete(number, width) => self.apply(Kind::DeleteRange(DeleteRange {
                key: key(number),
                range_end: key(number + width),
                ..DeleteRange::default()
            })),
            Step::Txn(one, other, gone) => {
                let operation = |kind| Operation { kind: Some(kind) };
                let deletion = DeleteRange {
                    key: key(gone),
                    ..DeleteRange::default()
                };
                let success = vec![
                    operation(OperationKind::DeleteRange(deletion)),
                    operation(OperationKind::Put(put(one, value))),
                    operation(OperationKind::Put(put(other, value + 1))),
                ];
                // The edge refuses to write a key twice.
                if one != other && one != gone && other != gone {
                    self.apply(Kind::Txn(Txn {
                        success,
                        ..Txn::default()
                    }));
                }
            }
            Step::Compact(back) => {
                let revision = self.store.revision().0 - back;
                self.apply(Kind::Compact(Compact {
                    revision,
                    ..Compact::default()
                }));
            }
            Step::Publish => {
                self.store.publish();
            }
            Step::Turn => {
                self.store.watches().turn();
            }
            Step::Snapshot => self.install_snapshot(),
            Step::Watch(stream, number, width, from, prev) => self.watch(stream, number, width, from, prev),
            Step::Forget(which) => self.forget(which),
            Step::Read(stream, times) => {
                for _ in 0..times {
                    self.read(usize::from(stream));
                }
            }
            Step::Progress(stream, all) => {
                let stream = usize::from(stream);
                let one = self.watchers.iter().find(|watcher| watcher.stream == stream);
                let slot = one.map(|watcher| watcher.slot).filter(|_| !all);
                self.streams[stream].ask_progress(slot);
            }
        }
    }

    /// Another member is two puts ahead and has compacted; its whole state arrives here.
    fn install_snapshot(&mut self) {
        let mut other = Store::empty();
        for (number, command) in self.commands.iter().enumerate() {
            other.apply(LogIndex(number as u64 + 1), Term(1), command);
        }
        for number in 0..2 {
            let before = self.commands.len();
            let kind = Kind::Put(put(number, before));
            // Not applied here: only the snapshot brings it.
            let (index, command) = (LogIndex(before as u64 + 1), Command::from(kind));
            other.apply(index, Term(1), &command);
            self.commands.push(command.clone());
            let view = self.oracle.publish();
            self.oracle.apply(index, Term(1), &command);
            let after = self.oracle.publish();
            for record in after.records_after(view.revision()) {
                let prev = view.get(record.key()).cloned();
                self.past.events.push((record.clone(), prev));
            }
        }
        let index = LogIndex(self.commands.len() as u64 + 1);
        let compact = Command::from(Kind::Compact(Compact {
            revision: other.revision().0 - 1,
            ..Compact::default()
        }));
        other.apply(index, Term(1), &compact);
        self.commands.push(compact);
        while other.compact_slice(100) {}
        self.store.replace(other);
    }

    fn watch(&mut self, stream: u8, number: u8, width: u8, from: i64, prev: bool) {
        let end = if width == 0 {
            Bytes::new()
        } else {
            key(number + width)
        };
        let range = KeyRange::new(&key(number), &end);
        let now = self.store.views().load().revision().0;
        let from = (from != 0).then(|| Revision((now + from).max(1)));
        let stream = usize::from(stream);
        let watch = Watch {
            from,
            prev,
            ..Watch::all(range.clone())
        };
        let (slot, revision) = self.streams[stream].add(watch);
        assert_eq!(revision.0, now);
        self.watchers.push(Expecting {
            stream,
            slot,
            range,
            prev,
            next: from.map_or(now + 1, |from| from.0),
            is_ended: false,
        });
    }

    fn forget(&mut self, which: u8) {
        if !self.watchers.is_empty() {
            let watcher = self.watchers.remove(usize::from(which) % self.watchers.len());
            assert!(self.streams[watcher.stream].remove(watcher.slot));
        }
    }

    /// Reads a stream once; true when it told something.
    fn read(&mut self, stream: usize) -> bool {
        let told = self.streams[stream].poll_next(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(told) = told else { return false };
        let compacted = self.store.views().load().compacted().0;
        match told.expect("the store is there") {
            Told::Events {
                slot,
                events,
                revision,
            } => {
                let watcher = find(&mut self.watchers, stream, slot);
                assert!(!watcher.is_ended);
                let last = events.last_revision().0;
                assert!(revision.0 >= last && revision <= self.store.views().load().revision());
                // Filter, ordered, unique, atomic, resumable, reliable: exactly these, all of each revision.
                let expected = self.past.expected(watcher, watcher.next, last);
                assert_eq!(
                    events.iter().map(|event| &event.record).collect::<Vec<_>>(),
                    expected.iter().map(|(record, _)| record).collect::<Vec<_>>()
                );
                for (event, (_, prev)) in events.iter().zip(expected) {
                    let before_is_compacted = event.record.mod_revision().0 - 1 < compacted;
                    match (&event.prev, watcher.prev) {
                        (None, false) => {}
                        (None, true) => assert!(prev.is_none() || before_is_compacted),
                        (found, true) => assert_eq!(found, prev),
                        // Shared with watchers that asked for it; the edge leaves it out.
                        (found, false) => assert_eq!(found, prev),
                    }
                }
                watcher.next = last + 1;
            }
            Told::Compacted { slot, compacted: at } => {
                let watcher = find(&mut self.watchers, stream, slot);
                assert_eq!(at.0, compacted);
                assert!(!watcher.is_ended);
                watcher.is_ended = true;
                // Nothing was lost without need.
                assert!(watcher.next < at.0);
            }
            Told::Reached { slot, revision } => {
                // Bookmarkable: nothing up to there is still to come, and no one it speaks for waits for later.
                let concerned = self.watchers.iter_mut().filter(|watcher| {
                    watcher.stream == stream && slot.is_none_or(|slot| slot == watcher.slot)
                });
                for watcher in concerned {
                    assert!(!watcher.is_ended && watcher.next <= revision.0 + 1);
                    assert!(self.past.expected(watcher, watcher.next, revision.0).is_empty());
                    watcher.next = revision.0 + 1;
                }
            }
        }
        true
    }

    /// Reads everything there is; then nobody who lives has missed anything.
    fn settle(&mut self) {
        self.store.publish();
        let hub = self.store.watches();
        for stream in 0..STREAMS {
            let mut silent = 0;
            while silent < 40 {
                while hub.turn() {}
                silent = if self.read(stream) { 0 } else { silent + 1 };
            }
        }
        let now = self.store.views().load().revision().0;
        for watcher in self.watchers.iter().filter(|watcher| !watcher.is_ended) {
            let missing = self.past.expected(watcher, watcher.next, now);
            assert!(
                missing.is_empty(),
                "{:?} is missing from {}",
                missing,
                watcher.next
            );
        }
    }
}

fn find(watchers: &mut [Expecting], stream: usize, slot: WatchSlot) -> &mut Expecting {
    let found = watchers
        .iter_mut()
        .find(|watcher| watcher.stream == stream && watcher.slot == slot);
    found.expect("only watchers that are there are told anything")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Promise B2.10: the guarantees hold whatever happens in whatever order, and all that is live ends where it began.
    #[test]
    fn watchers_are_told_exactly_what_happened(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
        let hub = world.store.watches();
        world.streams.clear();
        prop_assert_eq!(hub.live(), 0);
        let held = hub.shared.held.load(Ordering::SeqCst);
        prop_assert_eq!(held, i64::MAX, "compaction waits for nobody");
    }
}

/// Rows 14: a watch from the compacted revision on gets what that revision changed, its deletions too.
#[test]
fn the_compacted_revision_itself_can_be_watched() {
    let mut world = World::new();
    world.apply(Kind::Put(put(0, 1)));
    world.take(Step::Delete(0, 1));
    world.apply(Kind::Put(put(1, 1)));
    for compacted in [3, 4] {
        world.apply(Kind::Compact(Compact {
            revision: compacted,
            ..Compact::default()
        }));
        while world.store.compact_slice(100) {}
        world.store.publish();
        world.watch(0, 0, 4, compacted - world.store.revision().0, true);
        world.settle();
        assert!(world.watchers.iter().all(|watcher| watcher.next == 5));
    }
    let held: Vec<i64> = world
        .store
        .views()
        .load()
        .records_after(Revision(0))
        .map(|record| record.mod_revision().0)
        .collect();
    assert_eq!(held, [4], "nothing older is kept");
}

/// B2.11: what a stream that is not read keeps in memory is bounded, and others are not delayed.
#[test]
fn a_stream_that_is_not_read_holds_little() {
    let mut world = World::new();
    for stream in [0, 1] {
        world.watch(stream, 0, 4, 0, false);
    }
    for number in 0..500 {
        world.apply(Kind::Put(put(number as u8 % 4, number)));
        world.store.publish();
        world.store.watches().turn();
        assert!(world.read(1), "the other stream hears of it at once");
        assert_eq!(world.watchers[1].next, number as i64 + 3);
    }
    assert!(world.streams[0].waiting() <= 6);
    world.settle();
    assert_eq!(world.watchers[0].next, 502);
}

/// A slow stream whose history is compacted away is told so, never silently skipped (row 13).
#[test]
fn a_slow_stream_ends_with_the_compacted_revision() {
    let mut world = World::new();
    world.watch(0, 0, 4, 0, false);
    for number in 0..100 {
        world.apply(Kind::Put(put(0, number)));
        world.store.publish();
        world.store.watches().turn();
    }
    world.apply(Kind::Compact(Compact {
        revision: 90,
        ..Compact::default()
    }));
    world.settle();
    assert!(world.watchers[0].is_ended);
    assert_eq!(world.store.watches().live(), 0);
}

/// A put and a compaction that go by in one batch are still told to those who are up to date.
#[test]
fn compaction_waits_for_those_who_are_up_to_date() {
    let mut world = World::new();
    world.watch(0, 0, 4, 0, false);
    for number in 0..4 {
        world.apply(Kind::Put(put(0, number)));
    }
    world.apply(Kind::Compact(Compact {
        revision: 5,
        ..Compact::default()
    }));
    assert!(!world.store.compact_slice(100), "nothing is left to do for now");
    world.settle();
    assert!(!world.watchers[0].is_ended);
    assert_eq!(world.watchers[0].next, 6);
    world.store.publish();
    let view = world.store.views().load();
    assert_eq!(view.records_after(Revision(0)).count(), 1, "then it is dropped");
}
