//! Recovery: reads all segments in order and finds where the log ends.
//!
//! Tells a torn end (never acknowledged: cut) from damage (acknowledged: refuse). Never repairs damage.

use almadia_command::planted::{Bug, planted};
use std::collections::VecDeque;
use std::sync::Arc;

use almadia_disk::{Disk, DiskFile};
use bytes::Bytes;

use crate::format::{BLOCK_BYTES, FORMAT_VERSION, Frame, HEADER_BYTES, Header, HeaderError, Item};
use crate::log::Terms;
use crate::positions::{Effect, Place, Positions};
use crate::segment::{self, DIRECTORY, Segment, Spare};
use crate::types::{LogId, Marks, Vote};
use crate::{Options, WalError};

/// What the log says after opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The last vote.
    pub vote: Option<Vote>,
    /// At least this much is committed; may be older than what was last told, never newer.
    pub committed: Option<LogId>,
    /// Entries up to here are gone.
    pub purged: Option<LogId>,
    /// The newest entry; `purged` when there is none behind it.
    pub last: Option<LogId>,
    /// How many segments were read.
    pub segments: usize,
    /// A group that was being written when the member stopped, and was cut off. Nobody was told that it was durable.
    pub torn: Option<TornTail>,
}

/// Where an unfinished group was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: String,
    /// The end of what is valid.
    pub offset: u64,
}

/// All that is known after reading.
pub(crate) struct Walk {
    pub marks: Marks,
    pub terms: Terms,
    pub positions: Positions,
    pub segments: VecDeque<Arc<Segment>>,
    /// Where the next frame goes.
    pub end: u64,
    /// The checksum of the last frame, in whichever segment.
    pub crc: u32,
    pub torn: Option<TornTail>,
    /// Whether no entry stood before the oldest segment.
    is_empty_before: bool,
    effects: Vec<Effect>,
    /// The last frame of the segment being read, and where.
    last_frame: Option<(u64, Bytes)>,
}

/// The files there are.
pub(crate) struct Files {
    sequences: Vec<u64>,
    pub spares: VecDeque<Spare>,
    pub next_spare: u64,
}

/// Lists the log's directory, making it where needed, and opens what is ready as a spare.
pub(crate) fn list(disk: &dyn Disk, options: &Options) -> Result<Files, WalError> {
    disk.create_dir(DIRECTORY)?;
    disk.sync_dir("")?;
    let mut files = Files {
        sequences: Vec::new(),
        spares: VecDeque::new(),
        next_spare: 1,
    };
    for plain in disk.list(DIRECTORY)? {
        if let Some(sequence) = segment::parse_segment(&plain) {
            files.sequences.push(sequence);
        } else if let Some(number) = segment::parse_spare(&plain) {
            files.next_spare = files.next_spare.max(number.saturating_add(1));
            let name = segment::spare_name(number);
            let file: Arc<dyn DiskFile> = Arc::from(disk.open_for_log(&name)?);
            let bytes = file.len()?;
            if bytes >= options.segment_bytes_min && bytes.is_multiple_of(HEADER_BYTES) {
                files.spares.push_back(Spare { name, bytes, file });
            } else {
                // Its making was interrupted.
                disk.remove(&name)?;
            }
        }
    }
    files.sequences.sort_unstable();
    Ok(files)
}

/// Reads all segments. None when there is none: a new log.
pub(crate) fn walk(disk: &dyn Disk, files: &Files) -> Result<Option<Walk>, WalError> {
    let mut walk: Option<Walk> = None;
    for sequence in &files.sequences {
        let (segment, header) = open_segment(disk, *sequence)?;
        let walk = match &mut walk {
            None => walk.insert(Walk::begin(&header)),
            Some(walk) => {
                walk.expect_follows(&segment, &header)?;
                walk
            }
        };
        walk.read(Arc::new(segment))?;
    }
    if let Some(walk) = &mut walk {
        walk.expect_complete()?;
        walk.make_durable(disk)?;
    }
    Ok(walk)
}

fn open_segment(disk: &dyn Disk, sequence: u64) -> Result<(Segment, Header), WalError> {
    let name = segment::segment_name(sequence);
    let file: Arc<dyn DiskFile> = Arc::from(disk.open_for_log(&name)?);
    // A header is synced before its file gets a segment's name, so a bad one is never a torn one.
    let bytes = file.len()? / HEADER_BYTES * HEADER_BYTES;
    let damaged = |what| WalError::Damaged {
        file: name.clone(),
        offset: 0,
        what,
    };
    if bytes < HEADER_BYTES {
        return Err(damaged("the segment is shorter than its header"));
    }
    let mut block = vec![0; BLOCK_BYTES];
    file.read_at(0, &mut block)?;
    let header = Header::decode(&block).map_err(|error| match error {
        HeaderError::Damaged => damaged("the segment's header does not verify"),
        HeaderError::Newer(version) => WalError::NewerFormat {
            file: name.clone(),
            version,
            known: FORMAT_VERSION,
        },
    })?;
    if header.sequence != sequence {
        return Err(damaged("the header is another segment's"));
    }
    Ok((
        Segment {
            sequence,
            name,
            bytes,
            life: header.life,
            file,
        },
        header,
    ))
}

