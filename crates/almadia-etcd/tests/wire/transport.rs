//! Methods and messages that are none.

use super::*;
use crate::raw::{self, call};
use almadia_etcd::proto::etcdserverpb::auth_client::AuthClient;
use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::v3lockpb::{self, lock_client::LockClient};
use tonic::transport::Channel;

async fn refused(channel: &Channel, path: &str) -> (Code, String) {
    raw::refusal(call(channel, path, Bytes::new()).await)
}

#[tokio::test]
async fn b10_unknown_methods_and_services() {
    let scene = Scene::new().await;
    let channel = double::connect(&format!("http://{}", scene.address)).await;
    for (path, text) in [
        (
            "/etcdserverpb.KV/Nothing",
            "unknown method Nothing for service etcdserverpb.KV",
        ),
        (
            "/etcdserverpb.Nothing/Range",
            "unknown service etcdserverpb.Nothing",
        ),
        (
            "/grpc.health.v1.Health/Check",
            "unknown service grpc.health.v1.Health",
        ),
        ("/Range", "malformed method name: \"/Range\""),
    ] {
        assert_eq!(
            refused(&channel, path).await,
            (Code::Unimplemented, text.to_owned())
        );
    }
}

#[tokio::test]
async fn b10_methods_that_are_to_come_say_so() {
    let scene = Scene::new().await;
    let channel = double::connect(&format!("http://{}", scene.address)).await;
    let expect = |status: Status| {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(
            status
                .message()
                .ends_with("is not served yet; it comes in a later release"),
            "{status:?}"
        );
    };
    let lease = pb::LeaseGrantRequest { ttl: 1, id: 0 };
    expect(
        LeaseClient::new(channel.clone())
            .lease_grant(lease)
            .await
            .expect_err("leases are to come"),
    );
    let status = pb::AuthStatusRequest {};
    expect(
        AuthClient::new(channel.clone())
            .auth_status(status)
            .await
            .expect_err("auth is to come"),
    );
    let lock = v3lockpb::LockRequest::default();
    expect(
        LockClient::new(channel.clone())
            .lock(lock)
            .await
            .expect_err("locks are to come"),
    );
    for path in [
        "/etcdserverpb.KV/RangeStream",
        "/etcdserverpb.Watch/Watch",
        "/etcdserverpb.Cluster/MemberAdd",
        "/etcdserverpb.Maintenance/Snapshot",
        "/v3electionpb.Election/Observe",
    ] {
        expect(
            call(&channel, path, Bytes::new())
                .await
                .expect_err("this is to come"),
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_are_an_internal_error() {
    let scene = Scene::new().await;
    let channel = double::connect(&format!("http://{}", scene.address)).await;
    let status = call(
        &channel,
        "/etcdserverpb.KV/Put",
        Bytes::from_static(b"\x0a\x7fshort"),
    )
    .await
    .expect_err("the key is cut");
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status
            .message()
            .starts_with("grpc: error unmarshalling request: "),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_field_of_a_newer_client_is_ignored() {
    let scene = Scene::new().await;
    let channel = double::connect(&format!("http://{}", scene.address)).await;
    // key "k", field 15 "x".
    let message = Bytes::from_static(b"\x0a\x01k\x7a\x01x");
    call(&channel, "/etcdserverpb.KV/Put", message)
        .await
        .expect("the unknown field says nothing to us");
}
