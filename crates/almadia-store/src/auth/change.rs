//! Changing users, roles and whether they count, with etcd's rules and the order of its refusals.
//!
//! Who may do it is decided elsewhere.

use super::table::{AuthTable, Content, ROOT_ROLE, ROOT_USER, Role, User};
use crate::outcome::{Answer, AuthRefusal, Refusal};
use crate::view::View;
use almadia_command::{
    AuthChange, AuthChangeKind, AuthEnable, Permission, RoleGrantPermission, RoleRevokePermission, UserAdd,
    UserChangePassword, UserRole,
};

/// Applies a change; one that is refused has changed nothing.
pub(crate) fn apply_change(state: &mut View, change: &AuthChange) -> Result<Answer, Refusal> {
    let kind = change.kind.as_ref().ok_or(Refusal::EmptyOperation)?;
    carry_out(&mut state.auth, kind)?;
    Ok(Answer::Auth {
        auth_revision: state.auth.revision(),
    })
}

fn carry_out(table: &mut AuthTable, kind: &AuthChangeKind) -> Result<(), AuthRefusal> {
    match kind {
        AuthChangeKind::Enable(enable) => self::enable(table, enable),
        AuthChangeKind::Disable(_) => {
            disable(table);
            Ok(())
        }
        AuthChangeKind::UserAdd(add) => user_add(table, add),
        AuthChangeKind::UserDelete(user) => user_delete(table, &user.name),
        AuthChangeKind::UserChangePassword(change) => user_change_password(table, change),
        AuthChangeKind::UserGrantRole(grant) => user_grant_role(table, grant),
        AuthChangeKind::UserRevokeRole(revoke) => user_revoke_role(table, revoke),
        AuthChangeKind::RoleAdd(role) => role_add(table, &role.name),
        AuthChangeKind::RoleDelete(role) => role_delete(table, &role.name),
        AuthChangeKind::RoleGrantPermission(grant) => role_grant_permission(table, grant),
        AuthChangeKind::RoleRevokePermission(revoke) => role_revoke_permission(table, revoke),
    }
}

/// Makes a change that has been found possible, at the next revision.
fn commit(table: &mut AuthTable, change: impl FnOnce(&mut Content)) {
    let content = table.content_mut();
    content.revision += 1;
    change(content);
}

fn enable(table: &mut AuthTable, enable: &AuthEnable) -> Result<(), AuthRefusal> {
    if table.is_enabled() {
        return Ok(());
    }
    let root = table.user(ROOT_USER).ok_or(AuthRefusal::RootUserMissing)?;
    if !root.is_root() {
        return Err(AuthRefusal::RootRoleMissing);
    }
    // Not a new revision, as in etcd: nobody has a token yet.
    let content = table.content_mut();
    content.enabled = true;
    if content.token_secret.is_empty() {
        content.token_secret = enable.token_secret.clone();
    }
    Ok(())
}

fn disable(table: &mut AuthTable) {
    if table.is_enabled() {
        commit(table, |content| {
            content.enabled = false;
            content.tokens_since = content.revision;
        });
    }
}

fn user_add(table: &mut AuthTable, add: &UserAdd) -> Result<(), AuthRefusal> {
    if add.name.is_empty() {
        return Err(AuthRefusal::UserEmpty);
    }
    if table.user(&add.name).is_some() {
        return Err(AuthRefusal::UserExists);
    }
    commit(table, |content| {
        let user = User {
            password_hash: add.password_hash.clone(),
            no_password: add.no_password,
            tokens_since: content.revision,
            ..User::default()
        };
        content.users.insert(add.name.clone(), user);
    });
    Ok(())
}

fn user_delete(table: &mut AuthTable, name: &str) -> Result<(), AuthRefusal> {
    if table.is_enabled() && name == ROOT_USER {
        return Err(AuthRefusal::InvalidManagement);
    }
    if table.user(name).is_none() {
        return Err(AuthRefusal::UserNotFound);
    }
    commit(table, |content| {
        content.users.remove(name);
    });
    Ok(())
}

