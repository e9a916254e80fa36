//! The bytes of a segment: one header block, then frames that begin on 4 KiB.
//!
//! Pure: bytes in, values out, and the other way round. Never panics on bytes. Numbers are little-endian. The
//! layout is drawn in `docs/internals/log.md`, and golden tests hold it.

use almadia_command::{LogIndex, MemberId, Term};
use bytes::Bytes;

use crate::types::{Entry, EntryKind, LogId, Marks, Vote};

/// Frames begin on multiples of this, so that acknowledged bytes are never written again.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// The first block of a segment.
pub(crate) const HEADER_BYTES: u64 = BLOCK_BYTES as u64;
/// The format written here, and the newest that can be read.
pub(crate) const FORMAT_VERSION: u32 = 1;

const HEADER_MAGIC: &[u8; 8] = b"ALMADWAL";
/// Magic, version and the checksum at the block's end stay where they are in every future format.
const HEADER_CRC_AT: usize = BLOCK_BYTES - 4;
const FLAG_VOTED: u32 = 1;
const FLAG_VOTE_COMMITTED: u32 = 2;

const FRAME_MAGIC: &[u8; 4] = b"AWFR";
/// A frame's fixed part.
pub(crate) const FRAME_HEADER_BYTES: usize = 40;
/// The checksum covers everything behind itself, padding included.
const FRAME_CRC_END: usize = 8;
/// An entry's fixed part.
pub(crate) const ENTRY_HEADER_BYTES: usize = 28;

const TAG_ENTRY: u8 = 1;
const TAG_VOTE: u8 = 2;
const TAG_COMMITTED: u8 = 3;
const TAG_TRUNCATE: u8 = 4;
const TAG_PURGE: u8 = 5;

/// The first block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub sequence: u64,
    pub life: u64,
    /// The checksum of the last frame before this segment; 0 when there is none.
    pub previous_crc: u32,
    /// What all older segments come down to.
    pub marks: Marks,
}

/// Why a block is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Damaged,
    Newer(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let vote = self.marks.vote;
        let mut flags = 0;
        if let Some(vote) = vote {
            flags = FLAG_VOTED | if vote.committed { FLAG_VOTE_COMMITTED } else { 0 };
        }
        let (last_term, last_index) = numbers(self.marks.last);
        block.extend_from_slice(HEADER_MAGIC);
        block.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        block.extend_from_slice(&flags.to_le_bytes());
        block.extend_from_slice(&self.sequence.to_le_bytes());
        block.extend_from_slice(&self.life.to_le_bytes());
        block.extend_from_slice(&last_index.to_le_bytes());
        block.extend_from_slice(&last_term.to_le_bytes());
        block.extend_from_slice(&(last_index.wrapping_add(1)).to_le_bytes());
        block.extend_from_slice(&u64::from(self.previous_crc).to_le_bytes());
        block.extend_from_slice(&vote.map_or(0, |vote| vote.term.get()).to_le_bytes());
        block.extend_from_slice(&vote.map_or(0, |vote| vote.member.get()).to_le_bytes());
        for id in [self.marks.committed, self.marks.purged] {
            put_log_id(&mut block, id);
        }
        block.resize(HEADER_CRC_AT, 0);
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        block
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, HeaderError> {
        if block.len() != BLOCK_BYTES || !block.starts_with(HEADER_MAGIC) {
            return Err(HeaderError::Damaged);
        }
        if crc32c::crc32c(&block[..HEADER_CRC_AT]) != u32_at(block, HEADER_CRC_AT) {
            return Err(HeaderError::Damaged);
        }
        let version = u32_at(block, 8);
        if version > FORMAT_VERSION {
            return Err(HeaderError::Newer(version));
        }
        let flags = u32_at(block, 12);
        let vote = (flags & FLAG_VOTED != 0).then(|| Vote {
            term: Term(u64_at(block, 64)),
            member: MemberId(u64_at(block, 72)),
            committed: flags & FLAG_VOTE_COMMITTED != 0,
        });
        let marks = Marks {
            vote,
            committed: log_id(u64_at(block, 80), u64_at(block, 88)),
            purged: log_id(u64_at(block, 96), u64_at(block, 104)),
            last: log_id(u64_at(block, 40), u64_at(block, 32)),
        };
        let (sequence, life) = (u64_at(block, 16), u64_at(block, 24));
        Ok(Self {
            sequence,
            life,
            previous_crc: u32_at(block, 56),
            marks,
        })
    }
}

