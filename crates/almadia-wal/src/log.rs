//! What the handle and the writer share: the log as callers see it, and the queue of what is not yet on disk.
//!
//! Behind one lock that is never held while a file is touched.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almadia_command::{LogIndex, Term};
use almadia_disk::Disk;

use crate::positions::Positions;
use crate::segment::{Segment, Spare};
use crate::tail::Tail;
use crate::types::{Done, Entry, LogId, Marks, Vote};
use crate::{Counters, WalError};

/// A call that waits for the writer.
pub(crate) enum Request {
    Append(Vec<Entry>, Done),
    Vote(Vote, Done),
    Truncate(LogId, Done),
    Purge(LogId),
}

impl Request {
    pub(crate) fn into_done(self) -> Option<Done> {
        match self {
            Request::Append(_, done) | Request::Vote(_, done) | Request::Truncate(_, done) => Some(done),
            Request::Purge(_) => None,
        }
    }
}

pub(crate) struct State {
    /// The log as callers see it: what is queued has happened.
    pub marks: Marks,
    pub terms: Terms,
    pub tail: Tail,
    /// The log as the synced frames say.
    pub positions: Positions,
    /// How far queued truncations cut, in order: behind the smallest, `positions` speaks of entries that are void.
    pub unwritten_truncations: VecDeque<LogIndex>,
    /// From the oldest to the one being written; sequences without a gap.
    pub segments: VecDeque<Arc<Segment>>,
    pub spares: VecDeque<Spare>,
    pub next_spare: u64,
    /// The size of the next spare.
    pub spare_bytes: u64,
    /// Bounded by what the callers have in flight: the proposal queue and the append window of the consensus
    /// library, also while the writer waits for room. What is in it is also in the tail.
    pub queue: Vec<Request>,
    pub is_writer_waiting: bool,
    /// The writer has a group ready and no room for a new segment.
    pub waits_for_room: bool,
    pub is_closing: bool,
    pub stopped: Option<Arc<WalError>>,
    pub counters: Counters,
}

impl State {
    /// A log of which nothing is known yet.
    pub(crate) fn new(spares: VecDeque<Spare>, next_spare: u64, spare_bytes: u64) -> Self {
        Self {
            marks: Marks::default(),
            terms: Terms::default(),
            tail: Tail::default(),
            positions: Positions::default(),
            unwritten_truncations: VecDeque::new(),
            segments: VecDeque::new(),
            spares,
            next_spare,
            spare_bytes,
            queue: Vec::new(),
            is_writer_waiting: false,
            waits_for_room: false,
            is_closing: false,
            stopped: None,
            counters: Counters::default(),
        }
    }

    /// Why nothing is accepted any more, if so.
    pub(crate) fn check(&self) -> Result<(), WalError> {
        match &self.stopped {
            Some(cause) => Err(WalError::Stopped(Arc::clone(cause))),
            None if self.is_closing => Err(WalError::Closed),
            None => Ok(()),
        }
    }

    /// The first entry there is, or would be.
    pub(crate) fn first_index(&self) -> LogIndex {
        match self.marks.purged {
            Some(purged) => purged.index.next(),
            None => self.terms.first().unwrap_or(LogIndex(1)),
        }
    }

    pub(crate) fn log_id_at(&self, index: LogIndex) -> Option<LogId> {
        if let Some(id) = [self.marks.purged, self.marks.last]
            .into_iter()
            .flatten()
            .find(|id| id.index == index)
        {
            return Some(id);
        }
        if index < self.first_index() || index > self.marks.last_index() {
            return None;
        }
        Some(LogId {
            term: self.terms.find(index)?,
            index,
        })
    }

    /// How far the tail's entries are the same ones that are synced.
    pub(crate) fn synced_index(&self) -> LogIndex {
        self.unwritten_truncations
            .iter()
            .copied()
            .fold(self.positions.last(), LogIndex::min)
    }
}

/// Which term each index has, as (first index, term) of each stretch: leaders change seldom.
#[derive(Debug, Default)]
pub(crate) struct Terms(VecDeque<(LogIndex, Term)>);

impl Terms {
    pub(crate) fn first(&self) -> Option<LogIndex> {
        self.0.front().map(|(first, _)| *first)
    }

    pub(crate) fn push(&mut self, id: LogId) {
        if self.0.back().is_none_or(|(_, term)| *term != id.term) {
            self.0.push_back((id.index, id.term));
        }
    }

    pub(crate) fn find(&self, index: LogIndex) -> Option<Term> {
        let behind = self.0.partition_point(|(first, _)| *first <= index);
        behind.checked_sub(1).map(|position| self.0[position].1)
    }

    pub(crate) fn truncate(&mut self, keep: LogIndex) {
        while self.0.back().is_some_and(|(first, _)| *first > keep) {
            self.0.pop_back();
        }
    }

    /// Forgets stretches that end at or before `upto`; all of them when the log ends there.
    pub(crate) fn purge(&mut self, upto: LogIndex, last: LogIndex) {
        if upto >= last {
            self.0.clear();
        }
        while self.0.get(1).is_some_and(|(first, _)| *first <= upto.next()) {
            self.0.pop_front();
        }
    }
}

pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    state: Mutex<State>,
    /// Told when the queue is no longer empty and the writer waits.
    work: Condvar,
    /// Told when there are new spares, and when the log closes.
    room: Condvar,
    /// One upkeep at a time.
    pub upkeep: Mutex<()>,
    pub tail_bytes_max: usize,
    pub spares_min: usize,
    pub segment_bytes_max: u64,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, state: State, options: &crate::Options) -> Self {
        Self {
            disk,
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            upkeep: Mutex::new(()),
            tail_bytes_max: options.tail_bytes_max,
            spares_min: options.spares_min,
            segment_bytes_max: options.segment_bytes_max,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Poisoned means that an assertion failed on another thread: in production the process is ending.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the writer look at the queue. Costs a system call only when it sleeps.
    pub(crate) fn wake(&self, mut state: MutexGuard<'_, State>) {
        let is_waiting = std::mem::take(&mut state.is_writer_waiting);
        drop(state);
        if is_waiting {
            self.work.notify_one();
        }
    }

    /// Sleeps until there is work or the log closes; false when it has closed with nothing left to do.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            if !state.queue.is_empty() {
                return true;
            }
            if state.is_closing || state.stopped.is_some() {
                return false;
            }
            state.is_writer_waiting = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps until there may be room for a new segment, `limit` at most; false when the log closes.
    pub(crate) fn wait_for_room(&self, limit: Duration) -> bool {
        let state = self.lock();
        if state.is_closing {
            return false;
        }
        let waited = self.room.wait_timeout(state, limit);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closing
    }

    pub(crate) fn tell_of_room(&self) {
        self.room.notify_one();
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        self.wake(state);
        self.tell_of_room();
    }
}
