//! Txn: its answers, compares and refusals. Nesting is in `nested.rs`, limits in `limits.rs`.

use super::*;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::response_op::Response as OpResponse;
use std::sync::atomic::Ordering;

fn compare(
    key: &str,
    target: CompareTarget,
    result: CompareResult,
    union: Option<TargetUnion>,
) -> pb::Compare {
    pb::Compare {
        result: result as i32,
        target: target as i32,
        key: bytes(key),
        target_union: union,
        range_end: Bytes::new(),
    }
}

fn if_mod(key: &str, revision: i64) -> pb::Compare {
    compare(
        key,
        CompareTarget::Mod,
        CompareResult::Equal,
        Some(TargetUnion::ModRevision(revision)),
    )
}

/// Revisions in the headers of an answer's operations.
fn revisions(answer: &pb::TxnResponse) -> Vec<i64> {
    let revision = |operation: &pb::ResponseOp| {
        let header = match operation.response.as_ref().expect("each operation is answered") {
            OpResponse::ResponseRange(answer) => answer.header,
            OpResponse::ResponsePut(answer) => answer.header,
            OpResponse::ResponseDeleteRange(answer) => answer.header,
            OpResponse::ResponseTxn(answer) => answer.header,
        };
        header.expect("each answer has a header").revision
    };
    answer.responses.iter().map(revision).collect()
}

#[tokio::test]
async fn b0_7_optimistic_put() {
    let mut scene = Scene::new().await;
    let request = |revision, value: &str| pb::TxnRequest {
        compare: vec![if_mod("k", revision)],
        success: vec![put_op("k", value)],
        failure: vec![get_op("k")],
    };
    let created = scene.must_txn(request(0, "one")).await;
    assert!(created.succeeded);
    assert_eq!(revisions(&created), [2]);
    let lost = scene.must_txn(request(0, "two")).await;
    assert!(!lost.succeeded);
    let Some(OpResponse::ResponseRange(present)) = &lost.responses[0].response else {
        panic!("the failure branch reads: {lost:?}");
    };
    assert_eq!(present.kvs, [pair("k", "one", 2, 2, 1)]);
    assert_eq!(
        lost.header.expect("there is a header").revision,
        2,
        "nothing was written"
    );
    assert!(scene.must_txn(request(2, "two")).await.succeeded);
}

#[tokio::test]
async fn b0_8_optimistic_delete() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let request = |revision| pb::TxnRequest {
        compare: vec![if_mod("k", revision)],
        success: vec![delete_op("k", "")],
        failure: vec![get_op("k")],
    };
    assert!(!scene.must_txn(request(9)).await.succeeded);
    let done = scene.must_txn(request(2)).await;
    assert_eq!(
        (done.succeeded, revisions(&done)),
        (true, vec![3]),
        "a delete's answer has a header of its own"
    );
}

#[tokio::test]
async fn b0_9_only_one_compactor_wins() {
    let mut scene = Scene::new().await;
    let request = |version| pb::TxnRequest {
        compare: vec![compare(
            "compact_rev_key",
            CompareTarget::Version,
            CompareResult::Equal,
            Some(TargetUnion::Version(version)),
        )],
        success: vec![put_op("compact_rev_key", "7")],
        failure: vec![get_op("compact_rev_key")],
    };
    assert!(scene.must_txn(request(0)).await.succeeded);
    let loser = scene.must_txn(request(0)).await;
    let Some(OpResponse::ResponseRange(present)) = &loser.responses[0].response else {
        panic!("the loser reads: {loser:?}");
    };
    assert_eq!(
        (present.kvs[0].version, &present.kvs[0].value[..]),
        (1, &b"7"[..])
    );
}

#[tokio::test]
async fn b1_13_headers_show_the_revision_before_and_after_the_first_write() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let answer = scene
        .must_txn(txn_request(
            vec![
                get_op("k"),
                delete_op("none", ""),
                put_op("a", "1"),
                get_op("a"),
                delete_op("none", ""),
                put_op("b", "1"),
            ],
            vec![],
        ))
        .await;
    assert_eq!(revisions(&answer), [2, 2, 3, 3, 3, 3]);
    let header = answer.header.expect("there is a header");
    assert_eq!(
        (header.revision, header.cluster_id),
        (3, crate::double::CLUSTER.get())
    );
    let Some(OpResponse::ResponseRange(inside)) = &answer.responses[3].response else {
        panic!("the fourth operation reads");
    };
    assert_eq!(
        inside.kvs,
        [pair("a", "1", 3, 3, 1)],
        "a read sees the writes before it"
    );
    assert_eq!(
        inside.header.expect("there is a header").cluster_id,
        0,
        "only the revision"
    );
    let both = scene.must_get(range_request("a", "c")).await;
    assert_eq!(
        both.kvs.iter().map(|pair| pair.mod_revision).collect::<Vec<_>>(),
        [3, 3]
    );
}

