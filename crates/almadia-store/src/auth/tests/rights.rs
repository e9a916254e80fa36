//! Row 25 of the known failures and its promise: every field of a request that reads, writes or attaches, for every kind of
//! role, alone and in a transaction, generated and compared with a small model that looks at each key by itself.

use super::*;
use crate::auth::Need;
use crate::bounds::Bounds;
use almadia_command::{Compare, CompareTarget, LeaseId, LeaseRevoke, Operation, OperationKind, Range, Txn};

/// Key and range end of what is asked for.
const SPANS: [(&str, &str); 8] = [
    ("a", ""),
    ("x", ""),
    ("a", "b"),
    ("a", "c"),
    ("a", "d"),
    ("b", "a"),
    ("a", "\0"),
    ("\0", "\0"),
];

/// All that a span can mean, and a key behind all others and one before them.
const WORLD: [&str; 12] = [
    "\0",
    "A",
    "a",
    "a\0",
    "ab",
    "b",
    "b\0",
    "bz",
    "c",
    "cc",
    "x",
    "\u{7f}\u{7f}",
];

/// A lease without keys, one with a key that many may write, one with a key that few may.
const LEASES: [(i64, &[&str]); 3] = [(5, &[]), (6, &["b"]), (7, &["a", "x"])];

/// Kind, key and range end of each permission; `None` is the role root.
type Granted = Option<Vec<(i32, &'static str, &'static str)>>;

/// What each kind of role is granted.
fn roles() -> Vec<Granted> {
    let mut roles = vec![
        None,
        Some(vec![]),
        Some(vec![(7, "\0", "\0")]),
        Some(vec![(READ, "a", "b"), (READ, "b", "c")]),
        Some(vec![(WRITE, "a", "b"), (WRITE, "b", "d"), (READ, "x", "")]),
        Some(vec![(READ_WRITE, "a", "c"), (READ, "c", "\0")]),
        Some(vec![(READ_WRITE, "a", "c"), (WRITE, "c", "\0")]),
        Some(vec![(WRITE, "a", "\0"), (READ, "a", "")]),
        Some(vec![(READ, "a", ""), (WRITE, "x", "")]),
        Some(vec![(READ_WRITE, "\0", "a"), (READ_WRITE, "a\0", "\0")]),
    ];
    for kind in [READ, WRITE, READ_WRITE] {
        for (key, range_end) in [("a", ""), ("a", "c"), ("a", "\0"), ("\0", "\0"), ("b", "y")] {
            roles.push(Some(vec![(kind, key, range_end)]));
        }
    }
    roles
}

/// The model: what one user may do, key by key.
struct Model {
    granted: Granted,
}

impl Model {
    fn key(&self, wanted: i32, key: &[u8]) -> bool {
        let Some(granted) = &self.granted else {
            return true;
        };
        granted.iter().any(|(kind, start, end)| {
            (*kind == wanted || *kind == READ_WRITE)
                && Bounds::new(start.as_bytes(), end.as_bytes()).contains(key)
        })
    }

    fn span(&self, wanted: i32, key: &[u8], range_end: &[u8]) -> bool {
        let bounds = Bounds::new(key, range_end);
        let mut meant = WORLD.iter().filter(|key| bounds.contains(key.as_bytes()));
        self.key(wanted, key) && meant.all(|key| self.key(wanted, key.as_bytes()))
    }

    fn lease(&self, lease: i64) -> bool {
        let keys = LEASES
            .iter()
            .find(|(id, _)| *id == lease)
            .map_or(&[][..], |(_, keys)| keys);
        keys.iter().all(|key| self.key(WRITE, key.as_bytes()))
    }

    fn put(&self, put: &Put) -> bool {
        self.key(WRITE, &put.key) && (!put.prev_kv || self.key(READ, &put.key)) && self.lease(put.lease)
    }

    fn delete(&self, delete: &DeleteRange) -> bool {
        let (key, end) = (&delete.key, &delete.range_end);
        self.span(WRITE, key, end) && (!delete.prev_kv || self.span(READ, key, end))
    }

    fn operation(&self, operation: &OperationKind) -> bool {
        match operation {
            OperationKind::Range(range) => self.span(READ, &range.key, &range.range_end),
            OperationKind::Put(put) => self.put(put),
            OperationKind::DeleteRange(delete) => self.delete(delete),
            OperationKind::Txn(txn) => self.txn(txn),
        }
    }

