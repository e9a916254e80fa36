//! A number that is equal on members whose stores went the same way: a sum over every change ever made.
//!
//! A sum, so that the number at an earlier revision is had by taking away what came after, and compaction, which
//! members do at different times, does not show in it. It finds members that differ; it is no proof against malice.

use crate::record::Record;
use crate::table::{Table, TableError};
use almadia_command::{LogIndex, Revision};
use bytes::Bytes;

/// The sum over all changes up to some revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryHash(u64);

impl HistoryHash {
    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Folded to 32 bits, as etcd's API has room for.
    pub const fn folded(self) -> u32 {
        (self.0 ^ self.0 >> 32) as u32
    }

    pub(crate) fn add(&mut self, record: &Record) {
        self.0 = self.0.wrapping_add(hash_of(record));
    }

    pub(crate) fn take_away(&mut self, record: &Record) {
        self.0 = self.0.wrapping_sub(hash_of(record));
    }
}

/// The encoded record holds key, value, revisions, version and lease; what it does not hold is its place in the
/// revision and whether it is a deletion.
fn hash_of(record: &Record) -> u64 {
    let (main, sub) = record.position();
    let place = scatter(main.0.cast_unsigned()) ^ (u64::from(sub) << 1 | u64::from(record.is_tombstone()));
    let content = u64::from(crc32c::crc32c(record.encoded())) << 32 | record.encoded().len() as u64;
    scatter(place.wrapping_add(scatter(content)))
}

/// Spreads every bit over all others (the finaliser of SplitMix64).
const fn scatter(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

impl Table for HistoryHash {
    const SECTION: &'static str = "hash";

    fn encode(&self) -> Bytes {
        if self.0 == 0 {
            return Bytes::new();
        }
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn decode(bytes: Bytes) -> Result<Self, TableError> {
        let number = bytes.as_ref().try_into();
        let number = number.map_err(|_| TableError::new(Self::SECTION, "it is not 8 bytes long"))?;
        Ok(Self(u64::from_le_bytes(number)))
    }
}

/// The whole state at the entry of a compaction, to be hashed at leisure: every member passes the same entry, so
/// members that agree have the same hash there.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The compaction's entry.
    pub index: LogIndex,
    /// The store's revision there.
    pub revision: Revision,
    pub(crate) history: HistoryHash,
    pub(crate) tables: SealedTables,
}

/// The small tables as they were. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SealedTables {
    pub(crate) leases: crate::lease::LeaseTable,
    pub(crate) auth: crate::auth::AuthTable,
    pub(crate) alarms: crate::alarm::AlarmTable,
    pub(crate) membership: Bytes,
}

impl Sealed {
    /// The hash of everything. Encodes the small tables, so it costs what they hold: not for the applying thread.
    pub fn hash(&self) -> u64 {
        let tables = &self.tables;
        let parts = [
            tables.leases.encode(),
            tables.auth.encode(),
            tables.alarms.encode(),
            tables.membership.clone(),
        ];
        let start = scatter(self.history.0 ^ self.revision.0.cast_unsigned());
        parts.iter().fold(start, |hash, part| {
            scatter(hash ^ u64::from(crc32c::crc32c(part)) << 32 ^ part.len() as u64)
        })
    }
}