#[tokio::test]
async fn b1_13_an_empty_transaction_succeeds() {
    let mut scene = Scene::new().await;
    let answer = scene.must_txn(pb::TxnRequest::default()).await;
    assert_eq!((answer.succeeded, answer.responses.len()), (true, 0));
    assert_eq!(answer.header.expect("there is a header").revision, 1);
}

#[tokio::test]
async fn b1_13_compares_on_every_target_and_result() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let mut scene = Scene::new().await;
    scene.must_put("k", "m").await;
    scene.must_put("k", "m").await;
    let value = |text: &str| Some(TargetUnion::Value(bytes(text)));
    for (target, result, union, expected) in [
        (CompareTarget::Version, Equal, Some(TargetUnion::Version(2)), true),
        (
            CompareTarget::Version,
            NotEqual,
            Some(TargetUnion::Version(2)),
            false,
        ),
        (
            CompareTarget::Create,
            Equal,
            Some(TargetUnion::CreateRevision(2)),
            true,
        ),
        (
            CompareTarget::Create,
            Greater,
            Some(TargetUnion::CreateRevision(1)),
            true,
        ),
        (CompareTarget::Mod, Less, Some(TargetUnion::ModRevision(4)), true),
        (CompareTarget::Mod, Less, Some(TargetUnion::ModRevision(3)), false),
        (CompareTarget::Value, Equal, value("m"), true),
        (CompareTarget::Value, Greater, value("a"), true),
        (CompareTarget::Value, Less, value("a"), false),
        (CompareTarget::Lease, Equal, Some(TargetUnion::Lease(0)), true),
        // An expectation that does not fit counts as 0, or as the empty value.
        (CompareTarget::Version, Greater, value("m"), true),
        (CompareTarget::Value, Greater, None, true),
    ] {
        let request = pb::TxnRequest {
            compare: vec![compare("k", target, result, union.clone())],
            ..Default::default()
        };
        let answer = scene.must_txn(request).await;
        assert_eq!(answer.succeeded, expected, "{target:?} {result:?} {union:?}");
    }
}

#[tokio::test]
async fn b1_13_a_missing_key_counts_as_zero_and_has_no_value() {
    let mut scene = Scene::new().await;
    for (target, union) in [
        (CompareTarget::Version, TargetUnion::Version(0)),
        (CompareTarget::Create, TargetUnion::CreateRevision(0)),
        (CompareTarget::Mod, TargetUnion::ModRevision(0)),
        (CompareTarget::Lease, TargetUnion::Lease(0)),
    ] {
        let holds = compare("none", target, CompareResult::Equal, Some(union));
        let request = pb::TxnRequest {
            compare: vec![holds],
            ..Default::default()
        };
        assert!(scene.must_txn(request).await.succeeded, "{target:?}");
    }
    for result in [CompareResult::Equal, CompareResult::NotEqual] {
        let never = compare(
            "none",
            CompareTarget::Value,
            result,
            Some(TargetUnion::Value(Bytes::new())),
        );
        let request = pb::TxnRequest {
            compare: vec![never],
            ..Default::default()
        };
        assert!(!scene.must_txn(request).await.succeeded, "{result:?}");
    }
}

#[tokio::test]
async fn b1_13_unknown_results_hold_and_unknown_targets_compare_zero_with_zero() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let base = if_mod("k", 99);
    for (result, target, expected) in [
        (9, CompareTarget::Mod as i32, true),
        (0, 17, true),
        (1, 17, false),
        (3, 17, false),
    ] {
        let request = pb::TxnRequest {
            compare: vec![pb::Compare {
                result,
                target,
                ..base.clone()
            }],
            ..Default::default()
        };
        assert_eq!(
            scene.must_txn(request).await.succeeded,
            expected,
            "result {result}, target {target}"
        );
    }
}

