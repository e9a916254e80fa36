//! Requests that are meant to get past something.

use super::client::{Answer, ask, post};
use crate::double::Scene;
use almadia_etcd::Config;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The status of whatever comes back for these bytes.
async fn raw(at: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(at).await.expect("the server listens");
    stream.write_all(text.as_bytes()).await.expect("the server reads");
    let mut answer = [0; 12];
    // A connection that is closed without a word is an answer, too.
    match stream.read_exact(&mut answer).await {
        Ok(_) => String::from_utf8_lossy(&answer[9..]).into_owned(),
        Err(_) => "closed".to_owned(),
    }
}

/// CVE-2026-33186: paths that one layer reads so and another layer differently. Here a path is the path that it is, or
/// nothing.
#[tokio::test]
async fn cve_2026_33186_odd_paths_are_nothing() {
    let scene = Scene::new().await;
    let key = r#"{"key":"YQ=="}"#;
    for path in [
        "//v3/kv/put",
        "/v3//kv/put",
        "/v3/kv/put/",
        "/v3/kv/%70ut",
        "/v3%2fkv%2fput",
        "/v3/./kv/put",
        "/v3/x/../kv/put",
        "/V3/kv/put",
        "/v3/kv/put;a=b",
        "/v3/kv/put%00",
        "/v3/etcdserverpb.KV/Put",
        "/x/v3/kv/put",
    ] {
        assert_eq!(post(scene.address, path, key).await.status, 404, "{path}");
    }
    for target in ["v3/kv/put", "*", "", "etcdserverpb.KV/Put"] {
        let text = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{key}",
            key.len()
        );
        let found = raw(scene.address, &text).await;
        assert!(
            ["400", "404", "closed"].contains(&found.as_str()),
            "{target}: {found}"
        );
    }
    let proposals = scene.double.proposals.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(proposals, 0, "none of it reached the store");
}

/// A page in a browser can make it send a form to a member, but not gRPC: what is not clearly gRPC reaches no service.
#[tokio::test]
async fn a_form_is_no_grpc() {
    let scene = Scene::new().await;
    let frame = "\0\0\0\0\u{3}\n\u{1}a";
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/grpc",
    ] {
        let headers = [("Content-Type", kind)];
        let answer: Answer = ask(scene.address, "POST", "/etcdserverpb.KV/Put", &headers, frame).await;
        assert_eq!(answer.status, 404, "{kind} over HTTP/1");
    }
    let proposals = scene.double.proposals.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(proposals, 0, "none of it reached the store");
}

/// The largest request by gRPC is the largest by JSON, too; beyond, it is refused while it arrives.
#[tokio::test]
async fn sizes_are_bounded() {
    let scene = Scene::with(Config {
        request_bytes_max: 1000,
        ..Config::default()
    })
    .await;
    let put = |bytes: usize| format!(r#"{{"key":"YQ==","value":"{}"}}"#, "A".repeat(bytes / 3 * 4));
    assert_eq!(post(scene.address, "/v3/kv/put", &put(900)).await.status, 200);
    let large = post(scene.address, "/v3/kv/put", &put(3000)).await;
    assert_eq!(
        (large.status, large.json()["message"].as_str()),
        (400, Some("etcdserver: request is too large"))
    );
    let larger = post(scene.address, "/v3/kv/put", &put(530_000)).await;
    assert_eq!(larger.status, 429, "gRPC's own bound");
    let head = "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n{\"key\":\"";
    let mut stream = TcpStream::connect(scene.address)
        .await
        .expect("the server listens");
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let (mut reader, mut writer) = stream.split();
    let flood = async {
        let piece = [b'A'; 64 * 1024];
        while writer.write_all(&piece).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    let refused = async {
        reader
            .read_exact(&mut answer)
            .await
            .expect("it is refused before it is whole")
    };
    tokio::select! {
        _ = refused => {}
        () = flood => {}
    }
    assert_eq!(&answer, b"HTTP/1.1 429");
}
