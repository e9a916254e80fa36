//! The commands themselves, and their bytes (protobuf, so that a newer member can add fields).
//!
//! A command holds what its proposer was asked, already checked for form. It never holds anything a member
//! would have to look up elsewhere: applying it is a pure function of the log.

use crate::auth::{Actor, AuthChange};
use crate::lease::{LeaseCheckpoint, LeaseGrant, LeaseRevoke};
use bytes::Bytes;
use prost::Message;

/// One entry's wish.
#[derive(Clone, PartialEq, Message)]
pub struct Command {
    /// What to do. Absent only in bytes of a newer format, which [`Command::decode_bytes`] refuses.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub kind: Option<Kind>,
    /// Whose wish it is; absent for a caller who gave no name. Whether that is enough is decided when the command is
    /// applied, on every member alike.
    #[prost(message, optional, tag = "15")]
    pub actor: Option<Actor>,
}

/// The kinds of commands.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// Store a value under a key.
    #[prost(message, tag = "1")]
    Put(Put),
    /// Delete the keys of a range.
    #[prost(message, tag = "2")]
    DeleteRange(DeleteRange),
    /// Compare, then carry out one of two lists of operations, as one revision.
    #[prost(message, tag = "3")]
    Txn(Txn),
    /// Drop revisions that are superseded at a given revision.
    #[prost(message, tag = "4")]
    Compact(Compact),
    /// Make a lease.
    #[prost(message, tag = "5")]
    LeaseGrant(LeaseGrant),
    /// End a lease and delete its keys.
    #[prost(message, tag = "6")]
    LeaseRevoke(LeaseRevoke),
    /// Note how much time leases have left.
    #[prost(message, tag = "7")]
    LeaseCheckpoint(LeaseCheckpoint),
    /// Change users, roles or whether they count.
    #[prost(message, tag = "8")]
    Auth(AuthChange),
    /// Raise or clear an alarm.
    #[prost(message, tag = "9")]
    Alarm(AlarmChange),
    /// Begin or give up a downgrade.
    #[prost(message, tag = "10")]
    Downgrade(DowngradeChange),
}

/// Bytes that are not a command this release knows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not well formed.
    #[error("the bytes of a command are damaged: {0}")]
    Damaged(#[from] prost::DecodeError),
    /// Well-formed, but of a kind that only a newer release knows.
    #[error("a command of a kind this release does not know; start a newer release")]
    Unknown,
}

impl Command {
    /// The bytes that stand in the log.
    pub fn encode_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Reads a command back. Keys and values are slices of `bytes`, not copies.
    ///
    /// # Errors
    /// [`DecodeError`] on damage or on a kind of a newer release; never panics, whatever the bytes.
    pub fn decode_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let command = Self::decode(bytes)?;
        if command.kind.is_none() {
            return Err(DecodeError::Unknown);
        }
        Ok(command)
    }
}

impl From<Kind> for Command {
    fn from(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            actor: None,
        }
    }
}

/// Store a value under a key.
#[derive(Clone, PartialEq, Message)]
pub struct Put {
    /// Never empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// May be empty.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The lease to attach the key to, 0 for none.
    #[prost(int64, tag = "3")]
    pub lease: i64,
    /// Answer with the record that was replaced.
    #[prost(bool, tag = "4")]
    pub prev_kv: bool,
    /// Keep the present value; refused when the key is missing.
    #[prost(bool, tag = "5")]
    pub ignore_value: bool,
    /// Keep the present lease; refused when the key is missing.
    #[prost(bool, tag = "6")]
    pub ignore_lease: bool,
}

/// Delete the keys of a range.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteRange {
    /// First key, never empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Empty: only `key`. One zero byte: from `key` on. Else: up to but without it.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// Answer with the records that were deleted.
    #[prost(bool, tag = "3")]
    pub prev_kv: bool,
}

/// Read the keys of a range, alone or inside a transaction. etcd's fields and meaning.
#[derive(Clone, PartialEq, Message)]
pub struct Range {
    /// First key, never empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// As in [`DeleteRange::range_end`].
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: Bytes,
    /// Records answered at most; 0 or below means no limit.
    #[prost(int64, tag = "3")]
    pub limit: i64,
    /// The revision to read at; 0 (alone also below) means the present.
    #[prost(int64, tag = "4")]
    pub revision: i64,
    /// How to order; an unknown number leaves the order alone.
    #[prost(enumeration = "SortOrder", tag = "5")]
    pub sort_order: i32,
    /// What to order by.
    #[prost(enumeration = "SortTarget", tag = "6")]
    pub sort_target: i32,
    /// Answer keys without values.
    #[prost(bool, tag = "7")]
    pub keys_only: bool,
    /// Answer only the count.
    #[prost(bool, tag = "8")]
    pub count_only: bool,
    /// Leave out records modified before this revision; 0 is off.
    #[prost(int64, tag = "9")]
    pub min_mod_revision: i64,
    /// Leave out records modified after this revision; 0 is off.
    #[prost(int64, tag = "10")]
    pub max_mod_revision: i64,
    /// Leave out records created before this revision; 0 is off.
    #[prost(int64, tag = "11")]
    pub min_create_revision: i64,
    /// Leave out records created after this revision; 0 is off.
    #[prost(int64, tag = "12")]
    pub max_create_revision: i64,
}

/// How a range answer is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum SortOrder {
    /// Key order, or ascending when the target is not the key.
    None = 0,
    /// Smallest first.
    Ascend = 1,
    /// Largest first.
    Descend = 2,
}

/// What a range answer is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum SortTarget {
    /// The key's bytes.
    Key = 0,
    /// Puts since creation.
    Version = 1,
    /// Revision of creation.
    Create = 2,
    /// Revision of the last change.
    Mod = 3,
    /// The value's bytes.
    Value = 4,
}

