//! The JSON gateway: one request, one answer.

use super::client::{get, post};
use crate::double::{Scene, Trouble};
use almadia_etcd::ProposeError;
use serde_json::{Value, json};

fn header(revision: i64) -> Value {
    json!({
        "cluster_id": "14841639742761626192",
        "member_id": "10276657743932975437",
        "revision": revision.to_string(),
        "raft_term": "3",
    })
}

/// Names as in the protocol file, 64-bit numbers as strings, bytes in base64, what is empty left out.
#[tokio::test]
async fn b8_1_kv() {
    let scene = Scene::new().await;
    let at = scene.address;
    let put = post(at, "/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#).await;
    assert_eq!((put.status, put.json()), (200, json!({ "header": header(2) })));
    assert_eq!(put.header("content-type"), Some("application/json"));
    assert_eq!(put.header("grpc-metadata-content-type"), Some("application/grpc"));
    let pair = json!({"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"});
    let range = post(at, "/v3/kv/range", r#"{"key":"Zm9v"}"#).await;
    assert_eq!(range.json(), json!({"header":header(2),"kvs":[pair],"count":"1"}));
    assert!(
        !range.body.contains(": ") && !range.body.contains(", "),
        "no blanks: {}",
        range.body
    );
    let none = post(at, "/v3/kv/range", r#"{"key":"YmFy","serializable":true}"#).await;
    assert_eq!(none.json(), json!({ "header": header(2) }));
    let txn = r#"{"compare":[{"target":"CREATE","key":"Zm9v","create_revision":"2"},{"target":"VALUE","key":"Zm9v","TargetUnion":{"Value":"YmFy"}}],
        "success":[{"request_put":{"key":"Zm9v","value":"YmF6","prev_kv":true}},{"Request":{"RequestRange":{"key":"Zm9v","count_only":true}}}],
        "failure":[{"request_delete_range":{"key":"Zm9v"}}]}"#;
    let txn = post(at, "/v3/kv/txn", txn).await;
    let expected = json!({
        "header": header(3),
        "succeeded": true,
        "responses": [
            {"response_put": {"header": {"revision": "3"}, "prev_kv": pair}},
            {"response_range": {"header": {"revision": "3"}, "count": "1"}},
        ],
    });
    assert_eq!(txn.json(), expected);
    let compaction = post(at, "/v3/kv/compaction", r#"{"revision":3}"#).await;
    assert_eq!(compaction.json(), json!({ "header": header(3) }));
    let delete = post(at, "/v3/kv/deleterange", r#"{"key":"AA==","range_end":"AA=="}"#).await;
    assert_eq!(delete.json(), json!({"header":header(4),"deleted":"1"}));
}

/// The two names that the gateway had before, and the old paths of leases (B3.8).
#[tokio::test]
async fn b8_1_older_paths() {
    let scene = Scene::new().await;
    for prefix in ["v3", "v3beta", "v3alpha"] {
        let range = post(scene.address, &format!("/{prefix}/kv/range"), r#"{"key":"Zm9v"}"#).await;
        assert_eq!(range.json(), json!({ "header": header(1) }), "{prefix}");
    }
    let grant = post(scene.address, "/v3/lease/grant", r#"{"TTL":"100","ID":7}"#).await;
    assert_eq!(grant.json(), json!({"header":header(1),"ID":"7","TTL":"100"}));
    let left = post(scene.address, "/v3/kv/lease/timetolive", r#"{"ID":"7"}"#).await;
    assert_eq!(left.json()["grantedTTL"], "100", "{left:?}");
    let leases = post(scene.address, "/v3/kv/lease/leases", "{}").await;
    assert_eq!(leases.json()["leases"], json!([{"ID":"7"}]));
    let revoke = post(scene.address, "/v3/kv/lease/revoke", r#"{"ID":"7"}"#).await;
    assert_eq!(revoke.status, 200);
    let again = post(scene.address, "/v3/lease/revoke", r#"{"ID":"7"}"#).await;
    assert_eq!(again.status, 404);
}

/// Path, JSON, HTTP status, code, text.
const REFUSED: &[(&str, &str, u16, i32, &str)] = &[
    ("kv/range", "{}", 400, 3, "etcdserver: key is not provided"),
    ("kv/range", "", 400, 3, "etcdserver: key is not provided"),
    ("kv/range", "{\"key\":", 400, 3, "unexpected end of the JSON"),
    ("kv/range", "[]", 400, 3, "the body is not a JSON object"),
    (
        "kv/range",
        r#"{"key":"YQ=="}{}"#,
        400,
        3,
        "more than one JSON object for a method that takes one",
    ),
    (
        "kv/range",
        r#"{"key":"YQ=="} x"#,
        400,
        3,
        "more than one JSON object for a method that takes one",
    ),
    (
        "kv/range",
        r#"{"key":"YQ==","revision":9}"#,
        400,
        11,
        "etcdserver: mvcc: required revision is a future revision",
    ),
    (
        "lease/revoke",
        "{}",
        404,
        5,
        "etcdserver: requested lease not found",
    ),
    (
        "auth/enable",
        "{}",
        400,
        9,
        "etcdserver: root user does not exist",
    ),
    (
        "election/leader",
        r#"{"name":"YQ=="}"#,
        500,
        2,
        "election: no leader",
    ),
    ("kv/nothing", "{}", 404, 5, "Not Found"),
    ("kv/rangestream", "{}", 404, 5, "Not Found"),
    ("", "{}", 404, 5, "Not Found"),
];

/// Refusals have the members that clients of all gateways look for, and etcd's status.
#[tokio::test]
async fn b8_1_refusals() {
    let scene = Scene::new().await;
    let at = scene.address;
    for &(path, json, status, code, message) in REFUSED {
        let found = post(at, &format!("/v3/{path}"), json).await;
        let expected = json!({"error":message,"code":code,"message":message});
        assert_eq!((found.status, found.json()), (status, expected), "{path} {json}");
    }
    for (error, status, code) in [
        (ProposeError::Stopped, 503, 14),
        (ProposeError::TimedOut, 503, 14),
        (ProposeError::Busy, 429, 8),
    ] {
        scene.double.set_trouble(Trouble {
            propose: Some(error.clone()),
            ..Trouble::default()
        });
        let found = post(at, "/v3/kv/put", r#"{"key":"YQ=="}"#).await;
        assert_eq!(
            (found.status, &found.json()["code"]),
            (status, &json!(code)),
            "{error:?}"
        );
    }
    let wrong = get(at, "/v3/kv/range").await;
    let expected = json!({"error":"Method Not Allowed","code":12,"message":"Method Not Allowed"});
    assert_eq!(
        (wrong.status, wrong.json(), wrong.header("allow")),
        (501, expected, Some("POST"))
    );
}

#[tokio::test]
async fn b8_1_members_and_maintenance() {
    let scene = Scene::new().await;
    let at = scene.address;
    let members = post(at, "/v3/cluster/member/list", "{}").await.json();
    assert_eq!(members["members"][1]["ID"], "10276657743932975437");
    assert_eq!(
        members["members"][1]["peerURLs"],
        json!(["http://127.0.0.1:2380"])
    );
    assert_eq!(members["members"][0]["isLearner"], json!(true));
    let status = post(at, "/v3/maintenance/status", "").await.json();
    assert_eq!(
        (&status["version"], &status["dbSize"], &status["leader"]),
        (&json!("3.7.1"), &json!("4096"), &json!("10276657743932975437"))
    );
    let alarm = r#"{"action":"ACTIVATE","alarm":"NOSPACE","memberID":"5"}"#;
    let raised = post(at, "/v3/maintenance/alarm", alarm).await.json();
    assert_eq!(raised["alarms"], json!([{"memberID":"5","alarm":"NOSPACE"}]));
    post(
        at,
        "/v3/maintenance/alarm",
        &alarm.replace("ACTIVATE", "DEACTIVATE"),
    )
    .await;
    post(at, "/v3/kv/put", r#"{"key":"YQ=="}"#).await;
    let hash = post(at, "/v3/maintenance/hashkv", "{}").await.json();
    assert!(hash["hash"].is_u64(), "32-bit numbers are numbers: {hash}");
}

/// A request that went through the log tells where, as by gRPC, when it is asked to.
#[tokio::test]
async fn positions_are_metadata() {
    let scene = Scene::new().await;
    let asked = [("Grpc-Metadata-Almadia-Position", "1")];
    let put = super::client::ask(scene.address, "POST", "/v3/kv/put", &asked, r#"{"key":"YQ=="}"#).await;
    assert_eq!(
        put.header("grpc-metadata-almadia-log-index"),
        Some("2"),
        "{put:?}"
    );
}
