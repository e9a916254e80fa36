//! Bugs on purpose. The simulator switches one on and must find it: a check that has never caught anything proves nothing.
//!
//! They are compiled in by the feature `planted`, which the product never has: without it [`planted`] is a constant, and
//! nothing of a bug is left in the program. With it nothing is on until somebody plants it.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// What can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Bug {
            $($(#[$doc])* $name),*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$name),*];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Bug::$name => $text),*
                }
            }
        }
    };
}

bugs! {
    /// The log says that a group is durable once it is written (etcd#14370).
    AckBeforeSync = "ack-before-sync",
    /// The log never syncs.
    SkipSync = "skip-sync",
    /// An error of a sync is taken for success.
    SyncErrorIgnored = "sync-error-ignored",
    /// An error of a write is taken for success.
    WriteErrorIgnored = "write-error-ignored",
    /// A new log file gets its name without a sync of the directory (dqlite#309).
    LogNameNotSynced = "log-name-not-synced",
    /// A truncation of the log is not written down.
    TruncationForgotten = "truncation-forgotten",
    /// Damage in the log is taken for its torn end (etcd#14102).
    DamageIsTorn = "damage-is-torn",
    /// A vote is given before it is durable.
    VoteBeforeSync = "vote-before-sync",
    /// A vote is forgotten at a restart.
    VoteForgotten = "vote-forgotten",
    /// A follower answers for entries that are not durable.
    AppendBeforeSync = "append-before-sync",
    /// After a restart the whole log counts as committed.
    CommittedHintAhead = "committed-hint-ahead",
    /// Every vote is granted (openraft#1220).
    VoteAlwaysGranted = "vote-always-granted",
    /// A follower whose log does not fit says that it does (openraft#1802).
    ConflictAsSuccess = "conflict-as-success",
    /// The leader confirms reads without asking anyone (etcd#741, #20418).
    ReadUnconfirmed = "read-unconfirmed",
    /// A read does not wait until its position is applied (etcd#7331).
    ReadNotWaited = "read-not-waited",
    /// After a restart a member shows its state when it has applied its own log, which may lack what it had shown.
    RecoveredByOwnLog = "recovered-by-own-log",
    /// One member leaves an entry out now and then (etcd#11651).
    ApplySkips = "apply-skips",
    /// An entry is applied twice now and then.
    ApplyTwice = "apply-twice",
    /// The applied position in a checkpoint is not that of its data (etcd#13766).
    AppliedApart = "applied-apart",
    /// A segment is named before it is synced (etcd#14685).
    SegmentNotSynced = "segment-not-synced",
    /// A manifest is named before it is synced.
    ManifestNotSynced = "manifest-not-synced",
    /// Checksums of segments are not looked at.
    ChecksumIgnored = "checksum-ignored",
    /// A restored store has no leases (etcd#13514).
    RestoreForgetsLeases = "restore-forgets-leases",
    /// A restored store begins its hash anew.
    RestoreForgetsHash = "restore-forgets-hash",
    /// What went through the log in vain is proposed again without knowing (etcd#14890).
    RetryUnknown = "retry-unknown",
    /// A time-out is told as a refusal (etcd#18424).
    TimeoutAsRefusal = "timeout-as-refusal",
    /// Tickets of all lives of a member are the same.
    TicketsRepeat = "tickets-repeat",
    /// Expired leases are revoked without asking whether this member still leads (etcd#15247).
    RevokeUnconfirmed = "revoke-unconfirmed",
    /// Leases are kept alive without asking whether this member still leads.
    KeepAliveUnconfirmed = "keep-alive-unconfirmed",
    /// An answer of a follower counts for what it was asked later, too.
    OldAnswerCounted = "old-answer-counted",
    /// Leases end after half their time.
    LeaseTooShort = "lease-too-short",
    /// Leases last three times as long.
    LeaseTooLong = "lease-too-long",
    /// A member's id comes from its name: a wiped one has its old id.
    IdReused = "id-reused",
    /// A member founds without having heard of all others.
    FoundsAlone = "founds-alone",
    /// Only the founders are asked before a cluster is founded, not the others that are wished.
    WitnessesUnasked = "witnesses-unasked",
    /// An id is told to whoever has its address, also to a second data directory.
    IdGivenByAddress = "id-given-by-address",
    /// A replacement gets its vote and the dead member loses it at once, without both sets of voters.
    SwapNotJoint = "swap-not-joint",
    /// Where several are to leave, two votes go with one entry.
    ShrinksAtOnce = "shrinks-at-once",
    /// The leader acts on the list of members as it was a while ago.
    StaleRoster = "stale-roster",
    /// A member that is heard of is replaced by its empty namesake.
    NamesakeNotAwaited = "namesake-not-awaited",
    /// Who was replaced stays in the list.
    DeadStays = "dead-stays",
    /// Nobody is told that it was removed.
    RemovedNotTold = "removed-not-told",
    /// Who has left for good keeps its data and comes back as itself.
    RetiresNothing = "retires-nothing",
    /// Progress is told ahead of events (etcd#15220).
    ProgressAhead = "progress-ahead",
    /// A full inbox drops events (etcd#17529).
    WatchDrops = "watch-drops",
    /// A watcher that becomes live is told its last event again (etcd#17247).
    WatchTwice = "watch-twice",
    /// A watch of a future revision is told of earlier ones (etcd#20221).
    WatchFuture = "watch-future",
    /// A watch goes on over a snapshot as if nothing had been missed (etcd#15271).
    WatchOverSnapshot = "watch-over-snapshot",
    /// A live watcher with previous values is told none.
    PrevForgotten = "prev-forgotten",
    /// Compaction drops the tombstone of the compacted revision (etcd#18089).
    TombstoneDropped = "tombstone-dropped",
    /// Compaction drops what no checkpoint holds.
    CompactsUnsaved = "compacts-unsaved",
    /// A read in a transaction sees as far back as this member's compaction has left (etcd#18667).
    TxnReadsLeftovers = "txn-reads-leftovers",
    /// A read may go behind the compacted revision.
    CompactedReadable = "compacted-readable",
    /// A put does not count the versions of its key.
    VersionStays = "version-stays",
}

#[cfg(feature = "planted")]
mod active {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// From now on this thread's members have this bug, and no other.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether a bug is planted.
    #[inline]
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Does something as members without bugs do it.
    pub fn without_bugs<T>(work: impl FnOnce() -> T) -> T {
        let before = PLANTED.replace(None);
        let done = work();
        PLANTED.set(before);
        done
    }
}

#[cfg(feature = "planted")]
pub use active::{plant, planted, without_bugs};

/// Whether a bug is planted: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_: Bug) -> bool {
    false
}

/// Does something as members without bugs do it.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub fn without_bugs<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_bug_has_a_name_of_its_own_and_none_is_planted() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        assert!(Bug::ALL.iter().all(|bug| !planted(*bug)));
    }
}