/// Compare, then carry out one of two lists of operations.
#[derive(Clone, PartialEq, Message)]
pub struct Txn {
    /// All must hold for `success` to be taken.
    #[prost(message, repeated, tag = "1")]
    pub compares: Vec<Compare>,
    /// Taken when all compares hold.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<Operation>,
    /// Taken otherwise.
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<Operation>,
}

/// One step of a transaction.
#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    /// Never absent in a command that passed the edge; the store treats absence as a refusal.
    #[prost(oneof = "OperationKind", tags = "1, 2, 3, 4")]
    pub kind: Option<OperationKind>,
}

/// The kinds of steps.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum OperationKind {
    /// Read.
    #[prost(message, tag = "1")]
    Range(Range),
    /// Store.
    #[prost(message, tag = "2")]
    Put(Put),
    /// Delete.
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRange),
    /// A transaction inside this one.
    #[prost(message, tag = "4")]
    Txn(Txn),
}

/// One condition of a transaction, on a key or on every key of a range.
#[derive(Clone, PartialEq, Message)]
pub struct Compare {
    /// How the present and the expected are to stand; an unknown number always holds (as in etcd).
    #[prost(enumeration = "CompareResult", tag = "1")]
    pub result: i32,
    /// First key.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// As in [`DeleteRange::range_end`].
    #[prost(bytes = "bytes", tag = "3")]
    pub range_end: Bytes,
    /// What is compared, with the expected number or value.
    #[prost(oneof = "CompareTarget", tags = "4, 5, 6, 7, 8")]
    pub target: Option<CompareTarget>,
}

/// How a compare must turn out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum CompareResult {
    /// Present = expected.
    Equal = 0,
    /// Present > expected.
    Greater = 1,
    /// Present < expected.
    Less = 2,
    /// Present ≠ expected.
    NotEqual = 3,
}

/// What a compare looks at, with the expected number or value. Absent: an unknown target, which compares as
/// 0 with 0 (as in etcd).
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum CompareTarget {
    /// Puts since creation, 0 for a missing key.
    #[prost(int64, tag = "4")]
    Version(i64),
    /// Revision of creation, 0 for a missing key.
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    /// Revision of the last change, 0 for a missing key.
    #[prost(int64, tag = "6")]
    ModRevision(i64),
    /// The value; a compare on a missing key never holds.
    #[prost(bytes = "bytes", tag = "7")]
    Value(Bytes),
    /// The lease, 0 for none or a missing key.
    #[prost(int64, tag = "8")]
    Lease(i64),
}

/// Drop revisions that are superseded at `revision`.
#[derive(Clone, PartialEq, Message)]
pub struct Compact {
    /// Everything before it becomes unreadable.
    #[prost(int64, tag = "1")]
    pub revision: i64,
    /// Answer only when memory and disk are really released.
    #[prost(bool, tag = "2")]
    pub physical: bool,
}

/// Raise or clear an alarm of one member. Alarms are told to all and kept until they are cleared.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AlarmChange {
    /// Raise it; else clear it.
    #[prost(bool, tag = "1")]
    pub raise: bool,
    /// The member it is about.
    #[prost(uint64, tag = "2")]
    pub member: u64,
    /// Which alarm, by etcd's numbers; numbers that are not known are kept as they are.
    #[prost(enumeration = "AlarmKind", tag = "3")]
    pub kind: i32,
}

/// Begin or give up a downgrade. It is a wish that is kept and shown; nothing else follows from it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DowngradeChange {
    /// The version to go down to, as `3.6.0`; empty to give it up.
    #[prost(string, tag = "1")]
    pub target: String,
}

/// What an alarm can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum AlarmKind {
    /// None: raising it does nothing.
    None = 0,
    /// No room for new data.
    NoSpace = 1,
    /// A member's state differs from that of the others.
    Corrupt = 2,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Command {
        Kind::Txn(Txn {
            compares: vec![Compare {
                result: CompareResult::Equal as i32,
                key: Bytes::from_static(b"k"),
                range_end: Bytes::new(),
                target: Some(CompareTarget::ModRevision(7)),
            }],
            success: vec![Operation {
                kind: Some(OperationKind::Put(Put {
                    key: Bytes::from_static(b"k"),
                    value: Bytes::from_static(b"v"),
                    lease: -3,
                    ..Put::default()
                })),
            }],
            failure: vec![],
        })
        .into()
    }

    /// Released bytes keep their meaning: these are the bytes of version 0.1.
    #[test]
    fn golden_bytes() {
        let bytes = sample().encode_bytes();
        let golden = [
            26, 28, 10, 5, 18, 1, 107, 48, 7, 18, 19, 18, 17, 10, 1, 107, 18, 1, 118, 24, 253, 255, 255, 255,
            255, 255, 255, 255, 255, 1,
        ];
        assert_eq!(bytes.as_ref(), golden);
        assert_eq!(Command::decode_bytes(bytes).unwrap(), sample());
    }

    #[test]
    fn an_empty_command_is_refused() {
        assert!(matches!(
            Command::decode_bytes(Bytes::new()),
            Err(DecodeError::Unknown)
        ));
    }

    proptest! {
        /// No bytes make the decoder panic.
        #[test]
        fn garbage_is_an_error_or_a_command(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Command::decode_bytes(bytes.into());
        }

        /// Nor do damaged bytes of a real command.
        #[test]
        fn damage_is_an_error_or_a_command(at in 0usize..30, with in any::<u8>()) {
            let mut bytes = sample().encode_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = with;
            let _ = Command::decode_bytes(bytes.into());
        }
    }
}
