//! Row B6.8 and row 5 of the known failures: users and roles change between a check and the applying, and amid traffic;
//! every member decides alike.

use super::*;
use crate::auth::AuthTable;
use crate::table::Table;
use almadia_command::{Compact, Compare, Txn};
use proptest::prelude::*;

fn txn_that_compares(key: &str) -> Kind {
    let compare = Compare {
        key: key.to_owned().into(),
        ..Compare::default()
    };
    Kind::Txn(Txn {
        compares: vec![compare],
        ..Txn::default()
    })
}

/// A command that was proposed before a change and is applied after it.
#[test]
fn a_change_comes_first() {
    let mut state = with_ann();
    let verified = state.auth.revision();
    apply_as(&mut state, "ann", verified, put("a", 0)).unwrap();
    // Any change of users and roles, as in etcd: what was found then need not hold now.
    change(&mut state, role_add("other")).unwrap();
    let old = Err(Refusal::Auth(AuthRefusal::OldRevision));
    for kind in [put("a", 0), delete("a"), txn_that_compares("a"), put("x", 0)] {
        assert_eq!(
            apply_as(&mut state, "ann", verified, kind.clone()),
            old,
            "{kind:?}"
        );
        assert_eq!(
            apply_as(&mut state, "root", verified, kind.clone()),
            old,
            "{kind:?}"
        );
    }
    // What is for root only is decided by what the user is now.
    let compact = Kind::Compact(Compact {
        revision: state.revision.0,
        physical: false,
    });
    apply_as(&mut state, "root", verified, compact).unwrap();
    apply_as(&mut state, "ann", verified, lease_grant(1)).unwrap();
    apply_now(&mut state, "ann", put("a", 0)).unwrap();
}

/// The user is gone, has lost a role, or permissions have ceased or begun to count.
#[test]
fn the_user_is_not_what_it_was() {
    let mut state = with_ann();
    let denied = Err(Refusal::Auth(AuthRefusal::PermissionDenied));
    change(&mut state, user_revoke("ann", "r")).unwrap();
    assert_eq!(apply_now(&mut state, "ann", put("a", 0)), denied);
    change(&mut state, user_delete("ann")).unwrap();
    for kind in [
        put("a", 0),
        lease_grant(1),
        txn_that_compares("a"),
        Kind::Txn(Txn::default()),
    ] {
        assert_eq!(apply_now(&mut state, "ann", kind.clone()), denied, "{kind:?}");
    }
    let unknown = Err(Refusal::Auth(AuthRefusal::UserNotFound));
    let compact = Kind::Compact(Compact::default());
    assert_eq!(apply_now(&mut state, "ann", compact), unknown);
    change(&mut state, disable()).unwrap();
    apply_now(&mut state, "ann", put("a", 0)).unwrap();
    apply::apply(&mut state, Term(1), &put("a", 0).into()).unwrap();
    change(&mut state, enable()).unwrap();
    for kind in [
        put("a", 0),
        delete("a"),
        lease_grant(1),
        Kind::Txn(Txn::default()),
        Kind::Compact(Compact::default()),
    ] {
        let nobody = apply::apply(&mut state, Term(1), &kind.clone().into());
        assert_eq!(nobody, Err(AuthRefusal::UserEmpty.into()), "{kind:?}");
        let nameless = apply_now(&mut state, "", kind.clone());
        assert_eq!(nameless, Err(AuthRefusal::UserEmpty.into()), "{kind:?}");
    }
}

