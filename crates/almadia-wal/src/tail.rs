//! The newest entries, in memory: readable before they are durable, and without a file as long as they are young.
//!
//! Never drops an entry that is not on disk.

use std::collections::VecDeque;

use almadia_command::LogIndex;

use crate::types::Entry;

/// Consecutive entries up to the log's end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn first(&self) -> Option<LogIndex> {
        self.entries.front().map(|entry| entry.index)
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
    }

    /// The entry and those behind it.
    pub(crate) fn from(&self, index: LogIndex) -> impl Iterator<Item = &Entry> {
        let skip = self
            .first()
            .map_or(0, |first| index.get().saturating_sub(first.get()));
        self.entries.range((skip as usize).min(self.entries.len())..)
    }

    pub(crate) fn truncate(&mut self, keep: LogIndex) {
        while self.entries.back().is_some_and(|entry| entry.index > keep) {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| cost(&entry));
        }
    }

    /// Moves entries up to `upto` into `dropped`, so that they are freed outside the lock.
    pub(crate) fn purge(&mut self, upto: LogIndex, dropped: &mut Vec<Entry>) {
        while self.entries.front().is_some_and(|entry| entry.index <= upto) {
            self.drop_first(dropped);
        }
    }

    /// Moves the oldest entries into `dropped` until the rest fits, or is not yet `synced`.
    pub(crate) fn shrink(&mut self, bytes_max: usize, synced: LogIndex, dropped: &mut Vec<Entry>) {
        while self.bytes > bytes_max && self.entries.front().is_some_and(|entry| entry.index <= synced) {
            self.drop_first(dropped);
        }
    }

    fn drop_first(&mut self, dropped: &mut Vec<Entry>) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= cost(&entry);
            dropped.push(entry);
        }
    }
}

/// What an entry takes in memory, roughly.
fn cost(entry: &Entry) -> usize {
    size_of::<Entry>() + entry.data.len()
}
