//! Methods and messages that are none.

use super::*;
use almadia_etcd::proto::etcdserverpb::auth_client::AuthClient;
use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::v3lockpb::{self, lock_client::LockClient};
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

/// Messages as plain bytes.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(into, item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let len = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, len)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Calls any method with any bytes.
pub async fn call(channel: &Channel, path: &str, message: Bytes) -> Result<Bytes, Status> {
    let mut client = Grpc::new(channel.clone());
    client
        .ready()
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::try_from(path).expect("it is a path");
    client
        .unary(tonic::Request::new(message), path, Raw)
        .await
        .map(Response::into_inner)
}

async fn refused(channel: &Channel, path: &str) -> (Code, String) {
    let status = call(channel, path, Bytes::new())
        .await
        .expect_err("nobody serves this");
    (status.code(), status.message().to_owned())
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
