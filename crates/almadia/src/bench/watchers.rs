//! The benchmark's watchers: they are told of every change once and in order, or it is said what was missing.
//!
//! Latency counts from when a put was due, which its value says, to when its event was read. Never writes.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::engine::load::{Load, Window};
use super::engine::subscription::{self, Subscriber};
use super::message::{self, Event};
use super::tally::Tally;
use super::workload::STAMP_BYTES;
use crate::commands::global::Address;

/// How long events may come after the last write was acknowledged.
const LATE_MAX: Duration = Duration::from_secs(10);
/// How long to listen for surplus events when all have come.
const SURPLUS: Duration = Duration::from_millis(50);

/// A range of keys: the first, and the first after the last.
pub type KeyRange = (&'static [u8], &'static [u8]);

/// Who watches what.
#[derive(Clone, Debug)]
pub struct Watching {
    /// How many watchers.
    pub watchers: usize,
    /// Watches on each stream.
    pub per_stream: usize,
    /// What they watch, dealt in turn.
    pub ranges: Vec<KeyRange>,
    /// The first revision to be told, which must exist and all after it, too; 0: from now on.
    pub start_revision: u64,
    /// As kube-apiserver asks: with the pair before each change, and with progress notices.
    pub as_kubernetes: bool,
}

/// What the watchers must have been told when all is over.
#[derive(Clone, Debug)]
pub enum Expected {
    /// The acknowledged writes to each range, and how many more there may have been.
    Written(Vec<Tally>, u64),
    /// Everything up to this revision.
    UpTo(u64),
    /// It does not matter any more.
    Nothing,
}

/// What the watchers and those who write tell each other.
#[derive(Debug, Default)]
pub struct Board {
    /// The time that counts.
    pub window: OnceLock<Window>,
    /// Set when all writes have ended.
    pub expected: OnceLock<Expected>,
    created: AtomicUsize,
    reached: AtomicU64,
    is_broken: AtomicBool,
}

impl Board {
    /// How many watches the server has created.
    pub fn created(&self) -> usize {
        self.created.load(Ordering::Acquire)
    }

    /// The newest revision that a watcher was told of.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Whether a watch has ended that should not.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }
}

/// Watches over `connections` until `board` says what was to be expected and it has come. The result's operations are
/// events within the window; times in values count from `stamps_from`. Its failures are what was not as it should be.
pub fn run(watching: &Watching, connections: &[Address], stamps_from: Instant, board: &Board) -> Load {
    let streams = watching.watchers.div_ceil(watching.per_stream);
    let mut watchers = Watchers::new(watching, stamps_from, board);
    subscription::run(connections, streams, message::WATCH, &mut watchers);
    watchers.verdict()
}

#[derive(Clone, Debug, Default)]
struct Watcher {
    tally: Tally,
    last: u64,
}

struct Watchers<'a> {
    watching: &'a Watching,
    stamps_from: Instant,
    board: &'a Board,
    each: Vec<Watcher>,
    /// Of each stream: the ids of its watches, in the order of their creation.
    ids: Vec<Vec<u64>>,
    is_ended: Vec<bool>,
    load: Load,
    over_since: Option<Instant>,
    complete_since: Option<Instant>,
}

impl<'a> Watchers<'a> {
    fn new(watching: &'a Watching, stamps_from: Instant, board: &'a Board) -> Self {
        assert!(watching.per_stream > 0 && !watching.ranges.is_empty());
        let streams = watching.watchers.div_ceil(watching.per_stream);
        Self {
            watching,
            stamps_from,
            board,
            each: vec![Watcher::default(); watching.watchers],
            ids: vec![Vec::new(); streams],
            is_ended: vec![false; streams],
            load: Load::empty(),
            over_since: None,
            complete_since: None,
        }
    }

    /// The watcher with this id on this stream.
    fn find(&self, stream: usize, id: u64) -> Option<usize> {
        let place = match &self.ids[stream][..] {
            [only] if *only == id => 0,
            ids => ids.iter().position(|known| *known == id)?,
        };
        Some(stream * self.watching.per_stream + place)
    }

    fn created(&mut self, stream: usize, id: u64) {
        let first = stream * self.watching.per_stream;
        let asked = self.watching.per_stream.min(self.watching.watchers - first);
        if self.ids[stream].len() < asked && !self.ids[stream].contains(&id) {
            self.ids[stream].push(id);
            self.board.created.fetch_add(1, Ordering::Release);
        } else {
            self.load
                .note_failure("a watch was created that nobody asked for", 1);
        }
    }