/// One thing a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Entry(Entry),
    Vote(Vote),
    Committed(LogId),
    /// Entries behind this one are void; index 0 voids all.
    Truncate(LogId),
    Purge(LogId),
}

/// A frame in the making, in a buffer that is used again and again.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    buffer: Vec<u8>,
    count: u32,
    entries: u32,
    first_index: u64,
    kinds: u32,
}

impl FrameBuilder {
    pub(crate) fn new() -> Self {
        let mut builder = Self {
            buffer: Vec::new(),
            count: 0,
            entries: 0,
            first_index: 0,
            kinds: 0,
        };
        builder.clear();
        builder
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.resize(FRAME_HEADER_BYTES, 0);
        (self.count, self.entries, self.first_index, self.kinds) = (0, 0, 0, 0);
    }

    /// Gives memory back after an unusually large frame.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.buffer.capacity() > bytes {
            self.clear();
            self.buffer.shrink_to(bytes);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Without padding.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    fn begin(&mut self, tag: u8, detail: u8) {
        self.count += 1;
        self.kinds |= 1 << tag;
        self.buffer.extend_from_slice(&[tag, detail, 0, 0]);
    }

    pub(crate) fn entry(&mut self, entry: &Entry) {
        let len = u32::try_from(entry.data.len()).expect("an entry is far below 4 GiB");
        if self.entries == 0 {
            self.first_index = entry.index.get();
        }
        self.entries += 1;
        self.begin(TAG_ENTRY, entry.kind as u8);
        let mut fixed = [0; ENTRY_HEADER_BYTES - 4];
        fixed[..4].copy_from_slice(&len.to_le_bytes());
        fixed[4..8].copy_from_slice(&entry.checksum.to_le_bytes());
        fixed[8..16].copy_from_slice(&entry.term.get().to_le_bytes());
        fixed[16..].copy_from_slice(&entry.index.get().to_le_bytes());
        self.buffer.extend_from_slice(&fixed);
        self.buffer.extend_from_slice(&entry.data);
    }

    pub(crate) fn vote(&mut self, vote: Vote) {
        self.begin(TAG_VOTE, u8::from(vote.committed));
        self.buffer.extend_from_slice(&vote.term.get().to_le_bytes());
        self.buffer.extend_from_slice(&vote.member.get().to_le_bytes());
    }

    pub(crate) fn committed(&mut self, id: LogId) {
        self.begin(TAG_COMMITTED, 0);
        put_log_id(&mut self.buffer, Some(id));
    }

    pub(crate) fn truncate(&mut self, keep: LogId) {
        self.begin(TAG_TRUNCATE, 0);
        put_log_id(&mut self.buffer, Some(keep));
    }

    pub(crate) fn purge(&mut self, upto: LogId) {
        self.begin(TAG_PURGE, 0);
        put_log_id(&mut self.buffer, Some(upto));
    }

    /// Pads the frame and ties it to its place: moved elsewhere, or read in another life, it does not verify.
    /// Returns its checksum; its bytes are in [`FrameBuilder::bytes`].
    pub(crate) fn seal(&mut self, life: u64, offset: u64) -> u32 {
        assert!(!self.is_empty(), "a frame says something");
        let len = u32::try_from(self.buffer.len()).expect("a frame is far below 4 GiB");
        self.buffer.resize(padded(self.buffer.len()), 0);
        self.buffer[..4].copy_from_slice(FRAME_MAGIC);
        self.buffer[8..16].copy_from_slice(&life.to_le_bytes());
        self.buffer[16..20].copy_from_slice(&len.to_le_bytes());
        self.buffer[20..24].copy_from_slice(&self.count.to_le_bytes());
        self.buffer[24..32].copy_from_slice(&self.first_index.to_le_bytes());
        self.buffer[32..36].copy_from_slice(&self.kinds.to_le_bytes());
        let crc = crc32c::crc32c_append(seed(life, offset), &self.buffer[FRAME_CRC_END..]);
        self.buffer[4..8].copy_from_slice(&crc.to_le_bytes());
        crc
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }
}

/// A frame that has verified.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    bytes: Bytes,
    len: usize,
    count: u32,
    pub crc: u32,
}

