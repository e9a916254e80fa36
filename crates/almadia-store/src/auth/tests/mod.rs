//! Users and roles as the log changes them, and what is permitted because of them.

mod changes;
mod passing;
mod rights;

use crate::apply;
use crate::outcome::{Answer, AuthRefusal, Refusal};
use crate::view::View;
use almadia_command::{
    Actor, AuthChange, AuthChangeKind, AuthDisable, AuthEnable, Command, DeleteRange, Kind, LeaseGrant,
    Permission, Put, RoleGrantPermission, RoleName, RoleRevokePermission, Term, UserAdd, UserChangePassword,
    UserName, UserRole,
};
use bytes::Bytes;

pub(super) const READ: i32 = 0;
pub(super) const WRITE: i32 = 1;
pub(super) const READ_WRITE: i32 = 2;

/// Applies as the cluster itself.
fn force(state: &mut View, kind: impl Into<Kind>) -> Result<Answer, Refusal> {
    let command = Command {
        kind: Some(kind.into()),
        actor: Some(Actor::internal()),
    };
    apply::apply(state, Term(1), &command)
}

/// Applies as a user that was verified at a revision.
fn apply_as(
    state: &mut View,
    user: &str,
    auth_revision: u64,
    kind: impl Into<Kind>,
) -> Result<Answer, Refusal> {
    let actor = Actor {
        user: user.to_owned(),
        auth_revision,
        internal: false,
    };
    let command = Command {
        kind: Some(kind.into()),
        actor: Some(actor),
    };
    apply::apply(state, Term(1), &command)
}

/// Applies as a user that is verified now.
fn apply_now(state: &mut View, user: &str, kind: impl Into<Kind>) -> Result<Answer, Refusal> {
    let revision = state.auth.revision();
    apply_as(state, user, revision, kind)
}

/// Changes users and roles; gives the new auth revision.
fn change(state: &mut View, kind: AuthChangeKind) -> Result<u64, AuthRefusal> {
    match force(state, Kind::Auth(AuthChange { kind: Some(kind) })) {
        Ok(Answer::Auth { auth_revision }) => {
            assert_eq!(auth_revision, state.auth.revision());
            Ok(auth_revision)
        }
        Err(Refusal::Auth(refusal)) => Err(refusal),
        other => panic!("a change of users and roles was answered with {other:?}"),
    }
}

fn enable() -> AuthChangeKind {
    AuthChangeKind::Enable(AuthEnable {
        token_secret: Bytes::from_static(b"secret"),
    })
}

fn disable() -> AuthChangeKind {
    AuthChangeKind::Disable(AuthDisable {})
}

fn user_add(name: &str) -> AuthChangeKind {
    AuthChangeKind::UserAdd(UserAdd {
        name: name.to_owned(),
        password_hash: Bytes::from_static(b"hash"),
        no_password: false,
    })
}

fn user_delete(name: &str) -> AuthChangeKind {
    AuthChangeKind::UserDelete(UserName {
        name: name.to_owned(),
    })
}

fn user_change_password(name: &str) -> AuthChangeKind {
    AuthChangeKind::UserChangePassword(UserChangePassword {
        name: name.to_owned(),
        password_hash: Bytes::from_static(b"another"),
    })
}

fn user_grant(user: &str, role: &str) -> AuthChangeKind {
    AuthChangeKind::UserGrantRole(UserRole {
        user: user.to_owned(),
        role: role.to_owned(),
    })
}

fn user_revoke(user: &str, role: &str) -> AuthChangeKind {
    AuthChangeKind::UserRevokeRole(UserRole {
        user: user.to_owned(),
        role: role.to_owned(),
    })
}

fn role_add(name: &str) -> AuthChangeKind {
    AuthChangeKind::RoleAdd(RoleName {
        name: name.to_owned(),
    })
}

fn role_delete(name: &str) -> AuthChangeKind {
    AuthChangeKind::RoleDelete(RoleName {
        name: name.to_owned(),
    })
}

fn role_grant(role: &str, kind: i32, key: &str, range_end: &str) -> AuthChangeKind {
    AuthChangeKind::RoleGrantPermission(RoleGrantPermission {
        role: role.to_owned(),
        permission: Some(Permission {
            kind,
            key: key.to_owned().into(),
            range_end: range_end.to_owned().into(),
        }),
    })
}

fn role_revoke(role: &str, key: &str, range_end: &str) -> AuthChangeKind {
    AuthChangeKind::RoleRevokePermission(RoleRevokePermission {
        role: role.to_owned(),
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
    })
}

fn put(key: &str, lease: i64) -> Kind {
    Kind::Put(Put {
        key: key.to_owned().into(),
        value: "v".into(),
        lease,
        ..Put::default()
    })
}

fn delete(key: &str) -> Kind {
    Kind::DeleteRange(DeleteRange {
        key: key.to_owned().into(),
        ..DeleteRange::default()
    })
}

fn lease_grant(id: i64) -> Kind {
    Kind::LeaseGrant(LeaseGrant { id, ttl: 60 })
}

/// Root, and `ann` with the role `r` that may read and write [a, c); permissions count.
fn with_ann() -> View {
    let mut state = View::empty();
    for kind in [
        user_add("root"),
        user_grant("root", "root"),
        role_add("r"),
        role_grant("r", READ_WRITE, "a", "c"),
        user_add("ann"),
        user_grant("ann", "r"),
        enable(),
    ] {
        change(&mut state, kind).unwrap();
    }
    state
}
