//! One call to one member: the history's request to the protocol's, and the answer back. It decides what an error means by
//! the rules of the client commands, and never repeats anything.

use almadia::commands::meaning::{Meaning, meaning};
use almadia_etcd::proto::etcdserverpb as pb;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::mvccpb;
use almadia_etcd::proto::v3lockpb::lock_client::LockClient;
use almadia_etcd::proto::v3lockpb::{LockRequest, UnlockRequest};
use almadia_sim::history::*;
use bytes::Bytes;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A key or a value on its way.
pub fn bytes(text: &Text) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A key as the protocol has it.
pub fn key_value(kv: mvccpb::KeyValue) -> KeyValue {
    KeyValue {
        key: kv.key.as_ref().into(),
        value: kv.value.as_ref().into(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

/// Asks, and says how it ended, within this time.
pub async fn call(channel: &Channel, request: &Request, limit: Duration) -> Outcome {
    match tokio::time::timeout(limit, ask(channel.clone(), request)).await {
        Err(_) => Outcome::Unknown,
        Ok(Ok(answer)) => Outcome::Done(answer),
        Ok(Err(status)) => outcome(&status),
    }
}

fn outcome(status: &Status) -> Outcome {
    let text = status.message();
    if text.ends_with("required revision has been compacted") {
        return Outcome::Refused(Refusal::Compacted);
    }
    if text.ends_with("required revision is a future revision") {
        return Outcome::Refused(Refusal::FutureRevision);
    }
    if text.ends_with("requested lease not found") {
        return Outcome::Refused(Refusal::LeaseNotFound);
    }
    if text.ends_with("lease already exists") {
        return Outcome::Refused(Refusal::LeaseExists);
    }
    match meaning(status) {
        Meaning::Unknown => Outcome::Unknown,
        _ => Outcome::Refused(Refusal::Other(format!("{:?}: {text}", status.code()))),
    }
}

fn answer(header: Option<pb::ResponseHeader>, body: Body) -> Result<Answer, Status> {
    let header = header.ok_or_else(|| Status::new(Code::Unknown, "an answer without a header"))?;
    Ok(Answer {
        revision: header.revision,
        body,
    })
}

async fn ask(channel: Channel, request: &Request) -> Result<Answer, Status> {
    match request {
        Request::Put { .. }
        | Request::Range(_)
        | Request::Delete { .. }
        | Request::Txn(_)
        | Request::Compact { .. } => ask_kv(KvClient::new(channel), request).await,
        Request::Lock { name, lease } => {
            let request = LockRequest {
                name: bytes(name),
                lease: *lease,
            };
            let locked = LockClient::new(channel).lock(request).await?.into_inner();
            let key = locked.key.as_ref().into();
            answer(locked.header, Body::Lock { key })
        }
        Request::Unlock { key } => {
            let request = UnlockRequest { key: bytes(key) };
            let unlocked = LockClient::new(channel).unlock(request).await?.into_inner();
            answer(unlocked.header, Body::Nothing)
        }
        _ => ask_lease(LeaseClient::new(channel), request).await,
    }
}

async fn ask_kv(mut kv: KvClient<Channel>, request: &Request) -> Result<Answer, Status> {
    match operation(request) {
        pb::request_op::Request::RequestPut(put) => {
            let got = kv.put(put).await?.into_inner();
            answer(got.header, put_body(got.prev_kv))
        }
        pb::request_op::Request::RequestRange(range) => {
            let got = kv.range(range).await?.into_inner();
            answer(got.header, range_body(got))
        }
        pb::request_op::Request::RequestDeleteRange(delete) => {
            let got = kv.delete_range(delete).await?.into_inner();
            answer(got.header, delete_body(got))
        }
        pb::request_op::Request::RequestTxn(txn) if !matches!(request, Request::Compact { .. }) => {
            let got = kv.txn(txn).await?.into_inner();
            answer(got.header, txn_body(got)?)
        }
        pb::request_op::Request::RequestTxn(_) => {
            let Request::Compact { revision } = request else {
                unreachable!("only a compaction has no operation of its own")
            };
            let compaction = pb::CompactionRequest {
                revision: *revision,
                physical: false,
            };
            let got = kv.compact(compaction).await?.into_inner();
            answer(got.header, Body::Nothing)
        }
    }
}

/// A request as it stands alone or in a transaction; an empty transaction for what can only stand alone.
fn operation(request: &Request) -> pb::request_op::Request {
    match request {
        Request::Put {
            key,
            value,
            lease,
            prev_kv,
        } => pb::request_op::Request::RequestPut(pb::PutRequest {
            key: bytes(key),
            value: bytes(value),
            lease: *lease,
            prev_kv: *prev_kv,
            ..Default::default()
        }),
        Request::Range(range) => pb::request_op::Request::RequestRange(pb::RangeRequest {
            key: bytes(&range.span.key),
            range_end: bytes(&range.span.range_end),
            revision: range.revision,
            limit: range.limit,
            serializable: range.serializable,
            keys_only: range.keys_only,
            count_only: range.count_only,
            ..Default::default()
        }),
        Request::Delete { span, prev_kv } => {
            pb::request_op::Request::RequestDeleteRange(pb::DeleteRangeRequest {
                key: bytes(&span.key),
                range_end: bytes(&span.range_end),
                prev_kv: *prev_kv,
            })
        }
        Request::Txn(txn) => pb::request_op::Request::RequestTxn(transaction(txn)),
        _ => pb::request_op::Request::RequestTxn(pb::TxnRequest::default()),
    }
}

fn transaction(txn: &Txn) -> pb::TxnRequest {
    let list = |requests: &[Request]| {
        let one = |request: &Request| pb::RequestOp {
            request: Some(operation(request)),
        };
        requests.iter().map(one).collect()
    };
    pb::TxnRequest {
        compare: txn.compares.iter().map(compare).collect(),
        success: list(&txn.success),
        failure: list(&txn.failure),
    }
}

fn compare(compare: &Compare) -> pb::Compare {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let result = match compare.verdict {
        Verdict::Equal => CompareResult::Equal,
        Verdict::NotEqual => CompareResult::NotEqual,
        Verdict::Greater => CompareResult::Greater,
        Verdict::Less => CompareResult::Less,
    };
    let (target, union) = match &compare.operand {
        Operand::Value(value) => (CompareTarget::Value, TargetUnion::Value(bytes(value))),
        Operand::CreateRevision(revision) => (CompareTarget::Create, TargetUnion::CreateRevision(*revision)),
        Operand::ModRevision(revision) => (CompareTarget::Mod, TargetUnion::ModRevision(*revision)),
        Operand::Version(version) => (CompareTarget::Version, TargetUnion::Version(*version)),
        Operand::Lease(lease) => (CompareTarget::Lease, TargetUnion::Lease(*lease)),
    };
    pb::Compare {
        result: result.into(),
        target: target.into(),
        key: bytes(&compare.span.key),
        range_end: bytes(&compare.span.range_end),
        target_union: Some(union),
    }
}

fn put_body(prev: Option<mvccpb::KeyValue>) -> Body {
    Body::Put {
        prev: prev.map(key_value),
    }
}

fn range_body(got: pb::RangeResponse) -> Body {
    Body::Range {
        kvs: got.kvs.into_iter().map(key_value).collect(),
        count: got.count,
        more: got.more,
    }
}

fn delete_body(got: pb::DeleteRangeResponse) -> Body {
    Body::Delete {
        deleted: got.deleted,
        prevs: got.prev_kvs.into_iter().map(key_value).collect(),
    }
}

fn txn_body(got: pb::TxnResponse) -> Result<Body, Status> {
    use pb::response_op::Response;
    let bodies: Result<Vec<Body>, Status> = got
        .responses
        .into_iter()
        .map(|response| match response.response {
            Some(Response::ResponsePut(put)) => Ok(put_body(put.prev_kv)),
            Some(Response::ResponseRange(range)) => Ok(range_body(range)),
            Some(Response::ResponseDeleteRange(delete)) => Ok(delete_body(delete)),
            Some(Response::ResponseTxn(txn)) => txn_body(txn),
            None => Err(Status::new(Code::Unknown, "an operation without an answer")),
        })
        .collect();
    Ok(Body::Txn {
        succeeded: got.succeeded,
        bodies: bodies?,
    })
}

async fn ask_lease(mut leases: LeaseClient<Channel>, request: &Request) -> Result<Answer, Status> {
    match *request {
        Request::LeaseGrant { lease, ttl_s } => {
            let request = pb::LeaseGrantRequest {
                id: lease,
                ttl: ttl_s,
            };
            let got = leases.lease_grant(request).await?.into_inner();
            answer(got.header, Body::Lease { ttl_s: got.ttl })
        }
        Request::LeaseRevoke { lease } => {
            let got = leases
                .lease_revoke(pb::LeaseRevokeRequest { id: lease })
                .await?
                .into_inner();
            answer(got.header, Body::Nothing)
        }
        Request::LeaseKeepAlive { lease } => {
            let once = tonic::codegen::tokio_stream::once(pb::LeaseKeepAliveRequest { id: lease });
            let mut stream = leases.lease_keep_alive(once).await?.into_inner();
            let none = || Status::new(Code::Unavailable, "the stream ended without an answer");
            let got = stream.message().await?.ok_or_else(none)?;
            answer(got.header, Body::Lease { ttl_s: got.ttl })
        }
        Request::LeaseTimeToLive { lease } => {
            let request = pb::LeaseTimeToLiveRequest {
                id: lease,
                keys: false,
            };
            let got = leases.lease_time_to_live(request).await?.into_inner();
            let (left_s, granted_s) = (got.ttl, got.granted_ttl);
            answer(got.header, Body::TimeToLive { left_s, granted_s })
        }
        _ => unreachable!("all others are asked elsewhere"),
    }
}
