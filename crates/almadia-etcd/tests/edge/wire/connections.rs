//! Connections that stall, do nothing, or are too many: they end, and others are served. Times are real and short.

use super::*;
use crate::wire::http2::{
    DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, RST_STREAM, SETTINGS, Wire, frame, header_block, payload,
};
use almadia_etcd::{Config, Limits};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PUT: &str = "/etcdserverpb.KV/Put";

async fn scene(limits: Limits) -> Scene {
    Scene::with(Config {
        limits,
        ..Config::default()
    })
    .await
}

fn impatient() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// `/metrics`, as a scraper reads it.
pub async fn metrics(scene: &Scene) -> String {
    let mut connection = TcpStream::connect(scene.address)
        .await
        .expect("the server listens");
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(request).await.expect("the server reads");
    let mut text = String::new();
    connection
        .read_to_string(&mut text)
        .await
        .expect("the answer is text");
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    text
}

/// The value of a metric that stands there once.
pub async fn metric(scene: &Scene, name: &str) -> f64 {
    let text = metrics(scene).await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {text}"))
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn who_says_nothing_or_too_slowly_is_closed_and_others_are_served() {
    let mut scene = scene(impatient()).await;
    let mut silent = Wire::silent(scene.address).await;
    let mut half_a_preface = Wire::silent(scene.address).await;
    half_a_preface.say(b"PRI * HTTP/2.0\r\n").await;
    let slow = TcpStream::connect(scene.address)
        .await
        .expect("the server listens");
    let (mut slow_read, mut slow_write) = slow.into_split();
    let drip = tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_millis(10));
        for byte in b"GET /metrics HTTP/1.1\r\nHost: "
            .iter()
            .chain(std::iter::repeat(&b'x'))
        {
            interval.tick().await;
            if slow_write.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    scene.must_put("k", "v").await;
    silent.hear_end().await;
    half_a_preface.hear_end().await;
    let _ = slow_read.read_to_end(&mut Vec::new()).await;
    drip.await.expect("the server has closed it");
    scene.must_put("k", "v").await;
    let slow = "almadia_client_connections_ended_total{reason=\"slow_headers\"}";
    assert_eq!(metric(&scene, slow).await, 3.0);
}

#[tokio::test]
async fn a_connection_of_http_1_rests_between_requests() {
    let scene = scene(impatient()).await;
    let mut connection = TcpStream::connect(scene.address)
        .await
        .expect("the server listens");
    for _ in 0..2 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        connection.write_all(request).await.expect("the server reads");
        let mut start = [0; 15];
        connection.read_exact(&mut start).await.expect("it is answered");
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        // Several times as long as headers may take; what is read meanwhile is the rest of the answer.
        let pause = tokio::time::timeout(Duration::from_millis(700), async {
            let mut rest = [0; 4096];
            while connection.read(&mut rest).await.expect("it is kept") > 0 {}
        });
        assert!(pause.await.is_err(), "the server has closed it");
    }
}

#[tokio::test]
async fn a_message_whose_rest_does_not_come_is_given_up() {
    let mut scene = scene(impatient()).await;
    let mut wire = Wire::open(scene.address).await;
    let block = header_block(PUT, b"localhost", &[]);
    let whole = payload(&put_request("k", &"v".repeat(1000)));
    wire.say(&frame(HEADERS, END_HEADERS, 1, &block)).await;
    wire.say(&frame(DATA, 0, 1, &whole[..500])).await;
    wire.say(&frame(HEADERS, END_HEADERS, 3, &block)).await;
    for _ in 0..2 {
        let refused = wire.hear_kind(HEADERS).await.expect("it is answered");
        assert_ne!(refused.flags & END_STREAM, 0, "with nothing but a status");
    }
    assert_eq!(metric(&scene, "almadia_late_messages_total").await, 2.0);
    assert_eq!(scene.must_get(get_request("k")).await.count, 0);
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_and_one_with_a_watch_stays() {
    let limits = Limits {
        idle_timeout: Duration::from_millis(300),
        ..impatient()
    };
    let mut scene = scene(limits).await;
    let mut idle = Wire::open(scene.address).await;
    let mut watching = Wire::open(scene.address).await;
    let create = pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(
            pb::WatchCreateRequest {
                key: bytes("k"),
                ..Default::default()
            },
        )),
    };
    let block = header_block("/etcdserverpb.Watch/Watch", b"localhost", &[]);
    watching.say(&frame(HEADERS, END_HEADERS, 1, &block)).await;
    watching.say(&frame(DATA, 0, 1, &payload(&create))).await;
    watching.hear_kind(DATA).await.expect("the watch is made");
    assert!(idle.hear_kind(GO_AWAY).await.is_some());
    idle.hear_end().await;
    scene.must_put("k", "v").await;
    watching.hear_kind(DATA).await.expect("the event comes");
}