#[tokio::test]
async fn b1_13_a_range_compare_needs_every_key() {
    let mut scene = Scene::new().await;
    scene.must_put("a1", "v").await;
    scene.must_put("a2", "v").await;
    let over = |range_end: &str, version| {
        let mut condition = compare(
            "a",
            CompareTarget::Version,
            CompareResult::Equal,
            Some(TargetUnion::Version(version)),
        );
        condition.range_end = bytes(range_end);
        pb::TxnRequest {
            compare: vec![condition],
            ..Default::default()
        }
    };
    assert!(scene.must_txn(over("b", 1)).await.succeeded);
    assert!(scene.must_txn(over("\0", 1)).await.succeeded);
    scene.must_put("a2", "v").await;
    assert!(!scene.must_txn(over("b", 1)).await.succeeded);
    assert!(
        scene.must_txn(over("a1", 0)).await.succeeded,
        "an empty range is like a missing key"
    );
}

#[tokio::test]
async fn b1_13_compares_see_the_state_before() {
    let mut scene = Scene::new().await;
    let request = pb::TxnRequest {
        success: vec![
            put_op("k", "v"),
            txn_op_if(if_mod("k", 0), vec![put_op("seen", "before")]),
        ],
        ..Default::default()
    };
    scene.must_txn(request).await;
    assert_eq!(scene.must_get(get_request("seen")).await.count, 1);
}

fn txn_op_if(condition: pb::Compare, success: Vec<pb::RequestOp>) -> pb::RequestOp {
    let nested = pb::TxnRequest {
        compare: vec![condition],
        success,
        failure: vec![],
    };
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestTxn(nested)),
    }
}

#[tokio::test]
async fn b10_1_txn_empty_keys_and_empty_operations() {
    let mut scene = Scene::new().await;
    let empty_key = (
        Code::InvalidArgument,
        "etcdserver: key is not provided".to_owned(),
    );
    for operation in [get_op(""), put_op("", "v"), delete_op("", "z")] {
        for request in [
            txn_request(vec![operation.clone()], vec![]),
            txn_request(vec![], vec![operation.clone()]),
        ] {
            assert_eq!(
                refusal(scene.kv.txn(request).await),
                empty_key,
                "both branches are checked"
            );
        }
    }
    let compare = pb::TxnRequest {
        compare: vec![if_mod("", 0)],
        ..Default::default()
    };
    assert_eq!(refusal(scene.kv.txn(compare).await), empty_key);
    let nothing = txn_request(vec![], vec![pb::RequestOp { request: None }]);
    assert_eq!(
        refusal(scene.kv.txn(nothing).await),
        (Code::InvalidArgument, "etcdserver: key not found".to_owned())
    );
}

#[tokio::test]
async fn b1_14_checks_come_in_etcds_order() {
    let mut scene = Scene::new().await;
    let bad_put = || {
        let put = pb::PutRequest {
            ignore_value: true,
            ..put_request("k", "v")
        };
        pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(put)),
        }
    };
    let empty_compare = || if_mod("", 0);
    let too_many = pb::TxnRequest {
        compare: vec![empty_compare()],
        success: vec![get_op(""); 129],
        failure: vec![],
    };
    assert_eq!(
        refusal(scene.kv.txn(too_many).await),
        of(Fault::TooManyOperations)
    );
    let compare_first = pb::TxnRequest {
        compare: vec![empty_compare()],
        success: vec![bad_put()],
        failure: vec![],
    };
    assert_eq!(refusal(scene.kv.txn(compare_first).await), of(Fault::EmptyKey));
    let success_first = txn_request(vec![bad_put()], vec![get_op("")]);
    assert_eq!(
        refusal(scene.kv.txn(success_first).await),
        of(Fault::ValueProvided)
    );
    let duplicates_last = txn_request(vec![put_op("k", "1"), put_op("k", "2")], vec![get_op("")]);
    assert_eq!(refusal(scene.kv.txn(duplicates_last).await), of(Fault::EmptyKey));
}

