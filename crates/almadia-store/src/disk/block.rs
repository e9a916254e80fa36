//! Records as bytes, and the compressed blocks they stand in.
//!
//! A block is `{stored length u32, raw length u32, CRC32C u32 of those eight bytes and the payload, payload}`. The
//! payload is LZ4, or the raw bytes themselves where LZ4 gains nothing (then both lengths are equal).

use almadia_command::planted::{Bug, planted};
use almadia_command::{LeaseId, Revision};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::fields::{Fields, put_u32, put_varint};
use crate::record::{Record, RecordError};

/// The lengths and the checksum before a block's payload.
pub(super) const BLOCK_HEADER_BYTES: usize = 12;

/// LZ4 cannot make more than this of one byte; a block that claims more is damaged.
const LZ4_GAIN_MAX: usize = 255;

const FLAG_TOMBSTONE: u8 = 1;

/// One record as it stands in a segment.
///
/// Segments hold them ordered by (`main`, `sub`), no two alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    /// The revision that wrote it.
    pub(super) main: i64,
    /// Its place among the writes of that revision.
    pub(super) sub: u32,
    pub(super) create: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
    pub(super) is_tombstone: bool,
    /// The encoded `mvccpb.KeyValue`.
    pub(super) encoded: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Appends the record to a raw block.
    pub(super) fn put(&self, into: &mut Vec<u8>) {
        into.push(if self.is_tombstone { FLAG_TOMBSTONE } else { 0 });
        put_varint(into, unsigned(self.main));
        put_varint(into, u64::from(self.sub));
        put_varint(into, unsigned(self.create));
        put_varint(into, unsigned(self.version));
        // Lease ids may be negative: those take ten bytes.
        put_varint(into, self.lease as u64);
        put_varint(into, self.encoded.len() as u64);
        into.extend_from_slice(self.encoded);
    }

    /// Takes the next record off a raw block.
    pub(super) fn take(fields: &mut Fields<'a>) -> Option<Self> {
        let flags = fields.u8().filter(|flags| flags & !FLAG_TOMBSTONE == 0)?;
        let main = i64::try_from(fields.varint()?).ok()?;
        let sub = u32::try_from(fields.varint()?).ok()?;
        let create = i64::try_from(fields.varint()?).ok()?;
        let version = i64::try_from(fields.varint()?).ok()?;
        let lease = fields.varint()? as i64;
        let len = usize::try_from(fields.varint()?).ok()?;
        let encoded = fields.take(len)?;
        Some(Self {
            main,
            sub,
            create,
            version,
            lease,
            is_tombstone: flags & FLAG_TOMBSTONE != 0,
            encoded,
        })
    }

    /// Where it stands in a segment's order.
    pub(super) fn place(&self) -> (i64, u32) {
        (self.main, self.sub)
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).expect("revisions and versions are not negative")
}

impl<'a> From<&'a Record> for Stored<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            main: record.mod_revision().0,
            sub: record.sub(),
            create: record.create_revision().0,
            version: record.version(),
            lease: record.lease().0,
            is_tombstone: record.is_tombstone(),
            encoded: record.encoded(),
        }
    }
}

impl TryFrom<Stored<'_>> for Record {
    type Error = RecordError;

    fn try_from(stored: Stored<'_>) -> Result<Self, RecordError> {
        Self::from_encoded(
            Revision(stored.main),
            stored.sub,
            Revision(stored.create),
            stored.version,
            LeaseId(stored.lease),
            stored.is_tombstone,
            stored.encoded,
        )
    }
}

/// Makes blocks, reusing its memory.
pub(super) struct BlockMaker {
    table: CompressTable,
    payload: Vec<u8>,
}

impl BlockMaker {
    pub(super) fn new() -> Self {
        Self {
            table: CompressTable::large(),
            payload: Vec::new(),
        }
    }

    /// Appends the block that holds `raw`.
    pub(super) fn put(&mut self, raw: &[u8], into: &mut Vec<u8>) {
        assert!(!raw.is_empty(), "a block holds at least one record");
        self.payload.resize(get_maximum_output_size(raw.len()), 0);
        let compressed = compress_into_with_table(raw, &mut self.payload, &mut self.table);
        let len = compressed.expect("the output has room for the worst case");
        let payload = if len < raw.len() {
            &self.payload[..len]
        } else {
            raw
        };
        let start = into.len();
        put_u32(into, length(payload.len()));
        put_u32(into, length(raw.len()));
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&into[start..]), payload);
        put_u32(into, checksum);
        into.extend_from_slice(payload);
    }
}

