//! Compact.

use super::*;

fn to(revision: i64) -> pb::CompactionRequest {
    pb::CompactionRequest {
        revision,
        physical: false,
    }
}

#[tokio::test]
async fn b1_16_not_above_the_compacted_one_is_compacted() {
    let mut scene = Scene::new().await;
    let compacted = (
        Code::OutOfRange,
        "etcdserver: mvcc: required revision has been compacted".to_owned(),
    );
    for revision in [0, -1, i64::MIN] {
        assert_eq!(
            refusal(scene.kv.compact(to(revision)).await),
            compacted,
            "also when nothing was compacted"
        );
    }
    for _ in 0..5 {
        scene.must_put("k", "v").await;
    }
    scene.kv.compact(to(4)).await.expect("4 is below the present");
    for revision in [4, 3, 1, 0, -7] {
        assert_eq!(refusal(scene.kv.compact(to(revision)).await), compacted);
    }
}

#[tokio::test]
async fn b1_16_the_present_once_and_never_the_future() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    let future = (
        Code::OutOfRange,
        "etcdserver: mvcc: required revision is a future revision".to_owned(),
    );
    assert_eq!(refusal(scene.kv.compact(to(3)).await), future);
    let answer = scene
        .kv
        .compact(to(2))
        .await
        .expect("the present can be compacted")
        .into_inner();
    assert_eq!(
        answer.header.expect("there is a header").revision,
        2,
        "a compaction uses no revision"
    );
    assert_eq!(refusal(scene.kv.compact(to(2)).await), of(Fault::Compacted));
}

#[tokio::test]
async fn b1_16_what_was_deleted_before_is_gone() {
    let mut scene = Scene::new().await;
    scene.must_put("k", "v").await;
    scene
        .kv
        .delete_range(delete_request("k", ""))
        .await
        .expect("well formed");
    scene.must_put("other", "v").await;
    scene
        .kv
        .compact(pb::CompactionRequest {
            revision: 3,
            physical: true,
        })
        .await
        .expect("3 is in the past");
    let found = scene
        .must_get(pb::RangeRequest {
            revision: 3,
            ..range_request("\0", "\0")
        })
        .await;
    assert_eq!((found.count, found.kvs.len()), (0, 0));
    assert_eq!(
        refusal(
            scene
                .kv
                .range(pb::RangeRequest {
                    revision: 2,
                    ..get_request("k")
                })
                .await
        ),
        of(Fault::Compacted)
    );
}
