//! Who may do what: the same rules for commands that are applied and for reads at the edge.
//!
//! Decided by the state and the actor alone. Every field of a command that reads, writes or attaches counts, in both
//! branches of transactions and at any depth, taken or not.

use super::ranges::{self, Ranges};
use super::table::{AuthTable, Role, User};
use crate::bounds::Bounds;
use crate::outcome::{AuthRefusal, Refusal};
use crate::txn::NESTING_MAX;
use crate::view::View;
use almadia_command::{
    Actor, Command, DeleteRange, Kind, LeaseId, LeaseRevoke, Operation, OperationKind, Put, Txn,
};

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
    ReadLease(LeaseId),
    /// Writing every key that hangs on a lease.
    WriteLease(LeaseId),
}

impl View {
    /// Whether `actor` may do what needs `need`, in this view. Always, while permissions do not count.
    ///
    /// # Errors
    /// [`Refusal::Auth`].
    pub fn permits(&self, actor: Option<&Actor>, need: Need<'_>) -> Result<(), Refusal> {
        let Some(asking) = Asking::of(self, actor) else {
            return Ok(());
        };
        Ok(asking.may(need)?)
    }

    /// Whether `actor` may do all that a transaction holds, as it is decided for one that goes through the log.
    ///
    /// # Errors
    /// [`Refusal::Auth`], or a transaction that is nested too deeply.
    pub fn permits_txn(&self, actor: Option<&Actor>, txn: &Txn) -> Result<(), Refusal> {
        match Asking::of(self, actor) {
            Some(asking) => asking.may_txn(txn, 0),
            None => Ok(()),
        }
    }
}

/// Refuses what the command's actor may not do, before anything is applied.
pub(crate) fn check(state: &View, command: &Command) -> Result<(), Refusal> {
    let (Some(asking), Some(kind)) = (Asking::of(state, command.actor.as_ref()), &command.kind) else {
        return Ok(());
    };
    match kind {
        Kind::Put(put) => asking.may_put(put)?,
        Kind::DeleteRange(delete) => asking.may_delete(delete)?,
        Kind::Txn(txn) => asking.may_txn(txn, 0)?,
        Kind::LeaseGrant(_) => asking.may(Need::User)?,
        Kind::LeaseRevoke(revoke) => asking.may_revoke(revoke)?,
        // Only the cluster itself counts time, and it has passed already.
        Kind::LeaseCheckpoint(_) => return Err(AuthRefusal::PermissionDenied.into()),
        // Compactions, users and roles, alarms; and whatever a later release adds without saying more here.
        _ => asking.may(Need::Root)?,
    }
    Ok(())
}

/// Somebody who must have permission.
struct Asking<'a> {
    state: &'a View,
    actor: Option<&'a Actor>,
    /// Absent for a user that does not exist.
    user: Option<&'a User>,
}

impl<'a> Asking<'a> {
    /// Nobody has to ask while permissions do not count, nor has the cluster itself.
    fn of(state: &'a View, actor: Option<&'a Actor>) -> Option<Self> {
        if !state.auth.is_enabled() || actor.is_some_and(|actor| actor.internal) {
            return None;
        }
        let actor = actor.filter(|actor| !actor.user.is_empty());
        let user = actor.and_then(|actor| state.auth.user(&actor.user));
        Some(Self { state, actor, user })
    }

    fn may(&self, need: Need<'_>) -> Result<(), AuthRefusal> {
        let actor = self.actor.ok_or(AuthRefusal::UserEmpty)?;
        match need {
            Need::User => self.user.map(|_| ()).ok_or(AuthRefusal::PermissionDenied),
            // What the user was at an earlier revision does not matter here. As in etcd.
            Need::Root => match self.user {
                None => Err(AuthRefusal::UserNotFound),
                Some(user) if user.is_root() => Ok(()),
                Some(_) => Err(AuthRefusal::PermissionDenied),
            },
            Need::Read { key, range_end } => self.may_touch(actor, key, range_end, Role::readable),
            Need::Write { key, range_end } => self.may_touch(actor, key, range_end, Role::writable),
            Need::ReadLease(lease) => self.may_touch_all(actor, lease, Role::readable),
            Need::WriteLease(lease) => self.may_touch_all(actor, lease, Role::writable),
        }
    }

