//! The reader of JSON against the generated messages: what it lays down must decode to what was meant.

use super::super::routes;
use super::*;
use crate::proto::etcdserverpb as pb;
use proptest::prelude::*;
use prost::Message;

fn read<M: Message + Default>(path: &str, json: &str) -> Result<M, String> {
    let route = routes::find(path).expect("the gateway has this path");
    let bytes = message(json.as_bytes(), &route.input)?;
    Ok(M::decode(bytes.as_slice()).expect("what was laid down is a message"))
}

#[track_caller]
fn range(json: &str) -> pb::RangeRequest {
    read("kv/range", json).unwrap()
}

#[track_caller]
fn refused(path: &str, json: &str) -> String {
    let route = routes::find(path).expect("the gateway has this path");
    message(json.as_bytes(), &route.input).expect_err(json)
}

fn request(key: &'static [u8]) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.into(),
        ..Default::default()
    }
}

#[test]
fn b8_1_names_numbers_enums_bytes() {
    assert_eq!(range("{}"), pb::RangeRequest::default());
    assert_eq!(range(r#"{"key":"Zm9v"}"#), request(b"foo"));
    let expected = pb::RangeRequest {
        range_end: "fop".into(),
        limit: 1000,
        revision: -5,
        sort_order: 2,
        sort_target: 4,
        keys_only: true,
        ..request(b"foo")
    };
    for json in [
        r#"{"key":"Zm9v","range_end":"Zm9w","limit":"1000","revision":"-5","sort_order":"DESCEND","sort_target":"VALUE","keys_only":true}"#,
        r#"{"keysOnly":true,"sortTarget":4,"sortOrder":2,"revision":-5,"limit":1e3,"rangeEnd":"Zm9w","key":"Zm9v"}"#,
        r#"{"key":"Zm9v","rangeEnd":"Zm9w","limit":1000.0,"revision":-5,"sort_order":2,"sort_target":"VALUE","keys_only":true,
            "serializable":null,"nobody_knows":{"key":[1,{}]}}"#,
    ] {
        assert_eq!(range(json), expected, "{json}");
    }
    for (json, key) in [
        (r#"{"key":"_-8="}"#, &[0xff, 0xef][..]),
        (r#"{"key":"_-8"}"#, &[0xff, 0xef]),
        (r#"{"key":"/+8="}"#, &[0xff, 0xef]),
        (r#"{"key":"AA\u003d\u003d"}"#, &[0]),
        (r#"{"key":""}"#, &[]),
    ] {
        assert_eq!(range(json).key, key, "{json}");
    }
    let filters: pb::WatchRequest =
        read("watch", r#"{"create_request":{"filters":["NODELETE",0]}}"#).unwrap();
    let Some(pb::watch_request::RequestUnion::CreateRequest(create)) = filters.request_union else {
        panic!("{filters:?}");
    };
    assert_eq!(create.filters, [1, 0]);
    let add: pb::MemberAddRequest =
        read("cluster/member/add", r#"{"peerURLs":["a","b"],"isLearner":true}"#).unwrap();
    assert_eq!(
        (add.peer_ur_ls, add.is_learner),
        (vec!["a".to_owned(), "b".to_owned()], true)
    );
}

/// Old and new gateways' forms of a choice mean the same.
#[test]
fn b8_1_choices_in_both_forms() {
    let flat = r#"{"compare":[{"target":"CREATE","key":"Zm9v","create_revision":"2"},{"target":"VALUE","value":"AQ=="},{"version":0}],
        "success":[{"request_put":{"key":"Zm9v","value":"YmFy"}},{"request_txn":{"failure":[{"request_range":{"key":"YQ=="}}]}}]}"#;
    let wrapped = r#"{"compare":[{"target":1,"key":"Zm9v","TargetUnion":{"CreateRevision":2}},{"target":"VALUE","target_union":{"value":"AQ=="}},
        {"targetUnion":{"version":"0"}}],
        "success":[{"Request":{"RequestPut":{"key":"Zm9v","value":"YmFy"}}},{"request":{"requestTxn":{"failure":[{"requestRange":{"key":"YQ=="}}]}}}]}"#;
    let [flat, wrapped]: [pb::TxnRequest; 2] = [flat, wrapped].map(|json| read("kv/txn", json).unwrap());
    assert_eq!(flat, wrapped);
    let version = flat.compare[2].target_union.clone();
    assert_eq!(
        version,
        Some(pb::compare::TargetUnion::Version(0)),
        "written although it is 0"
    );
    let watch: [pb::WatchRequest; 3] = [
        r#"{"create_request":{"key":"Zm9v"}}"#,
        r#"{"createRequest":{"key":"Zm9v"}}"#,
        r#"{"request_union":{"CreateRequest":{"key":"Zm9v"}}}"#,
    ]
    .map(|json| read("watch", json).unwrap());
    assert!(watch[0].request_union.is_some() && watch[0] == watch[1] && watch[0] == watch[2]);
    let none: pb::TxnRequest = read(
        "kv/txn",
        r#"{"compare":[{"TargetUnion":null}],"success":[{"Request":{}}]}"#,
    )
    .unwrap();
    assert_eq!(
        (
            none.compare[0].target_union.clone(),
            none.success[0].request.clone()
        ),
        (None, None)
    );
}

/// Path, JSON, and how the complaint begins.
const REFUSED: &[(&str, &str, &str)] = &[
    ("kv/range", r#"{"key":"Zm9v""#, "EOF while parsing an object"),
    (
        "kv/range",
        r#"{"key":"***"}"#,
        r#"invalid value for field "key": "***""#,
    ),
    (
        "kv/range",
        r#"{"key":"Z"}"#,
        r#"invalid value for field "key": "Z""#,
    ),
    ("kv/range", r#"{"key":1}"#, r#"invalid value for field "key": 1"#),
    (
        "kv/range",
        r#"{"key":{}}"#,
        r#"invalid value for field "key": an object"#,
    ),
    (
        "kv/range",
        r#"{"key":["YQ=="]}"#,
        r#"invalid value for field "key": a list"#,
    ),
    (
        "kv/range",
        r#"{"key":"YQ==","key":"YQ=="}"#,
        r#"duplicate field "key""#,
    ),
    (
        "kv/range",
        r#"{"range_end":"YQ==","rangeEnd":"YQ=="}"#,
        r#"duplicate field "range_end""#,
    ),
    (
        "kv/range",
        r#"{"limit":1.5}"#,
        r#"invalid value for field "limit": 1.5"#,
    ),
    (
        "kv/range",
        r#"{"limit":"1.5"}"#,
        r#"invalid value for field "limit": "1.5""#,
    ),
    (
        "kv/range",
        r#"{"limit":9223372036854775808}"#,
        r#"invalid value for field "limit": 9223372036854775808"#,
    ),
    (
        "kv/range",
        r#"{"limit":1e300}"#,
        r#"invalid value for field "limit": 1"#,
    ),
    (
        "kv/range",
        r#"{"limit":true}"#,
        r#"invalid value for field "limit": true"#,
    ),
    (
        "kv/range",
        r#"{"keys_only":1}"#,
        r#"invalid value for field "keys_only": 1"#,
    ),
    (
        "kv/range",
        r#"{"keys_only":"true"}"#,
        r#"invalid value for field "keys_only": "true""#,
    ),
    (
        "kv/range",
        r#"{"sort_target":"NOPE"}"#,
        r#"invalid value for field "sort_target": "NOPE""#,
    ),
    (
        "kv/range",
        r#"{"sort_target":4294967296}"#,
        r#"invalid value for field "sort_target": 4294967296"#,
    ),
    (
        "kv/range",
        "[]",
        "invalid type: sequence, expected an object (RangeRequest)",
    ),
    (
        "kv/range",
        "null",
        "invalid type: null, expected an object (RangeRequest)",
    ),
    ("kv/range", "{} {}", "trailing characters"),
    (
        "kv/txn",
        r#"{"success":{}}"#,
        r#"invalid value for field "success": an object"#,
    ),
    (
        "kv/txn",
        r#"{"success":[null]}"#,
        r#"invalid value for field "success": null"#,
    ),
    (
        "kv/txn",
        r#"{"success":[[]]}"#,
        r#"invalid value for field "success": a list"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"version":1,"lease":2}]}"#,
        r#""version" and "lease" exclude each other"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"version":1,"TargetUnion":{"Lease":2}}]}"#,
        r#""version" and "lease" exclude each other"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"TargetUnion":7}]}"#,
        r#"invalid type: integer `7`, expected an object with one member of "target_union""#,
    ),
];

/// One line that says what and where.
#[test]
fn b8_1_what_is_refused() {
    for &(path, json, expected) in REFUSED {
        let found = refused(path, json);
        assert!(found.starts_with(expected), "{json}: {found}");
        assert!(
            found.contains(" at line 1 column ") && !found.contains('\n'),
            "{found}"
        );
    }
    let long = format!(r#"{{"key":"{}"}}"#, "*".repeat(100_000));
    assert!(
        refused("kv/range", &long).len() < 120,
        "a wrong value is not repeated whole"
    );
    let deep = format!("{}{{}}", r#"{"success":[{"request_txn":"#.repeat(100));
    assert!(refused("kv/txn", &deep).starts_with("recursion limit exceeded"));
    let ignored = format!(r#"{{"x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert!(
        range(&ignored) == pb::RangeRequest::default(),
        "what is ignored is passed over without a stack"
    );
}

proptest! {
    /// What is laid down is what was said, for any values.
    #[test]
    fn any_values(key: Vec<u8>, limit: i64, id: u64, flag: bool, order in 0..3i32) {
        let key64 = STANDARD.encode(&key);
        let json = format!(
            r#"{{"key":"{key64}","limit":"{limit}","revision":{limit},"keys_only":{flag},"sort_order":{order}}}"#
        );
        let found = range(&json);
        prop_assert_eq!(found.key, key);
        prop_assert_eq!((found.limit, found.revision), (limit, limit));
        prop_assert_eq!((found.keys_only, found.sort_order), (flag, order));
        let remove: pb::MemberRemoveRequest = read("cluster/member/remove", &format!(r#"{{"ID":{id}}}"#)).unwrap();
        prop_assert_eq!(remove.id, id);
    }

    /// Whatever the bytes, an answer or an error; and never more bytes than JSON.
    #[test]
    fn any_bytes(json: Vec<u8>) {
        let route = routes::find("kv/txn").unwrap();
        if let Ok(bytes) = message(&json, &route.input) {
            prop_assert!(bytes.len() <= json.len());
        }
    }
}