/// What the cluster does itself is never held up, and no client can do it.
#[test]
fn the_cluster_itself_needs_no_permission() {
    use almadia_command::{AlarmChange, AlarmKind, LeaseCheckpoint, LeaseRevoke};
    let mut state = with_ann();
    force(&mut state, lease_grant(1)).unwrap();
    force(&mut state, put("x", 1)).unwrap();
    let expired = LeaseRevoke {
        id: 1,
        expired_in_term: 1,
    };
    let checkpoint = LeaseCheckpoint {
        leases: Vec::new(),
        term: 1,
    };
    let alarm = AlarmChange {
        raise: true,
        member: 1,
        kind: AlarmKind::NoSpace as i32,
    };
    let own = [
        Kind::LeaseCheckpoint(checkpoint),
        Kind::Alarm(alarm),
        Kind::LeaseRevoke(expired),
    ];
    for kind in own {
        let denied = Err(Refusal::Auth(AuthRefusal::PermissionDenied));
        assert_eq!(apply_now(&mut state, "ann", kind.clone()), denied, "{kind:?}");
        force(&mut state, kind).unwrap();
    }
    assert!(state.get(b"x").is_none());
}

/// Transactions nested without end are refused, not followed.
#[test]
fn nesting_is_bounded() {
    use almadia_command::{Operation, OperationKind};
    let mut txn = Txn::default();
    for _ in 0..200 {
        let operation = Operation {
            kind: Some(OperationKind::Txn(txn)),
        };
        txn = Txn {
            failure: vec![operation],
            ..Txn::default()
        };
    }
    let mut state = with_ann();
    let refused = apply_now(&mut state, "ann", Kind::Txn(txn));
    assert_eq!(refused, Err(Refusal::NestedTooDeeply));
}

fn any_change() -> impl Strategy<Value = AuthChangeKind> {
    let name = || prop_oneof![Just("root"), Just("ann"), Just("bob")];
    let role = || prop_oneof![Just("root"), Just("r"), Just("s")];
    let key = || prop_oneof![Just("a"), Just("b"), Just("c")];
    let end = || prop_oneof![Just(""), Just("\0"), Just("c")];
    prop_oneof![
        2 => Just(enable()),
        1 => Just(disable()),
        1 => name().prop_map(user_add),
        1 => name().prop_map(user_delete),
        1 => name().prop_map(user_change_password),
        1 => (name(), role()).prop_map(|(user, role)| user_grant(user, role)),
        1 => (name(), role()).prop_map(|(user, role)| user_revoke(user, role)),
        1 => role().prop_map(role_add),
        1 => role().prop_map(role_delete),
        1 => (role(), 0..4i32, key(), end()).prop_map(|(role, kind, key, end)| role_grant(role, kind, key, end)),
        1 => (role(), key(), end()).prop_map(|(role, key, end)| role_revoke(role, key, end)),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let key = || prop_oneof![Just("a"), Just("b"), Just("c"), Just("x")];
    prop_oneof![
        2 => any_change().prop_map(|kind| Kind::Auth(AuthChange { kind: Some(kind) })),
        3 => (key(), 0..3i64).prop_map(|(key, lease)| put(key, lease)),
        1 => key().prop_map(delete),
        1 => key().prop_map(txn_that_compares),
        1 => (1..3i64).prop_map(lease_grant),
    ]
}

fn any_command() -> impl Strategy<Value = (Kind, Option<&'static str>, u64)> {
    let user = prop_oneof![Just("root"), Just("ann"), Just("bob"), Just("")];
    (any_kind(), proptest::option::of(user), 0..3u64)
}

proptest! {
    /// A member that is restarted, or new, at any point decides as the one that ran through.
    #[test]
    fn a_restart_changes_no_decision(
        commands in proptest::collection::vec(any_command(), 0..60),
        restart in 0usize..60,
    ) {
        let (mut through, mut restarted) = (with_ann(), with_ann());
        for (position, (kind, user, behind)) in commands.into_iter().enumerate() {
            if position == restart {
                restarted.auth = AuthTable::decode(restarted.auth.encode()).unwrap();
            }
            let actor = user.map(|user| Actor {
                user: user.to_owned(),
                auth_revision: through.auth.revision().saturating_sub(behind),
                internal: false,
            });
            let command = Command { kind: Some(kind), actor };
            let one = apply::apply(&mut through, Term(1), &command);
            let other = apply::apply(&mut restarted, Term(1), &command);
            prop_assert_eq!(one, other);
            prop_assert_eq!(&through.auth, &restarted.auth);
            prop_assert_eq!(through.revision, restarted.revision);
        }
    }
}