/// One record never comes near 4 GiB: requests are bounded far below.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a block is shorter than 4 GiB")
}

/// Reads the one block that `block` is: fills `raw`, or says what is wrong.
pub(super) fn read_block(block: &[u8], raw: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut fields = Fields(block);
    let header = (fields.u32(), fields.u32(), fields.u32());
    let (Some(stored_len), Some(raw_len), Some(checksum)) = header else {
        return Err("a block is shorter than its header");
    };
    let payload = fields.0;
    if crc32c::crc32c_append(crc32c::crc32c(&block[..8]), payload) != checksum
        && !planted(Bug::ChecksumIgnored)
    {
        return Err("a block's checksum is wrong");
    }
    let raw_len = raw_len as usize;
    if stored_len as usize != payload.len() || raw_len / LZ4_GAIN_MAX > payload.len() {
        return Err("a block's lengths are wrong");
    }
    raw.clear();
    if raw_len == payload.len() {
        raw.extend_from_slice(payload);
        return Ok(());
    }
    raw.resize(raw_len, 0);
    match decompress_into(payload, raw) {
        Ok(len) if len == raw_len => Ok(()),
        _ => Err("a block cannot be decompressed"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(encoded: &[u8]) -> Stored<'_> {
        Stored {
            main: 300,
            sub: 2,
            create: 7,
            version: 5,
            lease: -1,
            is_tombstone: false,
            encoded,
        }
    }

    /// A released block must be readable for ever.
    #[test]
    fn a_block_has_golden_bytes() {
        let mut raw = Vec::new();
        stored(b"\x0a\x01kzz").put(&mut raw);
        let golden_raw = [
            0, 0xac, 2, 2, 7, 5, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 5, 0x0a, 1, b'k', b'z', b'z',
        ];
        assert_eq!(raw, golden_raw);
        let mut block = Vec::new();
        BlockMaker::new().put(&raw, &mut block);
        let mut again = Vec::new();
        read_block(&block, &mut again).unwrap();
        assert_eq!(again, raw);
        assert_eq!(block[..8], [18, 0, 0, 0, 22, 0, 0, 0], "LZ4 folds the run of 255");
    }

    proptest! {
        /// What goes in comes out, compressible or not, and no single wrong byte goes unseen.
        #[test]
        fn blocks_come_back(raw in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 1..2000), at: prop::sample::Index) {
            let mut block = Vec::new();
            BlockMaker::new().put(&raw, &mut block);
            let mut again = Vec::new();
            prop_assert_eq!(read_block(&block, &mut again), Ok(()));
            prop_assert_eq!(&again, &raw);
            let at = at.index(block.len());
            block[at] ^= 0x10;
            prop_assert!(read_block(&block, &mut again).is_err());
        }

        /// Garbage is refused or read, never a panic, even with a right checksum.
        #[test]
        fn garbage_is_survived(mut block in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut raw = Vec::new();
            let _ = read_block(&block, &mut raw);
            if block.len() >= BLOCK_HEADER_BYTES {
                let stored_len = (block.len() - BLOCK_HEADER_BYTES) as u32;
                block[..4].copy_from_slice(&stored_len.to_le_bytes());
                block[6..8].fill(0);
                let checksum = crc32c::crc32c_append(crc32c::crc32c(&block[..8]), &block[BLOCK_HEADER_BYTES..]);
                block[8..12].copy_from_slice(&checksum.to_le_bytes());
                let _ = read_block(&block, &mut raw);
            }
            let mut fields = Fields(&block);
            while Stored::take(&mut fields).is_some() {}
        }

        /// Records come back as they were.
        #[test]
        fn records_come_back(main in 0..i64::MAX, sub: u32, create: u32, lease: i64, is_tombstone: bool, encoded: Vec<u8>) {
            let record =
                Stored { main, sub, create: i64::from(create), version: 1, lease, is_tombstone, encoded: &encoded };
            let mut bytes = Vec::new();
            record.put(&mut bytes);
            let mut fields = Fields(&bytes);
            prop_assert_eq!(Stored::take(&mut fields), Some(record));
            prop_assert!(fields.is_done());
        }
    }
}
