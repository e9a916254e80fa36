//! One version of one key, as one allocation that already holds its encoded `mvccpb.KeyValue`.
//!
//! A range or watch answer copies these bytes instead of encoding. Everything but the position in the store's
//! history is read back from them, so that there is one truth and 32 bytes of overhead. A record never changes.

use almadia_command::{LeaseId, Revision};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};
use std::fmt;
use std::ops::Range;
use triomphe::ThinArc;

/// Tags of `mvccpb.KeyValue`: field number and wire type.
const KEY: u8 = 0x0a;
const CREATE_REVISION: u8 = 0x10;
const MOD_REVISION: u8 = 0x18;
const VERSION: u8 = 0x20;
const VALUE: u8 = 0x2a;
const LEASE: u8 = 0x30;

/// The longest key a record can hold: far above what one request may carry.
pub const KEY_BYTES_MAX: usize = (u32::MAX >> 1) as usize;

/// One version of a key, or the mark of its deletion (a tombstone). Cheap to clone, eight bytes wide.
///
/// Invariants: the key is not empty; the bytes are the canonical encoding of their fields; a tombstone's bytes
/// hold the key and the modification revision only, as etcd's DELETE event does.
#[derive(Clone)]
pub struct Record {
    inner: ThinArc<Header, u8>,
}

/// What is not in the bytes, or is wanted without reading them.
#[derive(Clone, Copy)]
struct Header {
    mod_revision: i64,
    sub: u32,
    /// The key's length, shifted left by one; the lowest bit says "tombstone".
    key_len_and_tombstone: u32,
}

/// The fields of a record to be made.
#[derive(Clone, Copy, Debug)]
pub struct RecordParts<'a> {
    /// The revision that made this version.
    pub main: Revision,
    /// The position among the changes of that revision, from 0.
    pub sub: u32,
    /// The revision that created the key; ignored for a tombstone.
    pub create_revision: Revision,
    /// Puts since the creation, from 1; ignored for a tombstone.
    pub version: i64,
    /// The lease, 0 for none; ignored for a tombstone.
    pub lease: LeaseId,
    /// Whether this marks a deletion.
    pub tombstone: bool,
    /// Not empty.
    pub key: &'a [u8],
    /// May be empty; ignored for a tombstone.
    pub value: &'a [u8],
}

/// Bytes that are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not the canonical encoding of a key-value pair with a key.
    #[error("the bytes of the record at revision {0} are not an encoded key-value pair")]
    Malformed(Revision),
    /// A field in the bytes differs from what stands beside them.
    #[error("the bytes of the record at revision {0} do not agree with the fields beside them")]
    Disagrees(Revision),
}

/// Where the parts of an encoding stand, and the numbers in it.
struct Fields {
    key: Range<usize>,
    create_revision: i64,
    mod_revision: i64,
    version: i64,
    value: Range<usize>,
    lease: i64,
}

impl Record {
    /// Makes a record.
    ///
    /// # Panics
    /// When the key is empty or longer than [`KEY_BYTES_MAX`]: both are refused before a record is made.
    pub fn from_parts(parts: RecordParts<'_>) -> Self {
        assert!(!parts.key.is_empty(), "a record has a key");
        let parts = if parts.tombstone { bare(parts) } else { parts };
        let encoded = encode(&parts);
        Self::with_bytes(parts.main, parts.sub, parts.tombstone, parts.key.len(), &encoded)
    }

