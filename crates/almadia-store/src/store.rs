//! The sole writer of the state.

use crate::record::Record;
use crate::view::View;
use almadia_command::{LogIndex, Revision, Term};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// What a checkpoint or snapshot holds, to be made into a store.
#[derive(Clone, Debug)]
pub struct RestoredState {
    /// The last log entry whose effect is in `records`.
    pub applied: (LogIndex, Term),
    /// The membership of the cluster, as opaque bytes.
    pub membership: Bytes,
    /// The revision of the last change.
    pub revision: Revision,
    /// The compacted revision, 0 for none.
    pub compacted: Revision,
    /// Every record that is needed, in the order of the changes. Records that the compacted revision hides may
    /// be among them.
    pub records: Vec<Record>,
}

/// A restored state that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A record does not come after the one before it.
    #[error("restoring the store: the record at revision {}.{} is out of order", .0.0, .0.1)]
    OutOfOrder((Revision, u32)),
    /// A record is newer than the state it belongs to, or the compacted revision is.
    #[error("restoring the store: revision {0} lies beyond the state's revision {1}")]
    Beyond(Revision, Revision),
}

/// The store: applies commands in log order and publishes views. There is one writer.
#[derive(Debug)]
pub struct Store {
    state: View,
}

impl Store {
    /// A store with nothing in it, at revision 1.
    pub fn empty() -> Self {
        let state = View {
            applied: (LogIndex(0), Term(0)),
            membership: Bytes::new(),
            revision: Revision(1),
            compacted: Revision(0),
            records: Vec::new(),
            checkpointed: Arc::new(AtomicI64::new(i64::MAX)),
        };
        Self { state }
    }

    /// Builds the store that `restored` describes.
    ///
    /// # Errors
    /// [`RestoreError`] when the records are not in order or not of that state.
    pub fn restore(restored: RestoredState) -> Result<Self, RestoreError> {
        let RestoredState {
            applied,
            membership,
            revision,
            compacted,
            records,
        } = restored;
        let checkpointed = Arc::new(AtomicI64::new(i64::MAX));
        Ok(Self {
            state: View {
                applied,
                membership,
                revision,
                compacted,
                records,
                checkpointed,
            },
        })
    }

    /// The present state as a view that later changes do not touch, visible to all readers from now on.
    pub fn publish(&mut self) -> Arc<View> {
        Arc::new(self.state.clone())
    }
}
