//! The log against a naive twin, through kills and power losses.
//!
//! The twin keeps the history of all items. After a crash the log must be what some prefix of that history
//! makes: at least all that was acknowledged, at most all that was asked.

use std::collections::BTreeMap;

use almadia_command::LogIndex;
use almadia_disk::{Loss, MemDisk};
use proptest::prelude::*;

use super::support::*;
use crate::*;

/// One thing that happens to the log.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Append { count: u64, len: usize },
    Truncate { back: u64 },
    Purge { ahead: u64 },
    PurgeBeyond { ahead: u64 },
    Vote,
    Commit { back: u64 },
    Step,
    WriteOnly,
    Spares,
    Kill,
    PowerLoss { seed: u64 },
}

#[derive(Clone, Debug)]
enum Change {
    Entry(Entry),
    Truncate(u64),
    Purge(LogId),
    Vote(Vote),
}

/// What the log should say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Twin {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl Twin {
    fn last_index(&self) -> u64 {
        self.last.map_or(0, |last| last.index.get())
    }

    fn purged_index(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.index.get())
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Entry(entry) => {
                self.last = Some(entry.log_id());
                self.entries.insert(entry.index.get(), entry.clone());
            }
            Change::Truncate(keep) => {
                self.entries.split_off(&(keep + 1));
                self.last = self
                    .entries
                    .values()
                    .next_back()
                    .map(Entry::log_id)
                    .or(self.purged);
            }
            Change::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index.get() + 1));
                self.purged = Some(*upto);
                if upto.index.get() >= self.last_index() {
                    self.last = Some(*upto);
                }
            }
            Change::Vote(vote) => self.vote = Some(*vote),
        }
    }

    /// Whether the log says just this.
    fn is(&self, log: &Log, entries: &[Entry]) -> bool {
        let recovered = &log.recovered;
        (recovered.vote, recovered.purged, recovered.last) == (self.vote, self.purged, self.last)
            && self.entries.values().eq(entries)
    }
}

/// The beginning of a history, what came after it, and how much of that was acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    start: Twin,
    changes: Vec<Change>,
    pub acknowledged: usize,
}

impl History {
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    fn now(&self) -> Twin {
        let mut twin = self.start.clone();
        self.changes.iter().for_each(|change| twin.apply(change));
        twin
    }

    /// Finds what the log is, between `acknowledged` and the first `asked` changes.
    pub fn expect_prefix(&self, log: &Log, acknowledged: usize, asked: usize) -> Twin {
        let entries = log.read_all();
        let mut twin = self.start.clone();
        for position in 0..=asked {
            if position >= acknowledged && twin.is(log, &entries) {
                return twin;
            }
            if let Some(change) = self.changes.get(position) {
                twin.apply(change);
            }
        }
        panic!(
            "{:?} with {entries:?} is no prefix of {asked} changes with {acknowledged} acknowledged: {:?} then {:?}",
            log.recovered, self.start, self.changes
        );
    }
}

/// A log and its twin.
pub(super) struct Pair {
    pub disk: MemDisk,
    pub log: Log,
    pub history: History,
    term: u64,
    committed: Option<LogId>,
    is_written: bool,
}

impl Pair {
    pub fn new(disk: MemDisk) -> Self {
        let log = open(&disk).unwrap();
        Self {
            disk,
            log,
            history: History::default(),
            term: 1,
            committed: None,
            is_written: false,
        }
    }

    fn change(&mut self, change: Change) {
        self.history.changes.push(change);
    }

