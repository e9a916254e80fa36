//! The writer: takes the whole queue, writes one frame, syncs once, tells all that wait.
//!
//! Never has more than one unsynced frame (what recovery relies on), never tries a failed write or sync again. Only
//! making a new file for lack of one is tried again, when the disk was full: until then nothing is answered.

use almadia_command::planted::{Bug, planted};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;

use almadia_disk::{Disk, DiskError};

use crate::format::{ENTRY_HEADER_BYTES, FrameBuilder, HEADER_BYTES, Header, padded};
use crate::log::{Request, Shared};
use crate::options::GroupStats;
use crate::positions::{Effect, Place};
use crate::segment::{self, DIRECTORY, Segment, Spare};
use crate::spares::check_room;
use crate::types::{Done, Entry, LogId, Marks};
use crate::{Observer, Options, WalError};

/// Room for any item that is not an entry.
pub(crate) const SMALL_ITEM_BYTES: usize = 20;

/// Does the log's file work. [`crate::spawn_thread`] drives it in production, the simulator step by step.
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
    current: Arc<Segment>,
    /// Where the next frame goes.
    offset: u64,
    /// The checksum of the last frame, in whichever segment.
    crc: u32,
    /// What the frames written so far say.
    marks: Marks,
    /// Taken from the queue, not yet in a frame.
    work: VecDeque<Request>,
    /// The same memory goes back and forth between here and the queue.
    swap: Vec<Request>,
    /// How many entries of the first request in `work` are in earlier frames.
    entries_done: usize,
    /// The newest hint of what is committed.
    hint: Option<LogId>,
    group: Group,
    /// The group is ready and belongs into a new segment, for which there is no room on the disk.
    waits_for_room: bool,
    frame_bytes_max: usize,
    segment_bytes_min: u64,
    life: Box<dyn FnMut() -> u64 + Send>,
    on_fatal: Box<dyn FnMut(&WalError) + Send>,
    observer: Box<dyn Observer>,
}

/// What is being written.
struct Group {
    frame: FrameBuilder,
    /// What stands when the frame is written.
    marks: Marks,
    effects: Vec<Effect>,
    truncations: usize,
    /// Calls answered by it.
    waiting: Vec<Done>,
    /// Where the frame lies once it is written.
    place: Option<Place>,
    is_open: bool,
    dropped: Vec<Entry>,
}

/// Makes a spare the next segment. Its header is synced before it gets the name, and the name before any frame:
/// so a file with a segment's name always has a good header.
pub(crate) fn begin_segment(disk: &dyn Disk, spare: Spare, header: &Header) -> Result<Segment, DiskError> {
    let Spare {
        name: spare_name,
        bytes,
        file,
    } = spare;
    file.write_at(0, &header.encode())?;
    file.sync_all()?;
    let name = segment::segment_name(header.sequence);
    disk.rename(&spare_name, &name)?;
    if !planted(Bug::LogNameNotSynced) {
        disk.sync_dir(DIRECTORY)?;
    }
    Ok(Segment {
        sequence: header.sequence,
        name,
        bytes,
        life: header.life,
        file,
    })
}

impl Writer {
    /// A writer that goes on at `offset` of the newest segment.
    pub(crate) fn new(
        shared: Arc<Shared>,
        current: Arc<Segment>,
        offset: u64,
        crc: u32,
        marks: Marks,
        options: Options,
    ) -> Self {
        // A frame up to this fits into every spare.
        let room = (options.segment_bytes_min - HEADER_BYTES) as usize;
        Self {
            shared,
            current,
            offset,
            crc,
            marks,
            work: VecDeque::new(),
            swap: Vec::new(),
            entries_done: 0,
            hint: None,
            group: Group::new(marks),
            waits_for_room: false,
            segment_bytes_min: options.segment_bytes_min,
            frame_bytes_max: options.frame_bytes_max.min(room),
            life: options.life,
            on_fatal: options.on_fatal,
            observer: options.observer,
        }
    }

    /// Writes and syncs one group; false when there was nothing to do. Large queues take several steps.
    pub fn step(&mut self) -> Result<bool, WalError> {
        let is_written = self.step_write()?;
        if is_written {
            self.step_sync()?;
        }
        Ok(is_written)
    }

