//! Tests of the HTTP/2 connection against hand-made server bytes.

use proptest::prelude::*;

use super::*;
use crate::bench::engine::frame::{END_HEADERS, END_STREAM, HEADERS};

fn write_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    FrameHeader {
        len: payload.len(),
        kind,
        flags,
        stream,
    }
    .write(out);
    out.extend_from_slice(payload);
}

fn trailers(status: &str) -> Vec<u8> {
    let mut block = vec![0x00, 11];
    block.extend_from_slice(b"grpc-status");
    block.push(status.len() as u8);
    block.extend_from_slice(status.as_bytes());
    block
}

fn finished(connection: &mut Connection) -> Vec<Finished> {
    let mut finished = Vec::new();
    connection.take_finished(&mut finished);
    finished
}

/// Promise: answers find their clients whatever their order, and bodies are kept apart.
#[test]
fn answers_out_of_order() {
    let mut connection = Connection::new("host:1", 2);
    connection.start(0, "/a/b", b"one");
    connection.start(1, "/a/b", b"two");
    let mut bytes = Vec::new();
    write_frame(&mut bytes, frame::SETTINGS, 0, 0, &[]);
    for stream in [3, 1] {
        write_frame(&mut bytes, HEADERS, END_HEADERS, stream, &[0x88]);
        write_frame(
            &mut bytes,
            frame::DATA,
            0,
            stream,
            &[0, 0, 0, 0, 1, b'0' + stream as u8],
        );
        write_frame(
            &mut bytes,
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &trailers("0"),
        );
    }
    let half = bytes.len() - 3;
    let used = connection.receive(&bytes[..half]).expect("valid");
    assert_eq!(
        finished(&mut connection),
        [Finished {
            client: 1,
            failure: None
        }]
    );
    assert_eq!(
        connection.receive(&bytes[used..]).expect("valid"),
        bytes.len() - used
    );
    assert_eq!(
        finished(&mut connection),
        [Finished {
            client: 0,
            failure: None
        }]
    );
    assert_eq!(
        (connection.answer(0), connection.answer(1)),
        (&b"1"[..], &b"3"[..])
    );
    assert_eq!(connection.waiting_clients().count(), 0);
}

/// Promise: a refusal is told with its code, also when it is sent in two pieces.
#[test]
fn failures_are_told() {
    let mut connection = Connection::new("host:1", 1);
    connection.start(0, "/a/b", b"");
    let block = trailers("14");
    let mut bytes = Vec::new();
    write_frame(&mut bytes, HEADERS, END_STREAM, 1, &block[..5]);
    write_frame(&mut bytes, frame::CONTINUATION, END_HEADERS, 1, &block[5..]);
    connection.receive(&bytes).expect("valid");
    assert_eq!(
        finished(&mut connection),
        [Finished {
            client: 0,
            failure: Some("gRPC code 14: ".into())
        }]
    );
    connection.start(0, "/a/b", b"");
    let mut reset = Vec::new();
    write_frame(&mut reset, frame::RST_STREAM, 0, 3, &[0, 0, 0, 7]);
    connection.receive(&reset).expect("valid");
    assert!(
        finished(&mut connection)[0]
            .failure
            .as_deref()
            .expect("failed")
            .contains("code 7")
    );
    let mut goaway = Vec::new();
    write_frame(&mut goaway, frame::GOAWAY, 0, 0, &[0; 8]);
    assert!(matches!(
        connection.receive(&goaway),
        Err(ConnectionError::GoAway(0))
    ));
}

/// Promise: the server's windows and stream limit are respected.
#[test]
fn limits_of_the_server_hold() {
    let mut connection = Connection::new("host:1", 3);
    assert!(connection.can_start(60_000));
    connection.start(0, "/a/b", &[7; 40_000]);
    assert!(!connection.can_start(40_000));
    let mut bytes = Vec::new();
    write_frame(&mut bytes, frame::WINDOW_UPDATE, 0, 0, &40_005_u32.to_be_bytes());
    connection.receive(&bytes).expect("valid");
    assert!(connection.can_start(40_000));
    let mut settings = Vec::new();
    frame::write_settings(&mut settings, &[(frame::SETTING_STREAMS_MAX, 1)]);
    connection.receive(&settings).expect("valid");
    assert!(!connection.can_start(1));
}

/// Promise: a message larger than a frame is cut, and its last piece ends the stream.
#[test]
fn large_messages_are_cut() {
    let mut connection = Connection::new("host:1", 1);
    connection.outgoing().clear();
    connection.start(0, "/a/b", &[7; 40_000]);
    let bytes = connection.outgoing().clone();
    let mut at = 0;
    let mut data = Vec::new();
    while let Some(header) = FrameHeader::parse(&bytes[at..]) {
        if header.kind == frame::DATA {
            data.push((header.len, header.flags));
        }
        at += frame::FRAME_HEADER_BYTES + header.len;
    }
    assert_eq!(
        data,
        [(16_384, 0), (16_384, 0), (40_005 - 2 * 16_384, END_STREAM)]
    );
}

proptest! {
    /// Promise: no bytes from a server make the generator panic.
    #[test]
    fn garbage_is_survived(
        frames in proptest::collection::vec((0_u8..12, any::<u8>(), 0_u32..5, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)
    ) {
        let mut connection = Connection::new("host:1", 2);
        connection.start(0, "/a/b", b"one");
        connection.start(1, "/a/b", b"two");
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in &frames {
            write_frame(&mut bytes, *kind, *flags, *stream, payload);
        }
        let _ = connection.receive(&bytes);
        prop_assert!(connection.waiting_clients().count() <= 2);
    }
}