/// Makes a change of a user that has been found possible.
fn commit_user(table: &mut AuthTable, name: &str, change: impl FnOnce(&mut User, u64)) {
    commit(table, |content| {
        let revision = content.revision;
        let user = content.users.get_mut(name).expect("the user has been found");
        change(user, revision);
    });
}

fn user_change_password(table: &mut AuthTable, change: &UserChangePassword) -> Result<(), AuthRefusal> {
    if table.user(&change.name).is_none() {
        return Err(AuthRefusal::UserNotFound);
    }
    commit_user(table, &change.name, |user, revision| {
        if !user.no_password {
            user.password_hash = change.password_hash.clone();
        }
        user.tokens_since = revision;
    });
    Ok(())
}

fn user_grant_role(table: &mut AuthTable, grant: &UserRole) -> Result<(), AuthRefusal> {
    let user = table.user(&grant.user).ok_or(AuthRefusal::UserNotFound)?;
    if grant.role != ROOT_ROLE && table.role(&grant.role).is_none() {
        return Err(AuthRefusal::RoleNotFound);
    }
    if !user.has_role(&grant.role) {
        commit_user(table, &grant.user, |user, _| {
            user.roles.insert(grant.role.clone());
        });
    }
    Ok(())
}

fn user_revoke_role(table: &mut AuthTable, revoke: &UserRole) -> Result<(), AuthRefusal> {
    if table.is_enabled() && revoke.user == ROOT_USER && revoke.role == ROOT_ROLE {
        return Err(AuthRefusal::InvalidManagement);
    }
    let user = table.user(&revoke.user).ok_or(AuthRefusal::UserNotFound)?;
    if !user.has_role(&revoke.role) {
        return Err(AuthRefusal::RoleNotGranted);
    }
    commit_user(table, &revoke.user, |user, _| {
        user.roles.remove(&revoke.role);
    });
    Ok(())
}

fn role_add(table: &mut AuthTable, name: &str) -> Result<(), AuthRefusal> {
    if name.is_empty() {
        return Err(AuthRefusal::RoleEmpty);
    }
    if table.role(name).is_some() {
        return Err(AuthRefusal::RoleExists);
    }
    commit(table, |content| {
        content.roles.insert(name.to_owned(), Role::default());
    });
    Ok(())
}

fn role_delete(table: &mut AuthTable, name: &str) -> Result<(), AuthRefusal> {
    if table.is_enabled() && name == ROOT_ROLE {
        return Err(AuthRefusal::InvalidManagement);
    }
    if table.role(name).is_none() {
        return Err(AuthRefusal::RoleNotFound);
    }
    commit(table, |content| {
        content.roles.remove(name);
        for user in content.users.values_mut() {
            user.roles.remove(name);
        }
    });
    Ok(())
}

/// Whether a permission is for any key at all.
fn has_keys(permission: &Permission) -> bool {
    let (key, range_end) = (&permission.key, &permission.range_end);
    let is_range = range_end.is_empty() || range_end.as_ref() == [0] || key < range_end;
    !key.is_empty() && is_range
}

fn role_grant_permission(table: &mut AuthTable, grant: &RoleGrantPermission) -> Result<(), AuthRefusal> {
    let permission = grant.permission.as_ref().ok_or(AuthRefusal::PermissionNotGiven)?;
    if !has_keys(permission) {
        return Err(AuthRefusal::InvalidManagement);
    }
    if table.role(&grant.role).is_none() {
        return Err(AuthRefusal::RoleNotFound);
    }
    commit(table, |content| {
        let role = content
            .roles
            .get_mut(&grant.role)
            .expect("the role has been found");
        role.grant(permission.clone());
    });
    Ok(())
}

fn role_revoke_permission(table: &mut AuthTable, revoke: &RoleRevokePermission) -> Result<(), AuthRefusal> {
    let mut role = table
        .role(&revoke.role)
        .cloned()
        .ok_or(AuthRefusal::RoleNotFound)?;
    if !role.revoke(&revoke.key, &revoke.range_end) {
        return Err(AuthRefusal::PermissionNotGranted);
    }
    commit(table, |content| {
        content.roles.insert(revoke.role.clone(), role);
    });
    Ok(())
}