    fn may_touch(
        &self,
        actor: &Actor,
        key: &[u8],
        range_end: &[u8],
        permitted: fn(&Role) -> &Ranges,
    ) -> Result<(), AuthRefusal> {
        let auth = &self.state.auth;
        if actor.auth_revision < auth.revision() {
            return Err(AuthRefusal::OldRevision);
        }
        let user = self.user.ok_or(AuthRefusal::PermissionDenied)?;
        if user.is_root() || ranges::cover(granted(auth, user, permitted), Bounds::new(key, range_end)) {
            Ok(())
        } else {
            Err(AuthRefusal::PermissionDenied)
        }
    }

    /// A lease without keys, or one that does not exist, is no secret of anybody.
    fn may_touch_all(
        &self,
        actor: &Actor,
        lease: LeaseId,
        permitted: fn(&Role) -> &Ranges,
    ) -> Result<(), AuthRefusal> {
        if self.user.is_some_and(User::is_root) {
            return Ok(());
        }
        let mut keys = self.state.leases.keys(lease);
        keys.try_for_each(|key| self.may_touch(actor, key, &[], permitted))
    }

    /// The key itself; what it was, where that is answered; and every key of the lease it joins, for whoever may not end the
    /// lease must not make the key depend on it.
    fn may_put(&self, put: &Put) -> Result<(), AuthRefusal> {
        let (key, range_end) = (put.key.as_ref(), &[][..]);
        self.may(Need::Write { key, range_end })?;
        if put.lease != 0 {
            self.may(Need::WriteLease(LeaseId(put.lease)))?;
        }
        if put.prev_kv {
            self.may(Need::Read { key, range_end })?;
        }
        Ok(())
    }

    fn may_delete(&self, delete: &DeleteRange) -> Result<(), AuthRefusal> {
        let (key, range_end) = (delete.key.as_ref(), delete.range_end.as_ref());
        self.may(Need::Write { key, range_end })?;
        if delete.prev_kv {
            self.may(Need::Read { key, range_end })?;
        }
        Ok(())
    }

    fn may_revoke(&self, revoke: &LeaseRevoke) -> Result<(), AuthRefusal> {
        // Only the cluster itself sees leases expire, and it has passed already.
        if revoke.expired_in_term != 0 {
            return Err(AuthRefusal::PermissionDenied);
        }
        self.may(Need::User)?;
        self.may(Need::WriteLease(LeaseId(revoke.id)))
    }

    fn may_txn(&self, txn: &Txn, depth: usize) -> Result<(), Refusal> {
        if depth > NESTING_MAX {
            return Err(Refusal::NestedTooDeeply);
        }
        // One without any operation tells nothing, but not to strangers.
        self.may(Need::User)?;
        for compare in &txn.compares {
            self.may(Need::Read {
                key: &compare.key,
                range_end: &compare.range_end,
            })?;
        }
        let mut operations = txn.success.iter().chain(&txn.failure);
        operations.try_for_each(|operation| self.may_operation(operation, depth))
    }

    fn may_operation(&self, operation: &Operation, depth: usize) -> Result<(), Refusal> {
        match &operation.kind {
            Some(OperationKind::Range(range)) => self.may(Need::Read {
                key: &range.key,
                range_end: &range.range_end,
            })?,
            Some(OperationKind::Put(put)) => self.may_put(put)?,
            Some(OperationKind::DeleteRange(delete)) => self.may_delete(delete)?,
            Some(OperationKind::Txn(nested)) => self.may_txn(nested, depth + 1)?,
            None => {}
        }
        Ok(())
    }
}

/// What each of a user's roles grants. A role that is named but has not been made grants nothing.
fn granted<'a>(
    auth: &'a AuthTable,
    user: &'a User,
    permitted: fn(&Role) -> &Ranges,
) -> impl Iterator<Item = &'a Ranges> + Clone {
    user.roles().filter_map(|role| auth.role(role)).map(permitted)
}
