//! A history as JSON lines, so that a run can be stored and checked again. One record a line, in any order, except that a
//! watcher's responses follow their order.

use super::{Call, Change, Disturbance, History, Watch, WatchResponse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A call that is over.
    Call(Call),
    /// A watcher, with the responses known so far.
    Watch(Watch),
    /// One more response to a watcher of an earlier line.
    Sent {
        /// The watcher's id.
        watch: u64,
        /// What came.
        response: WatchResponse,
    },
    /// What a member did at a revision.
    Change(Change),
    /// A time of faults.
    Disturbance(Disturbance),
}

/// Why lines are not a history.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The reader failed.
    #[error("reading line {line} of the history: {cause}")]
    Read {
        /// 1-based.
        line: usize,
        /// What it said.
        cause: io::Error,
    },
    /// Not a record.
    #[error("line {line} of the history: {cause}")]
    Malformed {
        /// 1-based.
        line: usize,
        /// What is wrong.
        cause: serde_json::Error,
    },
    /// A response to nobody, or a second watcher of the same id.
    #[error("line {line} of the history: watcher {watch} {trouble}")]
    Watcher {
        /// 1-based.
        line: usize,
        /// The watcher's id.
        watch: u64,
        /// What is wrong with it.
        trouble: &'static str,
    },
}

/// Writes a whole history.
pub fn write(history: &History, mut to: impl Write) -> io::Result<()> {
    let records = (history.calls.iter().cloned().map(Record::Call))
        .chain(history.watches.iter().cloned().map(Record::Watch))
        .chain(history.changes.iter().cloned().map(Record::Change))
        .chain(history.disturbances.iter().cloned().map(Record::Disturbance));
    for record in records {
        serde_json::to_writer(&mut to, &record)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

/// Reads a whole history; empty lines are skipped.
pub fn read(from: impl BufRead) -> Result<History, LineError> {
    let mut history = History::default();
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    for (before, text) in from.lines().enumerate() {
        let line = before + 1;
        let text = text.map_err(|cause| LineError::Read { line, cause })?;
        if text.trim().is_empty() {
            continue;
        }
        let trouble = |watch, trouble| LineError::Watcher { line, watch, trouble };
        match serde_json::from_str(&text).map_err(|cause| LineError::Malformed { line, cause })? {
            Record::Call(call) => history.calls.push(call),
            Record::Change(change) => history.changes.push(change),
            Record::Disturbance(disturbance) => history.disturbances.push(disturbance),
            Record::Watch(watch) => {
                if places.insert(watch.id, history.watches.len()).is_some() {
                    return Err(trouble(watch.id, "is there twice"));
                }
                history.watches.push(watch);
            }
            Record::Sent { watch, response } => {
                let place = places
                    .get(&watch)
                    .ok_or_else(|| trouble(watch, "was never asked for"))?;
                history.watches[*place].responses.push(response);
            }
        }
    }
    Ok(history)
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    fn kv() -> KeyValue {
        KeyValue {
            key: vec![0, 255, b'a'].into(),
            value: "50%".into(),
            create_revision: 2,
            mod_revision: 3,
            version: 2,
            lease: 7,
        }
    }

    fn call(request: Request, outcome: Outcome) -> Call {
        Call {
            client: 1,
            member: Some(3),
            invoked_us: 5,
            returned_us: 9,
            request,
            outcome,
        }
    }

    fn calls() -> Vec<Call> {
        let txn = Request::Txn(Txn {
            compares: vec![Compare {
                span: Span::all(),
                verdict: Verdict::Less,
                operand: Operand::ModRevision(4),
            }],
            success: vec![Request::Range(Range::of(Span::one("a")))],
            failure: vec![],
        });
        let bodies = vec![Body::Range {
            kvs: vec![kv()],
            count: 1,
            more: false,
        }];
        let succeeded = true;
        let done = Outcome::Done(Answer {
            revision: 3,
            body: Body::Txn { succeeded, bodies },
        });
        let compact = Request::Compact { revision: 9 };
        vec![
            call(txn, done),
            call(compact, Outcome::Refused(Refusal::FutureRevision)),
            call(Request::Unlock { key: "l/1".into() }, Outcome::Unknown),
        ]
    }

    fn watch(event: Event) -> Watch {
        let response = |at_us, revision, report| WatchResponse {
            at_us,
            revision,
            report,
        };
        let events = Report::Events {
            events: vec![event],
            fragment: false,
        };
        Watch {
            id: 4,
            member: None,
            invoked_us: 1,
            request: WatchRequest::of(Span::one("a"), 2),
            responses: vec![response(2, 1, Report::Created), response(7, 3, events)],
        }
    }

    fn sample() -> History {
        let event = Event::Put { kv: kv(), prev: None };
        History {
            calls: calls(),
            watches: vec![watch(event.clone())],
            changes: vec![Change {
                member: 1,
                revision: 3,
                events: vec![event],
            }],
            disturbances: vec![Disturbance {
                from_us: 1,
                until_us: 2,
                what: "leader killed".into(),
            }],
        }
    }

    #[test]
    fn a_history_survives_being_stored() {
        let mut lines = Vec::new();
        write(&sample(), &mut lines).unwrap();
        assert_eq!(read(lines.as_slice()).unwrap(), sample());
    }

    #[test]
    fn responses_may_follow_on_lines_of_their_own() {
        let whole = sample();
        let mut bare = whole.clone();
        let responses = std::mem::take(&mut bare.watches[0].responses);
        let mut lines = Vec::new();
        write(&bare, &mut lines).unwrap();
        for response in responses {
            serde_json::to_writer(&mut lines, &Record::Sent { watch: 4, response }).unwrap();
            lines.push(b'\n');
        }
        assert_eq!(read(lines.as_slice()).unwrap(), whole);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let complaint = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(complaint("\n{\"call\":1}").starts_with("line 2 of the history: "));
        let sent = r#"{"sent":{"watch":8,"response":{"at_us":1,"revision":1,"report":"created"}}}"#;
        assert_eq!(
            complaint(sent),
            "line 1 of the history: watcher 8 was never asked for"
        );
    }
}