    fn txn(&self, txn: &Txn) -> bool {
        let compares = txn
            .compares
            .iter()
            .all(|compare| self.span(READ, &compare.key, &compare.range_end));
        let mut operations = txn.success.iter().chain(&txn.failure);
        compares && operations.all(|operation| self.operation(operation.kind.as_ref().unwrap()))
    }
}

/// Every operation with every combination of the fields that matter.
fn operations() -> Vec<OperationKind> {
    let mut operations = Vec::new();
    for (key, range_end) in SPANS {
        for (count_only, keys_only, revision) in [(false, false, 0), (true, false, 0), (false, true, 2)] {
            operations.push(OperationKind::Range(Range {
                key: key.into(),
                range_end: range_end.into(),
                count_only,
                keys_only,
                revision,
                ..Range::default()
            }));
        }
        for prev_kv in [false, true] {
            operations.push(OperationKind::DeleteRange(DeleteRange {
                key: key.into(),
                range_end: range_end.into(),
                prev_kv,
            }));
        }
    }
    for key in ["a", "b", "x"] {
        for prev_kv in [false, true] {
            for (lease, ignore_value, ignore_lease) in [
                (0, false, false),
                (0, true, false),
                (0, false, true),
                (0, true, true),
                (5, false, false),
                (6, false, false),
                (7, false, false),
                (6, true, false),
            ] {
                operations.push(OperationKind::Put(Put {
                    key: key.into(),
                    value: if ignore_value { "" } else { "new" }.into(),
                    lease,
                    prev_kv,
                    ignore_value,
                    ignore_lease,
                }));
            }
        }
    }
    operations
}

/// Nothing is compared, so it is the success branch that is taken; what is not taken counts as well.
fn in_txn(kind: OperationKind, success: bool) -> Txn {
    let (mut txn, list) = (Txn::default(), vec![Operation { kind: Some(kind) }]);
    if success {
        txn.success = list;
    } else {
        txn.failure = list;
    }
    txn
}

/// Where an operation can stand: alone (where that goes through the log), in either branch, and deeper.
fn placements(kind: &OperationKind) -> Vec<Kind> {
    let mut placed = match kind.clone() {
        OperationKind::Put(put) => vec![Kind::Put(put)],
        OperationKind::DeleteRange(delete) => vec![Kind::DeleteRange(delete)],
        OperationKind::Range(_) | OperationKind::Txn(_) => Vec::new(),
    };
    for success in [true, false] {
        let txn = in_txn(kind.clone(), success);
        for outer in [true, false] {
            let nested = in_txn(OperationKind::Txn(txn.clone()), outer);
            placed.push(Kind::Txn(in_txn(OperationKind::Txn(nested.clone()), false)));
            placed.push(Kind::Txn(nested));
        }
        placed.push(Kind::Txn(txn));
    }
    placed
}

/// Compares of every target, alone and in nested transactions of either branch.
fn compares() -> Vec<Kind> {
    let targets = [
        None,
        Some(CompareTarget::Version(1)),
        Some(CompareTarget::CreateRevision(1)),
        Some(CompareTarget::ModRevision(1)),
        Some(CompareTarget::Value("v".into())),
        Some(CompareTarget::Lease(6)),
    ];
    let mut kinds = Vec::new();
    for (key, range_end) in SPANS {
        for target in &targets {
            let compare = Compare {
                key: key.into(),
                range_end: range_end.into(),
                target: target.clone(),
                ..Compare::default()
            };
            let txn = Txn {
                compares: vec![compare],
                ..Txn::default()
            };
            for success in [true, false] {
                kinds.push(Kind::Txn(in_txn(OperationKind::Txn(txn.clone()), success)));
            }
            kinds.push(Kind::Txn(txn));
        }
    }
    kinds
}

/// A store with a key of every kind, the leases, and one user of each role, by its number.
fn scene(roles: &[Granted]) -> View {
    let mut state = View::empty();
    for key in ["A", "a", "b", "c", "x"] {
        force(&mut state, put(key, 0)).unwrap();
    }
    for (lease, keys) in LEASES {
        force(&mut state, lease_grant(lease)).unwrap();
        for key in keys {
            force(&mut state, put(key, lease)).unwrap();
        }
    }
    change(&mut state, user_add("root")).unwrap();
    change(&mut state, user_grant("root", "root")).unwrap();
    for (number, granted) in roles.iter().enumerate() {
        let name = format!("u{number}");
        change(&mut state, user_add(&name)).unwrap();
        let Some(granted) = granted else {
            change(&mut state, user_grant(&name, "root")).unwrap();
            continue;
        };
        // Every other permission comes by another role: the union decides.
        for (position, (kind, key, range_end)) in granted.iter().enumerate() {
            let role = format!("r{number}-{}", position % 2);
            let _ = change(&mut state, role_add(&role));
            change(&mut state, role_grant(&role, *kind, key, range_end)).unwrap();
            change(&mut state, user_grant(&name, &role)).unwrap();
        }
    }
    change(&mut state, enable()).unwrap();
    state
}

