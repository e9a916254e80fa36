//! A client that asks for much and reads nothing, which no library lets it do.

use super::*;
use crate::wire::http2::{DATA, END_STREAM, HEADERS, Wire, greeting, header_block, payload, request};
use prost::Message;
use std::collections::BTreeMap;

/// The greeting, and one request on each stream.
fn greeting_and_requests(message: &pb::RangeRequest, streams: &[u32]) -> Vec<u8> {
    let mut bytes = greeting();
    let block = header_block("/etcdserverpb.KV/Range", b"localhost", &[]);
    for &stream in streams {
        bytes.extend(request(stream, &block, &payload(message)));
    }
    bytes
}

/// Reads until every stream has ended; returns the bytes of data on each.
async fn read_all(wire: &mut Wire, streams: usize) -> BTreeMap<u32, usize> {
    let (mut received, mut ended) = (BTreeMap::new(), 0);
    while ended < streams {
        let frame = wire.hear().await.expect("the server keeps the connection");
        if frame.kind == DATA {
            *received.entry(frame.stream).or_insert(0) += frame.payload.len();
        }
        if frame.stream != 0 && frame.flags & END_STREAM != 0 && frame.kind <= HEADERS {
            ended += 1;
        }
    }
    received
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_no_other_and_gets_everything_later() {
    let mut scene = Scene::new().await;
    for number in 0..8 {
        let value = Bytes::from(vec![b'v'; 1 << 20]);
        let request = pb::PutRequest {
            key: bytes(&format!("big/{number}")),
            value,
            ..Default::default()
        };
        scene.kv.put(request).await.expect("a megabyte is allowed");
    }
    let mut flooder = Wire::silent(scene.address).await;
    let streams = [1, 3, 5];
    let asked = greeting_and_requests(&range_request("big/", "big0"), &streams);
    flooder.say(&asked).await;
    // More than the socket takes is now waiting for it; others do not.
    for _ in 0..50 {
        scene.must_put("quick", "v").await;
    }
    let received = read_all(&mut flooder, streams.len()).await;
    let expected = scene.must_get(range_request("big/", "big0")).await;
    for stream in streams {
        let message = received[&stream] - 5;
        // The header's revision has grown, but not in length.
        assert_eq!(message, expected.encoded_len(), "stream {stream}");
    }
}
