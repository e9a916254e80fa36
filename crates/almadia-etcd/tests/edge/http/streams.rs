//! The JSON gateway's streams: a line for each message, as it comes.

use super::client::{Talk, post};
use crate::double::Scene;
use serde_json::json;

#[tokio::test]
async fn b8_1_watch() {
    let scene = Scene::new().await;
    let at = scene.address;
    post(at, "/v3/kv/put", r#"{"key":"Zm9v","value":"MQ=="}"#).await;
    let create = r#"{"create_request":{"key":"Zm9v","start_revision":"2"}}"#;
    let mut watch = Talk::begin(at, "POST", "/v3/watch", &[], create).await;
    assert_eq!(watch.status, 200);
    assert_eq!(watch.next().await["result"]["created"], true);
    let history = watch.next().await;
    let pair = json!({"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"MQ=="});
    assert_eq!(
        history["result"]["events"],
        json!([{"kv":pair}]),
        "a put is the default"
    );
    // Its request is whole, and it goes on.
    post(at, "/v3/kv/deleterange", r#"{"key":"Zm9v"}"#).await;
    let deleted = watch.next().await;
    let expected = json!([{"type":"DELETE","kv":{"key":"Zm9v","mod_revision":"3"}}]);
    assert_eq!(deleted["result"]["events"], expected);
    drop(watch);
    scene.stop().await;
}

/// Many messages on one request: together, and one after the other.
#[tokio::test]
async fn b8_1_watch_requests_one_after_the_other() {
    let scene = Scene::new().await;
    let two = r#"{"create_request":{"key":"YQ=="}} {"request_union":{"CreateRequest":{"key":"Yg=="}}}"#;
    let mut watch = Talk::open(scene.address, "/v3/watch", two).await;
    assert_eq!(watch.next().await["result"]["created"], true);
    let second = watch.next().await;
    assert_eq!(
        (&second["result"]["created"], &second["result"]["watch_id"]),
        (&json!(true), &json!("1"))
    );
    watch.say("{\"cancel_request\":").await;
    watch.say("{\"watch_id\":1}}\n").await;
    let canceled = watch.next().await;
    assert_eq!(
        (&canceled["result"]["canceled"], &canceled["result"]["watch_id"]),
        (&json!(true), &json!("1"))
    );
    watch.say("{\"progress_request\":{}}").await;
    assert_eq!(watch.next().await["result"]["watch_id"], "-1");
    // What cannot be read ends the stream with its reason.
    watch.say("{\"cancel_request\":7}").await;
    let error = watch.next().await;
    let error = &error["error"];
    assert_eq!(
        (&error["grpc_code"], &error["code"], &error["http_code"]),
        (&json!(3), &json!(3), &json!(400))
    );
    assert!(watch.piece().await.is_none(), "and nothing follows");
}

#[tokio::test]
async fn b8_1_keepalive() {
    let scene = Scene::new().await;
    post(scene.address, "/v3/lease/grant", r#"{"TTL":"100","ID":"7"}"#).await;
    let answer = post(scene.address, "/v3/lease/keepalive", r#"{"ID":"7"}{"ID":9}"#).await;
    let lines: Vec<serde_json::Value> = answer
        .body
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "the stream ends with the request: {answer:?}");
    assert_eq!(
        (&lines[0]["result"]["ID"], &lines[0]["result"]["TTL"]),
        (&json!("7"), &json!("100"))
    );
    assert_eq!(
        (&lines[1]["result"]["ID"], &lines[1]["result"]["TTL"]),
        (&json!("9"), &json!(null))
    );
    let nothing = post(scene.address, "/v3/lease/keepalive", "").await;
    assert_eq!((nothing.status, nothing.body.as_str()), (200, ""));
}

/// A stream that cannot begin says so by its status.
#[tokio::test]
async fn b8_1_streams_that_do_not_begin() {
    let scene = Scene::new().await;
    for (path, json) in [
        ("watch", "{\"create_request\":7}"),
        ("watch", "garbage"),
        ("lease/keepalive", "{"),
    ] {
        let answer = post(scene.address, &format!("/v3/{path}"), json).await;
        assert_eq!(answer.status, 400, "{path} {json}");
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["grpc_code"], &error["http_status"]),
            (&json!(3), &json!("Bad Request"))
        );
    }
}

#[tokio::test]
async fn b8_1_observe_and_stop() {
    let scene = Scene::new().await;
    let at = scene.address;
    post(at, "/v3/lease/grant", r#"{"TTL":"100","ID":"7"}"#).await;
    let campaign = r#"{"name":"ZQ==","lease":"7","value":"bWU="}"#;
    let leader = post(at, "/v3/election/campaign", campaign).await.json();
    assert_eq!(leader["leader"]["lease"], "7");
    let mut observe = Talk::begin(at, "POST", "/v3/election/observe", &[], r#"{"name":"ZQ=="}"#).await;
    assert_eq!(observe.next().await["result"]["kv"]["value"], "bWU=");
    // A server that stops ends it with a line.
    let stopping = tokio::spawn(scene.stop());
    let error = observe.next().await;
    assert_eq!(error["error"]["grpc_code"], 14, "{error}");
    assert!(observe.piece().await.is_none());
    drop(observe);
    stopping.await.expect("the server stops");
}
