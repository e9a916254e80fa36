//! The handle: what the consensus library's log storage calls.
//!
//! Calls change the log in memory at once and return; what must be durable is queued for the writer. Only
//! [`Wal::read`] of old entries and [`Wal::prepare_spares`] touch files.

use std::sync::Arc;

use almadia_command::LogIndex;
use almadia_disk::Disk;

use crate::format::{ENTRY_HEADER_BYTES, Item};
use crate::log::{Request, Shared, State};
use crate::open;
use crate::positions::Run;
use crate::segment::Segment;
use crate::types::{Done, Entry, LogId, Vote};
use crate::writer::Writer;
use crate::{Counters, Options, Recovered, WalError};

/// A handle of the log; clones are cheap. When the last one is dropped the writer's thread finishes what is queued
/// and ends.
#[derive(Clone)]
pub struct Wal {
    pub(crate) shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

/// Dropped with the last handle.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("purged", &self.purged())
            .field("last", &self.last())
            .finish()
    }
}

impl Wal {
    /// Opens the log in `wal/`, or makes a new one. What is recovered is synced before this returns.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Wal, Writer, Recovered), WalError> {
        let (shared, writer, recovered) = open::open(disk, options)?;
        let wal = Wal {
            _alive: Arc::new(Alive(Arc::clone(&shared))),
            shared,
        };
        Ok((wal, writer, recovered))
    }

    /// Adds entries at the end: readable when this returns, durable when `done` is told so. They must follow the
    /// last one without a gap (an empty log that was never purged may begin anywhere): a gap is a bug and panics.
    pub fn append(&self, entries: Vec<Entry>, done: Done) {
        let mut state = self.shared.lock();
        if let Err(error) = state.check() {
            drop(state);
            return done(Err(error));
        }
        for entry in &entries {
            assert!(
                state.marks.accepts(entry.index),
                "entry {} does not follow entry {}",
                entry.index,
                state.marks.last_index()
            );
            state.marks.last = Some(entry.log_id());
            state.terms.push(entry.log_id());
            state.tail.push(entry.clone());
        }
        state.queue.push(Request::Append(entries, done));
        self.shared.wake(state);
    }

    /// Remembers whom this member votes for; the vote counts when `done` is told that it is durable.
    pub fn save_vote(&self, vote: Vote, done: Done) {
        self.request(done, |state, done| {
            state.marks.vote = Some(vote);
            Request::Vote(vote, done)
        });
    }

    /// Drops the entries behind `index`, which was never committed. 0 drops all. Cutting into what is
    /// purged or known to be committed is a bug and panics.
    pub fn truncate_after(&self, index: LogIndex, done: Done) {
        self.request(done, |state, done| {
            assert!(
                index >= state.marks.purged_index(),
                "what is purged was committed"
            );
            let committed = state.marks.committed.map(|id| id.index);
            assert!(committed <= Some(index), "what is committed stays");
            let nothing = LogId {
                term: 0.into(),
                index: 0.into(),
            };
            let keep = state
                .log_id_at(index.min(state.marks.last_index()))
                .unwrap_or(nothing);
            state.marks.truncate(keep);
            state.terms.truncate(keep.index);
            state.tail.truncate(keep.index);
            state.unwritten_truncations.push_back(keep.index);
            Request::Truncate(keep, done)
        });
    }

    fn request(&self, done: Done, change: impl FnOnce(&mut State, Done) -> Request) {
        let mut state = self.shared.lock();
        if let Err(error) = state.check() {
            drop(state);
            return done(Err(error));
        }
        let request = change(&mut state, done);
        state.queue.push(request);
        self.shared.wake(state);
    }

    /// Gives up the entries up to `upto`; it may lie beyond the log's end (after a snapshot), which empties the log.
    /// Files go later, in [`Wal::prepare_spares`], when the mark is durable.
    pub fn purge_to(&self, upto: LogId) {
        let mut dropped = Vec::new();
        let mut state = self.shared.lock();
        if state.check().is_err() || upto.index <= state.marks.purged_index() {
            return;
        }
        let last = state.marks.last_index();
        state.terms.purge(upto.index, last);
        state.marks.purge(upto);
        state.tail.purge(upto.index, &mut dropped);
        state.queue.push(Request::Purge(upto));
        self.shared.wake(state);
    }

    /// Takes a hint of what is committed. Rides with the next group, has no sync of its own; what is beyond the log, or
    /// older than the last hint, is ignored.
    pub fn save_committed(&self, committed: LogId) {
        self.shared.lock().marks.commit(committed);
    }

    /// The entries from `from` up to `to_exclusive` (or the log's end), but no more than `bytes_max` in all; at
    /// least one if there is any. Old ones are read from the files and verified.
    pub fn read(
        &self,
        from: LogIndex,
        to_exclusive: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, WalError> {
        let mut taken = Taken {
            entries: Vec::new(),
            bytes: 0,
            bytes_max,
        };
        let mut next = from;
        loop {
            let (segment, run) = {
                let state = self.shared.lock();
                match find(&state, next, to_exclusive, &mut taken)? {
                    None => return Ok(taken.entries),
                    Some(found) => found,
                }
            };
            let entries = match read_run(&segment, &run, next, to_exclusive) {
                Ok(entries) => entries,
                Err(error) => return Err(self.purged_meanwhile(next).unwrap_or(error)),
            };
            for entry in entries {
                next = entry.index.next();
                if !taken.add(entry) {
                    return Ok(taken.entries);
                }
            }
        }
    }

    /// A purged segment may be written again while it is read: then it is no wonder that it does not verify.
    fn purged_meanwhile(&self, index: LogIndex) -> Option<WalError> {
        let first = self.shared.lock().first_index();
        (index < first).then_some(WalError::Purged { index, first })
    }

    /// The term at an index: of entries that are there and of the last purged one.
    pub fn log_id_at(&self, index: LogIndex) -> Option<LogId> {
        self.shared.lock().log_id_at(index)
    }

    /// The first and the last entry's index; None when there is no entry.
    pub fn first_last(&self) -> Option<(LogIndex, LogIndex)> {
        let state = self.shared.lock();
        let (first, last) = (state.first_index(), state.marks.last_index());
        (first <= last).then_some((first, last))
    }

    /// The newest entry; what was purged last when there is none.
    pub fn last(&self) -> Option<LogId> {
        self.shared.lock().marks.last
    }

    /// The newest entry that was purged.
    pub fn purged(&self) -> Option<LogId> {
        self.shared.lock().marks.purged
    }

    /// The last vote, durable or not.
    pub fn vote(&self) -> Option<Vote> {
        self.shared.lock().marks.vote
    }

    /// The newest hint of what is committed.
    pub fn committed(&self) -> Option<LogId> {
        self.shared.lock().marks.committed
    }

    /// Sums since the log was opened.
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters
    }

    /// What the log's files take, spares included.
    pub fn disk_bytes(&self) -> u64 {
        let state = self.shared.lock();
        let spares: u64 = state.spares.iter().map(|spare| spare.bytes).sum();
        spares + state.segments.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// Whether the disk has no room for the segment that the log needs next: what is queued waits, unanswered, and is
    /// written when there is room.
    pub fn waits_for_room(&self) -> bool {
        self.shared.lock().waits_for_room
    }

    /// Whether a write or sync has failed.
    pub fn is_stopped(&self) -> bool {
        self.shared.lock().stopped.is_some()
    }

    /// Refuses new calls; what is queued is still written.
    pub fn close(&self) {
        self.shared.close();
    }
}