impl Walk {
    fn begin(header: &Header) -> Self {
        let marks = header.marks;
        Self {
            marks,
            terms: Terms::default(),
            positions: Positions::beginning_after(marks.last_index(), marks.purged_index()),
            segments: VecDeque::new(),
            end: HEADER_BYTES,
            crc: header.previous_crc,
            torn: None,
            is_empty_before: marks.last.is_none(),
            effects: Vec::new(),
            last_frame: None,
        }
    }

    /// A segment begins only when all before it is synced: what its header says about the one before must be there.
    fn expect_follows(&self, segment: &Segment, header: &Header) -> Result<(), WalError> {
        let previous = self.segments.back().expect("a walk has read a segment");
        if previous.sequence + 1 != segment.sequence {
            return Err(previous.damaged(previous.bytes, "the next segment is missing"));
        }
        if self.crc != header.previous_crc || self.marks != header.marks {
            return Err(previous.damaged(self.end, "the next segment says that more was written"));
        }
        Ok(())
    }

    fn read(&mut self, segment: Arc<Segment>) -> Result<(), WalError> {
        self.segments.push_back(Arc::clone(&segment));
        self.end = HEADER_BYTES;
        self.last_frame = None;
        while let Some(frame) = segment.read_frame(self.end)? {
            self.apply(&segment, &frame)?;
            let bytes = frame.padded_bytes();
            self.last_frame = Some((self.end, bytes.clone()));
            self.crc = frame.crc;
            self.end += bytes.len() as u64;
        }
        // Only one frame is ever unsynced, so a valid one behind a bad one means that the bad one was acknowledged.
        if !planted(Bug::DamageIsTorn) && segment.find_frame(self.end + BLOCK_BYTES as u64)?.is_some() {
            return Err(segment.damaged(self.end, "a frame does not verify, and a later one does"));
        }
        self.torn = self.find_torn(&segment)?;
        Ok(())
    }

    /// Whether a frame was begun where the log ends. Misses one whose first block was not written at all.
    fn find_torn(&self, segment: &Segment) -> Result<Option<TornTail>, WalError> {
        if self.end + HEADER_BYTES > segment.bytes {
            return Ok(None);
        }
        let mut block = vec![0; BLOCK_BYTES];
        segment.file.read_at(self.end, &mut block)?;
        let is_begun = Frame::claimed_bytes(&block, segment.life).is_some();
        Ok(is_begun.then(|| TornTail {
            file: segment.name.clone(),
            offset: self.end,
        }))
    }

    fn apply(&mut self, segment: &Segment, frame: &Frame) -> Result<(), WalError> {
        self.effects.clear();
        let damaged = |what| segment.damaged(self.end, what);
        for item in frame.items() {
            match item.map_err(|_| damaged("a frame verifies, but its content is unknown"))? {
                Item::Entry(entry) => {
                    if !self.marks.accepts(entry.index) {
                        return Err(damaged("an entry does not follow the one before"));
                    }
                    self.marks.last = Some(entry.log_id());
                    self.terms.push(entry.log_id());
                    Effect::note_entry(&mut self.effects, entry.index);
                }
                Item::Vote(vote) => self.marks.vote = Some(vote),
                Item::Committed(id) => self.marks.commit(id),
                Item::Truncate(keep) => {
                    self.marks.truncate(keep);
                    self.terms.truncate(self.marks.last_index());
                    self.effects.push(Effect::Truncate(keep));
                }
                Item::Purge(upto) => {
                    self.terms.purge(upto.index, self.marks.last_index());
                    self.marks.purge(upto);
                    self.effects.push(Effect::Purge(upto));
                }
            }
        }
        let frame_bytes = frame.padded_bytes().len() as u32;
        let place = Place {
            sequence: segment.sequence,
            offset: self.end,
            frame_bytes,
        };
        self.positions.apply(place, &self.effects);
        Ok(())
    }

    /// All entries behind the purged ones must be in the segments that are left.
    fn expect_complete(&self) -> Result<(), WalError> {
        let first = self.segments.front().expect("a walk has read a segment");
        let purged = self.marks.purged_index();
        let is_whole = self.marks.last_index() <= purged
            || self.is_empty_before
            || self
                .positions
                .first_run()
                .is_some_and(|run| run.first <= purged.next());
        if is_whole {
            Ok(())
        } else {
            Err(first.damaged(0, "an older segment is missing"))
        }
    }

    /// What has been read may be in the page cache only: after a kill, or after a failed sync that has marked the
    /// pages clean. Writing the last frame (only it can be unsynced) once more makes them dirty; then sync.
    fn make_durable(&self, disk: &dyn Disk) -> Result<(), WalError> {
        let segment = self.segments.back().expect("a walk has read a segment");
        if let Some((offset, bytes)) = &self.last_frame {
            segment.file.write_at(*offset, bytes)?;
        }
        segment.file.sync_all()?;
        Ok(disk.sync_dir(DIRECTORY)?)
    }
}
