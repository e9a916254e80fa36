//! Users, roles, permissions, and whether they count. Small, kept whole, the same on every member.
//!
//! It never sees a password, only hashes that others made, and never checks one.

use crate::outcome::{Answer, Refusal};
use crate::table::{Table, TableError};
use crate::view::View;
use almadia_command::{Actor, AuthChange, Command};
use bytes::Bytes;

/// Users, roles and permissions. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthTable {}

impl AuthTable {
    /// Whether permissions count.
    pub fn is_enabled(&self) -> bool {
        false
    }

    /// Grows with each change.
    pub fn revision(&self) -> u64 {
        1
    }
}

/// What a request needs to be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// A user that exists.
    User,
    /// The role root.
    Root,
    /// Reading every key of a range (`range_end` as in requests).
    Read {
        /// First key.
        key: &'a [u8],
        /// As in requests.
        range_end: &'a [u8],
    },
    /// Writing every key of a range.
    Write {
        /// First key.
        key: &'a [u8],
        /// As in requests.
        range_end: &'a [u8],
    },
    /// Reading every key that hangs on a lease.
    ReadLease(almadia_command::LeaseId),
    /// Writing every key that hangs on a lease.
    WriteLease(almadia_command::LeaseId),
}

impl View {
    /// Whether `actor` may do what needs `need`, in this view. Always, while permissions do not count.
    ///
    /// # Errors
    /// [`Refusal::Auth`].
    pub fn permits(&self, _actor: Option<&Actor>, _need: Need<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Table for AuthTable {
    const SECTION: &'static str = "auth";

    fn encode(&self) -> Bytes {
        Bytes::new()
    }

    fn decode(_bytes: Bytes) -> Result<Self, TableError> {
        Ok(Self::default())
    }
}

/// Refuses what the command's actor may not do, before anything is applied.
pub(crate) fn check(_state: &View, _command: &Command) -> Result<(), Refusal> {
    Ok(())
}

pub(crate) fn apply_change(_state: &mut View, _change: &AuthChange) -> Result<Answer, Refusal> {
    Err(Refusal::EmptyOperation)
}