    /// Takes the whole queue and writes as much as fits into a frame; false when there was nothing, or when there is no
    /// room on the disk ([`Writer::waits_for_room`]). Otherwise it must be followed by [`Writer::step_sync`].
    pub fn step_write(&mut self) -> Result<bool, WalError> {
        if !self.waits_for_room {
            assert!(
                !self.group.is_open,
                "a frame is synced before the next is written"
            );
            if self.work.is_empty() && !self.take_queue()? {
                return Ok(false);
            }
            self.group.is_open = true;
            self.fill();
            if self.group.frame.is_empty() {
                return Ok(true);
            }
            self.observer.write_begins();
        }
        match self.write() {
            Ok(is_written) => {
                self.note_room(is_written);
                if is_written && planted(Bug::AckBeforeSync) {
                    self.group.waiting.drain(..).for_each(|done| done(Ok(())));
                }
                Ok(is_written)
            }
            Err(_) if planted(Bug::WriteErrorIgnored) => Ok(true),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Whether the last step found no room for a new segment. Nothing is lost and nothing of what waits is answered;
    /// the next step tries again.
    pub fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    fn note_room(&mut self, is_written: bool) {
        if self.waits_for_room == is_written {
            self.waits_for_room = !is_written;
            self.shared.lock().waits_for_room = !is_written;
        }
    }

    /// Syncs what [`Writer::step_write`] wrote and tells all that wait for it, in order.
    pub fn step_sync(&mut self) -> Result<(), WalError> {
        assert!(self.group.is_open, "there is something to sync");
        if self.group.place.is_some() && !planted(Bug::SkipSync) {
            self.observer.sync_begins();
            if let Err(error) = self.current.file.sync_data()
                && !planted(Bug::SyncErrorIgnored)
            {
                return Err(self.fail(error));
            }
        }
        let stats = self.publish();
        self.observer.group_ends(stats);
        self.group.is_open = false;
        for done in self.group.waiting.drain(..) {
            done(Ok(()));
        }
        // Freed late: an entry's memory may be large, and its caller waits no longer.
        self.group.dropped.clear();
        self.group.frame.shrink_to(2 * self.frame_bytes_max);
        Ok(())
    }

    /// Whether a step would find something to do.
    pub fn has_work(&self) -> bool {
        self.group.is_open || !self.work.is_empty() || !self.shared.lock().queue.is_empty()
    }

    fn take_queue(&mut self) -> Result<bool, WalError> {
        let mut state = self.shared.lock();
        if let Some(cause) = &state.stopped {
            return Err(WalError::Stopped(Arc::clone(cause)));
        }
        std::mem::swap(&mut state.queue, &mut self.swap);
        self.hint = state.marks.committed;
        drop(state);
        self.work.extend(self.swap.drain(..));
        Ok(!self.work.is_empty())
    }

    /// Moves requests into the frame until it is full.
    fn fill(&mut self) {
        self.group.begin(self.marks);
        while let Some(request) = self.work.front() {
            let Request::Append(entries, _) = request else {
                if !self.group.has_room(SMALL_ITEM_BYTES, self.frame_bytes_max) {
                    return;
                }
                self.group.add_small(request);
                self.finish_request();
                continue;
            };
            for entry in &entries[self.entries_done..] {
                if !self
                    .group
                    .has_room(ENTRY_HEADER_BYTES + entry.data.len(), self.frame_bytes_max)
                {
                    return;
                }
                self.group.add_entry(entry);
                self.entries_done += 1;
            }
            self.finish_request();
        }
        self.group.add_hint(self.hint);
    }

    fn finish_request(&mut self) {
        self.entries_done = 0;
        let done = self.work.pop_front().and_then(Request::into_done);
        self.group.waiting.extend(done);
    }

    /// Writes the group's frame; false, with nothing changed, when that takes a new segment and there is no room for one.
    fn write(&mut self) -> Result<bool, DiskError> {
        let frame_bytes = padded(self.group.frame.len());
        if self.offset + frame_bytes as u64 > self.current.bytes {
            let Some(spare) = self.take_spare(HEADER_BYTES + frame_bytes as u64)? else {
                return Ok(false);
            };
            self.rotate(spare)?;
        }
        let crc = self.group.frame.seal(self.current.life, self.offset);
        self.current
            .file
            .write_at(self.offset, self.group.frame.bytes())?;
        let frame_bytes = u32::try_from(frame_bytes).expect("a frame is far below 4 GiB");
        self.group.place = Some(Place {
            sequence: self.current.sequence,
            offset: self.offset,
            frame_bytes,
        });
        (self.offset, self.crc, self.marks) = (self.offset + u64::from(frame_bytes), crc, self.group.marks);
        Ok(true)
    }

    /// Goes on in a new segment. All frames of the old one are synced.
    fn rotate(&mut self, spare: Spare) -> Result<(), DiskError> {
        let header = Header {
            sequence: self.current.sequence + 1,
            life: (self.life)(),
            previous_crc: self.crc,
            marks: self.marks,
        };
        let segment = Arc::new(begin_segment(&*self.shared.disk, spare, &header)?);
        let mut state = self.shared.lock();
        state.segments.push_back(Arc::clone(&segment));
        state.counters.rotations += 1;
        // A log that is used gets larger segments; an idle member stays small.
        state.spare_bytes = (state.spare_bytes * 2).min(self.shared.segment_bytes_max);
        drop(state);
        (self.current, self.offset) = (segment, HEADER_BYTES);
        self.observer.segment_begins();
        Ok(())
    }

    /// A spare that is ready, or a new one; None when the disk has no room for one. Making it has touched nothing that
    /// was ever promised, so of all that can fail here this alone may be tried again.
    fn take_spare(&mut self, bytes_min: u64) -> Result<Option<Spare>, DiskError> {
        let mut state = self.shared.lock();
        if let Some(position) = state.spares.iter().position(|spare| spare.bytes >= bytes_min) {
            return Ok(state.spares.remove(position));
        }
        // Each attempt counts the missed spare once.
        state.counters.spares_missed += u64::from(!self.waits_for_room);
        let wanted = state.spare_bytes.max(bytes_min);
        drop(state);
        // Where the usual size does not fit, the smallest may.
        for bytes in [wanted, self.segment_bytes_min.max(bytes_min)] {
            match self.make_spare(bytes) {
                Ok(spare) => return Ok(Some(spare)),
                Err(error) if is_lack_of_room(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn make_spare(&self, bytes: u64) -> Result<Spare, DiskError> {
        let mut state = self.shared.lock();
        let name = segment::spare_name(state.next_spare);
        state.next_spare += 1;
        drop(state);
        let disk = &*self.shared.disk;
        check_room(disk, &name, bytes)?;
        segment::make_spare(disk, name, bytes)
    }

    /// Makes the synced group part of what readers find on disk.
    fn publish(&mut self) -> GroupStats {
        let group = &mut self.group;
        let stats = GroupStats {
            entries: u64::from(group.frame.entries()),
            bytes: group.place.map_or(0, |place| u64::from(place.frame_bytes)),
            calls: group.waiting.len() as u64,
        };
        let mut state = self.shared.lock();
        let state = &mut *state;
        if let Some(place) = group.place {
            state.positions.apply(place, &group.effects);
            state.unwritten_truncations.drain(..group.truncations);
            let synced = state.synced_index();
            state
                .tail
                .shrink(self.shared.tail_bytes_max, synced, &mut group.dropped);
            state.counters.groups += 1;
        }
        state.counters.entries += stats.entries;
        state.counters.bytes += stats.bytes;
        stats
    }

    /// The end: what is on disk is unknown from here on, and only a restart can find out.
    fn fail(&mut self, error: DiskError) -> WalError {
        let error = WalError::from(error);
        self.group.is_open = false;
        let stopped = WalError::Stopped(Arc::new(error.clone()));
        let mut state = self.shared.lock();
        state.stopped = Some(Arc::new(error.clone()));
        drop(state);
        // First of all: in production this ends the process, and nobody learns anything that is not durable.
        (self.on_fatal)(&error);
        self.give_up(&stopped);
        error
    }

    /// Tells all that wait that it will not happen.
    fn give_up(&mut self, error: &WalError) {
        let queue = std::mem::take(&mut self.shared.lock().queue);
        let requests = self.work.drain(..).chain(queue).filter_map(Request::into_done);
        for done in self.group.waiting.drain(..).chain(requests) {
            done(Err(error.clone()));
        }
    }
}

/// Whether it is only the disk that is full (or this user's share of it).
fn is_lack_of_room(error: &DiskError) -> bool {
    matches!(
        error.cause.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.close();
        self.give_up(&WalError::Closed);
    }
}

impl Group {
    fn new(marks: Marks) -> Self {
        Self {
            frame: FrameBuilder::new(),
            marks,
            effects: Vec::new(),
            truncations: 0,
            waiting: Vec::new(),
            place: None,
            is_open: false,
            dropped: Vec::new(),
        }
    }

    fn begin(&mut self, marks: Marks) {
        self.frame.clear();
        self.effects.clear();
        (self.marks, self.truncations, self.place) = (marks, 0, None);
    }

    /// One item always fits.
    fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        self.frame.is_empty() || self.frame.len() + bytes <= bytes_max
    }

    fn add_entry(&mut self, entry: &Entry) {
        assert!(self.marks.accepts(entry.index), "entries are queued in order");
        self.marks.last = Some(entry.log_id());
        Effect::note_entry(&mut self.effects, entry.index);
        self.frame.entry(entry);
    }

    fn add_small(&mut self, request: &Request) {
        match request {
            Request::Append(..) => unreachable!("entries are added one by one"),
            Request::Vote(vote, _) => {
                self.marks.vote = Some(*vote);
                self.frame.vote(*vote);
            }
            Request::Truncate(keep, _) => {
                self.marks.truncate(*keep);
                self.effects.push(Effect::Truncate(*keep));
                self.truncations += 1;
                if !planted(Bug::TruncationForgotten) {
                    self.frame.truncate(*keep);
                }
            }
            Request::Purge(upto) => {
                self.marks.purge(*upto);
                self.effects.push(Effect::Purge(*upto));
                self.frame.purge(*upto);
            }
        }
    }

    fn add_hint(&mut self, hint: Option<LogId>) {
        let Some(hint) = hint else { return };
        let before = self.marks.committed;
        self.marks.commit(hint);
        if self.marks.committed != before && !self.frame.is_empty() {
            self.frame.committed(hint);
        } else {
            self.marks.committed = before;
        }
    }
}
