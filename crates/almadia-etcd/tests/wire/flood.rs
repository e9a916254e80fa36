//! A client that speaks HTTP/2 by hand, to do what no library lets it do: ask for much and read nothing.

use super::*;
use prost::Message;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEADERS: u8 = 1;
const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const WINDOW_MAX: u32 = 0x7fff_ffff;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block without compression: names by number where HTTP/2 has one, everything else spelled out.
fn header_block(path: &str) -> Vec<u8> {
    let spelled = |block: &mut Vec<u8>, text: &str| {
        block.push(u8::try_from(text.len()).expect("short"));
        block.extend(text.as_bytes());
    };
    // :method POST, :scheme http, then :path, :authority, content-type and te.
    let mut block = vec![0x83, 0x86, 0x04];
    spelled(&mut block, path);
    block.push(0x01);
    spelled(&mut block, "localhost");
    block.extend([0x0f, 0x10]);
    spelled(&mut block, "application/grpc");
    block.push(0x00);
    spelled(&mut block, "te");
    spelled(&mut block, "trailers");
    block
}

/// The greeting with windows as wide as can be, and one request on each stream.
fn greeting_and_requests(message: &pb::RangeRequest, streams: &[u32]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut window = vec![0, 4];
    window.extend(WINDOW_MAX.to_be_bytes());
    bytes.extend(frame(SETTINGS, 0, 0, &window));
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - 65_535).to_be_bytes()));
    let encoded = message.encode_to_vec();
    let mut payload = vec![0];
    payload.extend((encoded.len() as u32).to_be_bytes());
    payload.extend(encoded);
    for &stream in streams {
        bytes.extend(frame(
            HEADERS,
            END_HEADERS,
            stream,
            &header_block("/etcdserverpb.KV/Range"),
        ));
        bytes.extend(frame(DATA, END_STREAM, stream, &payload));
    }
    bytes
}

/// Reads until every stream has ended; returns the bytes of data on each.
async fn read_all(connection: &mut TcpStream, streams: usize) -> BTreeMap<u32, usize> {
    let (mut received, mut ended) = (BTreeMap::new(), 0);
    while ended < streams {
        let mut head = [0; 9];
        connection
            .read_exact(&mut head)
            .await
            .expect("the server keeps the connection");
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; len];
        connection
            .read_exact(&mut payload)
            .await
            .expect("the frame is whole");
        if head[3] == DATA {
            *received.entry(stream).or_insert(0) += len;
        }
        if stream != 0 && head[4] & END_STREAM != 0 && head[3] <= HEADERS {
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
    let mut flooder = TcpStream::connect(scene.address)
        .await
        .expect("the server listens");
    let streams = [1, 3, 5];
    let asked = greeting_and_requests(&range_request("big/", "big0"), &streams);
    flooder
        .write_all(&asked)
        .await
        .expect("the server reads requests");
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
