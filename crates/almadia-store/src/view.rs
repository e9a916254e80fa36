//! The store at one revision, read-only.

use crate::record::Record;
use almadia_command::{LogIndex, Revision, Term};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The store as it was when it was published. Immutable: a reader that holds one sees one state throughout.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) applied: (LogIndex, Term),
    pub(crate) membership: Bytes,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    pub(crate) records: Vec<Record>,
    pub(crate) checkpointed: Arc<AtomicI64>,
}

impl View {
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

    /// Every record after `revision`, in the order of the changes, superseded ones and tombstones included.
    ///
    /// Complete for a `revision` at or above the compacted revision, and at or above the last
    /// [`View::note_checkpointed`] if that is lower: compaction keeps what no checkpoint holds.
    pub fn records_after(&self, revision: Revision) -> impl Iterator<Item = &Record> {
        let start = self
            .records
            .partition_point(|record| record.mod_revision() <= revision);
        self.records[start..].iter()
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
        let mut later = self
            .records
            .iter()
            .filter(|other| other.position() > record.position());
        let hidden = later.any(|other| other.key() == record.key() && other.mod_revision() <= self.compacted);
        let gone = record.is_tombstone() && record.mod_revision() <= self.compacted;
        !hidden && !gone && self.records.contains(record)
    }
}