#[tokio::test]
async fn one_connection_too_many_takes_the_place_of_an_idle_one() {
    let limits = Limits {
        connections_max: 4,
        ..Limits::default()
    };
    let mut scene = scene(limits).await;
    let mut idle = Vec::new();
    for _ in 0..10 {
        let mut wire = Wire::open(scene.address).await;
        wire.hear_kind(SETTINGS).await.expect("it is let in");
        idle.push(wire);
    }
    // The scene's own client comes back by itself, too.
    while scene.kv.put(put_request("k", "v")).await.is_err() {}
    for wire in &mut idle[..6] {
        wire.hear_end().await;
    }
}

#[tokio::test]
async fn b9_8_a_client_is_told_how_many_streams_there_may_be() {
    let scene = Scene::new().await;
    let mut wire = Wire::open(scene.address).await;
    let settings = wire.hear_kind(SETTINGS).await.expect("the server greets");
    let streams = settings.payload.chunks(6).find(|setting| setting[..2] == [0, 3]);
    assert_eq!(streams.expect("it says so")[2..], 1000u32.to_be_bytes());
}

/// CVE-2023-44487: requests that are given up at once, without end.
#[tokio::test]
async fn who_gives_up_requests_without_end_is_closed_and_others_are_served() {
    let limits = Limits {
        cancelled_per_second_max: 20,
        streams_max: 20,
        ..Limits::default()
    };
    let mut scene = scene(limits).await;
    let wire = Wire::open(scene.address).await;
    let block = header_block("/etcdserverpb.KV/Range", b"localhost", &[]);
    let (mut read, mut write) = wire.0.into_split();
    let flood = tokio::spawn(async move {
        for stream in (1..2_000_000).step_by(2) {
            let mut bytes = frame(HEADERS, END_HEADERS, stream, &block);
            bytes.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
            if write.write_all(&bytes).await.is_err() {
                return true;
            }
        }
        false
    });
    scene.must_put("k", "v").await;
    let _ = read.read_to_end(&mut Vec::new()).await;
    assert!(flood.await.expect("the flood ends"), "it would have gone on");
    scene.must_put("k", "v").await;
}

/// Headers beyond their bound end the request, and reserve nothing.
#[tokio::test]
async fn headers_have_a_bound() {
    let mut scene = Scene::new().await;
    let mut wire = Wire::open(scene.address).await;
    let value = [b'x'; 100];
    let many: Vec<(&str, &[u8])> = (0..2000).map(|_| ("name", &value[..])).collect();
    let block = header_block(PUT, b"localhost", &many);
    let mut parts = block.chunks(16 * 1024);
    wire.say(&frame(HEADERS, 0, 1, parts.next().expect("there is one")))
        .await;
    for part in parts {
        wire.say(&frame(9, 0, 1, part)).await;
    }
    wire.say(&frame(9, END_HEADERS, 1, &[])).await;
    loop {
        match wire.hear().await {
            None => break,
            // 431 without a body, or the end of the stream.
            Some(frame) if frame.stream == 1 => break,
            Some(_) => {}
        }
    }
    scene.must_put("k", "v").await;
}
