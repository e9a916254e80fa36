//! What is said to be compacted was compacted, what was compacted is not answered any more, and a revision is called a
//! future one only if it is. It does not check what reads answer: that is the check of linearizability.

use super::linear::Order;
use super::{Findings, Promise};
use crate::history::{Call, History, Outcome, Refusal, Report, Request, Revision};

/// Checks compactions, reads at a revision, and watchers that were cancelled.
pub(super) fn check(history: &History, order: &Order, findings: &mut Findings) {
    let compactions = Compactions::of(history);
    for call in &history.calls {
        let trouble = match &call.request {
            Request::Range(range) if range.revision > 0 => {
                let is_confirmed = !range.serializable;
                compactions.of_read(call, range.revision, is_confirmed, order)
            }
            Request::Compact { revision } => compactions.of_compaction(call, *revision, order),
            _ => None,
        };
        if let Some(trouble) = trouble {
            findings.add(Promise::Compaction, || format!("{call:?}: {trouble}"));
        }
    }
    for watch in &history.watches {
        for response in &watch.responses {
            let Report::Cancelled { compact_revision, .. } = response.report else {
                continue;
            };
            if compact_revision > 0 && !compactions.was_asked(compact_revision, response.at_us) {
                findings.add(Promise::Compaction, || {
                    format!(
                        "watcher {} was cancelled for compaction {compact_revision}, which nobody asked for",
                        watch.id
                    )
                });
            }
        }
    }
}

struct Asked {
    revision: Revision,
    invoked_us: u64,
    /// When it was certainly done.
    done_us: Option<u64>,
}

/// Compactions that may have been done, by time of asking, with running extremes.
struct Compactions {
    /// In the order of invocation: each with the highest revision up to here.
    asked: Vec<Asked>,
    highest_asked: Vec<Revision>,
    /// In the order of answers: when, and the highest revision up to here.
    done: Vec<(u64, Revision)>,
}

impl Compactions {
    fn of(history: &History) -> Compactions {
        let mut asked: Vec<Asked> = Vec::new();
        for call in &history.calls {
            let Request::Compact { revision } = call.request else {
                continue;
            };
            let done_us = match call.outcome {
                Outcome::Refused(_) => continue,
                Outcome::Done(_) => Some(call.returned_us),
                Outcome::Unknown => None,
            };
            asked.push(Asked {
                revision,
                invoked_us: call.invoked_us,
                done_us,
            });
        }
        asked.sort_by_key(|asked| asked.invoked_us);
        let highest_asked = running_max(asked.iter().map(|asked| asked.revision));
        let mut done: Vec<(u64, Revision)> = asked
            .iter()
            .filter_map(|asked| Some((asked.done_us?, asked.revision)))
            .collect();
        done.sort_unstable();
        let highest_done = running_max(done.iter().map(|(_, revision)| *revision));
        for ((_, revision), highest) in done.iter_mut().zip(highest_done) {
            *revision = highest;
        }
        Compactions {
            asked,
            highest_asked,
            done,
        }
    }

    /// The highest revision that may have been compacted at a time.
    fn possible(&self, at_us: u64) -> Revision {
        let count = self.asked.partition_point(|asked| asked.invoked_us <= at_us);
        self.highest_asked[..count].last().copied().unwrap_or(0)
    }

    /// The highest revision that was certainly compacted before a time.
    fn certain(&self, before_us: u64) -> Revision {
        let count = self.done.partition_point(|(done_us, _)| *done_us < before_us);
        self.done[..count].last().map_or(0, |(_, revision)| *revision)
    }

    fn was_asked(&self, revision: Revision, at_us: u64) -> bool {
        let count = self.asked.partition_point(|asked| asked.invoked_us <= at_us);
        self.asked[..count].iter().any(|asked| asked.revision == revision)
    }

