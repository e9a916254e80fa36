//! The manifest: which segments are the state, and up to which log entry.
//!
//! The applied index stands under the same checksum as the list that defines the data, so they cannot disagree.
//!
//! ```text
//! magic 8, format version u32, number u64
//! applied index, applied term, revision, compacted revision, next generation: u64 each
//! membership: length u32, bytes
//! sections: count u32, each {name length u16, name, length u32, bytes}     ascending by name
//! segments: count u32, each {first, last, generation, bytes: u64, CRC32C u32,
//!                            records, raw bytes, tombstones, tombstone bytes, clean to: u64}
//! CRC32C of all before u32
//! ```

use std::collections::BTreeMap;

use almadia_command::{LogIndex, Term};
use almadia_disk::Disk;
use bytes::Bytes;

use super::error::{Damage, KeeperError};
use super::fields::{Fields, put_i64, put_u16, put_u32, put_u64};
use super::segment::{Counts, SegmentInfo};

const MAGIC: &[u8; 8] = b"ALMA-man";

/// The format this release writes; it reads this one and all before.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Above this a file is no manifest: 100,000 segments (6 TiB) and their sections stay below.
pub(super) const MANIFEST_BYTES_MAX: u64 = 64 << 20;

const CHECKSUM_BYTES: usize = 4;

/// One state of the store, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Grows with each manifest written; the highest that verifies is the state.
    pub(super) number: u64,
    /// The last log entry whose effect is in the segments and sections.
    pub(super) applied: (LogIndex, Term),
    pub(super) revision: i64,
    pub(super) compacted: i64,
    /// Above every generation used so far.
    pub(super) next_generation: u64,
    pub(super) membership: Bytes,
    /// Small tables kept whole (leases, users, alarms, ...). The keeper does not look inside.
    pub(super) sections: BTreeMap<String, Bytes>,
    /// In revision order, without overlap.
    pub(super) segments: Vec<SegmentInfo>,
}

