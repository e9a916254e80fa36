//! The same random requests to a real etcd and to this edge over an in-memory store: every answer must be the same
//! message, ids and terms aside. Runs when the environment variable `ALMADIA_ETCD_BIN` names an etcd program;
//! `ALMADIA_ETCD_STEPS` sets the number of requests and `ALMADIA_ETCD_SEED` where they begin.
//!
//! Left out are the requests that break etcd itself (an unknown sort target, and a transaction that deletes from a key
//! on and puts such a key with `ignore_value` or `ignore_lease`) and one that it answers only once: the first
//! compaction to revision 0 of a store that was never compacted succeeds there without effect, here it is refused as
//! all later ones are.

use crate::beside::{Etcd, etcd_or_skip};
use crate::double::Scene;
use crate::random::{Random, Request};
use almadia_etcd::proto::etcdserverpb as pb;

const STEPS: u64 = 3000;

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::test]
async fn every_answer_is_etcds() {
    let Some(program) = etcd_or_skip("every_answer_is_etcds") else {
        return;
    };
    let seed = number_from_environment("ALMADIA_ETCD_SEED", 1);
    let etcd = Etcd::start(&program).await;
    let mut theirs = etcd.connect().await;
    let scene = Scene::new().await;
    let mut ours = scene.kv.clone();
    let nothing = pb::CompactionRequest {
        revision: 0,
        physical: false,
    };
    theirs.compact(nothing).await.expect("etcd takes this one once");
    let mut random = Random::new(seed);
    let (mut revision, mut ok) = (1, 0);
    for step in 0..number_from_environment("ALMADIA_ETCD_STEPS", STEPS) {
        let request = Request::draw(&mut random, revision);
        let expected = crate::random::send(&mut theirs, request.clone()).await;
        let found = crate::random::send(&mut ours, request.clone()).await;
        assert_eq!(
            found, expected,
            "seed {seed}, step {step}: left is ours, right is etcd's, for {request:#?}"
        );
        if let Some(now) = crate::random::revision_of(&expected) {
            (revision, ok) = (now, ok + 1);
        }
    }
    println!("{ok} answered requests and as many refusals as there were, up to revision {revision}");
    assert!(ok > 0, "some requests succeed");
}

/// Everything about the size and form of messages that does not depend on the data, asked of both.
#[tokio::test]
async fn limits_and_forms_are_etcds() {
    let Some(program) = etcd_or_skip("limits_and_forms_are_etcds") else {
        return;
    };
    let etcd = Etcd::start(&program).await;
    let mut theirs = etcd.connect().await;
    let scene = Scene::new().await;
    let mut ours = scene.kv.clone();
    let channels = [
        crate::double::connect(&format!("http://{}", scene.address)).await,
        crate::double::connect(&etcd.url).await,
    ];
    for path in [
        "/etcdserverpb.KV/None",
        "/none.None/Range",
        "/None",
        "/a/b/c",
        "/etcdserverpb.KV/",
    ] {
        let [found, expected] =
            [&channels[0], &channels[1]].map(|channel| crate::raw::call(channel, path, "".into()));
        assert_eq!(
            crate::raw::refusal(found.await),
            crate::raw::refusal(expected.await),
            "{path}"
        );
    }
    // etcd's own form of a log entry is a byte longer or shorter with the id it draws, so the boundary is left out.
    for bytes in [
        1000, 1_572_000, 1_572_800, 1_572_864, 2_097_100, 2_097_144, 2_097_145, 3_000_000,
    ] {
        let value = vec![b'v'; bytes].into();
        let request = Request::Put(pb::PutRequest {
            key: "k".into(),
            value,
            ..Default::default()
        });
        let expected = crate::random::send(&mut theirs, request.clone()).await;
        let found = crate::random::send(&mut ours, request).await;
        assert_eq!(
            found, expected,
            "a value of {bytes} bytes: left is ours, right is etcd's"
        );
    }
    for depth in [1, 5, 20, 46] {
        let mut nested = pb::TxnRequest::default();
        for _ in 0..depth {
            let operation = pb::RequestOp {
                request: Some(pb::request_op::Request::RequestTxn(nested)),
            };
            nested = pb::TxnRequest {
                success: vec![operation],
                ..Default::default()
            };
        }
        let expected = crate::random::send(&mut theirs, Request::Txn(nested.clone())).await;
        let found = crate::random::send(&mut ours, Request::Txn(nested)).await;
        assert_eq!(found, expected, "{depth} transactions inside each other");
    }
}
