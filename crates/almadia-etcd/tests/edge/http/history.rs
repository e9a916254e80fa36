//! C32: a key's history in the console, with what a range cannot say: deletions, and keys that are not there any more.

use super::client::{Answer, ask, get, post};
use super::console::{assert_guarded, enable_auth};
use crate::double::Scene;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// `foo`.
const HISTORY: &str = "/console/history?key=Zm9v";

async fn put(at: SocketAddr, value: &str) {
    let answer = post(
        at,
        "/v3/kv/put",
        &format!(r#"{{"key":"Zm9v","value":"{value}"}}"#),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn delete(at: SocketAddr) {
    let answer = post(at, "/v3/kv/deleterange", r#"{"key":"Zm9v"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Of each change its revision, and its version or `-` for a deletion.
fn changes(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let shown = |change: &Value| match change["deleted"].as_bool() {
        Some(true) => format!("{} -", change["revision"]),
        _ => format!("{} v{}", change["revision"], change["version"]),
    };
    json["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(shown)
        .collect()
}

#[tokio::test]
async fn c32_deletions_and_creations_are_in_a_key_s_history() {
    let scene = Scene::new().await;
    let at = scene.address;
    assert_eq!(
        get(at, HISTORY).await.json(),
        json!({"compacted": 0, "changes": [], "more": false})
    );
    put(at, "YQ==").await;
    put(at, "Yg==").await;
    delete(at).await;
    let gone = get(at, HISTORY).await;
    assert_guarded(&gone);
    assert_eq!(changes(&gone), ["4 -", "3 v2", "2 v1"]);
    put(at, "Yw==").await;
    let again = get(at, HISTORY).await;
    assert_eq!(changes(&again), ["5 v1", "4 -", "3 v2", "2 v1"]);
    let newest =
        json!({"revision": 5, "deleted": false, "version": 1, "lease": null, "bytes": 1, "value": "Yw"});
    assert_eq!(again.json()["changes"][0], newest);
    assert_eq!(
        again.json()["changes"][1],
        json!({"revision": 4, "deleted": true})
    );
    let compact = post(at, "/v3/kv/compaction", r#"{"revision":"3"}"#).await;
    assert_eq!(compact.status, 200, "{compact:?}");
    let left = get(at, HISTORY).await;
    assert_eq!(changes(&left), ["5 v1", "4 -", "3 v2"]);
    assert_eq!(left.json()["compacted"], 3);
}

#[tokio::test]
async fn c32_a_long_history_comes_in_pages() {
    let scene = Scene::new().await;
    let at = scene.address;
    for _ in 0..12 {
        put(at, "YQ==").await;
        delete(at).await;
    }
    let mut all = Vec::new();
    let mut path = HISTORY.to_owned();
    loop {
        let page = get(at, &path).await;
        let shown = changes(&page);
        assert!(shown.len() <= 10, "bounded: {shown:?}");
        all.extend(shown);
        let json = page.json();
        if json["more"] == false {
            break;
        }
        let last = json["changes"]
            .as_array()
            .expect("changes")
            .last()
            .expect("one")
            .clone();
        path = format!("{HISTORY}&below={}", last["revision"]);
    }
    let expected: Vec<String> = (2..26)
        .rev()
        .map(|revision| {
            if revision % 2 == 0 {
                format!("{revision} v1")
            } else {
                format!("{revision} -")
            }
        })
        .collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn c32_a_history_is_for_those_who_may_read_the_key() {
    let scene = Scene::new().await;
    let at = scene.address;
    put(at, "YQ==").await;
    for wrong in [
        "/console/history",
        "/console/history?key=%",
        "/console/history?key=Zm9v&below=x",
    ] {
        let answer = get(at, wrong).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert_guarded(&answer);
    }
    // Ann may read foo and nothing else, and has not the role root.
    let [root, ann, _] = enable_auth(at).await;
    let nobody = get(at, HISTORY).await;
    assert_eq!(nobody.status, 400, "no user: {nobody:?}");
    let hers = ask(at, "GET", HISTORY, &[("Authorization", &ann)], "").await;
    assert_eq!(changes(&hers), ["2 v1"]);
    let other = "/console/history?key=Zm9vZA";
    let refused = ask(at, "GET", other, &[("Authorization", &ann)], "").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let all = ask(at, "GET", other, &[("Authorization", &root)], "").await;
    assert_eq!(changes(&all), [""; 0]);
}
