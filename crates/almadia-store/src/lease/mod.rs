//! Leases: which there are, what time they were granted and have left by the log, and which keys hang on them.
//!
//! Nothing here counts time: the leader does, and writes what it counted into the log.

use crate::outcome::{Answer, Refusal};
use crate::table::{Table, TableError};
use crate::view::View;
use almadia_command::{LeaseCheckpoint, LeaseGrant, LeaseId, LeaseRevoke, Term};
use bytes::Bytes;

/// All leases. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTable {}

impl LeaseTable {
    /// Whether the lease exists.
    pub fn contains(&self, _lease: LeaseId) -> bool {
        false
    }
}

impl Table for LeaseTable {
    const SECTION: &'static str = "leases";

    fn encode(&self) -> Bytes {
        Bytes::new()
    }

    fn decode(_bytes: Bytes) -> Result<Self, TableError> {
        Ok(Self::default())
    }
}

pub(crate) fn apply_grant(_state: &mut View, _grant: &LeaseGrant) -> Result<Answer, Refusal> {
    Err(Refusal::EmptyOperation)
}

pub(crate) fn apply_revoke(_state: &mut View, _term: Term, _revoke: &LeaseRevoke) -> Result<Answer, Refusal> {
    Err(Refusal::EmptyOperation)
}

pub(crate) fn apply_checkpoint(
    _state: &mut View,
    _term: Term,
    _checkpoint: &LeaseCheckpoint,
) -> Result<Answer, Refusal> {
    Err(Refusal::EmptyOperation)
}
