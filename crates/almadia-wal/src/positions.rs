//! Where entries lie in the files: one run for each frame, a few dozen bytes each.
//!
//! Follows the order of the frames on disk, so it lags behind what callers see. Never touches a file.

use std::collections::VecDeque;

use almadia_command::LogIndex;

use crate::types::LogId;

/// Consecutive entries in one frame. A frame may hold several versions of an index (entries, a truncation,
/// entries); the last one in the frame is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub first: LogIndex,
    pub last: LogIndex,
    pub sequence: u64,
    pub offset: u64,
    /// Of the frame, with padding.
    pub frame_bytes: u32,
}

/// What one frame does to the positions, in order; `Run`s get their place when the frame has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Entries { first: LogIndex, last: LogIndex },
    Truncate(LogId),
    Purge(LogId),
}

impl Effect {
    /// Adds one more entry to a list of effects.
    pub(crate) fn note_entry(effects: &mut Vec<Effect>, index: LogIndex) {
        match effects.last_mut() {
            Some(Effect::Entries { last, .. }) if last.next() == index => *last = index,
            _ => effects.push(Effect::Entries {
                first: index,
                last: index,
            }),
        }
    }
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub sequence: u64,
    pub offset: u64,
    pub frame_bytes: u32,
}

/// All runs that may still be asked for, by index and by place at once.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    runs: VecDeque<Run>,
    /// The newest entry on disk.
    last: LogIndex,
    /// What the disk says is purged: older segments may go.
    purged: LogIndex,
}

impl Positions {
    /// Positions of a log whose older segments are gone.
    pub(crate) fn beginning_after(last: LogIndex, purged: LogIndex) -> Self {
        Self {
            runs: VecDeque::new(),
            last,
            purged,
        }
    }

    pub(crate) fn last(&self) -> LogIndex {
        self.last
    }

    pub(crate) fn first_run(&self) -> Option<&Run> {
        self.runs.front()
    }

    pub(crate) fn apply(&mut self, place: Place, effects: &[Effect]) {
        for effect in effects {
            match *effect {
                Effect::Entries { first, last } => self.push(place, first, last),
                Effect::Truncate(keep) => self.truncate(keep.index),
                Effect::Purge(upto) => self.purge(upto.index),
            }
        }
    }

    /// The run that holds an entry.
    pub(crate) fn find(&self, index: LogIndex) -> Option<Run> {
        let position = self.runs.partition_point(|run| run.last < index);
        self.runs.get(position).filter(|run| run.first <= index).copied()
    }

    /// Whether nothing in this segment, or in an older one, is needed any more.
    pub(crate) fn is_past(&self, sequence: u64) -> bool {
        self.runs.front().is_none_or(|run| run.sequence > sequence)
    }

    fn push(&mut self, place: Place, first: LogIndex, last: LogIndex) {
        let Place {
            sequence,
            offset,
            frame_bytes,
        } = place;
        self.last = last;
        if last <= self.purged {
            return;
        }
        self.runs.push_back(Run {
            first,
            last,
            sequence,
            offset,
            frame_bytes,
        });
    }

    fn truncate(&mut self, keep: LogIndex) {
        while let Some(run) = self.runs.back_mut() {
            if run.first <= keep {
                run.last = run.last.min(keep);
                break;
            }
            self.runs.pop_back();
        }
        self.last = self.last.min(keep.max(self.purged));
    }

    fn purge(&mut self, upto: LogIndex) {
        self.purged = self.purged.max(upto);
        self.last = self.last.max(upto);
        while self.runs.front().is_some_and(|run| run.last <= self.purged) {
            self.runs.pop_front();
        }
    }
}
