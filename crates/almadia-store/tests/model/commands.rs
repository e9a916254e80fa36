//! Random commands that get in one another's way: few keys, revisions that are often readable, and now and then
//! something that must be refused.

use almadia_command::{
    Command, Compact, Compare, CompareTarget, DeleteRange, Kind, LeaseCheckpoint, LeaseGrant, LeaseRemaining,
    LeaseRevoke, Operation, OperationKind, Put, Range, Txn,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// Few enough that commands meet; now and then empty, which must be refused.
pub fn key() -> impl Strategy<Value = Bytes> {
    let name = prop_oneof![
        20 => "[a-d]{1,2}",
        1 => Just(String::new()),
        1 => Just("\0".to_owned()),
    ];
    name.prop_map(Bytes::from)
}

/// Also of a single key, open, inverted and empty ranges.
pub fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        3 => Just(Bytes::new()),
        1 => Just(Bytes::from_static(b"\0")),
        3 => key(),
        1 => Just(Bytes::from_static(b"e")),
    ]
}

fn flag() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

fn value() -> impl Strategy<Value = Bytes> {
    "[xyz]{0,2}".prop_map(Bytes::from)
}

/// None, one of three that may be there, or one that never is.
fn lease() -> impl Strategy<Value = i64> {
    prop_oneof![30 => Just(0), 12 => lease_id(), 1 => Just(-1)]
}

fn lease_id() -> impl Strategy<Value = i64> {
    prop_oneof![Just(1_i64), Just(2), Just(7)]
}

/// Making leases, ending them, noting the time they have left; terms are the present one (1), none (0) and another.
fn lease_command() -> impl Strategy<Value = Kind> {
    let grant = (0..8_i64).prop_map(|id| if id < 3 { [1, 2, 7][id as usize] } else { id });
    let remaining =
        (lease_id(), 0..3000_i64).prop_map(|(id, remaining_ms)| LeaseRemaining { id, remaining_ms });
    prop_oneof![
        6 => (grant, 1..90_i64).prop_map(|(id, ttl)| Kind::LeaseGrant(LeaseGrant { id, ttl })),
        3 => (0..9_i64, 0..3_u64)
            .prop_map(|(id, expired_in_term)| Kind::LeaseRevoke(LeaseRevoke { id, expired_in_term })),
        2 => (vec(remaining, 0..4), 0..3_u64)
            .prop_map(|(leases, term)| Kind::LeaseCheckpoint(LeaseCheckpoint { leases, term })),
    ]
}

fn put() -> impl Strategy<Value = Put> {
    (key(), value(), lease(), any::<bool>(), flag(), flag()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| Put {
            key,
            value,
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRange> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRange {
        key,
        range_end,
        prev_kv,
    })
}

fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0_i64), 8 => 1..60_i64, 1 => -2..0_i64]
}

fn filter() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0_i64), 2 => 1..40_i64, 1 => Just(-1)]
}

/// A range with every option; some are refused.
pub fn range() -> impl Strategy<Value = Range> {
    let sort = (
        prop_oneof![12 => 0..3_i32, 1 => Just(3), 1 => Just(-1)],
        prop_oneof![30 => 0..5_i32, 1 => Just(5), 1 => Just(-1)],
    );
    let limit = prop_oneof![4 => Just(0_i64), 6 => 1..6_i64, 1 => Just(-1), 1 => Just(i64::MAX)];
    (
        key(),
        range_end(),
        limit,
        revision(),
        sort,
        flag(),
        flag(),
        [filter(), filter(), filter(), filter()],
    )
        .prop_map(
            |(key, range_end, limit, revision, (sort_order, sort_target), keys_only, count_only, filters)| {
                Range {
                    key,
                    range_end,
                    limit,
                    revision,
                    sort_order,
                    sort_target,
                    keys_only,
                    count_only,
                    min_mod_revision: filters[0],
                    max_mod_revision: filters[1],
                    min_create_revision: filters[2],
                    max_create_revision: filters[3],
                }
            },
        )
}

fn compare() -> impl Strategy<Value = Compare> {
    let target = prop_oneof![
        4 => (0..4_i64).prop_map(|n| Some(CompareTarget::Version(n))),
        4 => (0..30_i64).prop_map(|n| Some(CompareTarget::CreateRevision(n))),
        4 => (0..30_i64).prop_map(|n| Some(CompareTarget::ModRevision(n))),
        4 => value().prop_map(|value| Some(CompareTarget::Value(value))),
        2 => (-1..3_i64).prop_map(|n| Some(CompareTarget::Lease(n))),
        1 => Just(None),
    ];
    let compare_key = prop_oneof![30 => "[a-d]{1,2}".prop_map(Bytes::from), 1 => Just(Bytes::new())];
    let result = prop_oneof![12 => 0..4_i32, 1 => Just(9)];
    (result, compare_key, range_end(), target).prop_map(|(result, key, range_end, target)| Compare {
        result,
        key,
        range_end,
        target,
    })
}

fn operation(depth: u32) -> BoxedStrategy<Operation> {
    let single = prop_oneof![
        30 => range().prop_map(|range| Some(OperationKind::Range(range))),
        45 => put().prop_map(|put| Some(OperationKind::Put(put))),
        30 => delete().prop_map(|delete| Some(OperationKind::DeleteRange(delete))),
        1 => Just(None),
    ];
    let kind = if depth == 0 {
        single.boxed()
    } else {
        let nested = txn(depth - 1).prop_map(|txn| Some(OperationKind::Txn(txn)));
        prop_oneof![4 => single, 1 => nested].boxed()
    };
    kind.prop_map(|kind| Operation { kind }).boxed()
}

/// Transactions nested up to `depth` deep.
pub fn txn(depth: u32) -> BoxedStrategy<Txn> {
    (
        vec(compare(), 0..2),
        vec(operation(depth), 0..5),
        vec(operation(depth), 0..4),
    )
        .prop_map(|(compares, success, failure)| Txn {
            compares,
            success,
            failure,
        })
        .boxed()
}

/// Any command, one without a kind included.
pub fn command() -> impl Strategy<Value = Command> {
    let kind = prop_oneof![
        10 => put().prop_map(|put| Some(Kind::Put(put))),
        4 => delete().prop_map(|delete| Some(Kind::DeleteRange(delete))),
        10 => txn(2).prop_map(|txn| Some(Kind::Txn(txn))),
        1 => (-1..50_i64).prop_map(|revision| Some(Kind::Compact(Compact { revision, physical: false }))),
        4 => lease_command().prop_map(Some),
        1 => Just(None),
    ];
    kind.prop_map(|kind| Command { kind, actor: None })
}
