//! Rows B6.1, B6.3, B6.4 and B6.8: what can be done to users and roles, what is refused and why, and how the revision goes.

use super::*;
use crate::auth::AuthTable;
use crate::table::Table;
use AuthRefusal as No;
use almadia_command::RoleGrantPermission;

fn check(state: &mut View, kind: AuthChangeKind, expected: Result<u64, No>) {
    let before = state.auth.clone();
    let found = change(state, kind.clone());
    assert_eq!(found, expected, "{kind:?}");
    if expected.is_err() {
        assert_eq!(state.auth, before, "a refused change changes nothing: {kind:?}");
    }
    assert_eq!(AuthTable::decode(state.auth.encode()), Ok(state.auth.clone()));
}

/// As etcd 3.5.30 answers, one after the other.
#[test]
fn each_change_with_its_refusals() {
    let state = &mut View::empty();
    check(state, enable(), Err(No::RootUserMissing));
    check(state, disable(), Ok(1));
    check(state, user_add(""), Err(No::UserEmpty));
    check(state, user_add("root"), Ok(2));
    check(state, user_add("root"), Err(No::UserExists));
    check(state, enable(), Err(No::RootRoleMissing));
    check(state, user_grant("none", "none"), Err(No::UserNotFound));
    check(state, user_grant("root", "none"), Err(No::RoleNotFound));
    // The role root need not be made.
    check(state, user_grant("root", "root"), Ok(3));
    check(state, user_grant("root", "root"), Ok(3));
    check(state, user_revoke("none", "root"), Err(No::UserNotFound));
    check(state, user_revoke("root", "none"), Err(No::RoleNotGranted));
    check(state, role_add(""), Err(No::RoleEmpty));
    check(state, role_add("r"), Ok(4));
    check(state, role_add("r"), Err(No::RoleExists));
    check(state, role_grant("none", READ, "a", ""), Err(No::RoleNotFound));
    check(
        state,
        role_grant("none", READ, "b", "a"),
        Err(No::InvalidManagement),
    );
    check(state, role_grant("r", READ, "b", "b"), Err(No::InvalidManagement));
    check(state, role_grant("r", READ, "", ""), Err(No::InvalidManagement));
    check(state, role_grant("r", READ, "", "\0"), Err(No::InvalidManagement));
    check(state, role_grant("r", READ, "b", "\0"), Ok(5));
    check(state, role_grant("r", 77, "b", ""), Ok(6));
    check(state, role_grant("r", READ, "b", "\0"), Ok(7));
    check(state, role_revoke("none", "b", ""), Err(No::RoleNotFound));
    check(state, role_revoke("r", "b", "c"), Err(No::PermissionNotGranted));
    check(state, role_revoke("r", "b", ""), Ok(8));
    check(state, role_revoke("r", "b", ""), Err(No::PermissionNotGranted));
    check(state, user_change_password("none"), Err(No::UserNotFound));
    check(state, user_change_password("root"), Ok(9));
    check(state, user_delete("none"), Err(No::UserNotFound));
    check(state, role_delete("none"), Err(No::RoleNotFound));
    // Nothing is special about root before permissions count.
    check(state, user_delete("root"), Ok(10));
    let nothing = RoleGrantPermission {
        role: "r".to_owned(),
        permission: None,
    };
    let nothing = AuthChangeKind::RoleGrantPermission(nothing);
    check(state, nothing, Err(No::PermissionNotGiven));
}

/// Nobody can lock everybody out while permissions count; enabling is no new revision, disabling is.
#[test]
fn root_stays_while_permissions_count() {
    let state = &mut with_ann();
    let revision = state.auth.revision();
    assert_eq!(revision, 7, "six changes and the start; enabling is none");
    for kind in [
        user_delete("root"),
        user_revoke("root", "root"),
        role_delete("root"),
    ] {
        check(state, kind, Err(No::InvalidManagement));
    }
    check(state, user_revoke("root", "r"), Err(No::RoleNotGranted));
    check(state, enable(), Ok(7));
    check(state, disable(), Ok(8));
    check(state, disable(), Ok(8));
    check(state, role_delete("root"), Err(No::RoleNotFound));
    check(state, user_revoke("root", "root"), Ok(9));
    check(state, enable(), Err(No::RootRoleMissing));
}

/// Row B6.4: a role that is deleted leaves its users, and comes back without them and without its permissions.
#[test]
fn a_deleted_role_leaves_its_users() {
    let state = &mut with_ann();
    check(state, role_delete("r"), Ok(8));
    assert_eq!(state.auth.user("ann").unwrap().roles().count(), 0);
    check(state, role_add("r"), Ok(9));
    assert!(state.auth.role("r").unwrap().permissions().is_empty());
    let refused = apply_now(state, "ann", put("a", 0));
    assert_eq!(refused, Err(No::PermissionDenied.into()));
}

/// The secret of the tokens is drawn once: later ones would end the tokens of members that are still at it.
#[test]
fn the_first_secret_stays() {
    let state = &mut with_ann();
    change(state, disable()).unwrap();
    let other = AuthEnable {
        token_secret: Bytes::from_static(b"another"),
    };
    change(state, AuthChangeKind::Enable(other)).unwrap();
    assert_eq!(state.auth.token_secret().as_ref(), b"secret");
}

/// Row B6.5: which tokens hold, by the revision at which they were given out.
#[test]
fn tokens_end_with_password_user_and_service() {
    let state = &mut with_ann();
    let issued = state.auth.revision();
    assert!(state.auth.honours("ann", issued) && !state.auth.honours("bob", issued));
    change(state, role_grant("r", READ, "x", "")).unwrap();
    change(state, user_change_password("root")).unwrap();
    assert!(
        state.auth.honours("ann", issued),
        "what others do does not matter"
    );
    assert!(!state.auth.honours("root", issued));
    change(state, user_change_password("ann")).unwrap();
    assert!(!state.auth.honours("ann", issued));
    let issued = state.auth.revision();
    assert!(state.auth.honours("ann", issued));
    change(state, user_delete("ann")).unwrap();
    assert!(!state.auth.honours("ann", issued));
    change(state, user_add("ann")).unwrap();
    assert!(
        !state.auth.honours("ann", issued),
        "another user of the same name"
    );
    let issued = state.auth.revision();
    change(state, disable()).unwrap();
    change(state, enable()).unwrap();
    assert!(!state.auth.honours("ann", issued), "everybody logs in again");
}
