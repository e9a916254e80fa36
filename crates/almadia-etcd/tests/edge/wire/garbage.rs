//! No bytes and no requests bring the server down.

use super::*;
use crate::random::{Random, Request, send};
use crate::raw::call;
use prost::Message;

const METHODS: [&str; 7] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Cluster/MemberList",
];

fn encoded(request: &Request) -> Vec<u8> {
    match request {
        Request::Range(request) => request.encode_to_vec(),
        Request::Put(request) => request.encode_to_vec(),
        Request::DeleteRange(request) => request.encode_to_vec(),
        Request::Txn(request) => request.encode_to_vec(),
        Request::Compact(request) => request.encode_to_vec(),
    }
}

/// Random bytes, and the bytes of random requests with some changed, to every method.
#[tokio::test]
async fn garbage_is_answered() {
    let mut scene = Scene::new().await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    let mut random = Random::new(7);
    for step in 0..3000 {
        let mut message = if step % 2 == 0 {
            (0..random.below(40)).map(|_| random.number() as u8).collect()
        } else {
            encoded(&Request::draw(&mut random, 20))
        };
        for _ in 0..random.below(4) {
            if !message.is_empty() {
                let at = random.below(message.len() as u64) as usize;
                message[at] = random.number() as u8;
            }
        }
        // Whatever the answer is: there is one.
        let _ = call(&channel, random.pick(&METHODS), message.into()).await;
    }
    scene.must_put("alive", "v").await;
}

/// Random requests, well and ill formed, are answered, and an answer's header never goes back.
#[tokio::test]
async fn random_requests_are_answered_and_revisions_never_fall() {
    let mut scene = Scene::new().await;
    let mut random = Random::new(11);
    let mut revision = 1;
    for _ in 0..5000 {
        let request = Request::draw(&mut random, revision);
        let answer = send(&mut scene.kv, request.clone()).await;
        if let Some(now) = crate::random::revision_of(&answer) {
            assert!(now >= revision, "{request:?}: {answer:?} after {revision}");
            revision = now;
        }
    }
    assert!(revision > 500, "the requests did something: {revision}");
}
