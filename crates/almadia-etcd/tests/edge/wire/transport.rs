//! Methods and messages that are none.

use super::*;
use crate::raw::call;
use tonic::transport::Channel;

async fn refused(channel: &Channel, path: &str) -> (Code, String) {
    crate::raw::refusal(call(channel, path, Bytes::new()).await)
}

#[tokio::test]
async fn b10_unknown_methods_and_services() {
    let scene = Scene::new().await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
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
            "/grpc.channelz.v1.Channelz/GetServers",
            "unknown service grpc.channelz.v1.Channelz",
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
async fn bytes_that_are_no_message_are_an_internal_error() {
    let scene = Scene::new().await;
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
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
    let channel = crate::double::connect(&format!("http://{}", scene.address)).await;
    // key "k", field 15 "x".
    let message = Bytes::from_static(b"\x0a\x01k\x7a\x01x");
    call(&channel, "/etcdserverpb.KV/Put", message)
        .await
        .expect("the unknown field says nothing to us");
}
