//! The edge as a client meets it: the real server on a loopback socket over an in-memory store, one test for each rule
//! of etcd's wire, with exact codes and texts. Names begin with the row of the surface they guard.

mod http2;

mod bounds;
mod cluster;
mod compact;
mod connections;
mod delete_range;
mod faults;
mod flood;
mod garbage;
mod habits;
mod limits;
mod members;
mod nested;
mod put;
mod range;
mod serving;
mod transport;
mod troubles;
mod txn;

use crate::double::Scene;
use almadia_etcd::Fault;
use almadia_etcd::proto::etcdserverpb as pb;
use almadia_etcd::proto::mvccpb::KeyValue;
use bytes::Bytes;
use tonic::{Code, Response, Status};

/// What a refusal must look like.
fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> (Code, String) {
    let status = answer.expect_err("this is refused");
    (status.code(), status.message().to_owned())
}

/// A refusal's code and text as the table has them.
fn of(fault: Fault) -> (Code, String) {
    let (code, text) = fault.code_and_text();
    (code, text.to_owned())
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put_request(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..Default::default()
    }
}

fn get_request(key: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: bytes(key),
        ..Default::default()
    }
}

fn range_request(key: &str, range_end: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        ..Default::default()
    }
}

fn delete_request(key: &str, range_end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        ..Default::default()
    }
}

fn get_op(key: &str) -> pb::RequestOp {
    range_op(get_request(key))
}

fn range_op(request: pb::RangeRequest) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestRange(request)),
    }
}

fn put_op(key: &str, value: &str) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(put_request(key, value))),
    }
}

fn delete_op(key: &str, range_end: &str) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestDeleteRange(delete_request(
            key, range_end,
        ))),
    }
}

fn txn_op(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestTxn(txn_request(success, failure))),
    }
}

/// A transaction without compares.
fn txn_request(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: vec![],
        success,
        failure,
    }
}

/// A pair as a range shows it.
fn pair(key: &str, value: &str, create: i64, modified: i64, version: i64) -> KeyValue {
    KeyValue {
        key: bytes(key),
        value: bytes(value),
        create_revision: create,
        mod_revision: modified,
        version,
        lease: 0,
    }
}

/// The keys of an answer, to compare orders at a glance.
fn keys(pairs: &[KeyValue]) -> Vec<String> {
    pairs
        .iter()
        .map(|pair| String::from_utf8_lossy(&pair.key).into_owned())
        .collect()
}

impl Scene {
    /// Puts and returns the new revision.
    async fn must_put(&mut self, key: &str, value: &str) -> i64 {
        let answer = self
            .kv
            .put(put_request(key, value))
            .await
            .expect("the put is well formed");
        answer
            .into_inner()
            .header
            .expect("a put's answer has a header")
            .revision
    }

    async fn must_get(&mut self, request: pb::RangeRequest) -> pb::RangeResponse {
        self.kv
            .range(request)
            .await
            .expect("the range is well formed")
            .into_inner()
    }

    async fn must_txn(&mut self, request: pb::TxnRequest) -> pb::TxnResponse {
        self.kv
            .txn(request)
            .await
            .expect("the transaction is well formed")
            .into_inner()
    }

    /// Store's revision now.
    async fn revision(&mut self) -> i64 {
        self.must_get(get_request("?"))
            .await
            .header
            .expect("a range's answer has a header")
            .revision
    }
}