    /// Makes a record from bytes that were read, with the fields that stood beside them.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are not canonical or do not agree; never panics, whatever the bytes.
    pub fn from_encoded(
        main: Revision,
        sub: u32,
        create_revision: Revision,
        version: i64,
        lease: LeaseId,
        tombstone: bool,
        encoded: &[u8],
    ) -> Result<Self, RecordError> {
        let fields = parse(encoded).ok_or(RecordError::Malformed(main))?;
        let key = &encoded[fields.key.clone()];
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(RecordError::Malformed(main));
        }
        let value = &encoded[fields.value.clone()];
        let parts = RecordParts {
            main,
            sub,
            create_revision,
            version,
            lease,
            tombstone,
            key,
            value,
        };
        if tombstone && (version != 0 || create_revision.0 != 0 || lease.0 != 0 || !value.is_empty()) {
            return Err(RecordError::Disagrees(main));
        }
        let agrees = fields.mod_revision == main.0
            && fields.create_revision == create_revision.0
            && fields.version == version
            && fields.lease == lease.0;
        if !agrees {
            return Err(RecordError::Disagrees(main));
        }
        if encoded_len(&parts) != encoded.len() {
            return Err(RecordError::Malformed(main));
        }
        Ok(Self::with_bytes(main, sub, tombstone, key.len(), encoded))
    }

    fn with_bytes(main: Revision, sub: u32, tombstone: bool, key_len: usize, encoded: &[u8]) -> Self {
        assert!(
            key_len <= KEY_BYTES_MAX,
            "a key of {key_len} bytes came past the limit on requests"
        );
        let key_len_and_tombstone = ((key_len as u32) << 1) | u32::from(tombstone);
        let header = Header {
            mod_revision: main.0,
            sub,
            key_len_and_tombstone,
        };
        Self {
            inner: ThinArc::from_header_and_slice(header, encoded),
        }
    }

    fn header(&self) -> &Header {
        &self.inner.header.header
    }

    fn key_len(&self) -> usize {
        (self.header().key_len_and_tombstone >> 1) as usize
    }

    fn fields(&self) -> Fields {
        let key_len = self.key_len();
        let key_start = 1 + encoded_len_varint(key_len as u64);
        parse_after_key(self.encoded(), key_start..key_start + key_len)
            .expect("a record's bytes were made or checked by its constructor")
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        let key_len = self.key_len();
        let start = 1 + encoded_len_varint(key_len as u64);
        &self.inner.slice[start..start + key_len]
    }

    /// The value; empty for a tombstone.
    pub fn value(&self) -> &[u8] {
        &self.encoded()[self.fields().value]
    }

    /// The encoded `mvccpb.KeyValue`.
    pub fn encoded(&self) -> &[u8] {
        &self.inner.slice
    }

    /// The revision that made this version.
    pub fn mod_revision(&self) -> Revision {
        Revision(self.header().mod_revision)
    }

    /// The position among the changes of its revision, from 0.
    pub fn sub(&self) -> u32 {
        self.header().sub
    }

    /// Where the record stands in the store's history.
    pub fn position(&self) -> (Revision, u32) {
        (self.mod_revision(), self.sub())
    }

    /// The revision that created the key; 0 for a tombstone.
    pub fn create_revision(&self) -> Revision {
        Revision(self.fields().create_revision)
    }

    /// Puts since the creation, from 1; 0 for a tombstone.
    pub fn version(&self) -> i64 {
        self.fields().version
    }

    /// The lease; 0 for none and for a tombstone.
    pub fn lease(&self) -> LeaseId {
        LeaseId(self.fields().lease)
    }

    /// Whether this marks a deletion.
    pub fn is_tombstone(&self) -> bool {
        self.header().key_len_and_tombstone & 1 == 1
    }

    /// How many clones of this record are held.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        ThinArc::strong_count(&self.inner)
    }

    /// Whether both are the same allocation. Two records at the same position of the same store always are.
    pub fn same(&self, other: &Self) -> bool {
        self.inner.ptr() == other.inner.ptr()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_tombstone() {
            "Tombstone"
        } else {
            "Record"
        };
        f.debug_struct(kind)
            .field("at", &format_args!("{}.{}", self.mod_revision(), self.sub()))
            .field("key", &format_args!("\"{}\"", self.key().escape_ascii()))
            .field("value_bytes", &self.value().len())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.position() == other.position()
            && self.is_tombstone() == other.is_tombstone()
            && self.encoded() == other.encoded()
    }
}

impl Eq for Record {}

