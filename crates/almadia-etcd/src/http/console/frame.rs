//! What the console's stream says, as JSON: who the members are and how, what happened, what this member has served.
//!
//! Ids are hexadecimal text, since a browser's numbers do not hold them; positions and counts are numbers.

use super::latency::{self, Latencies};
use crate::backend::{Backend, EventKind, Report, ReportedEvent, Sighting};
use crate::service::Shared;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;

const READS: [&str; 2] = ["/etcdserverpb.KV/Range", "/etcdserverpb.KV/RangeStream"];
const WRITES: [&str; 3] = [
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
];
const LEASES: [&str; 2] = [
    "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseRevoke",
];

/// When it was looked, and what was found out beside the members.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_ms: u64,
    pub(super) read_took: Option<Duration>,
    pub(super) latencies: Latencies,
}

/// An event of a server-sent stream. JSON has no line breaks of its own, so its text is one line.
pub(super) fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Who answers, and what has happened so far.
pub(super) fn welcome<B: Backend>(shared: &Shared<B>, events: &VecDeque<Value>) -> Value {
    let identity = shared.backend.identity();
    json!({
        "cluster": hex(identity.cluster.get()),
        "member": hex(identity.member.get()),
        "release": env!("CARGO_PKG_VERSION"),
        "etcd": shared.config.version,
        "gateway": shared.config.json_gateway,
        "events": events,
    })
}

/// One look at everything.
pub(super) fn look<B: Backend>(
    shared: &Shared<B>,
    seen: &[Sighting],
    events: &[Value],
    moment: Moment,
) -> Value {
    let members: Vec<Value> = seen.iter().map(member).collect();
    json!({
        "now_ms": moment.now_ms,
        "read_us": moment.read_took.map(micros),
        "members": members,
        "events": events,
        "served": served(shared, &moment.latencies),
    })
}

fn member(sighting: &Sighting) -> Value {
    let Sighting {
        member,
        report,
        round_trip,
        silent_for,
    } = sighting;
    json!({
        "id": hex(member.id.get()),
        "name": member.info.name,
        "client_urls": member.info.client_urls,
        "is_learner": member.is_learner,
        "votes": member.votes,
        "round_trip_us": round_trip.map(micros),
        "silent_ms": silent_for.map(|silent| micros(silent) / 1000),
        "report": report.as_ref().map(said),
    })
}

fn said(report: &Report) -> Value {
    let role = match report.role {
        0 => "learner",
        2 => "candidate",
        3 => "leader",
        _ => "follower",
    };
    let followers: Vec<Value> = report
        .followers
        .iter()
        .map(|one| json!({ "id": hex(one.member), "matched": one.matched, "silent_ms": one.silent_ms }))
        .collect();
    json!({
        "life": report.life,
        "term": report.term,
        "role": role,
        "leader": (report.leader != 0).then(|| hex(report.leader)),
        "last": report.last,
        "committed": report.committed,
        "applied": report.applied,
        "revision": report.revision,
        "keys": report.keys,
        "leases": report.leases,
        "live_bytes": report.live_bytes,
        "disk_bytes": report.disk_bytes,
        "no_space": report.no_space,
        "corrupt": report.corrupt,
        "watchers": report.watchers,
        "entries_written": report.entries_written,
        "syncs": report.syncs,
        "tail_terms": report.tail_terms,
        "followers": followers,
    })
}

/// What happened since the last look, with when by this member's clock.
pub(super) fn events(seen: &[Sighting], now_ms: u64) -> Vec<Value> {
    let mut events = Vec::new();
    for sighting in seen {
        let Some(report) = &sighting.report else { continue };
        let told = report
            .events
            .iter()
            .map(|event| one_event(sighting, report.life, event, now_ms));
        events.extend(told);
    }
    events
}

fn one_event(sighting: &Sighting, life: u32, event: &ReportedEvent, now_ms: u64) -> Value {
    json!({
        "member": hex(sighting.member.id.get()),
        "life": life,
        "number": event.number,
        "at_ms": now_ms.saturating_sub(event.age_ms),
        "kind": kind(event.kind),
        "term": event.term,
        "committed": event.committed,
        "subject": (event.subject != 0).then(|| hex(event.subject)),
        "words": event.words,
    })
}

fn kind(number: i32) -> &'static str {
    match EventKind::try_from(number).unwrap_or(EventKind::Unknown) {
        EventKind::Unknown => "unknown",
        EventKind::Started => "started",
        EventKind::Learner => "learner",
        EventKind::Follower => "follower",
        EventKind::Candidate => "candidate",
        EventKind::Leader => "leader",
        EventKind::Term => "term",
        EventKind::Follows => "follows",
        EventKind::Leaderless => "leaderless",
        EventKind::Membership => "membership",
        EventKind::SnapshotSent => "snapshot-sent",
        EventKind::SnapshotInstalled => "snapshot-installed",
        EventKind::Differs => "differs",
        EventKind::SetRight => "set-right",
        EventKind::Isolated => "isolated",
        EventKind::Healed => "healed",
    }
}

/// What this member has answered since its start, and what it holds.
fn served<B: Backend>(shared: &Shared<B>, latencies: &Latencies) -> Value {
    let handled = |paths: &[&str]| -> u64 { paths.iter().map(|path| shared.metrics.handled(path).0).sum() };
    let failed: u64 = READS
        .iter()
        .chain(&WRITES)
        .chain(&LEASES)
        .map(|path| shared.metrics.handled(path).1)
        .sum();
    json!({
        "reads": handled(&READS),
        "writes": handled(&WRITES),
        "leases": handled(&LEASES),
        "failed": failed,
        "latency": latency::json(latencies),
        "connections": shared.metrics.bounds.connections.get(),
        "watches": shared.metrics.bounds.watches.get(),
    })
}

fn hex(id: u64) -> String {
    format!("{id:x}")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
