//! What clients may make the member hold: at each bound there is a clear refusal, and what is below it works.

use super::*;
use crate::wire::connections::metric;
use crate::wire::http2::{DATA, END_HEADERS, HEADERS, Wire, frame, header_block, payload};
use almadia_etcd::proto::etcdserverpb::auth_client::AuthClient;
use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::etcdserverpb::watch_client::WatchClient;
use almadia_etcd::{Config, Limits};
use std::time::Duration;
use tonic::transport::Channel;

async fn scene(limits: Limits) -> (Scene, Channel) {
    let scene = Scene::with(Config {
        limits,
        ..Config::default()
    })
    .await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    (scene, channel)
}

fn create(key: &str) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(
            pb::WatchCreateRequest {
                key: bytes(key),
                ..Default::default()
            },
        )),
    }
}

/// Makes so many watches on a stream of its own; says why each was refused, and keeps the stream open.
async fn watch(channel: &Channel, count: usize) -> (Vec<String>, tonic::Streaming<pb::WatchResponse>) {
    let requests = tonic::codegen::tokio_stream::iter((0..count).map(|number| create(&number.to_string())));
    let mut answers = WatchClient::new(channel.clone())
        .watch(requests)
        .await
        .expect("the stream begins")
        .into_inner();
    let mut reasons = Vec::new();
    for _ in 0..count {
        let answer = answers
            .message()
            .await
            .expect("it goes on")
            .expect("each is answered");
        assert!(answer.created && answer.canceled != answer.cancel_reason.is_empty());
        reasons.push(answer.cancel_reason);
    }
    (reasons, answers)
}

#[tokio::test]
async fn watches_have_a_bound_for_each_stream_and_for_the_member() {
    let limits = Limits {
        stream_watches_max: 3,
        watches_max: 5,
        ..Limits::default()
    };
    let (scene, channel) = scene(limits).await;
    let (reasons, first) = watch(&channel, 4).await;
    let on_stream = "rpc error: code = ResourceExhausted desc = almadia: too many watches on one stream (--max-watches-per-stream)";
    assert_eq!(reasons, ["", "", "", on_stream]);
    let (reasons, second) = watch(&channel, 3).await;
    let on_member =
        "rpc error: code = ResourceExhausted desc = almadia: too many watches on this member (--max-watches)";
    assert_eq!(reasons, ["", "", on_member]);
    assert_eq!(metric(&scene, "almadia_watches_refused_total").await, 2.0);
    drop((first, second));
    while metric(&scene, "etcd_debugging_mvcc_watcher_total").await > 0.0 {}
    assert_eq!(watch(&channel, 3).await.0, ["", "", ""]);
}

#[tokio::test]
async fn leases_have_a_bound() {
    let limits = Limits {
        leases_max: 2,
        ..Limits::default()
    };
    let (scene, channel) = scene(limits).await;
    let mut leases = LeaseClient::new(channel);
    let grant = |id| pb::LeaseGrantRequest { id, ttl: 100 };
    for id in [1, 2] {
        leases.lease_grant(grant(id)).await.expect("there is room");
    }
    let refused = refusal(leases.lease_grant(grant(3)).await);
    assert_eq!(refused, of(Fault::TooManyLeases));
    assert_eq!(metric(&scene, "almadia_leases_refused_total").await, 1.0);
    leases
        .lease_revoke(pb::LeaseRevokeRequest { id: 1 })
        .await
        .expect("it is there");
    leases.lease_grant(grant(3)).await.expect("there is room again");
}

/// Users "root" (with the role) and passwords equal to names; permissions count from now on.
async fn enable_auth(channel: &Channel) {
    let mut auth = AuthClient::new(channel.clone());
    let root = pb::AuthUserAddRequest {
        name: "root".into(),
        password: "root".into(),
        ..Default::default()
    };
    auth.user_add(root).await.expect("nobody has that name");
    let grant = pb::AuthUserGrantRoleRequest {
        user: "root".into(),
        role: "root".into(),
    };
    auth.user_grant_role(grant)
        .await
        .expect("the role is there by itself");
    auth.auth_enable(pb::AuthEnableRequest {})
        .await
        .expect("there is a root");
}

fn login(name: &str, password: &str) -> pb::AuthenticateRequest {
    pb::AuthenticateRequest {
        name: name.into(),
        password: password.into(),
    }
}

#[tokio::test]
async fn wrong_passwords_are_looked_at_only_so_often() {
    let mut config = Config::default();
    config.auth.bcrypt_cost = 4;
    config.auth.failed_logins_max = 3;
    let scene = Scene::with(config).await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    enable_auth(&channel).await;
    let mut auth = AuthClient::new(channel);
    for _ in 0..3 {
        let wrong = refusal(auth.authenticate(login("root", "guess")).await);
        assert_eq!(wrong, of(Fault::AuthenticationFailed));
    }
    for password in ["guess", "root"] {
        let refused = refusal(auth.authenticate(login("root", password)).await);
        assert_eq!(
            refused,
            of(Fault::TooManyLogins),
            "the right one is not looked at either"
        );
    }
    let other = refusal(auth.authenticate(login("ann", "guess")).await);
    assert_eq!(other, of(Fault::AuthenticationFailed), "others are not concerned");
    assert_eq!(metric(&scene, "almadia_logins_refused_total").await, 2.0);
}