impl Manifest {
    /// The state before the first entry.
    pub(super) fn empty(number: u64) -> Self {
        Self {
            number,
            applied: (LogIndex(0), Term(0)),
            revision: 1,
            compacted: 0,
            next_generation: 1,
            membership: Bytes::new(),
            sections: BTreeMap::new(),
            segments: Vec::new(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_u32(&mut bytes, FORMAT_VERSION);
        put_u64(&mut bytes, self.number);
        put_u64(&mut bytes, self.applied.0.0);
        put_u64(&mut bytes, self.applied.1.0);
        put_i64(&mut bytes, self.revision);
        put_i64(&mut bytes, self.compacted);
        put_u64(&mut bytes, self.next_generation);
        put_long(&mut bytes, &self.membership);
        put_u32(&mut bytes, count(self.sections.len()));
        for (name, section) in &self.sections {
            put_u16(
                &mut bytes,
                u16::try_from(name.len()).expect("a section's name is a short word"),
            );
            bytes.extend_from_slice(name.as_bytes());
            put_long(&mut bytes, section);
        }
        put_u32(&mut bytes, count(self.segments.len()));
        self.segments
            .iter()
            .for_each(|segment| put_segment(&mut bytes, segment));
        let checksum = crc32c::crc32c(&bytes);
        put_u32(&mut bytes, checksum);
        bytes
    }

    /// Reads a manifest back; `name` is for the error.
    ///
    /// # Errors
    /// [`KeeperError::Damaged`], or [`KeeperError::Newer`] when a newer release wrote it; never panics.
    pub(super) fn decode(bytes: &[u8], name: &str) -> Result<Self, KeeperError> {
        let damaged = |why: &str| KeeperError::from(Damage::new(name, why));
        let (body, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or_else(|| damaged("it is too short for a manifest"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum is wrong"));
        }
        let mut fields = Fields(body);
        if fields.take(MAGIC.len()) != Some(MAGIC) {
            return Err(damaged("it is not a manifest"));
        }
        let version = fields
            .u32()
            .ok_or_else(|| damaged("it is too short for a manifest"))?;
        if version > FORMAT_VERSION {
            return Err(KeeperError::Newer {
                name: name.to_owned(),
                version,
                known: FORMAT_VERSION,
            });
        }
        let manifest = Self::decode_fields(&mut fields).filter(|_| fields.is_done());
        let manifest = manifest.ok_or_else(|| damaged("its fields do not fit its length"))?;
        if manifest.is_consistent() {
            Ok(manifest)
        } else {
            Err(damaged("what it says cannot be"))
        }
    }

    fn decode_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let number = fields.u64()?;
        let applied = (LogIndex(fields.u64()?), Term(fields.u64()?));
        let (revision, compacted, next_generation) = (fields.i64()?, fields.i64()?, fields.u64()?);
        let membership = take_long(fields)?;
        let mut sections = BTreeMap::new();
        for _ in 0..fields.u32()? {
            let len = usize::from(fields.u16()?);
            let name = std::str::from_utf8(fields.take(len)?).ok()?.to_owned();
            sections.insert(name, take_long(fields)?);
        }
        let mut segments = Vec::new();
        for _ in 0..fields.u32()? {
            segments.push(take_segment(fields)?);
        }
        Some(Self {
            number,
            applied,
            revision,
            compacted,
            next_generation,
            membership,
            sections,
            segments,
        })
    }

    fn is_consistent(&self) -> bool {
        let ascend = self.segments.windows(2).all(|pair| pair[0].last < pair[1].first);
        let each = self.segments.iter().all(|segment| {
            segment.first <= segment.last
                && segment.generation < self.next_generation
                && segment.clean_to <= self.compacted
        });
        let newest = self.segments.last().map_or(0, |segment| segment.last);
        ascend && each && newest <= self.revision && self.compacted <= self.revision
    }
}

/// Reads a manifest's file. One that is missing or cannot be read is damage.
pub(super) fn read(disk: &dyn Disk, name: &str) -> Result<Manifest, KeeperError> {
    let file = disk.open(name)?;
    let len = file.len()?;
    if len > MANIFEST_BYTES_MAX {
        return Err(Damage::new(name, "it is too long for a manifest").into());
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(0, &mut bytes)?;
    Manifest::decode(&bytes, name)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a manifest's lists are short")
}

fn put_long(into: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(into, count(bytes.len()));
    into.extend_from_slice(bytes);
}

fn take_long(fields: &mut Fields<'_>) -> Option<Bytes> {
    let len = fields.u32()? as usize;
    fields.take(len).map(Bytes::copy_from_slice)
}

fn put_segment(into: &mut Vec<u8>, segment: &SegmentInfo) {
    put_i64(into, segment.first);
    put_i64(into, segment.last);
    put_u64(into, segment.generation);
    put_u64(into, segment.bytes);
    put_u32(into, segment.checksum);
    segment.counts.put(into);
    put_i64(into, segment.clean_to);
}

fn take_segment(fields: &mut Fields<'_>) -> Option<SegmentInfo> {
    let (first, last, generation, bytes) = (fields.i64()?, fields.i64()?, fields.u64()?, fields.u64()?);
    let checksum = fields.u32()?;
    let counts = Counts::take(fields)?;
    let clean_to = fields.i64()?;
    Some(SegmentInfo {
        first,
        last,
        generation,
        bytes,
        checksum,
        counts,
        clean_to,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(first: i64, last: i64, generation: u64) -> SegmentInfo {
        let counts = Counts {
            records: 3,
            raw_bytes: 77,
            tombstones: 1,
            tombstone_bytes: 9,
        };
        SegmentInfo {
            first,
            last,
            generation,
            bytes: 200,
            checksum: 0xdead_beef,
            counts,
            clean_to: 4,
        }
    }

    fn manifest() -> Manifest {
        Manifest {
            applied: (LogIndex(70), Term(3)),
            revision: 12,
            compacted: 5,
            next_generation: 9,
            membership: Bytes::from_static(b"abc"),
            sections: BTreeMap::from([("leases".to_owned(), Bytes::from_static(b"xy"))]),
            segments: vec![segment(2, 6, 1), segment(7, 11, 8)],
            ..Manifest::empty(4)
        }
    }

    /// A released manifest must be readable for ever.
    #[test]
    fn a_manifest_has_golden_bytes() {
        let bytes = manifest().encode();
        assert_eq!(bytes.len(), 245);
        assert_eq!(&bytes[..20], b"ALMA-man\x01\0\0\0\x04\0\0\0\0\0\0\0");
        assert_eq!(&bytes[20..36], [70, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[60..67], b"\x03\0\0\0abc");
        assert_eq!(&bytes[67..85], b"\x01\0\0\0\x06\0leases\x02\0\0\0xy");
        assert_eq!(crc32c::crc32c(&bytes[..241]).to_le_bytes(), bytes[241..]);
        assert_eq!(Manifest::decode(&bytes, "m").unwrap(), manifest());
    }

    /// No single wrong bit goes unseen, and no cut.
    #[test]
    fn damage_is_seen() {
        let bytes = manifest().encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(
                matches!(Manifest::decode(&damaged, "m"), Err(KeeperError::Damaged(_))),
                "byte {at}"
            );
            assert!(Manifest::decode(&bytes[..at], "m").is_err());
        }
    }

    fn with_checksum(mut body: Vec<u8>) -> Vec<u8> {
        let checksum = crc32c::crc32c(&body);
        put_u32(&mut body, checksum);
        body
    }

    /// A newer format is told apart from damage.
    #[test]
    fn a_newer_format_is_refused() {
        let mut body = manifest().encode();
        body.truncate(241);
        body[8] = 2;
        let error = Manifest::decode(&with_checksum(body), "MANIFEST-4").unwrap_err();
        assert_eq!(
            error.to_string(),
            "MANIFEST-4 has format version 2, this release knows up to 1: start a newer release"
        );
    }

    proptest! {
        /// Garbage is refused, even under a right checksum.
        #[test]
        fn garbage_is_survived(garbage: Vec<u8>, at in 8..241_usize, byte: u8) {
            prop_assert!(Manifest::decode(&garbage, "m").is_err());
            let mut body = manifest().encode();
            body.truncate(241);
            body[at] = byte;
            let _ = Manifest::decode(&with_checksum(body), "m");
            let mut body = b"ALMA-man\x01\0\0\0".to_vec();
            body.extend_from_slice(&garbage);
            prop_assert!(Manifest::decode(&with_checksum(body), "m").is_err());
        }
    }
}
