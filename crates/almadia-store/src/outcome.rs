//! What applying a command, or reading, answers.

use crate::alarm::Alarm;
use crate::record::Record;
use almadia_command::{LeaseId, Revision};

/// What came of a command. The same on every member that applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The store's revision after the command.
    pub revision: Revision,
    /// What is answered to whoever asked.
    pub result: Result<Answer, Refusal>,
}

/// The answer to a command or to one step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A value was stored.
    Put {
        /// The record it replaced, when there was one and it was asked for.
        prev: Option<Record>,
    },
    /// The keys of a range were deleted.
    DeleteRange {
        /// How many.
        deleted: i64,
        /// The deleted records in key order, when they were asked for.
        prev: Vec<Record>,
    },
    /// A transaction was carried out.
    Txn(TxnAnswer),
    /// The compacted revision was moved.
    Compact,
    /// Keys were read.
    Range(RangeAnswer),
    /// A lease was made.
    LeaseGrant {
        /// Its id.
        id: LeaseId,
        /// Its time in seconds.
        ttl: i64,
    },
    /// A lease was ended and its keys deleted.
    LeaseRevoke,
    /// The time left was noted.
    LeaseCheckpoint,
    /// Users and roles were changed.
    Auth {
        /// The revision of users and roles after the change.
        auth_revision: u64,
    },
    /// Alarms were raised or cleared: these.
    Alarm(Vec<Alarm>),
    /// A downgrade was prepared or given up.
    Downgrade,
}

/// The answer to a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnAnswer {
    /// Whether all compares held.
    pub succeeded: bool,
    /// One answer for each operation of the branch that was taken.
    pub responses: Vec<OpAnswer>,
}

/// The answer to one step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpAnswer {
    /// What the header of this answer shows: the revision before the transaction until something has been written,
    /// then the transaction's own; 0 for a nested transaction, whose header is empty.
    pub revision: Revision,
    /// The answer itself.
    pub answer: Answer,
}

/// The answer to a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeAnswer {
    /// The records in the order that was asked for. Values are there even if only keys were asked for: leaving them
    /// out is up to whoever encodes.
    pub records: Vec<Record>,
    /// The keys in the range at that revision, whatever limit and filters say.
    pub count: i64,
    /// Whether the limit cut something off.
    pub more: bool,
}

/// Why a command or a read was refused. A refused command has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A put that keeps the value or the lease, of a key that is not there.
    #[error("the key whose value or lease is to be kept does not exist")]
    KeyNotFound,
    /// A put with a lease that does not exist.
    #[error("the lease does not exist")]
    LeaseNotFound,
    /// A revision below the compacted one, or for a compaction not above it.
    #[error("the revision has been compacted")]
    Compacted,
    /// A revision that the store has not reached.
    #[error("the revision lies in the future")]
    FutureRevision,
    /// No memory or disk left. The gate for this stands before the log: the store itself never answers it.
    #[error("no space is left for new data")]
    NoSpace,
    /// A command or a step of a transaction that says nothing to do.
    #[error("an operation does not say what to do")]
    EmptyOperation,
    /// A key that is empty.
    #[error("a key is missing")]
    EmptyKey,
    /// A key longer than a record can hold.
    #[error("a key is too long")]
    KeyTooLong,
    /// An order that is not known.
    #[error("the sort target is not known")]
    InvalidSort,
    /// Transactions nested deeper than [`crate::NESTING_MAX`].
    #[error("transactions are nested too deeply")]
    NestedTooDeeply,
    /// A transaction that writes, where only reading is possible.
    #[error("a transaction that writes has to go through the log")]
    NotReadOnly,
    /// A lease with an id that is in use.
    #[error("the lease exists already")]
    LeaseExists,
    /// The leader of an earlier term found a lease expired, or counted its time: it may have been kept alive since.
    #[error("the term whose leader asked for it is over")]
    StaleTerm,
    /// A member's state differs from that of the others: nothing is changed until that is settled.
    #[error("a member is corrupt")]
    Corrupt,
    /// A downgrade is prepared already.
    #[error("a downgrade is prepared already")]
    DowngradeInProgress,
    /// No downgrade is prepared.
    #[error("no downgrade is prepared")]
    NoDowngrade,
    /// Users, roles or permissions forbid it.
    #[error(transparent)]
    Auth(#[from] AuthRefusal),
}

/// What users, roles and permissions forbid, and what cannot be done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthRefusal {
    /// No user was named although permissions count.
    #[error("no user is named")]
    UserEmpty,
    /// The user was verified before the last change of users and roles.
    #[error("users and roles have changed since the user was verified")]
    OldRevision,
    /// The user may not do this.
    #[error("permission denied")]
    PermissionDenied,
    /// There is no user root.
    #[error("there is no user root")]
    RootUserMissing,
    /// The user root does not have the role root.
    #[error("the user root does not have the role root")]
    RootRoleMissing,
    /// The name is in use.
    #[error("the user exists already")]
    UserExists,
    /// There is no such user.
    #[error("the user does not exist")]
    UserNotFound,
    /// A role without a name.
    #[error("no role is named")]
    RoleEmpty,
    /// The name is in use.
    #[error("the role exists already")]
    RoleExists,
    /// There is no such role.
    #[error("the role does not exist")]
    RoleNotFound,
    /// The user does not have the role.
    #[error("the role is not granted to the user")]
    RoleNotGranted,
    /// The role does not have the permission.
    #[error("the permission is not granted to the role")]
    PermissionNotGranted,
    /// A permission without keys.
    #[error("no permission is given")]
    PermissionNotGiven,
    /// What would lock everybody out, or a permission for no key.
    #[error("this cannot be done to users and roles")]
    InvalidManagement,
    /// Permissions do not count.
    #[error("permissions do not count")]
    NotEnabled,
}
