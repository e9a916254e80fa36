//! What a segment is, and its footer's bytes. Writing is in `segment_writer`, reading in `segment_reader`.
//!
//! ```text
//! magic 8, format version u32, CRC32C of those u32
//! block, block, ...                                      (see `block`)
//! footer: first and last revision, records, raw bytes, tombstones, tombstone bytes, block count: u64 each
//!         per block: offset u64
//! tail:   footer length u32, format version u32, masked CRC32C of all bytes before this u32, magic 8
//! ```

use super::fields::{Fields, put_i64, put_u32, put_u64};
use super::names;

/// What a segment begins and ends with.
pub(super) const MAGIC: &[u8; 8] = b"ALMA-seg";

/// The format this release writes; it reads this one and all before.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Before the first block.
pub(super) const HEADER_BYTES: u64 = 16;

/// Behind the footer.
pub(super) const TAIL_BYTES: usize = 20;

/// The footer's numbers before the list of blocks.
const FOOTER_FIXED_BYTES: usize = 56;

/// What a manifest says of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    /// The lowest and the highest revision in it. Segments of one manifest ascend and do not overlap.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Told apart from all other segments this member ever had.
    pub(super) generation: u64,
    /// The file's length.
    pub(super) bytes: u64,
    /// CRC32C of the whole file.
    pub(super) checksum: u32,
    pub(super) counts: Counts,
    /// All that was dead at this compacted revision has been dropped from it.
    pub(super) clean_to: i64,
}

impl SegmentInfo {
    pub(super) fn name(&self) -> String {
        names::segment(self.first, self.last, self.generation)
    }

    /// The highest compacted revision at which nothing in here is dead: nothing above it ever is.
    pub(super) fn clean_at(&self) -> i64 {
        self.clean_to.max(self.first - 1)
    }
}

/// What is in a segment, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    /// Bytes of the records before compression.
    pub(super) raw_bytes: u64,
    /// How many of the records, and of their bytes, are tombstones.
    pub(super) tombstones: u64,
    pub(super) tombstone_bytes: u64,
}

impl Counts {
    pub(super) fn put(&self, into: &mut Vec<u8>) {
        put_u64(into, self.records);
        put_u64(into, self.raw_bytes);
        put_u64(into, self.tombstones);
        put_u64(into, self.tombstone_bytes);
    }

    /// Reads counts that can be those of a segment: of one record at least.
    pub(super) fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let (records, raw_bytes) = (fields.u64()?, fields.u64()?);
        let (tombstones, tombstone_bytes) = (fields.u64()?, fields.u64()?);
        let can_be =
            0 < records && tombstones <= records && records <= raw_bytes && tombstone_bytes <= raw_bytes;
        can_be.then_some(Self {
            records,
            raw_bytes,
            tombstones,
            tombstone_bytes,
        })
    }
}

/// Bytes followed by their own CRC32C all have the same CRC32C: the whole-file checksum in a manifest would be one
/// constant for all segments, and could not tell one from another. So it is stored changed (LevelDB's way).
fn mask(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// What stands behind the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) counts: Counts,
    /// Ascending; the first is [`HEADER_BYTES`].
    pub(super) offsets: Vec<u64>,
}

/// The bytes before the first block.
pub(super) fn header() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    put_u32(&mut bytes, FORMAT_VERSION);
    let checksum = crc32c::crc32c(&bytes);
    put_u32(&mut bytes, checksum);
    bytes
}

impl Footer {
    /// The footer and the tail; `checksum` is that of all bytes before.
    pub(super) fn encode(&self, checksum: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_FIXED_BYTES + 8 * self.offsets.len() + TAIL_BYTES);
        put_i64(&mut bytes, self.first);
        put_i64(&mut bytes, self.last);
        self.counts.put(&mut bytes);
        put_u64(&mut bytes, self.offsets.len() as u64);
        self.offsets
            .iter()
            .for_each(|offset| put_u64(&mut bytes, *offset));
        let len = u32::try_from(bytes.len()).expect("a footer is far shorter than 4 GiB");
        put_u32(&mut bytes, len);
        put_u32(&mut bytes, FORMAT_VERSION);
        let checksum = crc32c::crc32c_append(checksum, &bytes);
        put_u32(&mut bytes, mask(checksum));
        bytes.extend_from_slice(MAGIC);
        bytes
    }

    /// Reads the footer of a segment whose blocks end where the footer, at `start`, begins.
    pub(super) fn decode(bytes: &[u8], start: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (first, last) = (fields.i64()?, fields.i64()?);
        let counts = Counts::take(&mut fields)?;
        let block_count = fields.u64()?;
        if (fields.0.len() / 8) as u64 != block_count {
            return None;
        }
        let offsets: Vec<u64> = std::iter::from_fn(|| fields.u64()).collect();
        let ascend = offsets.windows(2).all(|pair| pair[0] < pair[1]);
        let is_whole = fields.is_done()
            && ascend
            && offsets.first() == Some(&HEADER_BYTES)
            && offsets.last().is_some_and(|offset| *offset < start)
            && first <= last;
        is_whole.then_some(Self {
            first,
            last,
            counts,
            offsets,
        })
    }
}

/// The end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) footer_len: u32,
    pub(super) version: u32,
    /// CRC32C of all bytes before it, masked.
    pub(super) checksum: u32,
}

impl Tail {
    pub(super) fn decode(bytes: &[u8; TAIL_BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let tail = Self {
            footer_len: fields.u32()?,
            version: fields.u32()?,
            checksum: fields.u32()?,
        };
        (fields.0 == MAGIC).then_some(tail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A footer comes back; garbage is refused or read, never a panic.
        #[test]
        fn footers_come_back(gaps in prop::collection::vec(13..1000_u64, 0..40), garbage: Vec<u8>) {
            let mut offsets = vec![HEADER_BYTES];
            offsets.extend(gaps.iter().scan(HEADER_BYTES, |at, gap| { *at += gap; Some(*at) }));
            let start = offsets.last().unwrap() + 20;
            let counts = Counts { records: 9, raw_bytes: 100, tombstones: 2, tombstone_bytes: 20 };
            let footer = Footer { first: 2, last: 8, counts, offsets };
            let bytes = footer.encode(7);
            let (body, tail) = bytes.split_last_chunk::<TAIL_BYTES>().unwrap();
            prop_assert_eq!(Footer::decode(body, start), Some(footer));
            prop_assert_eq!(Tail::decode(tail).unwrap().footer_len as usize, body.len());
            let _ = Footer::decode(&garbage, start);
        }
    }
}
