//! How much a request may hold.

use super::*;
use almadia_etcd::Config;
use almadia_etcd::check::NESTED_TXN_MAX;

/// etcd's default.
const REQUEST_BYTES_MAX: usize = 1_572_864;

#[tokio::test]
async fn b1_14_more_than_128_operations_in_any_list_are_too_many() {
    let mut scene = Scene::new().await;
    let expected = (
        Code::InvalidArgument,
        "etcdserver: too many operations in txn request".to_owned(),
    );
    let compare = pb::Compare {
        key: bytes("k"),
        ..Default::default()
    };
    for request in [
        pb::TxnRequest {
            compare: vec![compare.clone(); 129],
            ..Default::default()
        },
        txn_request(vec![get_op("k"); 129], vec![]),
        txn_request(vec![], vec![get_op("k"); 129]),
    ] {
        assert_eq!(refusal(scene.kv.txn(request).await), expected);
    }
    let full = pb::TxnRequest {
        compare: vec![compare; 128],
        success: vec![get_op("k"); 128],
        failure: vec![get_op("k"); 128],
    };
    assert!(scene.kv.txn(full).await.is_ok(), "each list counts by itself");
}

#[tokio::test]
async fn b1_14_a_nested_transaction_is_allowed_what_its_parent_leaves() {
    let mut scene = Scene::new().await;
    let nested = |count| txn_op(vec![get_op("k"); count], vec![]);
    let one = |count| txn_request(vec![nested(count)], vec![]);
    assert_eq!(
        refusal(scene.kv.txn(one(128)).await),
        of(Fault::TooManyOperations)
    );
    assert!(scene.kv.txn(one(127)).await.is_ok());
    let siblings = txn_request(vec![nested(126), nested(126)], vec![]);
    assert!(scene.kv.txn(siblings).await.is_ok(), "siblings do not add up");
    let deeper = txn_request(vec![txn_op(vec![nested(127)], vec![])], vec![]);
    assert_eq!(refusal(scene.kv.txn(deeper).await), of(Fault::TooManyOperations));
}

#[tokio::test]
async fn b1_14_the_deepest_nesting_is_answered_and_deeper_is_refused() {
    let mut scene = Scene::new().await;
    let chain = |depth| {
        let mut operation = put_op("deep", "v");
        for _ in 0..depth {
            operation = txn_op(vec![operation], vec![]);
        }
        txn_request(vec![operation], vec![])
    };
    assert!(scene.kv.txn(chain(NESTED_TXN_MAX)).await.is_ok());
    assert_eq!(scene.must_get(get_request("deep")).await.count, 1);
    // Just beyond the check, and beyond what the decoder reads.
    for depth in [NESTED_TXN_MAX + 1, 48, 49, 50, 120, 3000] {
        assert_eq!(
            refusal(scene.kv.txn(chain(depth)).await),
            of(Fault::TooManyOperations),
            "depth {depth}"
        );
    }
}

#[tokio::test]
async fn b1_18_a_request_over_the_limit_is_too_large() {
    let mut scene = Scene::new().await;
    let expected = (
        Code::InvalidArgument,
        "etcdserver: request is too large".to_owned(),
    );
    let put = |bytes: usize| pb::PutRequest {
        value: vec![b'v'; bytes].into(),
        ..put_request("k", "")
    };
    assert!(scene.kv.put(put(1_572_000)).await.is_ok());
    assert_eq!(refusal(scene.kv.put(put(REQUEST_BYTES_MAX)).await), expected);
    let half = || {
        let put = put(REQUEST_BYTES_MAX / 2);
        pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(put)),
        }
    };
    let mut other = half();
    if let Some(pb::request_op::Request::RequestPut(put)) = &mut other.request {
        put.key = bytes("other");
    }
    let whole = txn_request(vec![half(), other], vec![]);
    assert_eq!(
        refusal(scene.kv.txn(whole).await),
        expected,
        "a transaction counts whole"
    );
}

#[tokio::test]
async fn b1_18_the_grpc_layer_answers_first_from_its_own_limit_on() {
    let mut scene = Scene::new().await;
    let put = |bytes: usize| pb::PutRequest {
        value: vec![b'v'; bytes].into(),
        ..put_request("k", "")
    };
    let expected = (
        Code::ResourceExhausted,
        "grpc: received message larger than max (2097160 vs. 2097152)".to_owned(),
    );
    assert_eq!(refusal(scene.kv.put(put(2_097_152)).await), expected);
    assert_eq!(
        refusal(scene.kv.put(put(2_097_144)).await),
        of(Fault::RequestTooLarge),
        "exactly at the limit"
    );
    let far = scene.kv.put(put(40 << 20)).await;
    assert_eq!(refusal(far).0, Code::ResourceExhausted);
    scene.must_put("k", "the connection lives on").await;
}

#[tokio::test]
async fn b1_18_limits_follow_the_settings() {
    let config = Config {
        request_bytes_max: 100,
        txn_operations_max: 2,
        ..Config::default()
    };
    let mut scene = Scene::with(config).await;
    assert_eq!(
        refusal(scene.kv.put(put_request("k", &"v".repeat(100))).await),
        of(Fault::RequestTooLarge)
    );
    assert!(scene.kv.put(put_request("k", "v")).await.is_ok());
    let three = txn_request(vec![get_op("k"), get_op("k"), get_op("k")], vec![]);
    assert_eq!(refusal(scene.kv.txn(three).await), of(Fault::TooManyOperations));
}

#[tokio::test]
async fn b0_20_answers_of_many_megabytes_arrive_whole() {
    let mut scene = Scene::new().await;
    for number in 0..24 {
        let value = Bytes::from(vec![number; 1 << 20]);
        let request = pb::PutRequest {
            key: bytes(&format!("big/{number:02}")),
            value,
            ..Default::default()
        };
        scene.kv.put(request).await.expect("a megabyte is allowed");
    }
    let found = scene.must_get(range_request("big/", "big0")).await;
    assert_eq!((found.kvs.len(), found.count), (24, 24));
    for (number, pair) in found.kvs.iter().enumerate() {
        assert!(pair.value.len() == 1 << 20 && pair.value.iter().all(|byte| usize::from(*byte) == number));
    }
}