#[tokio::test]
async fn b1_13_a_failing_operation_undoes_everything_but_only_in_the_branch_taken() {
    let mut scene = Scene::new().await;
    for _ in 0..4 {
        scene.must_put("k", "v").await;
    }
    scene
        .kv
        .compact(pb::CompactionRequest {
            revision: 3,
            physical: false,
        })
        .await
        .expect("3 is in the past");
    let at = |revision| {
        range_op(pb::RangeRequest {
            revision,
            ..get_request("k")
        })
    };
    let keep = pb::PutRequest {
        ignore_value: true,
        ..put_request("none", "")
    };
    let lease = pb::PutRequest {
        lease: 5,
        ..put_request("l", "v")
    };
    let put = |request| pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(request)),
    };
    for (operation, fault) in [
        (at(6), Fault::FutureRevision),
        (at(2), Fault::Compacted),
        (at(-1), Fault::Compacted),
        (put(keep), Fault::KeyNotFound),
        (put(lease), Fault::LeaseNotFound),
    ] {
        let taken = txn_request(vec![put_op("new", "v"), operation.clone()], vec![]);
        assert_eq!(refusal(scene.kv.txn(taken).await), of(fault));
        let not_taken = txn_request(vec![], vec![operation]);
        assert!(scene.must_txn(not_taken).await.succeeded);
    }
    assert_eq!(
        scene.must_get(get_request("new")).await.count,
        0,
        "nothing of the transactions is done"
    );
    assert_eq!(scene.revision().await, 5);
}

#[tokio::test]
async fn b1_13_a_range_at_the_present_revision_does_not_see_the_own_writes() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "old").await;
    let present = range_op(pb::RangeRequest {
        revision: 2,
        ..get_request("k")
    });
    let answer = scene
        .must_txn(txn_request(
            vec![put_op("k", "new"), present, get_op("k")],
            vec![],
        ))
        .await;
    let values: Vec<_> = answer.responses[1..]
        .iter()
        .map(|operation| match &operation.response {
            Some(OpResponse::ResponseRange(answer)) => answer.kvs[0].value.clone(),
            other => panic!("a range was answered with {other:?}"),
        })
        .collect();
    assert_eq!(values, ["old", "new"]);
}

#[tokio::test]
async fn b1_6_keys_only_inside_a_transaction() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let only = || {
        range_op(pb::RangeRequest {
            keys_only: true,
            ..get_request("k")
        })
    };
    let request = txn_request(
        vec![
            get_op("k"),
            only(),
            txn_op(vec![only(), get_op("k")], vec![]),
            put_op("other", "v"),
        ],
        vec![get_op("k"), get_op("k")],
    );
    let answer = scene.must_txn(request).await;
    let value_of = |operation: &pb::ResponseOp| match &operation.response {
        Some(OpResponse::ResponseRange(answer)) => answer.kvs[0].value.clone(),
        other => panic!("a range was answered with {other:?}"),
    };
    assert_eq!(
        (value_of(&answer.responses[0]), value_of(&answer.responses[1])),
        ("v".into(), "".into())
    );
    let Some(OpResponse::ResponseTxn(nested)) = &answer.responses[2].response else {
        panic!("the third operation is a transaction");
    };
    assert_eq!(
        (value_of(&nested.responses[0]), value_of(&nested.responses[1])),
        ("".into(), "v".into())
    );
}

#[tokio::test]
async fn b1_15_read_only_transactions_leave_no_trace_in_the_log() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let (proposals, barriers) = (
        scene.double.proposals.load(Ordering::Relaxed),
        scene.double.barriers.load(Ordering::Relaxed),
    );
    let serializable = || {
        range_op(pb::RangeRequest {
            serializable: true,
            ..get_request("k")
        })
    };
    scene
        .must_txn(txn_request(vec![serializable()], vec![serializable()]))
        .await;
    scene.must_txn(pb::TxnRequest::default()).await;
    assert_eq!(
        scene.double.barriers.load(Ordering::Relaxed),
        barriers,
        "all reads are serializable"
    );
    scene
        .must_txn(txn_request(vec![serializable()], vec![get_op("k")]))
        .await;
    assert_eq!(scene.double.barriers.load(Ordering::Relaxed), barriers + 1);
    assert_eq!(scene.double.proposals.load(Ordering::Relaxed), proposals);
    scene
        .must_txn(txn_request(vec![], vec![delete_op("k", "")]))
        .await;
    assert_eq!(
        scene.double.proposals.load(Ordering::Relaxed),
        proposals + 1,
        "one branch could write"
    );
}