    fn of_read(&self, call: &Call, revision: Revision, is_confirmed: bool, order: &Order) -> Option<String> {
        match &call.outcome {
            Outcome::Done(_) => {
                let compacted = self.certain(call.invoked_us);
                (is_confirmed && revision < compacted)
                    .then(|| format!("answered, though {compacted} had been compacted before"))
            }
            Outcome::Refused(Refusal::Compacted) => (revision >= self.possible(call.returned_us))
                .then(|| "called compacted, though nobody had asked for that".to_owned()),
            Outcome::Refused(Refusal::FutureRevision) if is_confirmed => {
                wrongly_future(call, revision, order)
            }
            _ => None,
        }
    }

    fn of_compaction(&self, call: &Call, revision: Revision, order: &Order) -> Option<String> {
        match &call.outcome {
            Outcome::Done(answer) if revision > answer.revision => {
                Some("compacted a revision that was not there yet".to_owned())
            }
            Outcome::Done(_) => {
                let compacted = self.certain(call.invoked_us);
                (revision <= compacted).then(|| format!("done, though {compacted} had been compacted before"))
            }
            Outcome::Refused(Refusal::Compacted) => (revision > self.possible(call.returned_us))
                .then(|| "called compacted, though nobody had asked for that".to_owned()),
            Outcome::Refused(Refusal::FutureRevision) => wrongly_future(call, revision, order),
            _ => None,
        }
    }
}

/// A revision that somebody had seen before the call is no future one.
fn wrongly_future(call: &Call, revision: Revision, order: &Order) -> Option<String> {
    (revision <= order.last && order.latest_us(revision) < call.invoked_us)
        .then(|| "called a future revision, though it had been seen before".to_owned())
}

fn running_max(values: impl Iterator<Item = Revision>) -> Vec<Revision> {
    let mut highest = 0;
    let raise = |value: Revision| {
        highest = highest.max(value);
        highest
    };
    values.map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{call, cancelled, compact_at, found, read_at};

    #[track_caller]
    fn check_calls(calls: Vec<Call>, expected: usize) {
        let history = History {
            calls,
            ..History::default()
        };
        assert_eq!(
            found(|findings| check(&history, &Order::default(), findings)),
            expected
        );
    }

    fn refused(request: Request, invoked_us: u64, returned_us: u64, refusal: Refusal) -> Call {
        call(request, invoked_us, returned_us, Outcome::Refused(refusal))
    }

    #[test]
    fn right_answers_pass() {
        let read = |revision| read_at("a", revision, 5, 6, 9);
        check_calls(vec![compact_at(5, 1, 2, 9), read(5), read(6)], 0);
        check_calls(vec![compact_at(5, 1, 9, 9), read(4)], 0);
        let gone = refused(read(4).request, 5, 6, Refusal::Compacted);
        check_calls(vec![compact_at(5, 4, 8, 9), gone.clone()], 0);
        let unknown = call(Request::Compact { revision: 5 }, 1, 2, Outcome::Unknown);
        check_calls(vec![unknown, gone], 0);
        let twice = refused(Request::Compact { revision: 5 }, 5, 6, Refusal::Compacted);
        check_calls(vec![compact_at(5, 1, 2, 9), twice], 0);
    }

    #[test]
    fn planted_wrong_answers_are_found() {
        let read = |revision| read_at("a", revision, 5, 6, 9);
        check_calls(vec![compact_at(5, 1, 2, 9), read(4)], 1);
        let gone = |revision| refused(read(revision).request, 5, 6, Refusal::Compacted);
        check_calls(vec![gone(4)], 1);
        check_calls(vec![compact_at(5, 1, 2, 9), gone(5)], 1);
        check_calls(vec![compact_at(5, 7, 8, 9), gone(4)], 1);
        check_calls(vec![compact_at(5, 1, 2, 9), compact_at(4, 3, 4, 9)], 1);
        check_calls(vec![compact_at(10, 1, 2, 9)], 1);
    }

    #[test]
    fn planted_cancellation_without_compaction_is_found() {
        let history = |compacted| History {
            calls: vec![compact_at(5, 1, 2, 9)],
            watches: vec![cancelled(compacted, 3)],
            ..History::default()
        };
        assert_eq!(
            found(|findings| check(&history(5), &Order::default(), findings)),
            0
        );
        assert_eq!(
            found(|findings| check(&history(6), &Order::default(), findings)),
            1
        );
    }
}
