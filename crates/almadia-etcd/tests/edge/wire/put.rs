//! Put.

use super::*;

#[tokio::test]
async fn b1_17_the_first_write_makes_revision_two() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.revision().await, 1);
    assert_eq!(scene.must_put("k", "v").await, 2);
    assert_eq!(
        scene.must_put("k", "v").await,
        3,
        "storing the same value again takes a revision"
    );
    let found = scene.must_get(get_request("k")).await;
    assert_eq!(found.kvs, [pair("k", "v", 2, 3, 2)]);
    assert_eq!((found.count, found.more), (1, false));
}

#[tokio::test]
async fn b10_1_put_an_empty_key_is_refused_before_everything_else() {
    let mut scene = Scene::new().await;
    let request = pb::PutRequest {
        ignore_value: true,
        ..put_request("", "v")
    };
    let expected = (
        Code::InvalidArgument,
        "etcdserver: key is not provided".to_owned(),
    );
    assert_eq!(refusal(scene.kv.put(request).await), expected);
    assert_eq!(scene.revision().await, 1, "a refused call uses no revision");
}

#[tokio::test]
async fn b1_11_keeping_the_value_and_bringing_one_is_refused() {
    let mut scene = Scene::new().await;
    let request = pb::PutRequest {
        ignore_value: true,
        ..put_request("k", "v")
    };
    let expected = (Code::InvalidArgument, "etcdserver: value is provided".to_owned());
    assert_eq!(refusal(scene.kv.put(request).await), expected);
}

#[tokio::test]
async fn b1_11_keeping_the_lease_and_bringing_one_is_refused() {
    let mut scene = Scene::new().await;
    let request = pb::PutRequest {
        ignore_lease: true,
        lease: 5,
        ..put_request("k", "v")
    };
    let expected = (Code::InvalidArgument, "etcdserver: lease is provided".to_owned());
    assert_eq!(refusal(scene.kv.put(request).await), expected);
    let both = pb::PutRequest {
        ignore_value: true,
        ignore_lease: true,
        lease: 5,
        ..put_request("k", "v")
    };
    assert_eq!(
        refusal(scene.kv.put(both).await),
        of(Fault::ValueProvided),
        "the value is checked first"
    );
}

#[tokio::test]
async fn b1_11_keeping_what_is_not_there_is_refused() {
    let mut scene = Scene::new().await;
    let expected = (Code::InvalidArgument, "etcdserver: key not found".to_owned());
    for (ignore_value, ignore_lease) in [(true, false), (false, true), (true, true)] {
        let request = pb::PutRequest {
            ignore_value,
            ignore_lease,
            ..put_request("k", "")
        };
        assert_eq!(refusal(scene.kv.put(request).await), expected);
    }
    assert_eq!(scene.revision().await, 1);
}

#[tokio::test]
async fn b1_11_keeping_value_and_lease_of_a_key_makes_a_new_version() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let keep = pb::PutRequest {
        ignore_value: true,
        ignore_lease: true,
        ..put_request("k", "")
    };
    scene.kv.put(keep).await.expect("the key is there");
    assert_eq!(
        scene.must_get(get_request("k")).await.kvs,
        [pair("k", "v", 2, 3, 2)]
    );
}

#[tokio::test]
async fn b10_4_an_unknown_lease_is_not_found() {
    let mut scene = Scene::new().await;
    let expected = (Code::NotFound, "etcdserver: requested lease not found".to_owned());
    for lease in [1, -1, i64::MIN] {
        let request = pb::PutRequest {
            lease,
            ..put_request("k", "v")
        };
        assert_eq!(refusal(scene.kv.put(request).await), expected);
    }
}

#[tokio::test]
async fn b1_11_prev_kv_only_when_asked_for_and_when_there_was_a_key() {
    let mut scene = Scene::new().await;
    let asking = pb::PutRequest {
        prev_kv: true,
        ..put_request("k", "")
    };
    let first = scene
        .kv
        .put(asking.clone())
        .await
        .expect("well formed")
        .into_inner();
    assert_eq!(first.prev_kv, None);
    let second = scene.kv.put(asking).await.expect("well formed").into_inner();
    assert_eq!(
        second.prev_kv,
        Some(pair("k", "", 2, 2, 1)),
        "an empty value is there, not absent"
    );
    let third = scene
        .kv
        .put(put_request("k", "v"))
        .await
        .expect("well formed")
        .into_inner();
    assert_eq!(third.prev_kv, None);
}

#[tokio::test]
async fn b1_11_long_keys_and_any_bytes_are_legal() {
    let mut scene = Scene::new().await;
    let long = "k".repeat(100_000);
    scene.must_put(&long, "v").await;
    assert_eq!(scene.must_get(get_request(&long)).await.count, 1);
    let odd = Bytes::from_static(b"\xff\0\xfe");
    let request = pb::PutRequest {
        key: odd.clone(),
        value: odd.clone(),
        ..Default::default()
    };
    scene.kv.put(request).await.expect("any bytes are a key");
    let found = scene
        .must_get(pb::RangeRequest {
            key: odd.clone(),
            ..Default::default()
        })
        .await;
    assert_eq!((&found.kvs[0].key, &found.kvs[0].value), (&odd, &odd));
}
