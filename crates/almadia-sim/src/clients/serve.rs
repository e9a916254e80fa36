//! The member's side of a request: a command through the log, or a read of a view. It stands where the edge stands in the
//! product, without its messages.

use crate::history::{
    Answer, Body, Compare, KeyValue, Operand, Outcome, Range, Refusal, Request, Span, Text, Txn, Verdict,
};
use almadia_command as command;
use almadia_command::{Command, Kind, LeaseId, LogIndex, Operation, OperationKind, Term};
use almadia_member::{Member, ProposeError};
use almadia_store as store;
use bytes::Bytes;

/// What went through the log, for whoever compares it with the log.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Where it stands.
    pub index: LogIndex,
    /// The term of its entry.
    pub term: Term,
    /// What was proposed.
    pub command: Bytes,
    /// What applying it answered.
    pub outcome: store::Outcome,
}

/// Carries a request out at a member.
pub async fn serve(member: Member, request: Request) -> (Outcome, Option<Applied>) {
    match &request {
        Request::Range(range) => (read(&member, range).await, None),
        Request::LeaseKeepAlive { lease } => (keep_alive(&member, *lease).await, None),
        Request::LeaseTimeToLive { lease } => (time_to_live(&member, *lease).await, None),
        Request::Lock { .. } | Request::Unlock { .. } => {
            (refused("locks are asked for by their keys here"), None)
        }
        _ => propose(&member, command_of(&request)).await,
    }
}

async fn propose(member: &Member, command: Command) -> (Outcome, Option<Applied>) {
    let bytes = command.encode_bytes();
    match member.propose(command).await {
        Ok(applied) => {
            let outcome = outcome_of(&applied.outcome);
            let applied = Applied {
                index: applied.index,
                term: applied.term,
                command: bytes,
                outcome: applied.outcome,
            };
            (outcome, Some(applied))
        }
        Err(ProposeError::TimedOut | ProposeError::Stopped) => (Outcome::Unknown, None),
        Err(error) => (refused(error), None),
    }
}

async fn read(member: &Member, range: &Range) -> Outcome {
    let ready = if range.serializable {
        member.recovered().await
    } else {
        member.read_barrier().await
    };
    if let Err(error) = ready {
        return refused(error);
    }
    let view = member.view();
    match view.range(&range_of(range)) {
        Ok(answer) => Outcome::Done(Answer {
            revision: view.revision().0,
            body: range_body(&answer, range.keys_only),
        }),
        Err(refusal) => refusal_of(refusal),
    }
}

async fn keep_alive(member: &Member, lease: i64) -> Outcome {
    // The edge does not wait here, so that renewals stay cheap: right after a start the revision in the header of a keepalive
    // may be older than what the member showed before.
    if let Err(error) = member.recovered().await {
        return refused(error);
    }
    match member.keep_lease_alive(LeaseId(lease)).await {
        Ok(ttl_s) => Outcome::Done(Answer {
            revision: member.view().revision().0,
            body: Body::Lease { ttl_s },
        }),
        Err(_) => Outcome::Unknown,
    }
}

async fn time_to_live(member: &Member, lease: i64) -> Outcome {
    match member.lease_time_left(LeaseId(lease)).await {
        Ok(left) => Outcome::Done(Answer {
            revision: member.view().revision().0,
            body: Body::TimeToLive {
                left_s: left.map_or(-1, |left| left.left.as_secs() as i64),
                granted_s: left.map_or(0, |left| left.granted),
            },
        }),
        Err(error) => refused(error),
    }
}

fn refused(words: impl std::fmt::Display) -> Outcome {
    Outcome::Refused(Refusal::Other(words.to_string()))
}

fn refusal_of(refusal: store::Refusal) -> Outcome {
    Outcome::Refused(match refusal {
        store::Refusal::Compacted => Refusal::Compacted,
        store::Refusal::FutureRevision => Refusal::FutureRevision,
        store::Refusal::LeaseNotFound => Refusal::LeaseNotFound,
        store::Refusal::LeaseExists => Refusal::LeaseExists,
        other => Refusal::Other(other.to_string()),
    })
}

fn bytes_of(text: &Text) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put_of(key: &Text, value: &Text, lease: i64, prev_kv: bool) -> command::Put {
    command::Put {
        key: bytes_of(key),
        value: bytes_of(value),
        lease,
        prev_kv,
        ..command::Put::default()
    }
}

fn delete_of(span: &Span, prev_kv: bool) -> command::DeleteRange {
    command::DeleteRange {
        key: bytes_of(&span.key),
        range_end: bytes_of(&span.range_end),
        prev_kv,
    }
}