/// A tombstone keeps nothing of what it deletes but the key.
fn bare(parts: RecordParts<'_>) -> RecordParts<'_> {
    RecordParts {
        create_revision: Revision(0),
        version: 0,
        lease: LeaseId(0),
        value: &[],
        ..parts
    }
}

fn bytes_len(bytes: &[u8]) -> usize {
    1 + encoded_len_varint(bytes.len() as u64) + bytes.len()
}

fn number_len(number: i64) -> usize {
    if number == 0 {
        0
    } else {
        1 + encoded_len_varint(number as u64)
    }
}

fn encoded_len(parts: &RecordParts<'_>) -> usize {
    let value_len = if parts.value.is_empty() {
        0
    } else {
        bytes_len(parts.value)
    };
    bytes_len(parts.key)
        + number_len(parts.create_revision.0)
        + number_len(parts.main.0)
        + number_len(parts.version)
        + value_len
        + number_len(parts.lease.0)
}

fn put_bytes(tag: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(tag);
    encode_varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

fn put_number(tag: u8, number: i64, into: &mut Vec<u8>) {
    if number != 0 {
        into.push(tag);
        encode_varint(number as u64, into);
    }
}

fn encode(parts: &RecordParts<'_>) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(encoded_len(parts));
    put_bytes(KEY, parts.key, &mut encoded);
    put_number(CREATE_REVISION, parts.create_revision.0, &mut encoded);
    put_number(MOD_REVISION, parts.main.0, &mut encoded);
    put_number(VERSION, parts.version, &mut encoded);
    if !parts.value.is_empty() {
        put_bytes(VALUE, parts.value, &mut encoded);
    }
    put_number(LEASE, parts.lease.0, &mut encoded);
    encoded
}

/// Reads fields one after the other, in the order in which [`encode`] writes them.
struct Reader<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl Reader<'_> {
    fn tag(&mut self, tag: u8) -> bool {
        let matches = self.rest.first() == Some(&tag);
        if matches {
            self.rest = &self.rest[1..];
        }
        matches
    }

    fn number(&mut self, tag: u8) -> Option<i64> {
        if !self.tag(tag) {
            return Some(0);
        }
        decode_varint(&mut self.rest).ok().map(|number| number as i64)
    }

    fn bytes(&mut self, tag: u8) -> Option<Range<usize>> {
        let start = self.all.len() - self.rest.len();
        if !self.tag(tag) {
            return Some(start..start);
        }
        let len = usize::try_from(decode_varint(&mut self.rest).ok()?).ok()?;
        let start = self.all.len() - self.rest.len();
        self.rest = self.rest.get(len..)?;
        Some(start..start + len)
    }
}

fn parse(encoded: &[u8]) -> Option<Fields> {
    let key = Reader {
        all: encoded,
        rest: encoded,
    }
    .bytes(KEY)?;
    parse_after_key(encoded, key)
}

fn parse_after_key(encoded: &[u8], key: Range<usize>) -> Option<Fields> {
    let mut reader = Reader {
        all: encoded,
        rest: encoded.get(key.end..)?,
    };
    let create_revision = reader.number(CREATE_REVISION)?;
    let mod_revision = reader.number(MOD_REVISION)?;
    let version = reader.number(VERSION)?;
    let value = reader.bytes(VALUE)?;
    let lease = reader.number(LEASE)?;
    let fields = Fields {
        key,
        create_revision,
        mod_revision,
        version,
        value,
        lease,
    };
    reader.rest.is_empty().then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> RecordParts<'static> {
        RecordParts {
            main: Revision(300),
            sub: 2,
            create_revision: Revision(7),
            version: 4,
            lease: LeaseId(-1),
            tombstone: false,
            key: b"key",
            value: b"value",
        }
    }

    fn read_back(record: &Record, encoded: &[u8]) -> Result<Record, RecordError> {
        Record::from_encoded(
            record.mod_revision(),
            record.sub(),
            record.create_revision(),
            record.version(),
            record.lease(),
            record.is_tombstone(),
            encoded,
        )
    }

    /// These bytes go to clients and to disk as they are: `mvccpb.KeyValue` of etcd's protocol.
    #[test]
    fn golden_bytes() {
        let golden = [
            10, 3, b'k', b'e', b'y', 16, 7, 24, 0xac, 2, 32, 4, 42, 5, b'v', b'a', b'l', b'u', b'e', 48, 255,
            255, 255, 255, 255, 255, 255, 255, 255, 1,
        ];
        assert_eq!(Record::from_parts(sample()).encoded(), golden);
        let tombstone = Record::from_parts(RecordParts {
            tombstone: true,
            ..sample()
        });
        assert_eq!(tombstone.encoded(), [10, 3, b'k', b'e', b'y', 24, 0xac, 2]);
    }

    #[test]
    fn a_record_is_one_pointer() {
        assert_eq!(size_of::<Option<Record>>(), size_of::<usize>());
    }

    #[test]
    fn fields_that_disagree_are_refused() {
        let record = Record::from_parts(sample());
        let with = |version, create, lease, tombstone| {
            let lease = LeaseId(lease);
            Record::from_encoded(
                Revision(300),
                2,
                Revision(create),
                version,
                lease,
                tombstone,
                record.encoded(),
            )
        };
        assert_eq!(with(4, 7, -1, false).as_ref(), Ok(&record));
        for refused in [
            with(5, 7, -1, false),
            with(4, 8, -1, false),
            with(4, 7, 0, false),
            with(4, 7, -1, true),
        ] {
            assert_eq!(refused, Err(RecordError::Disagrees(Revision(300))));
        }
    }

    #[test]
    fn an_encoding_that_is_not_canonical_is_refused() {
        let record = Record::from_parts(RecordParts {
            lease: LeaseId(0),
            ..sample()
        });
        // The same number in one byte more, then a field after the last.
        let long = [
            10, 3, b'k', b'e', b'y', 16, 0x87, 0, 24, 0xac, 2, 32, 4, 42, 5, b'v', b'a', b'l', b'u', b'e',
        ];
        let mut trailing = record.encoded().to_vec();
        trailing.extend([48, 0]);
        for encoded in [&long[..], &trailing[..], &[], &record.encoded()[5..]] {
            assert_eq!(
                read_back(&record, encoded),
                Err(RecordError::Malformed(Revision(300)))
            );
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            numbers in (1i64.., any::<u32>(), 1i64.., 1i64.., any::<i64>()),
            tombstone in any::<bool>(),
            key in proptest::collection::vec(any::<u8>(), 1..200),
            value in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let (main, sub, create, version, lease) = numbers;
            let parts = RecordParts {
                main: Revision(main), sub, create_revision: Revision(create), version, lease: LeaseId(lease),
                tombstone, key: &key, value: &value,
            };
            let record = Record::from_parts(parts);
            let expected = if tombstone { bare(parts) } else { parts };
            prop_assert_eq!(record.position(), (Revision(main), sub));
            prop_assert_eq!(record.is_tombstone(), tombstone);
            prop_assert_eq!(record.create_revision(), expected.create_revision);
            prop_assert_eq!(record.version(), expected.version);
            prop_assert_eq!(record.lease(), expected.lease);
            prop_assert_eq!(record.key(), &key[..]);
            prop_assert_eq!(record.value(), expected.value);
            prop_assert_eq!(read_back(&record, record.encoded()), Ok(record));
        }

        /// No bytes make the reader panic, and what it accepts it gives back unchanged.
        #[test]
        fn damage_is_an_error_or_a_record(at in 0usize..30, with in any::<u8>(), cut in 0usize..31) {
            let record = Record::from_parts(sample());
            let mut encoded = record.encoded().to_vec();
            encoded[at] = with;
            encoded.truncate(cut);
            if let Ok(read) = read_back(&record, &encoded) {
                prop_assert_eq!(read.encoded(), &encoded[..]);
            }
        }

        #[test]
        fn garbage_is_an_error(encoded in proptest::collection::vec(any::<u8>(), 0..100)) {
            let (zero, lease) = (Revision(0), LeaseId(0));
            let _ = Record::from_encoded(zero, 0, zero, 0, lease, false, &encoded);
        }
    }
}