fn is_auth(result: &Result<Answer, Refusal>) -> bool {
    matches!(result, Err(Refusal::Auth(_)))
}

/// Applies a command of a user to a copy of the state and compares with the model.
fn check(state: &View, user: &str, model: &Model, kind: &Kind) {
    let expected = match kind {
        Kind::Put(put) => model.put(put),
        Kind::DeleteRange(delete) => model.delete(delete),
        Kind::Txn(txn) => model.txn(txn),
        Kind::LeaseRevoke(revoke) => model.lease(revoke.id),
        other => panic!("the model does not know {other:?}"),
    };
    let mut after = state.clone();
    let found = apply_now(&mut after, user, kind.clone());
    let wanted = || format!("{user} ({:?}) wants {kind:?} and gets {found:?}", model.granted);
    assert_eq!(!is_auth(&found), expected, "{}", wanted());
    if !expected {
        assert_eq!(found, Err(AuthRefusal::PermissionDenied.into()), "{}", wanted());
        assert_eq!(after.revision, state.revision, "{}", wanted());
    }
    if let Kind::Txn(txn) = kind {
        let actor = Actor {
            user: user.to_owned(),
            auth_revision: state.auth.revision(),
            internal: false,
        };
        let asked = state.permits_txn(Some(&actor), txn).is_ok();
        assert_eq!(asked, expected, "read at the edge: {}", wanted());
    }
}

#[test]
fn every_field_for_every_role() {
    let roles = roles();
    let state = scene(&roles);
    let mut kinds: Vec<Kind> = operations().iter().flat_map(placements).collect();
    kinds.extend(compares());
    kinds.extend([5, 6, 7, 8].map(|id| {
        Kind::LeaseRevoke(LeaseRevoke {
            id,
            expired_in_term: 0,
        })
    }));
    let mut cases = 0;
    for (number, granted) in roles.iter().enumerate() {
        let (user, model) = (
            format!("u{number}"),
            Model {
                granted: granted.clone(),
            },
        );
        for kind in &kinds {
            check(&state, &user, &model, kind);
            cases += 1;
        }
    }
    println!(
        "{cases} cases: {} requests for {} roles",
        kinds.len(),
        roles.len()
    );
    assert!(cases >= 2000, "only {cases} cases");
}

/// The same for what is read at the edge: ranges (watches too), and the keys of leases.
#[test]
fn every_read_for_every_role() {
    let roles = roles();
    let state = scene(&roles);
    let mut cases = 0;
    for (number, granted) in roles.iter().enumerate() {
        let model = Model {
            granted: granted.clone(),
        };
        let actor = Actor {
            user: format!("u{number}"),
            auth_revision: state.auth.revision(),
            internal: false,
        };
        let permits = |need| state.permits(Some(&actor), need).is_ok();
        for (key, range_end) in SPANS {
            let (key, range_end) = (key.as_bytes(), range_end.as_bytes());
            let read = permits(Need::Read { key, range_end });
            assert_eq!(
                read,
                model.span(READ, key, range_end),
                "{actor:?} reads {key:?} {range_end:?}"
            );
            let write = permits(Need::Write { key, range_end });
            assert_eq!(
                write,
                model.span(WRITE, key, range_end),
                "{actor:?} writes {key:?} {range_end:?}"
            );
            cases += 2;
        }
        for (lease, keys) in LEASES {
            let read = keys.iter().all(|key| model.key(READ, key.as_bytes()));
            assert_eq!(
                permits(Need::ReadLease(LeaseId(lease))),
                read,
                "{actor:?} reads lease {lease}"
            );
            assert_eq!(
                permits(Need::WriteLease(LeaseId(lease))),
                model.lease(lease),
                "{actor:?} lease {lease}"
            );
            cases += 2;
        }
        assert!(permits(Need::User));
        assert_eq!(permits(Need::Root), granted.is_none());
    }
    println!("{cases} reads");
}
