//! From etcd's requests to commands and reads. Pure; every request has passed [`crate::check`] before.

use crate::proto::etcdserverpb as pb;
use almadia_command::{
    Compact, Compare, CompareTarget, DeleteRange, Operation, OperationKind, Put, Range, Txn,
};

/// A read; whether it is linearizable is not part of it.
pub fn range(request: pb::RangeRequest) -> Range {
    Range {
        key: request.key,
        range_end: request.range_end,
        limit: request.limit,
        revision: request.revision,
        sort_order: request.sort_order,
        sort_target: request.sort_target,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    }
}

/// A write.
pub fn put(request: pb::PutRequest) -> Put {
    Put {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

/// A removal.
pub fn delete_range(request: pb::DeleteRangeRequest) -> DeleteRange {
    DeleteRange {
        key: request.key,
        range_end: request.range_end,
        prev_kv: request.prev_kv,
    }
}

/// A compaction.
pub fn compact(request: &pb::CompactionRequest) -> Compact {
    Compact {
        revision: request.revision,
        physical: request.physical,
    }
}

/// A transaction with everything inside it.
pub fn txn(request: pb::TxnRequest) -> Txn {
    Txn {
        compares: request.compare.into_iter().map(compare).collect(),
        success: request.success.into_iter().map(operation).collect(),
        failure: request.failure.into_iter().map(operation).collect(),
    }
}

fn operation(operation: pb::RequestOp) -> Operation {
    use pb::request_op::Request;
    let kind = operation.request.map(|request| match request {
        Request::RequestRange(request) => OperationKind::Range(range(request)),
        Request::RequestPut(request) => OperationKind::Put(put(request)),
        Request::RequestDeleteRange(request) => OperationKind::DeleteRange(delete_range(request)),
        Request::RequestTxn(request) => OperationKind::Txn(txn(request)),
    });
    Operation { kind }
}

fn compare(mut compare: pb::Compare) -> Compare {
    let target = compare_target(compare.target, compare.target_union.take());
    Compare {
        result: compare.result,
        key: compare.key,
        range_end: compare.range_end,
        target,
    }
}

/// The target decides what is looked at; an expectation that does not fit it counts as 0 or as the empty value. An
/// unknown target is absent, which the store compares as 0 with 0.
fn compare_target(target: i32, union: Option<pb::compare::TargetUnion>) -> Option<CompareTarget> {
    use pb::compare::{CompareTarget as Target, TargetUnion};
    Some(match Target::try_from(target).ok()? {
        Target::Version => CompareTarget::Version(match union {
            Some(TargetUnion::Version(version)) => version,
            _ => 0,
        }),
        Target::Create => CompareTarget::CreateRevision(match union {
            Some(TargetUnion::CreateRevision(revision)) => revision,
            _ => 0,
        }),
        Target::Mod => CompareTarget::ModRevision(match union {
            Some(TargetUnion::ModRevision(revision)) => revision,
            _ => 0,
        }),
        Target::Value => CompareTarget::Value(match union {
            Some(TargetUnion::Value(value)) => value,
            _ => bytes::Bytes::new(),
        }),
        Target::Lease => CompareTarget::Lease(match union {
            Some(TargetUnion::Lease(lease)) => lease,
            _ => 0,
        }),
    })
}

/// Whether all reads of a read-only transaction may be out of date; one without any read may.
pub fn is_serializable(request: &pb::TxnRequest) -> bool {
    use pb::request_op::Request;
    request
        .success
        .iter()
        .chain(&request.failure)
        .all(|operation| match &operation.request {
            Some(Request::RequestRange(range)) => range.serializable,
            Some(Request::RequestTxn(nested)) => is_serializable(nested),
            _ => true,
        })
}
