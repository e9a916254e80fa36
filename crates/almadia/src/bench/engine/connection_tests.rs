//! Tests of the HTTP/2 connection against hand-made server bytes.

use proptest::prelude::*;

use super::*;
use crate::bench::engine::frame::{END_HEADERS, END_STREAM, HEADERS};

const CALL: Method = Method::unary("/a/b");
const EXCHANGE: Method = Method::exchange("/a/b");
const SUBSCRIPTION: Method = Method::subscription("/a/b");

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
    connection.start(0, CALL, b"one");
    connection.start(1, CALL, b"two");
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
    connection.start(0, CALL, b"");
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
    connection.start(0, CALL, b"");
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
    connection.start(0, CALL, &[7; 40_000]);
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
    connection.start(0, CALL, &[7; 40_000]);
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

fn message(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, text.len() as u8];
    bytes.extend_from_slice(text);
    bytes
}

/// The streams of all frames of a kind that wait to be sent, and whether they end their streams.
fn sent(connection: &mut Connection, kind: u8) -> Vec<(u32, bool)> {
    let bytes = std::mem::take(connection.outgoing());
    let mut rest = bytes.strip_prefix(frame::PREFACE).unwrap_or(&bytes);
    let mut found = Vec::new();
    while let Some(header) = FrameHeader::parse(rest) {
        if header.kind == kind {
            found.push((header.stream, header.flags & END_STREAM != 0));
        }
        rest = &rest[frame::FRAME_HEADER_BYTES + header.len..];
    }
    found
}

/// Promise: the calls of an exchange share a stream that stays open; when the server ends it, the waiting call has failed
/// and the next one opens another.
#[test]
fn an_exchange_keeps_its_stream() {
    let mut connection = Connection::new("host:1", 1);
    for round in 0..3 {
        connection.start(0, EXCHANGE, b"ask");
        assert_eq!(sent(&mut connection, frame::DATA), [(1, false)]);
        assert_eq!(connection.waiting_clients().count(), 1);
        let mut bytes = Vec::new();
        let answer = message(&[round]);
        write_frame(&mut bytes, frame::DATA, 0, 1, &answer[..3]);
        write_frame(&mut bytes, frame::DATA, 0, 1, &answer[3..]);
        connection.receive(&bytes).expect("valid");
        let failure = None;
        assert_eq!(finished(&mut connection), [Finished { client: 0, failure }]);
        assert_eq!(
            (connection.answer(0), connection.waiting_clients().count()),
            (&[round][..], 0)
        );
    }
    connection.start(0, EXCHANGE, b"ask");
    let mut end = Vec::new();
    write_frame(&mut end, HEADERS, END_HEADERS | END_STREAM, 1, &trailers("0"));
    connection.receive(&end).expect("valid");
    assert!(finished(&mut connection)[0].failure.is_some());
    sent(&mut connection, frame::DATA);
    connection.start(0, EXCHANGE, b"ask");
    assert_eq!(sent(&mut connection, frame::HEADERS), [(3, false)]);
}

/// Promise: the window of a stream that stays open is respected, and follows the server's settings and updates.
#[test]
fn an_exchange_respects_the_window_of_its_stream() {
    let mut connection = Connection::new("host:1", 1);
    let mut settings = Vec::new();
    frame::write_settings(&mut settings, &[(frame::SETTING_INITIAL_WINDOW, 20)]);
    connection.receive(&settings).expect("valid");
    let mut answer = Vec::new();
    write_frame(&mut answer, frame::DATA, 0, 1, &message(b"yes"));
    let call = |connection: &mut Connection| {
        connection.start(0, EXCHANGE, b"12345");
        connection.receive(&answer).expect("valid");
        finished(connection)[0].failure.is_none()
    };
    assert_eq!([call(&mut connection), call(&mut connection)], [true, true]);
    assert!(!call(&mut connection));
    let mut update = Vec::new();
    write_frame(&mut update, frame::WINDOW_UPDATE, 0, 1, &10_u32.to_be_bytes());
    connection.receive(&update).expect("valid");
    assert!(call(&mut connection));
    settings.clear();
    frame::write_settings(&mut settings, &[(frame::SETTING_INITIAL_WINDOW, 30)]);
    connection.receive(&settings).expect("valid");
    assert!(call(&mut connection));
}

/// Promise: a subscription hands over every message once, however they are cut, and tells its end.
#[test]
fn a_subscription_hands_over_all_messages() {
    let mut connection = Connection::new("host:1", 1);
    connection.start(0, SUBSCRIPTION, b"first");
    connection.start(0, SUBSCRIPTION, b"second");
    assert_eq!(sent(&mut connection, frame::DATA), [(1, false), (1, false)]);
    let all: Vec<u8> = [&b"a"[..], b"", b"bcd"].into_iter().flat_map(message).collect();
    let mut seen = Vec::new();
    for piece in [&all[..8], &all[8..13], &all[13..]] {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, frame::DATA, 0, 1, piece);
        connection.receive(&bytes).expect("valid");
        for _ in finished(&mut connection) {
            connection.take_messages(0, |message| seen.push(message.to_vec()));
        }
    }
    assert_eq!(seen, [&b"a"[..], b"", b"bcd"]);
    let mut end = Vec::new();
    write_frame(&mut end, frame::DATA, 0, 1, &message(b"last"));
    write_frame(&mut end, HEADERS, END_HEADERS | END_STREAM, 1, &trailers("0"));
    connection.receive(&end).expect("valid");
    let told = finished(&mut connection);
    assert!(told[0].failure.is_none() && told[1].failure.is_some());
    connection.take_messages(0, |message| seen.push(message.to_vec()));
    assert_eq!(seen.last().map(Vec::as_slice), Some(&b"last"[..]));
}

proptest! {
    /// Promise: no bytes from a server make the generator panic.
    #[test]
    fn garbage_is_survived(
        frames in proptest::collection::vec((0_u8..12, any::<u8>(), 0_u32..7, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)
    ) {
        let mut connection = Connection::new("host:1", 3);
        connection.start(0, CALL, b"one");
        connection.start(1, EXCHANGE, b"two");
        connection.start(2, SUBSCRIPTION, b"three");
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in &frames {
            write_frame(&mut bytes, *kind, *flags, *stream, payload);
        }
        let _ = connection.receive(&bytes);
        prop_assert!(connection.waiting_clients().count() <= 3);
    }
}
