//! B1.10: a read in pieces that together are what Range answers.

use super::*;
use almadia_etcd::proto::etcdserverpb as pb;
use pb::range_request::{SortOrder, SortTarget};
use tonic::{Code, Status};

async fn put(scene: &Scene, key: String, value: String) {
    let request = pb::PutRequest {
        key: key.into(),
        value: value.into(),
        ..Default::default()
    };
    scene.kv.clone().put(request).await.expect("it is well formed");
}

async fn pieces(scene: &Scene, request: pb::RangeRequest) -> Result<Vec<pb::RangeResponse>, Status> {
    let mut stream = scene.kv.clone().range_stream(request).await?.into_inner();
    let mut pieces = Vec::new();
    while let Some(piece) = stream.message().await? {
        pieces.push(piece.range_response.expect("every piece has content"));
    }
    Ok(pieces)
}

fn all() -> pb::RangeRequest {
    pb::RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..Default::default()
    }
}

/// Whatever is asked, the pieces make up the answer of Range; only the last has header, count and more.
#[tokio::test]
async fn the_pieces_are_the_answer() {
    let scene = Scene::new().await;
    for number in 0..300 {
        put(&scene, format!("{number:03}"), "old".to_owned()).await;
    }
    for number in 0..100 {
        put(&scene, format!("{number:03}"), "new".to_owned()).await;
    }
    let some = |key: &str, range_end: &str| pb::RangeRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        ..Default::default()
    };
    for base in [
        all(),
        some("010", "020"),
        some("010", ""),
        some("x", "y"),
        some("020", "010"),
    ] {
        for (limit, revision) in [
            (0, 0),
            (1, 0),
            (10, 200),
            (11, 301),
            (299, 0),
            (300, 350),
            (1000, 0),
            (-1, 0),
        ] {
            for (keys_only, count_only) in [(false, false), (true, false), (false, true)] {
                let request = pb::RangeRequest {
                    limit,
                    revision,
                    keys_only,
                    count_only,
                    ..base.clone()
                };
                let expected = scene.kv.clone().range(request.clone()).await;
                let expected = expected.expect("it is well formed").into_inner();
                let mut pieces = pieces(&scene, request.clone()).await.expect("it is well formed");
                let last = pieces.pop().expect("there is one at least");
                let mut kvs = Vec::new();
                for piece in pieces {
                    assert_eq!((piece.header, piece.count, piece.more), (None, 0, false));
                    assert!(!piece.kvs.is_empty());
                    kvs.extend(piece.kvs);
                }
                assert!(kvs.is_empty() || kvs.len() >= 10, "the first piece has ten keys");
                kvs.extend(last.kvs);
                let found = pb::RangeResponse { kvs, ..last };
                assert_eq!(found, expected, "{request:?}");
            }
        }
    }
}

/// Pieces grow towards the size of the largest request, and shrink again.
#[tokio::test]
async fn pieces_have_about_the_size_of_a_request() {
    let scene = Scene::new().await;
    for number in 0..2000 {
        put(&scene, format!("a{number:04}"), "v".repeat(1000)).await;
    }
    for number in 0..20 {
        put(&scene, format!("b{number:04}"), "v".repeat(500_000)).await;
    }
    let pieces = pieces(&scene, all()).await.expect("it is well formed");
    let counts: Vec<usize> = pieces.iter().map(|piece| piece.kvs.len()).collect();
    assert_eq!(counts[..6], [10, 20, 40, 80, 160, 320]);
    assert_eq!(counts.iter().sum::<usize>(), 2020);
    assert_eq!(pieces.last().expect("there are some").count, 2020);
}

/// What cannot be done in pieces is refused as on etcd 3.7; what is malformed, as by Range.
#[tokio::test]
async fn refusals() {
    let scene = Scene::new().await;
    put(&scene, "k".to_owned(), "v".to_owned()).await;
    let ordered = |order: SortOrder, target: SortTarget| pb::RangeRequest {
        sort_order: order as i32,
        sort_target: target as i32,
        ..all()
    };
    for good in [
        ordered(SortOrder::Ascend, SortTarget::Key),
        ordered(SortOrder::None, SortTarget::Mod),
    ] {
        assert_eq!(
            pieces(&scene, good).await.expect("key order is served")[0].count,
            1
        );
    }
    let orders = "RangeStream does not support custom sort orders";
    let filters = "RangeStream does not support revision filters";
    let filtered = pb::RangeRequest {
        max_create_revision: 9,
        ..all()
    };
    let at = |revision| pb::RangeRequest { revision, ..all() };
    for (request, code, text) in [
        (
            ordered(SortOrder::Descend, SortTarget::Key),
            Code::Unimplemented,
            orders,
        ),
        (
            ordered(SortOrder::Ascend, SortTarget::Value),
            Code::Unimplemented,
            orders,
        ),
        (filtered, Code::Unimplemented, filters),
        (
            pb::RangeRequest::default(),
            Code::InvalidArgument,
            "etcdserver: key is not provided",
        ),
        (
            at(9),
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
    ] {
        let status = pieces(&scene, request).await.expect_err("it is refused");
        assert_eq!((status.code(), status.message()), (code, text));
    }
}