/// Beginnings of so many large messages on one connection, none of them whole.
async fn unfinished(wire: &mut Wire, count: u32, bytes: usize) {
    let block = header_block("/etcdserverpb.KV/Put", b"localhost", &[]);
    let message = payload(&put_request("k", &"v".repeat(1_500_000)));
    for number in 0..count {
        let stream = 2 * number + 1;
        wire.say(&frame(HEADERS, END_HEADERS, stream, &block)).await;
        for chunk in message[..bytes].chunks(16 * 1024) {
            wire.say(&frame(DATA, 0, stream, chunk)).await;
        }
    }
}

#[tokio::test]
async fn unfinished_messages_have_a_bound_together() {
    let limits = Limits {
        unfinished_bytes_max: 3_000_000,
        ..Limits::default()
    };
    let (mut scene, _channel) = scene(limits).await;
    let mut wire = Wire::settled(scene.address).await;
    unfinished(&mut wire, 4, 1_000_000).await;
    wire.hear_kind(HEADERS).await.expect("one of them is refused");
    assert!(metric(&scene, "almadia_unfinished_messages_refused_total").await >= 1.0);
    drop(wire);
    // What they held is free again.
    let whole = put_request("k", &"v".repeat(1_000_000));
    while scene.kv.put(whole.clone()).await.is_err() {}
}

/// Who has not said who it is, where that matters, may leave one message unfinished on a connection.
#[tokio::test]
async fn strangers_may_leave_little_unfinished() {
    let mut config = Config::default();
    config.auth.bcrypt_cost = 4;
    let scene = Scene::with(config).await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    let mut known = Wire::settled(scene.address).await;
    unfinished(&mut known, 3, 1_000_000).await;
    enable_auth(&channel).await;
    assert_eq!(
        metric(&scene, "almadia_unfinished_messages_refused_total").await,
        0.0
    );
    let mut stranger = Wire::settled(scene.address).await;
    unfinished(&mut stranger, 3, 1_000_000).await;
    stranger.hear_kind(HEADERS).await.expect("the third is refused");
    assert_eq!(
        metric(&scene, "almadia_unfinished_messages_refused_total").await,
        1.0
    );
}

/// Many keys: the answer waits for its share, is built beside the others, and comes in pieces, with everything in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_come_whole_however_they_are_asked_for() {
    let (mut scene, _channel) = scene(Limits {
        // Room for one at a time.
        answer_bytes_max: 1024,
        ..Limits::default()
    })
    .await;
    let keys = 20_000;
    for hundred in 0..keys / 100 {
        let puts = (0..100).map(|key| put_op(&format!("many/{:06}", hundred * 100 + key), &"v".repeat(50)));
        scene.must_txn(txn_request(puts.collect(), vec![])).await;
    }
    let range = range_request("many/", "many0");
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut kv, range) = (scene.kv.clone(), range.clone());
        asked.spawn(async move { kv.range(range).await.expect("well formed").into_inner() });
    }
    while let Some(found) = asked.join_next().await {
        let found = found.expect("no client panics");
        assert_eq!(
            (found.kvs.len(), found.count, found.more),
            (keys, keys as i64, false)
        );
        assert!(found.kvs.is_sorted_by(|one, other| one.key < other.key));
    }
    let sorted = pb::RangeRequest {
        sort_order: pb::range_request::SortOrder::Descend as i32,
        keys_only: true,
        ..range.clone()
    };
    let sorted = scene.must_get(sorted).await;
    assert_eq!(
        (sorted.kvs.len(), &sorted.kvs[0].key[..]),
        (keys, &b"many/019999"[..])
    );
    assert!(sorted.kvs.iter().all(|pair| pair.value.is_empty()));
    let limited = scene
        .must_get(pb::RangeRequest {
            limit: 17_000,
            ..range.clone()
        })
        .await;
    assert_eq!(
        (limited.kvs.len(), limited.count, limited.more),
        (17_000, keys as i64, true)
    );
    let nested = txn_op(vec![range_op(range.clone()), put_op("x", "y")], vec![]);
    let txn = scene
        .must_txn(txn_request(
            vec![range_op(range.clone()), nested, delete_op("many/", "many0")],
            vec![],
        ))
        .await;
    assert_eq!(txn.responses.len(), 3);
    let read = scene
        .must_txn(txn_request(vec![get_op("x"), range_op(range)], vec![]))
        .await;
    assert_eq!(read.responses.len(), 2);
}

/// A client that stops taking its answer loses it; what the answer held is free again.
#[tokio::test]
async fn an_answer_that_is_not_taken_is_taken_away() {
    let (mut scene, _channel) = scene(Limits {
        body_timeout: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    for hundred in 0..200 {
        let puts = (0..100).map(|key| put_op(&format!("many/{:06}", hundred * 100 + key), &"v".repeat(500)));
        scene.must_txn(txn_request(puts.collect(), vec![])).await;
    }
    let mut wire = Wire::open(scene.address).await;
    let block = header_block("/etcdserverpb.KV/Range", b"localhost", &[]);
    // Ten megabytes, with more of them asked for than sockets hold.
    for stream in [1, 3, 5, 7] {
        wire.say(&http2::request(
            stream,
            &block,
            &payload(&range_request("many/", "many0")),
        ))
        .await;
    }
    while metric(&scene, "almadia_large_answers").await < 4.0 {}
    while metric(&scene, "almadia_large_answers").await > 0.0 {}
    scene.must_put("k", "v").await;
}
