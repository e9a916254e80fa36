//! `/console/slow`: the last requests that this member was slow to answer, with where their time went. From the log that the
//! server keeps anyway; decides nothing itself.

use crate::slow::{SlowLog, SlowRequest, in_words};
use serde_json::{Map, Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// Requests shown at most, the newest first.
const SHOWN_MAX: usize = 50;

/// How many there were and why, and the last of them.
pub(super) fn json(log: &SlowLog) -> String {
    let counts = log
        .counts()
        .map(|(part, count)| json!({ "part": part, "words": in_words(part), "count": count }));
    let recent: Vec<Value> = log.recent().into_iter().take(SHOWN_MAX).map(row).collect();
    json!({
        "threshold_ms": log.threshold().map(|threshold| threshold.as_secs_f64() * 1000.0),
        "counts": counts,
        "recent": recent,
    })
    .to_string()
}

fn row(request: SlowRequest) -> Value {
    let since = request.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = request.parts.each().into_iter();
    let parts: Map<String, Value> = parts
        .map(|(part, time)| (part.to_owned(), micros(time).into()))
        .collect();
    json!({
        "at_ms": u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        "method": request.method,
        "key": request.key,
        "client": request.client,
        "took_us": micros(request.took),
        "parts_us": parts,
        "words": in_words(request.parts.longest()),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
