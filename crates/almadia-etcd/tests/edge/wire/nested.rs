//! Transactions inside transactions, and two writes to one key.

use super::*;
use pb::response_op::Response as OpResponse;

#[tokio::test]
async fn b1_13_the_header_of_a_nested_transaction_is_there_but_empty() {
    let mut scene = Scene::new().await;
    let answer = scene
        .must_txn(txn_request(
            vec![txn_op(vec![put_op("k", "v"), get_op("k")], vec![])],
            vec![],
        ))
        .await;
    let Some(OpResponse::ResponseTxn(nested)) = &answer.responses[0].response else {
        panic!("the operation is a transaction: {answer:?}");
    };
    assert_eq!(nested.header, Some(pb::ResponseHeader::default()));
    assert!(nested.succeeded);
    let Some(OpResponse::ResponsePut(put)) = &nested.responses[0].response else {
        panic!("its first operation is a put");
    };
    assert_eq!(
        put.header,
        Some(pb::ResponseHeader {
            revision: 2,
            ..Default::default()
        })
    );
}

async fn conflict(scene: &mut Scene, operations: Vec<pb::RequestOp>) -> bool {
    let expected = (
        Code::InvalidArgument,
        "etcdserver: duplicate key given in txn request".to_owned(),
    );
    // Both branches are checked alike; the one not taken changes nothing.
    let request = pb::TxnRequest {
        failure: operations,
        ..Default::default()
    };
    match scene.kv.txn(request).await {
        Ok(_) => false,
        Err(status) => {
            assert_eq!((status.code(), status.message().to_owned()), expected);
            true
        }
    }
}

#[tokio::test]
async fn b1_14_two_writes_to_one_key_conflict() {
    let mut scene = Scene::new().await;
    let put = || put_op("k", "v");
    for operations in [
        vec![put(), put()],
        vec![put(), delete_op("k", "")],
        vec![delete_op("k", ""), put()],
        vec![delete_op("a", "z"), put()],
        vec![put(), delete_op("a", "z")],
        vec![delete_op("a", "k\0"), put()],
        vec![put(), txn_op(vec![put()], vec![])],
        vec![delete_op("a", "z"), txn_op(vec![], vec![put()])],
        vec![
            put(),
            txn_op(vec![txn_op(vec![delete_op("k", "")], vec![])], vec![]),
        ],
        // Siblings conflict by the union of their branches.
        vec![txn_op(vec![put()], vec![]), txn_op(vec![], vec![put()])],
        // A put in a sibling meets the deletes of an earlier one.
        vec![
            txn_op(vec![delete_op("k", "")], vec![]),
            txn_op(vec![put()], vec![]),
        ],
        vec![delete_op("a", "c"), delete_op("b", "d"), put_op("c", "v")],
    ] {
        assert!(conflict(&mut scene, operations.clone()).await, "{operations:?}");
    }
}

#[tokio::test]
async fn b1_14_what_does_not_conflict() {
    let mut scene = Scene::new().await;
    let put = || put_op("k", "v");
    for operations in [
        vec![put(), put_op("l", "v")],
        vec![delete_op("a", "z"), delete_op("a", "z"), delete_op("k", "")],
        vec![put(), get_op("k"), range_op(range_request("a", "z"))],
        vec![delete_op("a", "k"), put()],
        vec![txn_op(vec![put()], vec![put()])],
        // The check takes range_end literally: from a key on, and inverted, cover nothing.
        vec![delete_op("a", "\0"), put()],
        vec![delete_op("z", "a"), put()],
        // A delete in a later sibling is not looked at.
        vec![
            txn_op(vec![put()], vec![]),
            txn_op(vec![delete_op("k", "")], vec![]),
        ],
    ] {
        assert!(!conflict(&mut scene, operations.clone()).await, "{operations:?}");
    }
    let both_branches = txn_request(vec![put()], vec![put()]);
    assert!(scene.kv.txn(both_branches).await.is_ok());
}

#[tokio::test]
async fn b1_14_a_delete_from_a_key_on_and_a_put_are_done_in_order() {
    let mut scene = Scene::new().await;
    scene.must_put("m", "v").await;
    let answer = scene
        .must_txn(txn_request(vec![delete_op("a", "\0"), put_op("k", "v")], vec![]))
        .await;
    assert_eq!(answer.header.expect("there is a header").revision, 3);
    assert_eq!(keys(&scene.must_get(range_request("a", "\0")).await.kvs), ["k"]);
}

/// This one kills etcd 3.5; here it is refused and the server lives on.
#[tokio::test]
async fn b1_14_keeping_what_the_transaction_deletes_is_answered() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let keep = pb::PutRequest {
        ignore_value: true,
        ..put_request("k", "")
    };
    let keep = pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(keep)),
    };
    let _ = scene
        .kv
        .txn(txn_request(vec![delete_op("a", "\0"), keep], vec![]))
        .await;
    scene.must_put("alive", "v").await;
}
