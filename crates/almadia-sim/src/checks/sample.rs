//! Short words for the tests of the checks: calls, events and watchers made by hand.

use super::{Finding, Findings};
use crate::history::{
    Answer, Body, Call, Event, KeyValue, Outcome, Range, Report, Request, Revision, Span, Watch,
    WatchRequest, WatchResponse,
};

pub(super) fn found(check: impl FnOnce(&mut Findings)) -> usize {
    list(check).len()
}

pub(super) fn list(check: impl FnOnce(&mut Findings)) -> Vec<Finding> {
    let mut findings = Findings::default();
    check(&mut findings);
    findings.kept
}

pub(super) fn kv(key: &str, value: &str, created: Revision, modified: Revision, version: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: created,
        mod_revision: modified,
        version,
        lease: 0,
    }
}

pub(super) fn put(key: &str, value: &str, created: Revision, modified: Revision, version: i64) -> Event {
    Event::Put {
        kv: kv(key, value, created, modified, version),
        prev: None,
    }
}

pub(super) fn deleted(key: &str, revision: Revision) -> Event {
    Event::Delete {
        key: key.into(),
        mod_revision: revision,
        prev: None,
    }
}

pub(super) fn call(request: Request, invoked_us: u64, returned_us: u64, outcome: Outcome) -> Call {
    Call {
        client: 1,
        member: None,
        invoked_us,
        returned_us,
        request,
        outcome,
    }
}

pub(super) fn done(
    request: Request,
    invoked_us: u64,
    returned_us: u64,
    revision: Revision,
    body: Body,
) -> Call {
    call(
        request,
        invoked_us,
        returned_us,
        Outcome::Done(Answer { revision, body }),
    )
}

pub(super) fn put_request(key: &str, value: &str) -> Request {
    Request::Put {
        key: key.into(),
        value: value.into(),
        lease: 0,
        prev_kv: false,
    }
}

pub(super) fn delete_request(key: &str) -> Request {
    Request::Delete {
        span: Span::one(key),
        prev_kv: false,
    }
}

pub(super) fn put_at(key: &str, value: &str, invoked_us: u64, returned_us: u64, revision: Revision) -> Call {
    done(
        put_request(key, value),
        invoked_us,
        returned_us,
        revision,
        Body::Put { prev: None },
    )
}

pub(super) fn delete_at(key: &str, invoked_us: u64, returned_us: u64, revision: Revision) -> Call {
    let body = Body::Delete {
        deleted: 1,
        prevs: vec![],
    };
    done(delete_request(key), invoked_us, returned_us, revision, body)
}

fn range_body(kvs: Vec<KeyValue>) -> Body {
    Body::Range {
        count: kvs.len() as i64,
        kvs,
        more: false,
    }
}

/// A read that found nothing.
pub(super) fn get_at(key: &str, invoked_us: u64, returned_us: u64, revision: Revision) -> Call {
    sees(key, vec![], invoked_us, returned_us, revision)
}

/// A read that found these.
pub(super) fn sees(
    key: &str,
    kvs: Vec<KeyValue>,
    invoked_us: u64,
    returned_us: u64,
    revision: Revision,
) -> Call {
    let request = Request::Range(Range::of(Span::one(key)));
    done(request, invoked_us, returned_us, revision, range_body(kvs))
}

/// A read at an old revision that found nothing.
pub(super) fn read_at(
    key: &str,
    at: Revision,
    invoked_us: u64,
    returned_us: u64,
    revision: Revision,
) -> Call {
    let range = Range {
        revision: at,
        ..Range::of(Span::one(key))
    };
    done(
        Request::Range(range),
        invoked_us,
        returned_us,
        revision,
        range_body(vec![]),
    )
}

pub(super) fn compact_at(revision: Revision, invoked_us: u64, returned_us: u64, newest: Revision) -> Call {
    done(
        Request::Compact { revision },
        invoked_us,
        returned_us,
        newest,
        Body::Nothing,
    )
}

pub(super) fn at_member(member: u64, call: Call) -> Call {
    Call {
        member: Some(member),
        ..call
    }
}

pub(super) fn response(at_us: u64, revision: Revision, report: Report) -> WatchResponse {
    WatchResponse {
        at_us,
        revision,
        report,
    }
}

pub(super) fn watcher(request: WatchRequest, responses: Vec<WatchResponse>) -> Watch {
    Watch {
        id: 1,
        member: None,
        invoked_us: 0,
        request,
        responses,
    }
}

pub(super) fn cancelled(compact_revision: Revision, at_us: u64) -> Watch {
    let report = Report::Cancelled {
        compact_revision,
        reason: String::new(),
    };
    watcher(
        WatchRequest::of(Span::one("a"), 1),
        vec![response(at_us, 9, report)],
    )
}
