//! The store at one revision, read-only.

use crate::alarm::AlarmTable;
use crate::auth::AuthTable;
use crate::downgrade::Downgrade;
use crate::hash::{HistoryHash, Sealed};
use crate::index::Index;
use crate::lease::LeaseTable;
use crate::outcome::{RangeAnswer, Refusal, TxnAnswer};
use crate::read;
use crate::record::Record;
use crate::sequence::Sequence;
use crate::table;
use crate::txn;
use almadia_command::{LogIndex, Range, Revision, Term, Txn};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The store as it was when it was published. Immutable: a reader that holds one sees one state throughout. A view
/// that is held for long costs the memory of what has been dropped since.
#[derive(Clone)]
pub struct View {
    pub(crate) applied: (LogIndex, Term),
    pub(crate) membership: Bytes,
    pub(crate) revision: Revision,
    /// 0 for none. Not above `revision`.
    pub(crate) compacted: Revision,
    pub(crate) index: Index,
    /// Every record from the compacted revision on, and those before it that compaction has not come to yet or that
    /// wait for a checkpoint or for watchers to be told.
    pub(crate) revlog: Sequence,
    /// The revision log has every record after this revision. Below the compacted one, or both are 0.
    pub(crate) released: Revision,
    /// Positions of the revision log below this one have been settled by compaction.
    pub(crate) settled: u64,
    pub(crate) sizes: Sizes,
    pub(crate) leases: LeaseTable,
    pub(crate) auth: AuthTable,
    pub(crate) alarms: AlarmTable,
    pub(crate) downgrade: Downgrade,
    pub(crate) hash: HistoryHash,
    /// The state at the last compaction this store has applied itself.
    pub(crate) sealed: Option<Arc<Sealed>>,
    /// Shared by the store and all its views. See [`View::note_checkpointed`].
    pub(crate) checkpointed: Arc<AtomicI64>,
    /// Watchers have been handed everything up to this revision; see [`crate::watch`].
    pub(crate) watched: Arc<AtomicI64>,
}

/// How much the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Keys that exist now.
    pub keys: u64,
    /// Versions and tombstones of all keys that compaction has not dropped.
    pub revisions: u64,
    /// Encoded bytes of the keys that exist now.
    pub live_bytes: u64,
    /// Encoded bytes of all versions and tombstones.
    pub bytes: u64,
}

impl View {
    /// A view of nothing, at revision 1.
    pub(crate) fn empty() -> Self {
        Self {
            applied: (LogIndex(0), Term(0)),
            membership: Bytes::new(),
            revision: Revision(1),
            compacted: Revision(0),
            index: Index::default(),
            revlog: Sequence::default(),
            released: Revision(0),
            settled: 0,
            sizes: Sizes::default(),
            leases: LeaseTable::default(),
            auth: AuthTable::default(),
            alarms: AlarmTable::default(),
            downgrade: Downgrade::default(),
            hash: HistoryHash::default(),
            sealed: None,
            checkpointed: Arc::new(AtomicI64::new(i64::MAX)),
            watched: Arc::new(AtomicI64::new(i64::MAX)),
        }
    }

    /// The revision of the last change; 1 for an empty store.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The compacted revision: reads below it are refused. 0 when there was no compaction yet.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The last log entry that is in this view.
    pub fn applied(&self) -> (LogIndex, Term) {
        self.applied
    }

    /// The membership of the cluster, as opaque bytes of the consensus layer.
    pub fn membership(&self) -> &Bytes {
        &self.membership
    }

    /// The leases.
    pub fn leases(&self) -> &LeaseTable {
        &self.leases
    }

    /// Users, roles, permissions.
    pub fn auth(&self) -> &AuthTable {
        &self.auth
    }

    /// The raised alarms.
    pub fn alarms(&self) -> &AlarmTable {
        &self.alarms
    }

    /// Whether a downgrade is prepared.
    pub fn downgrade(&self) -> &Downgrade {
        &self.downgrade
    }

    /// The hash of all changes up to `revision`. Costs what has changed since.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] and [`Refusal::FutureRevision`], as a read there.
    pub fn hash_at(&self, revision: Revision) -> Result<HistoryHash, Refusal> {
        if revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        let mut hash = self.hash;
        self.records_after(revision)
            .for_each(|record| hash.take_away(record));
        Ok(hash)
    }