fn range_of(range: &Range) -> command::Range {
    command::Range {
        key: bytes_of(&range.span.key),
        range_end: bytes_of(&range.span.range_end),
        limit: range.limit,
        revision: range.revision,
        keys_only: range.keys_only,
        count_only: range.count_only,
        ..command::Range::default()
    }
}

/// The command that stands in the log for a request that writes.
pub fn command_of(request: &Request) -> Command {
    let kind = match request {
        Request::Put {
            key,
            value,
            lease,
            prev_kv,
        } => Kind::Put(put_of(key, value, *lease, *prev_kv)),
        Request::Delete { span, prev_kv } => Kind::DeleteRange(delete_of(span, *prev_kv)),
        Request::Txn(txn) => Kind::Txn(txn_of(txn)),
        Request::Compact { revision } => Kind::Compact(command::Compact {
            revision: *revision,
            physical: false,
        }),
        Request::LeaseGrant { lease, ttl_s } => Kind::LeaseGrant(command::LeaseGrant {
            id: *lease,
            ttl: *ttl_s,
        }),
        Request::LeaseRevoke { lease } => Kind::LeaseRevoke(command::LeaseRevoke {
            id: *lease,
            expired_in_term: 0,
        }),
        other => unreachable!("no command stands for {other:?}"),
    };
    kind.into()
}

fn txn_of(txn: &Txn) -> command::Txn {
    command::Txn {
        compares: txn.compares.iter().map(compare_of).collect(),
        success: txn.success.iter().map(operation_of).collect(),
        failure: txn.failure.iter().map(operation_of).collect(),
    }
}

fn operation_of(request: &Request) -> Operation {
    let kind = match request {
        Request::Range(range) => OperationKind::Range(range_of(range)),
        Request::Put {
            key,
            value,
            lease,
            prev_kv,
        } => OperationKind::Put(put_of(key, value, *lease, *prev_kv)),
        Request::Delete { span, prev_kv } => OperationKind::DeleteRange(delete_of(span, *prev_kv)),
        Request::Txn(txn) => OperationKind::Txn(txn_of(txn)),
        other => unreachable!("no operation stands for {other:?}"),
    };
    Operation { kind: Some(kind) }
}

fn compare_of(compare: &Compare) -> command::Compare {
    use command::{CompareResult, CompareTarget};
    let result = match compare.verdict {
        Verdict::Equal => CompareResult::Equal,
        Verdict::NotEqual => CompareResult::NotEqual,
        Verdict::Greater => CompareResult::Greater,
        Verdict::Less => CompareResult::Less,
    };
    let target = match &compare.operand {
        Operand::Value(value) => CompareTarget::Value(bytes_of(value)),
        Operand::CreateRevision(revision) => CompareTarget::CreateRevision(*revision),
        Operand::ModRevision(revision) => CompareTarget::ModRevision(*revision),
        Operand::Version(version) => CompareTarget::Version(*version),
        Operand::Lease(lease) => CompareTarget::Lease(*lease),
    };
    command::Compare {
        result: result as i32,
        key: bytes_of(&compare.span.key),
        range_end: bytes_of(&compare.span.range_end),
        target: Some(target),
    }
}

/// A record as clients see it.
pub fn key_value(record: &store::Record) -> KeyValue {
    KeyValue {
        key: record.key().into(),
        value: record.value().into(),
        create_revision: record.create_revision().0,
        mod_revision: record.mod_revision().0,
        version: record.version(),
        lease: record.lease().0,
    }
}

fn range_body(answer: &store::RangeAnswer, keys_only: bool) -> Body {
    let kvs = answer.records.iter().map(|record| {
        let mut kv = key_value(record);
        if keys_only {
            kv.value = Text::default();
        }
        kv
    });
    Body::Range {
        kvs: kvs.collect(),
        count: answer.count,
        more: answer.more,
    }
}

fn outcome_of(outcome: &store::Outcome) -> Outcome {
    match &outcome.result {
        Ok(answer) => Outcome::Done(Answer {
            revision: outcome.revision.0,
            body: body_of(answer),
        }),
        Err(refusal) => refusal_of(*refusal),
    }
}

fn body_of(answer: &store::Answer) -> Body {
    match answer {
        store::Answer::Put { prev } => Body::Put {
            prev: prev.as_ref().map(key_value),
        },
        store::Answer::DeleteRange { deleted, prev } => Body::Delete {
            deleted: *deleted,
            prevs: prev.iter().map(key_value).collect(),
        },
        store::Answer::Txn(txn) => Body::Txn {
            succeeded: txn.succeeded,
            bodies: txn.responses.iter().map(|one| body_of(&one.answer)).collect(),
        },
        store::Answer::Range(range) => range_body(range, false),
        store::Answer::LeaseGrant { ttl, .. } => Body::Lease { ttl_s: *ttl },
        _ => Body::Nothing,
    }
}