    pub fn apply(&mut self, op: &Op) -> Result<(), WalError> {
        let now = self.history.now();
        let (last, purged) = (now.last_index(), now.purged_index());
        let committed = self.committed.map_or(0, |id| id.index.get());
        match *op {
            Op::Append { count, len } => {
                let entries: Vec<_> = (1..=count).map(|n| entry(last + n, self.term, len)).collect();
                entries
                    .iter()
                    .for_each(|entry| self.change(Change::Entry(entry.clone())));
                self.log
                    .wal
                    .append(entries, self.log.done(self.history.len() as u64));
            }
            Op::Truncate { back } => {
                let keep = last.saturating_sub(back).max(purged).max(committed);
                self.term += 1;
                self.change(Change::Truncate(keep));
                self.log
                    .wal
                    .truncate_after(LogIndex(keep), self.log.done(self.history.len() as u64));
            }
            Op::Purge { ahead } => {
                if let Some(entry) = now.entries.get(&(purged + ahead)) {
                    self.purge(entry.log_id());
                }
            }
            Op::PurgeBeyond { ahead } => {
                self.term += 1;
                if last + ahead > purged {
                    self.purge(id(self.term, last + ahead));
                }
            }
            Op::Vote => {
                self.term += 1;
                let vote = vote(self.term, self.term % 5);
                self.change(Change::Vote(vote));
                self.log
                    .wal
                    .save_vote(vote, self.log.done(self.history.len() as u64));
            }
            Op::Commit { back } => {
                if let Some(entry) = now.entries.get(&last.saturating_sub(back))
                    && committed < entry.index.get()
                {
                    self.committed = Some(entry.log_id());
                    self.log.wal.save_committed(entry.log_id());
                }
            }
            Op::Step if self.is_written => {
                self.is_written = false;
                self.log.writer.step_sync()?;
            }
            Op::Step => drop(self.log.writer.step()?),
            Op::WriteOnly if self.is_written => {}
            Op::WriteOnly => self.is_written = self.log.writer.step_write()?,
            Op::Spares => drop(self.log.wal.prepare_spares()?),
            Op::Kill => self.reopen(),
            Op::PowerLoss { seed } => {
                self.disk.power_loss(Loss::Seeded(seed));
                self.reopen();
            }
        }
        self.note_acknowledged();
        Ok(())
    }

    fn purge(&mut self, upto: LogId) {
        self.change(Change::Purge(upto));
        self.log.wal.purge_to(upto);
    }

    pub fn note_acknowledged(&mut self) {
        let told = self.log.told.lock().unwrap();
        let good = told
            .iter()
            .filter(|(_, is_good)| *is_good)
            .map(|(label, _)| *label as usize);
        self.history.acknowledged = good.max().unwrap_or(0);
    }

    /// Opens again what a crash has left, and goes on from there.
    pub fn reopen(&mut self) {
        self.note_acknowledged();
        self.log = open(&self.disk).unwrap_or_else(|error| panic!("{error}: {:?}", self.history));
        self.is_written = false;
        let start = self
            .history
            .expect_prefix(&self.log, self.history.acknowledged, self.history.len());
        let hint = self.log.recovered.committed;
        assert!(hint <= self.committed, "a hint is never newer than what was told");
        assert!(hint <= start.last, "a hint is never beyond the log");
        self.committed = hint;
        self.term += 1;
        self.history = History {
            start,
            changes: Vec::new(),
            acknowledged: 0,
        };
    }

    /// Compares what callers see with the twin.
    pub fn check(&self) {
        let now = self.history.now();
        let wal = &self.log.wal;
        assert_eq!(
            (wal.vote(), wal.purged(), wal.last()),
            (now.vote, now.purged, now.last)
        );
        let all: Vec<_> = now.entries.values().cloned().collect();
        assert!(
            self.log.read_all() == all,
            "{:?} is not {all:?}",
            self.log.read_all()
        );
        for index in now.purged_index()..=now.last_index() + 1 {
            let expected = now.entries.get(&index).map(Entry::log_id);
            let expected = expected.or(now.purged.filter(|id| id.index.get() == index));
            assert_eq!(wal.log_id_at(LogIndex(index)), expected, "at {index}");
        }
    }
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1u64..20, prop_oneof![4 => 0usize..200, 1 => 1000usize..6000])
            .prop_map(|(count, len)| Op::Append { count, len }),
        1 => Just(Op::Append { count: 1, len: 70_000 }),
        2 => (0u64..30).prop_map(|back| Op::Truncate { back }),
        2 => (1u64..60).prop_map(|ahead| Op::Purge { ahead }),
        1 => (0u64..5).prop_map(|ahead| Op::PurgeBeyond { ahead }),
        1 => Just(Op::Vote),
        2 => (0u64..10).prop_map(|back| Op::Commit { back }),
        10 => Just(Op::Step),
        2 => Just(Op::WriteOnly),
        2 => Just(Op::Spares),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(|seed| Op::PowerLoss { seed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Promise: what callers see is what they did, and no crash takes what was acknowledged or brings back what was not.
    #[test]
    fn the_log_is_its_twin(ops in prop::collection::vec(any_op(), 1..80)) {
        let mut pair = Pair::new(MemDisk::new());
        for op in &ops {
            pair.apply(op).unwrap();
            pair.check();
        }
        pair.disk.power_loss(Loss::DropUnsynced);
        pair.reopen();
        pair.check();
    }
}