    /// The state at the last compaction, for comparing members; `None` when this store has applied none since it was
    /// restored.
    pub fn sealed(&self) -> Option<&Arc<Sealed>> {
        self.sealed.as_ref()
    }

    /// The small tables as a manifest keeps them.
    pub fn sections(&self) -> BTreeMap<String, Bytes> {
        let mut sections = BTreeMap::new();
        table::save(&self.leases, &mut sections);
        table::save(&self.auth, &mut sections);
        table::save(&self.alarms, &mut sections);
        table::save(&self.downgrade, &mut sections);
        table::save(&self.hash, &mut sections);
        sections
    }

    /// How much is held, kept up to date at each change.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            keys: self.index.total().live,
            ..self.sizes
        }
    }

    /// Reads the keys of a range. A revision of 0 or below reads the present.
    ///
    /// # Errors
    /// [`Refusal`] for an empty key, an unknown sort target, and a revision that is compacted or in the future.
    pub fn range(&self, range: &Range) -> Result<RangeAnswer, Refusal> {
        read::check(range)?;
        let at = read::standing_alone(self, range.revision)?;
        Ok(read::range(self, range, at))
    }

    /// The same without counting: at an old revision that may cost more than the answer. For a piece of a longer read.
    ///
    /// # Errors
    /// As [`View::range`].
    pub fn range_uncounted(&self, range: &Range) -> Result<RangeAnswer, Refusal> {
        read::check(range)?;
        let at = read::standing_alone(self, range.revision)?;
        Ok(read::range_uncounted(self, range, at))
    }

    /// Carries out a transaction that writes nothing.
    ///
    /// # Errors
    /// As [`View::range`], for the branch that is taken; [`Refusal::NotReadOnly`] when that branch writes.
    pub fn read_txn(&self, txn: &Txn) -> Result<TxnAnswer, Refusal> {
        txn::read(self, txn)
    }

    /// The newest version of `key`, if the key exists.
    pub fn get(&self, key: &[u8]) -> Option<&Record> {
        self.index.get(key)?.at(None)
    }

    /// Every record after `revision`, in the order of the changes, superseded ones and tombstones included.
    ///
    /// Complete for a `revision` at or above the one before the compacted revision, and at or above the last
    /// [`View::note_checkpointed`] if that is lower: compaction keeps what no checkpoint holds.
    pub fn records_after(&self, revision: Revision) -> impl Iterator<Item = &Record> {
        let start = self
            .revlog
            .partition_point(|record| record.mod_revision() <= revision);
        self.revlog.iter_from(start)
    }

    /// Whether [`View::records_after`] the revision before this one leaves nothing out.
    pub(crate) fn holds_from(&self, revision: Revision) -> bool {
        revision > self.released
    }

    /// Tells the store that everything up to `revision` is in a checkpoint, so that compaction need not keep it
    /// for the next one. Until the first call compaction keeps nothing back: whoever writes checkpoints calls
    /// this once before the first command is applied.
    pub fn note_checkpointed(&self, revision: Revision) {
        self.checkpointed.store(revision.0, Ordering::Relaxed);
    }

    /// Whether `record` can still be seen by a read at the compacted revision or later.
    ///
    /// For a rewriter of files: a tombstone at or below the compacted revision is not live, yet it must stay on
    /// disk as long as an older file may hold an older version of its key, or a restart brings that back.
    pub fn is_live(&self, record: &Record) -> bool {
        if record.is_tombstone() && record.mod_revision() <= self.compacted {
            return false;
        }
        let Some(entry) = self.index.get(record.key()) else {
            return false;
        };
        if entry.newest.position() == record.position() {
            return true;
        }
        entry
            .after(record)
            .is_some_and(|next| next.mod_revision() > self.compacted)
    }

    /// Whether compaction has yet to drop versions at or below the compacted revision.
    pub fn compaction_pending(&self) -> bool {
        self.revlog
            .get(self.settled)
            .is_some_and(|record| record.mod_revision() <= self.compacted)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("applied", &self.applied)
            .field("revision", &self.revision)
            .field("compacted", &self.compacted)
            .field("sizes", &self.sizes())
            .finish_non_exhaustive()
    }
}
