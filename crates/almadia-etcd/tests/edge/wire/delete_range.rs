//! DeleteRange.

use super::*;

#[tokio::test]
async fn b10_1_delete_an_empty_key_is_refused() {
    let mut scene = Scene::new().await;
    for range_end in ["", "\0", "z"] {
        let answer = scene.kv.delete_range(delete_request("", range_end)).await;
        assert_eq!(
            refusal(answer),
            (
                Code::InvalidArgument,
                "etcdserver: key is not provided".to_owned()
            )
        );
    }
}

#[tokio::test]
async fn b1_12_deleting_nothing_uses_no_revision() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let request = pb::DeleteRangeRequest {
        prev_kv: true,
        ..delete_request("a", "b")
    };
    let answer = scene
        .kv
        .delete_range(request)
        .await
        .expect("well formed")
        .into_inner();
    assert_eq!((answer.deleted, answer.prev_kvs.len()), (0, 0));
    assert_eq!(answer.header.expect("there is a header").revision, 2);
}

#[tokio::test]
async fn b1_12_many_keys_take_one_revision_and_come_back_in_key_order() {
    let mut scene = Scene::new().await;
    for key in ["c", "a", "b"] {
        scene.must_put(key, "v").await;
    }
    let request = pb::DeleteRangeRequest {
        prev_kv: true,
        ..delete_request("a", "\0")
    };
    let answer = scene
        .kv
        .delete_range(request)
        .await
        .expect("well formed")
        .into_inner();
    assert_eq!(
        (answer.deleted, keys(&answer.prev_kvs)),
        (3, vec!["a".into(), "b".into(), "c".into()])
    );
    assert_eq!(answer.prev_kvs[0], pair("a", "v", 3, 3, 1));
    assert_eq!(answer.header.expect("there is a header").revision, 5);
}

#[tokio::test]
async fn b1_12_prev_kvs_only_when_asked_for() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let answer = scene
        .kv
        .delete_range(delete_request("k", ""))
        .await
        .expect("well formed")
        .into_inner();
    assert_eq!((answer.deleted, answer.prev_kvs.len()), (1, 0));
}

#[tokio::test]
async fn b1_17_a_key_put_again_begins_anew() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    scene.must_put("k", "v").await;
    scene
        .kv
        .delete_range(delete_request("k", ""))
        .await
        .expect("well formed");
    assert_eq!(scene.must_get(get_request("k")).await.count, 0);
    scene.must_put("k", "w").await;
    assert_eq!(
        scene.must_get(get_request("k")).await.kvs,
        [pair("k", "w", 5, 5, 1)]
    );
}