    fn event(&mut self, at: usize, event: Event<'_>, now: Instant) {
        let watcher = &mut self.each[at];
        let is_first = watcher.last == 0;
        if event.revision <= watcher.last {
            self.load.note_failure("events came twice or out of order", 1);
            return;
        }
        // With a start revision every revision is known to exist.
        let start = self.watching.start_revision;
        let due = if is_first { start } else { watcher.last + 1 };
        if start > 0 && event.revision != due {
            let gap = event.revision.abs_diff(due);
            self.load.note_failure("events are missing", gap);
        }
        watcher.last = event.revision;
        watcher.tally.add(event.revision);
        let Some(window) = self.board.window.get() else {
            return;
        };
        if now >= window.from && window.until.is_none_or(|until| now < until) {
            self.load.operations += 1;
        }
        if let Some(stamp) = event.value.first_chunk::<STAMP_BYTES>() {
            let due = self.stamps_from + Duration::from_nanos(u64::from_le_bytes(*stamp));
            if due >= window.from {
                let late_ns = now.saturating_duration_since(due).as_nanos() as u64;
                self.load.latencies_ns.saturating_record(late_ns);
            }
        }
    }

    /// Whether every watcher has been told of as much as is expected.
    fn is_complete(&self, expected: &Expected) -> bool {
        let ranges = self.watching.ranges.len();
        self.each.iter().enumerate().all(|(at, watcher)| match expected {
            Expected::Written(written, _) => watcher.tally.count >= written[at % ranges].count,
            Expected::UpTo(revision) => watcher.last >= *revision,
            Expected::Nothing => true,
        })
    }

    /// Compares what came with what was expected.
    fn verdict(mut self) -> Load {
        let Some(expected) = self.board.expected.get() else {
            return self.load;
        };
        let mut wrong: BTreeMap<&str, u64> = BTreeMap::new();
        for (at, watcher) in self.each.iter().enumerate() {
            let (reason, count) = match expected {
                Expected::Written(written, uncertain) => {
                    compare(watcher.tally, written[at % written.len()], *uncertain)
                }
                Expected::UpTo(revision) => ("events are missing", revision.saturating_sub(watcher.last)),
                Expected::Nothing => ("", 0),
            };
            *wrong.entry(reason).or_default() += count;
        }
        for (reason, count) in wrong {
            self.load.note_failure(reason, count);
        }
        self.load
    }
}

/// What is wrong with what a watcher was told, and how often.
fn compare(told: Tally, written: Tally, uncertain: u64) -> (&'static str, u64) {
    if told.count < written.count {
        ("events are missing", written.count - told.count)
    } else if told.count > written.count + uncertain {
        let surplus = told.count - written.count - uncertain;
        ("events came that nobody wrote", surplus)
    } else if uncertain == 0 && told != written {
        ("watchers were told of other revisions than were written", 1)
    } else {
        ("", 0)
    }
}

impl Subscriber for Watchers<'_> {
    fn open(&mut self, stream: usize) -> Vec<Vec<u8>> {
        let first = stream * self.watching.per_stream;
        let until = (first + self.watching.per_stream).min(self.watching.watchers);
        let create = |at: usize| {
            let (key, end) = self.watching.ranges[at % self.watching.ranges.len()];
            let mut request = Vec::new();
            message::watch(
                &mut request,
                &message::Watch {
                    key,
                    end,
                    start_revision: self.watching.start_revision,
                    progress_notify: self.watching.as_kubernetes,
                    prev_kv: self.watching.as_kubernetes,
                },
            );
            request
        };
        (first..until).map(create).collect()
    }

    fn message(&mut self, stream: usize, message: &[u8], now: Instant) {
        let answer = message::watch_answer(message);
        if answer.is_canceled {
            let mut reason = String::from_utf8_lossy(answer.cancel_reason).into_owned();
            if answer.compact_revision > 0 {
                reason += " (history was compacted)";
            }
            self.ended(stream, &format!("canceled: {reason}"));
            return;
        }
        if answer.is_created {
            self.created(stream, answer.watch_id);
        }
        let Some(at) = self.find(stream, answer.watch_id) else {
            // A notice about all watches of the stream has an id that none of them has.
            let events = message::events(message).count() as u64;
            self.load
                .note_failure("events came for a watch that nobody asked for", events);
            return;
        };
        for event in message::events(message) {
            self.event(at, event, now);
        }
        self.board
            .reached
            .fetch_max(self.each[at].last, Ordering::Release);
    }

    fn ended(&mut self, stream: usize, reason: &str) {
        if !std::mem::replace(&mut self.is_ended[stream], true) {
            self.load
                .note_failure(&format!("watch stream ended: {reason}"), 1);
            self.board.is_broken.store(true, Ordering::Release);
        }
    }

    fn is_over(&mut self, now: Instant) -> bool {
        let Some(expected) = self.board.expected.get() else {
            return false;
        };
        let over_since = *self.over_since.get_or_insert(now);
        if self.is_complete(expected) {
            let complete_since = *self.complete_since.get_or_insert(now);
            return matches!(expected, Expected::Nothing) || now - complete_since >= SURPLUS;
        }
        self.board.is_broken() || now - over_since >= LATE_MAX
    }
}

#[cfg(test)]
#[path = "watchers_tests.rs"]
mod tests;
