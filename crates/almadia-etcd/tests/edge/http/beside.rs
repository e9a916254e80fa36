//! The same requests by HTTP to a real etcd and to this edge: status and JSON must be the same, ids, terms and what tells one
//! gateway of etcd's from the other aside. Runs when `ALMADIA_ETCD_BIN` names an etcd program.

use super::client::{Answer, get, post};
use crate::double::Scene;

use crate::beside::{Etcd, etcd_or_skip};
use serde_json::Value;
use std::net::SocketAddr;

/// What is told by a path and a body, in this order.
const SCRIPT: &[(&str, &str)] = &[
    ("kv/range", r#"{"key":"Zm9v"}"#),
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("kv/put", r#"{"key":"Zm9v","value":"YmF6","prev_kv":true}"#),
    ("kv/put", r#"{"key":"YQ==","ignore_value":true}"#),
    ("kv/put", r#"{"key":"YQ==","lease":"99"}"#),
    ("kv/put", r#"{}"#),
    ("kv/range", r#"{"key":"Zm9v"}"#),
    ("kv/range", r#"{"key":"Zm9v","countOnly":true}"#),
    (
        "kv/range",
        r#"{"key":"Zm9v","keys_only":true,"serializable":true}"#,
    ),
    (
        "kv/range",
        r#"{"key":"AA==","range_end":"AA==","limit":1,"sort_order":"DESCEND","sort_target":"VALUE"}"#,
    ),
    (
        "kv/range",
        r#"{"key":"AA==","rangeEnd":"AA==","limit":"1","sortOrder":2,"sortTarget":4}"#,
    ),
    ("kv/range", r#"{"key":"Zm9v","revision":2}"#),
    ("kv/range", r#"{"key":"Zm9v","revision":"999"}"#),
    ("kv/range", r#"{"key":"Zm9v","nobody":{"knows":[1,2,{}]}}"#),
    ("kv/range", r#"{"key":null,"limit":null}"#),
    ("kv/range", r#"{"KEY":"Zm9v"}"#),
    ("kv/range", r#"{"key":"_-8"}"#),
    ("kv/range", r#"{"key":"Zm9"}"#),
    ("kv/range", r#"{"key":"Zm9v","limit":1e3}"#),
    ("kv/range", ""),
    ("kv/txn", "{}"),
    (
        "kv/txn",
        r#"{"compare":[{"target":"CREATE","key":"Zm9v","create_revision":"2"}],"success":[{"request_put":{"key":"Zm9v","value":"YQ=="}},{"request_range":{"key":"Zm9v"}}]}"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"target":"VALUE","key":"Zm9v","value":"YQ=="},{"result":"GREATER","target":"VERSION","key":"Zm9v","version":1}],"success":[{"request_range":{"key":"Zm9v"}}]}"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"result":3,"target":2,"key":"Zm9v","modRevision":1}],"failure":[],"success":[{"requestDeleteRange":{"key":"Zm9v","prevKv":true}}]}"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"target":"CREATE","key":"Zm9v","create_revision":"0"}],"failure":[{"request_put":{"key":"Zm9v"}}],"success":[{"request_txn":{"success":[{"request_put":{"key":"Yg=="}}]}}]}"#,
    ),
    (
        "kv/txn",
        r#"{"success":[{"request_put":{"key":"Zm9v"}},{"request_put":{"key":"Zm9v"}}]}"#,
    ),
    ("kv/txn", r#"{"success":[{}]}"#),
    ("kv/deleterange", r#"{"key":"Yg==","prev_kv":true}"#),
    ("kv/deleterange", r#"{"key":"Yg=="}"#),
    ("kv/compaction", r#"{"revision":"3"}"#),
    ("kv/compaction", r#"{"revision":"3"}"#),
    ("kv/compaction", r#"{"revision":"300"}"#),
    ("lease/grant", r#"{"TTL":"100","ID":5}"#),
    ("lease/grant", r#"{"TTL":"100","ID":5}"#),
    ("lease/grant", r#"{"TTL":"9000000001"}"#),
    ("kv/put", r#"{"key":"bA==","lease":5}"#),
    ("lease/keepalive", r#"{"ID":5}"#),
    ("lease/keepalive", r#"{"ID":"5"}{"ID":"7"}"#),
    ("kv/lease/timetolive", r#"{"ID":7,"keys":true}"#),
    ("lease/leases", "{}"),
    ("kv/lease/leases", "{}"),
    ("kv/lease/grant", r#"{"TTL":"100","ID":6}"#),
    ("kv/lease/revoke", r#"{"ID":5}"#),
    ("lease/revoke", r#"{"ID":5}"#),
    ("cluster/member/add", r#"{"peerURLs":["nonsense"]}"#),
    ("maintenance/alarm", "{}"),
    (
        "maintenance/alarm",
        r#"{"action":"ACTIVATE","alarm":"NOSPACE","memberID":"5"}"#,
    ),
    ("maintenance/alarm", r#"{"action":0,"alarm":0}"#),
    (
        "maintenance/alarm",
        r#"{"action":"DEACTIVATE","alarm":"NOSPACE","memberID":5}"#,
    ),
    ("maintenance/defragment", "{}"),
    ("maintenance/downgrade", "{}"),
    ("maintenance/transfer-leadership", "{}"),
    ("auth/status", "{}"),
    ("auth/authenticate", "{}"),
    ("auth/enable", "{}"),
    ("auth/disable", "{}"),
    ("auth/user/add", "{}"),
    ("auth/user/add", r#"{"name":"ann","password":"a"}"#),
    (
        "auth/user/add",
        r#"{"name":"bob","options":{"no_password":true}}"#,
    ),
    ("auth/user/get", r#"{"name":"ann"}"#),
    ("auth/user/list", "{}"),
    ("auth/user/delete", r#"{"name":"nobody"}"#),
    ("auth/user/changepw", r#"{"name":"ann","password":"b"}"#),
    ("auth/role/add", r#"{"name":"r"}"#),
    (
        "auth/role/grant",
        r#"{"name":"r","perm":{"permType":"READWRITE","key":"YQ==","range_end":"Yg=="}}"#,
    ),
    (
        "auth/role/grant",
        r#"{"name":"r","perm":{"permType":"READ","key":"eA=="}}"#,
    ),
    ("auth/role/grant", "{}"),
    ("auth/role/get", r#"{"role":"r"}"#),
    ("auth/role/list", "{}"),
    ("auth/role/revoke", r#"{"role":"r","key":"eA=="}"#),
    ("auth/user/grant", r#"{"user":"ann","role":"r"}"#),
    ("auth/user/revoke", r#"{"name":"ann","role":"r"}"#),
    ("auth/role/delete", r#"{"role":"r"}"#),
    ("lock/lock", r#"{"name":"bA==","lease":"77"}"#),
    ("lock/unlock", r#"{"key":"bA=="}"#),
    ("election/leader", r#"{"name":"ZQ=="}"#),
    ("election/proclaim", "{}"),
    ("election/resign", "{}"),
    ("kv/nothing", "{}"),
    ("", "{}"),
];

/// Without what differs between any two servers, and between etcd's gateways: the older shows `error`, the newer does not.
fn plain(mut answer: Value) -> Value {
    strip(&mut answer);
    answer
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["cluster_id", "member_id", "raft_term"] {
                members.remove(name);
            }
            if members.contains_key("code") {
                members.remove("error");
            }
            members.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer
        .body
        .lines()
        .map(|line| plain(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {answer:?}"))))
        .collect()
}

fn address(url: &str) -> SocketAddr {
    let address = url.strip_prefix("http://").expect("etcd is told an address");
    address.parse().expect("etcd is told an address")
}

#[tokio::test]
async fn b8_1_every_answer_is_etcds() {
    let Some(program) = etcd_or_skip("b8_1_every_answer_is_etcds") else {
        return;
    };
    let etcd = Etcd::start(&program).await;
    drop(etcd.connect().await);
    let (theirs, scene) = (address(&etcd.url), Scene::new().await);
    for (path, json) in SCRIPT {
        let path = format!("/v3/{path}");
        let expected = post(theirs, &path, json).await;
        let found = post(scene.address, &path, json).await;
        assert_eq!(
            (found.status, lines(&found)),
            (expected.status, lines(&expected)),
            "left is ours, right is etcd's, for {path} {json}"
        );
    }
    for path in [
        "/health",
        "/health?serializable=true",
        "/livez",
        "/livez?verbose",
        "/readyz/non_learner",
        "/nothing",
    ] {
        let (expected, found) = (get(theirs, path).await, get(scene.address, path).await);
        assert_eq!(
            (found.status, found.body),
            (expected.status, expected.body),
            "{path}"
        );
    }
}
