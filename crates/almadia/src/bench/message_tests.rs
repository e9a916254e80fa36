//! Tests of the requests and answers as bytes, against the generated types.

use super::*;
use almadia_etcd::proto::etcdserverpb::compare::{CompareTarget, TargetUnion};
use almadia_etcd::proto::etcdserverpb::request_op::Request;
use almadia_etcd::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RangeResponse,
    ResponseHeader, ResponseOp, TxnRequest, TxnResponse, WatchRequest, WatchResponse, response_op,
    watch_request,
};
use almadia_etcd::proto::mvccpb::{Event as WireEvent, KeyValue};
use proptest::prelude::*;
use prost::Message;

#[test]
fn requests_are_what_the_generated_types_read() {
    let value = vec![7; 300];
    let mut out = Vec::new();
    put(&mut out, b"k", &value);
    let read = PutRequest::decode(&out[..]).expect("valid");
    assert_eq!((&read.key[..], &read.value[..]), (&b"k"[..], &value[..]));

    out.clear();
    let wish = Range {
        key: b"a",
        end: b"b",
        limit: 500,
        serializable: true,
        count_only: true,
    };
    range(&mut out, &wish);
    let read = RangeRequest::decode(&out[..]).expect("valid");
    assert_eq!(
        (read.limit, read.serializable, read.count_only),
        (500, true, true)
    );
    assert_eq!((&read.key[..], &read.range_end[..]), (&b"a"[..], &b"b"[..]));

    out.clear();
    guarded_put(&mut out, b"k", 1234, &value, 77);
    let read = TxnRequest::decode(&out[..]).expect("valid");
    assert_eq!(read.compare[0].target, i32::from(CompareTarget::Mod));
    assert_eq!(read.compare[0].target_union, Some(TargetUnion::ModRevision(1234)));
    let Some(Request::RequestPut(written)) = &read.success[0].request else {
        panic!("a put")
    };
    assert_eq!((&written.value[..], written.lease), (&value[..], 77));
    let Some(Request::RequestRange(asked)) = &read.failure[0].request else {
        panic!("a range")
    };
    assert_eq!(&asked.key[..], b"k");

    out.clear();
    put_in_txn(&mut out, b"a", b"1");
    put_in_txn(&mut out, b"b", &value);
    assert_eq!(TxnRequest::decode(&out[..]).expect("valid").success.len(), 2);
}

#[test]
fn guarded_deletes_are_what_the_generated_types_read() {
    let mut out = Vec::new();
    guarded_delete(&mut out, b"k", 0);
    let read = TxnRequest::decode(&out[..]).expect("valid");
    assert_eq!(read.compare[0].target_union, Some(TargetUnion::ModRevision(0)));
    let Some(Request::RequestDeleteRange(deleted)) = &read.success[0].request else {
        panic!("a deletion")
    };
    assert_eq!((&deleted.key[..], deleted.range_end.len()), (&b"k"[..], 0));
    assert!(matches!(read.failure[0].request, Some(Request::RequestRange(_))));
}

#[test]
fn lease_and_watch_requests_are_what_the_generated_types_read() {
    let mut out = Vec::new();
    lease_grant(&mut out, 5, 60);
    let read = LeaseGrantRequest::decode(&out[..]).expect("valid");
    assert_eq!((read.id, read.ttl), (5, 60));
    out.clear();
    lease_id(&mut out, 1 << 60);
    assert_eq!(
        LeaseKeepAliveRequest::decode(&out[..]).expect("valid").id,
        1 << 60
    );
    assert_eq!(LeaseRevokeRequest::decode(&out[..]).expect("valid").id, 1 << 60);
    out.clear();
    put_with_lease(&mut out, b"k", b"v", 9);
    assert_eq!(PutRequest::decode(&out[..]).expect("valid").lease, 9);
    out.clear();
    let wish = Watch {
        key: b"a",
        end: b"b",
        start_revision: 300,
        progress_notify: true,
        prev_kv: true,
    };
    watch(&mut out, &wish);
    let read = WatchRequest::decode(&out[..]).expect("valid");
    let Some(watch_request::RequestUnion::CreateRequest(read)) = read.request_union else {
        panic!("a creation")
    };
    assert_eq!((&read.key[..], &read.range_end[..]), (&b"a"[..], &b"b"[..]));
    assert_eq!(
        (read.start_revision, read.progress_notify, read.prev_kv),
        (300, true, true)
    );
}

fn pair(revision: i64, value: &[u8]) -> KeyValue {
    KeyValue {
        key: "k".into(),
        mod_revision: revision,
        value: value.to_vec().into(),
        ..KeyValue::default()
    }
}

#[test]
fn watch_answers_are_read() {
    let event = |revision, value| WireEvent {
        kv: Some(pair(revision, value)),
        prev_kv: Some(pair(1, b"before")),
        ..WireEvent::default()
    };
    let answer = WatchResponse {
        watch_id: 3,
        events: vec![event(300, b"one"), event(301, b"")],
        ..WatchResponse::default()
    }
    .encode_to_vec();
    let read: Vec<Event<'_>> = events(&answer).collect();
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].revision, read[0].value), (300, &b"one"[..]));
    assert_eq!((read[1].revision, read[1].value), (301, &b""[..]));
    assert_eq!(watch_answer(&answer).watch_id, 3);
    let end = WatchResponse {
        created: true,
        canceled: true,
        compact_revision: 9,
        cancel_reason: "why".to_owned(),
        ..WatchResponse::default()
    }
    .encode_to_vec();
    let expected = WatchAnswer {
        watch_id: 0,
        is_created: true,
        is_canceled: true,
        compact_revision: 9,
        cancel_reason: b"why",
    };
    assert_eq!(watch_answer(&end), expected);
}

#[test]
fn a_lost_transaction_tells_the_revision_it_found() {
    let read = RangeResponse {
        kvs: vec![pair(42, b"v")],
        ..RangeResponse::default()
    };
    let answer = TxnResponse {
        responses: vec![ResponseOp {
            response: Some(response_op::Response::ResponseRange(read)),
        }],
        ..TxnResponse::default()
    };
    assert_eq!(found_revision(&answer.encode_to_vec()), 42);
    assert_eq!(found_revision(&TxnResponse::default().encode_to_vec()), 0);
}

#[test]
fn answers_are_read() {
    let header = Some(ResponseHeader {
        revision: 300,
        member_id: 5,
        ..Default::default()
    });
    let kvs = vec![
        KeyValue {
            key: "a".into(),
            ..KeyValue::default()
        };
        3
    ];
    let range = RangeResponse {
        header,
        kvs,
        count: 777,
        ..Default::default()
    }
    .encode_to_vec();
    assert_eq!(
        (revision(&range), count_of(&range, 2), find_number(&range, 4)),
        (300, 3, 777)
    );
    let txn = TxnResponse {
        header: None,
        succeeded: true,
        ..Default::default()
    }
    .encode_to_vec();
    assert_eq!((revision(&txn), find_number(&txn, 2)), (0, 1));
}

proptest! {
    /// Promise: no answer makes the generator panic.
    #[test]
    fn garbage_is_survived(answer in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = (revision(&answer), count_of(&answer, 2), find_number(&answer, 4));
        let _ = (watch_answer(&answer), events(&answer).count(), found_revision(&answer));
    }
}