/// Takes what the tail has from `next` on, or says where to read it. None when all is taken.
fn find(
    state: &State,
    next: LogIndex,
    to_exclusive: LogIndex,
    taken: &mut Taken,
) -> Result<Option<(Arc<Segment>, Run)>, WalError> {
    if let Some(cause) = &state.stopped {
        return Err(WalError::Stopped(Arc::clone(cause)));
    }
    if next >= to_exclusive || next > state.marks.last_index() {
        return Ok(None);
    }
    let first = state.first_index();
    if next < first {
        return Err(WalError::Purged { index: next, first });
    }
    if state.tail.first().is_some_and(|first| first <= next) {
        for entry in state
            .tail
            .from(next)
            .take_while(|entry| entry.index < to_exclusive)
        {
            if !taken.add(entry.clone()) {
                break;
            }
        }
        return Ok(None);
    }
    let mut run = state
        .positions
        .find(next)
        .expect("an entry is in the tail or on disk");
    // A truncation that is still queued has not cut the positions yet: what is behind is void, or in the tail.
    let before_tail = state
        .tail
        .first()
        .map_or(LogIndex(u64::MAX), |first| LogIndex(first.get() - 1));
    run.last = run.last.min(state.marks.last_index()).min(before_tail);
    let oldest = state
        .segments
        .front()
        .expect("there is always a segment")
        .sequence;
    let segment = &state.segments[(run.sequence - oldest) as usize];
    Ok(Some((Arc::clone(segment), run)))
}

/// Reads a run's entries from `from` on. Of several versions in the frame the last counts.
fn read_run(
    segment: &Segment,
    run: &Run,
    from: LogIndex,
    to_exclusive: LogIndex,
) -> Result<Vec<Entry>, WalError> {
    let frame = segment.read_known_frame(run.offset, run.frame_bytes)?;
    let damaged = |what| segment.damaged(run.offset, what);
    let mut entries: Vec<Entry> = Vec::new();
    for item in frame.items() {
        let item = item.map_err(|_| damaged("a frame verifies, but its content is unknown"))?;
        let Item::Entry(entry) = item else { continue };
        let behind = entry.index.get().checked_sub(from.get());
        entries.truncate(behind.map_or(0, |behind| behind as usize));
        if behind.is_some() {
            entries.push(entry);
        }
    }
    let wanted = run.last.next().min(to_exclusive).get() - from.get();
    entries.truncate(wanted as usize);
    let is_whole = entries
        .iter()
        .zip(from.get()..)
        .all(|(entry, index)| entry.index.get() == index);
    if !is_whole || entries.len() as u64 != wanted {
        return Err(damaged("a frame lacks entries"));
    }
    if entries
        .iter()
        .any(|entry| crc32c::crc32c(&entry.data) != entry.checksum)
    {
        return Err(damaged("an entry's data does not match its checksum"));
    }
    Ok(entries)
}

/// Entries gathered up to a number of bytes.
struct Taken {
    entries: Vec<Entry>,
    bytes: usize,
    bytes_max: usize,
}

impl Taken {
    /// False when this one is too much.
    fn add(&mut self, entry: Entry) -> bool {
        let bytes = self.bytes + ENTRY_HEADER_BYTES + entry.data.len();
        if bytes > self.bytes_max && !self.entries.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.entries.push(entry);
        true
    }
}
