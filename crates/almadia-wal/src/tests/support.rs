//! What the tests share: a log with small segments, driven step by step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use almadia_command::{LogIndex, MemberId, Term};
use almadia_disk::{Disk, MemDisk};
use bytes::Bytes;

use crate::*;

/// A log being tested, with the writer in hand.
pub(super) struct Log {
    pub wal: Wal,
    pub writer: Writer,
    pub recovered: Recovered,
    /// What callers were told, in order: their label, and whether it was good news.
    pub told: Arc<Mutex<Vec<(u64, bool)>>>,
    pub fatal: Arc<AtomicU64>,
}

/// Lives never repeat, also not between one opening and the next.
static LIFE: AtomicU64 = AtomicU64::new(0x1234_5678_9abc_def0);

pub(super) fn small_options() -> Options {
    let life = || LIFE.fetch_add(1, Ordering::Relaxed);
    Options {
        segment_bytes_min: 32 * 1024,
        segment_bytes_max: 64 * 1024,
        frame_bytes_max: 16 * 1024,
        tail_bytes_max: 8 * 1024,
        ..Options::new(Box::new(life), Box::new(|_| {}))
    }
}

pub(super) fn open(disk: &MemDisk) -> Result<Log, WalError> {
    open_with(disk, small_options())
}

pub(super) fn open_with(disk: &MemDisk, mut options: Options) -> Result<Log, WalError> {
    let fatal = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&fatal);
    options.on_fatal = Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (wal, writer, recovered) = Wal::open(disk, options)?;
    Ok(Log {
        wal,
        writer,
        recovered,
        told: Arc::default(),
        fatal,
    })
}

impl Log {
    pub fn done(&self, label: u64) -> Done {
        let told = Arc::clone(&self.told);
        Box::new(move |result| told.lock().unwrap().push((label, result.is_ok())))
    }

    pub fn append(&self, entries: &[Entry]) {
        let label = entries.last().map_or(0, |entry| entry.index.get());
        self.wal.append(entries.to_vec(), self.done(label));
    }

    pub fn append_range(&self, first: u64, last: u64, term: u64, len: usize) {
        self.append(
            &(first..=last)
                .map(|index| entry(index, term, len))
                .collect::<Vec<_>>(),
        );
    }

    pub fn flush(&mut self) {
        while self.writer.step().expect("the disk is good") {}
    }

    pub fn read_all(&self) -> Vec<Entry> {
        let Some((first, last)) = self.wal.first_last() else {
            return Vec::new();
        };
        self.wal
            .read(first, last.next(), usize::MAX)
            .expect("what is there can be read")
    }

    pub fn told(&self) -> Vec<(u64, bool)> {
        self.told.lock().unwrap().clone()
    }
}

/// An entry whose data follow from what it is.
pub(super) fn entry(index: u64, term: u64, len: usize) -> Entry {
    let data: Vec<u8> = (0..len as u64)
        .map(|at| (index * 31 + term * 7 + at) as u8)
        .collect();
    let kind = [EntryKind::Command, EntryKind::Blank, EntryKind::Membership][(index % 3) as usize];
    Entry::new(LogIndex(index), Term(term), kind, Bytes::from(data))
}

pub(super) fn id(term: u64, index: u64) -> LogId {
    LogId {
        term: Term(term),
        index: LogIndex(index),
    }
}

pub(super) fn vote(term: u64, member: u64) -> Vote {
    Vote {
        term: Term(term),
        member: MemberId(member),
        committed: term.is_multiple_of(2),
    }
}

/// The segments' names below the root, sorted.
pub(super) fn segments(disk: &MemDisk) -> Vec<String> {
    let names = disk.list("wal").unwrap();
    names
        .into_iter()
        .filter(|name| !name.starts_with("spare"))
        .map(|name| format!("wal/{name}"))
        .collect()
}
