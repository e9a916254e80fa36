//! Habits of real clients' transports: versions, pings, odd authorities, packed messages.

use super::*;
use crate::wire::connections::{metric, metrics};
use crate::wire::http2::{DATA, HEADERS, PING, Wire, frame, header_block, packed, payload, request};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::io::Write;
use tonic::metadata::MetadataValue;

const PUT: &str = "/etcdserverpb.KV/Put";

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

#[tokio::test]
async fn b9_3_clients_are_counted_by_the_version_they_name() {
    let mut scene = Scene::new().await;
    let mut request = tonic::Request::new(put_request("k", "v"));
    let version = MetadataValue::from_static("3.5.30");
    request.metadata_mut().insert("client-api-version", version);
    scene.kv.put(request).await.expect("it is a version");
    scene.must_put("k", "v").await;
    let text = metrics(&scene).await;
    for line in [
        "etcd_server_client_requests_total{client_api_version=\"3.5.30\",type=\"unary\"} 1",
        "etcd_server_client_requests_total{client_api_version=\"unknown\",type=\"unary\"} 1",
        "grpc_server_started_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn b9_3_a_version_that_is_no_text_is_refused() {
    let scene = Scene::new().await;
    let mut wire = Wire::open(scene.address).await;
    let block = header_block(PUT, b"localhost", &[("client-api-version", b"\xff\xfe")]);
    wire.say(&request(1, &block, &payload(&put_request("k", "v"))))
        .await;
    wire.hear_kind(HEADERS).await.expect("it is answered");
    let refused = "grpc_server_handled_total{grpc_code=\"InvalidArgument\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}";
    assert_eq!(metric(&scene, refused).await, 1.0);
    assert_eq!(
        scene.double.proposals.load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

/// However often, and without any request: no client is told that it is too much.
#[tokio::test]
async fn b9_4_pings_are_answered_and_never_punished() {
    let scene = Scene::new().await;
    let mut wire = Wire::open(scene.address).await;
    for number in 0..200u64 {
        wire.say(&frame(PING, 0, 0, &number.to_be_bytes())).await;
        let answer = wire.hear_kind(PING).await.expect("the connection is kept");
        assert_eq!(answer.payload, number.to_be_bytes().to_vec());
    }
    let block = header_block(PUT, b"localhost", &[]);
    wire.say(&request(1, &block, &payload(&put_request("k", "v"))))
        .await;
    wire.hear_kind(DATA).await.expect("it is still served");
}

/// What clients write in the place of the host: a name, an address, nothing, a unix path; and what clientv3 3.5.0 wrote.
#[tokio::test]
async fn b9_5_authorities() {
    let mut scene = Scene::new().await;
    for (authority, is_served) in [
        (&b"localhost:2379"[..], true),
        (b"127.0.0.1:2379", true),
        (b"[::1]:2379", true),
        (b"etcd-0.etcd.default.svc:2379", true),
        (b"#initially=[http://127.0.0.1:2379]", false),
        (b"%2Ftmp%2Falmadia.sock", false),
    ] {
        let mut wire = Wire::open(scene.address).await;
        let block = header_block(PUT, authority, &[]);
        let key = String::from_utf8_lossy(authority);
        wire.say(&request(1, &block, &payload(&put_request(&key, "v"))))
            .await;
        let answered = loop {
            match wire.hear().await {
                Some(frame) if frame.stream == 1 => break frame.kind == HEADERS,
                Some(_) => {}
                None => break false,
            }
        };
        assert_eq!(answered, is_served, "{key}");
        assert_eq!(
            scene.must_get(get_request(&key)).await.count,
            i64::from(is_served),
            "{key}"
        );
    }
}

#[tokio::test]
async fn b9_6_packed_requests_are_taken() {
    let mut scene = Scene::new().await;
    let mut wire = Wire::open(scene.address).await;
    let block = header_block(PUT, b"localhost", &[("grpc-encoding", b"gzip")]);
    let put = put_request("k", &"v".repeat(100_000));
    wire.say(&request(1, &block, &packed(1, &zipped(&put.encode_to_vec()))))
        .await;
    wire.hear_kind(DATA).await.expect("it is carried out");
    // Each message says whether it is packed.
    wire.say(&request(3, &block, &payload(&put_request("plain", "v"))))
        .await;
    wire.hear_kind(DATA).await.expect("it is carried out");
    let found = scene.must_get(get_request("k")).await;
    assert_eq!(found.kvs[0].value.len(), 100_000);
}

/// A few kilobytes that unpack to a gigabyte, and bytes that do not unpack.
#[tokio::test]
async fn b9_6_a_packed_message_is_unpacked_within_its_bound() {
    let scene = Scene::new().await;
    let mut wire = Wire::open(scene.address).await;
    let block = header_block(PUT, b"localhost", &[("grpc-encoding", b"gzip")]);
    let bomb = zipped(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100 << 10);
    wire.say(&request(1, &block, &packed(1, &bomb))).await;
    wire.hear_kind(HEADERS).await.expect("it is answered");
    wire.say(&request(3, &block, &packed(1, b"this is not gzip")))
        .await;
    wire.hear_kind(HEADERS).await.expect("it is answered");
    let unknown = header_block(PUT, b"localhost", &[("grpc-encoding", b"snappy")]);
    wire.say(&request(5, &unknown, &packed(1, b"x"))).await;
    wire.hear_kind(HEADERS).await.expect("it is answered");
    for code in ["ResourceExhausted", "Internal", "Unimplemented"] {
        let refused = format!(
            "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}}"
        );
        assert_eq!(metric(&scene, &refused).await, 1.0, "{code}");
    }
}