impl Frame {
    /// How long (with padding) the frame that begins here claims to be, when it claims to be one of this life.
    pub(crate) fn claimed_bytes(block: &[u8], life: u64) -> Option<usize> {
        let is_frame = block.len() >= FRAME_HEADER_BYTES && block.starts_with(FRAME_MAGIC);
        if !is_frame || u64_at(block, 8) != life {
            return None;
        }
        let len = u32_at(block, 16) as usize;
        (len >= FRAME_HEADER_BYTES).then(|| padded(len))
    }

    /// Takes a frame with its padding; None when it is not what was written at this place in this life.
    pub(crate) fn verify(bytes: Bytes, life: u64, offset: u64) -> Option<Self> {
        if Self::claimed_bytes(&bytes, life)? != bytes.len() {
            return None;
        }
        let crc = u32_at(&bytes, 4);
        if crc32c::crc32c_append(seed(life, offset), &bytes[FRAME_CRC_END..]) != crc {
            return None;
        }
        let (len, count) = (u32_at(&bytes, 16) as usize, u32_at(&bytes, 20));
        Some(Self {
            bytes,
            len,
            count,
            crc,
        })
    }

    /// With padding.
    pub(crate) fn padded_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it says, in order; an error ends it.
    pub(crate) fn items(&self) -> Items {
        Items {
            bytes: self.bytes.slice(..self.len),
            at: FRAME_HEADER_BYTES,
            left: self.count,
        }
    }
}

/// A verified frame whose content makes no sense: a bug of the writer, or a format this release does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The items of one frame. Entries share the frame's memory.
#[derive(Debug)]
pub(crate) struct Items {
    bytes: Bytes,
    at: usize,
    left: u32,
}

impl Items {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn item(&mut self) -> Option<Item> {
        let start = self.take(4)?;
        let (tag, detail) = (start[0], start[1]);
        if tag == TAG_ENTRY {
            return self.entry(detail);
        }
        let numbers = self.take(16)?;
        let (first, second) = (u64_at(numbers, 0), u64_at(numbers, 8));
        let id = LogId {
            term: Term(first),
            index: LogIndex(second),
        };
        match tag {
            TAG_VOTE => {
                let (term, member) = (Term(first), MemberId(second));
                Some(Item::Vote(Vote {
                    term,
                    member,
                    committed: detail == 1,
                }))
            }
            TAG_COMMITTED => Some(Item::Committed(id)),
            TAG_TRUNCATE => Some(Item::Truncate(id)),
            TAG_PURGE => Some(Item::Purge(id)),
            _ => None,
        }
    }

    fn entry(&mut self, kind: u8) -> Option<Item> {
        let kind = EntryKind::from_byte(kind)?;
        let fixed = self.take(ENTRY_HEADER_BYTES - 4)?;
        let (len, checksum) = (u32_at(fixed, 0) as usize, u32_at(fixed, 4));
        let (term, index) = (Term(u64_at(fixed, 8)), LogIndex(u64_at(fixed, 16)));
        let start = self.at;
        self.take(len)?;
        let data = self.bytes.slice(start..start + len);
        Some(Item::Entry(Entry {
            index,
            term,
            kind,
            checksum,
            data,
        }))
    }
}

impl Iterator for Items {
    type Item = Result<Item, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return (self.at != self.bytes.len()).then(|| {
                self.at = self.bytes.len();
                Err(Malformed)
            });
        }
        self.left -= 1;
        let item = self.item();
        if item.is_none() {
            (self.left, self.at) = (0, self.bytes.len());
        }
        Some(item.ok_or(Malformed))
    }
}

/// Rounds up to whole blocks.
pub(crate) fn padded(len: usize) -> usize {
    len.next_multiple_of(BLOCK_BYTES)
}

/// Begins a frame's checksum, so that the same bytes at another place or in another life do not verify.
fn seed(life: u64, offset: u64) -> u32 {
    let mixed = life ^ offset;
    (mixed ^ (mixed >> 32)) as u32
}

/// Index 0 stands for "none": entries begin at 1.
fn log_id(term: u64, index: u64) -> Option<LogId> {
    (index > 0).then_some(LogId {
        term: Term(term),
        index: LogIndex(index),
    })
}

fn numbers(id: Option<LogId>) -> (u64, u64) {
    id.map_or((0, 0), |id| (id.term.get(), id.index.get()))
}

fn put_log_id(bytes: &mut Vec<u8>, id: Option<LogId>) {
    let (term, index) = numbers(id);
    bytes.extend_from_slice(&term.to_le_bytes());
    bytes.extend_from_slice(&index.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}
