//! The slow twin of the check of linearizability: tries every order of a small history on a state of its own, and knows
//! nothing of revisions as positions. Also makes such histories, right ones and ones with something wrong in them.

use crate::history::{
    Answer, Body, Call, Compare, Event, KeyValue, Operand, Outcome, Range, Refusal, Request, Revision, Span,
    Text, Txn, Verdict,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Few calls, and what happened.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pub(super) calls: Vec<Call>,
    pub(super) changes: Vec<Vec<Event>>,
}

/// Whether some order of the calls that respects time gives every answer, and makes exactly these changes.
pub(super) fn is_linearizable(small: &Small) -> bool {
    let left: Vec<&Call> = small
        .calls
        .iter()
        .filter(|call| match call.outcome {
            Outcome::Done(_) => true,
            Outcome::Unknown => call.request.may_write(),
            Outcome::Refused(_) => false,
        })
        .collect();
    search(&small.changes, &left, &[Naive::default()])
}

/// The state as the rules say it, and nothing more.
#[derive(Clone, Debug, Default)]
struct Naive {
    keys: BTreeMap<Text, KeyValue>,
}

/// `states` holds one for each revision from 1 on; the last is the newest.
fn search(changes: &[Vec<Event>], left: &[&Call], states: &[Naive]) -> bool {
    let needed = left
        .iter()
        .filter(|call| matches!(call.outcome, Outcome::Done(_)));
    let first_end = needed.clone().map(|call| call.returned_us).min();
    if needed.count() == 0 && states.len() == changes.len() + 1 {
        return true;
    }
    for (place, call) in left.iter().enumerate() {
        // A serializable read may look back: for it, only its end counts.
        let from = if is_stale(&call.request) {
            0
        } else {
            call.invoked_us
        };
        if first_end.is_some_and(|end| from > end) {
            continue;
        }
        let newest = states.len() as Revision;
        let mut state = states.last().unwrap().clone();
        let mut events = Vec::new();
        let body = state.carry_out(&call.request, newest + 1, states, &mut events);
        let wrote = !events.is_empty();
        if wrote && changes.get(states.len() - 1) != Some(&events) {
            continue;
        }
        if let Outcome::Done(answer) = &call.outcome {
            let revision = if wrote { newest + 1 } else { newest };
            if answer.revision != revision || answer.body != body {
                continue;
            }
        }
        let mut rest = left.to_vec();
        rest.remove(place);
        let mut after = states.to_vec();
        if wrote {
            after.push(state);
        }
        if search(changes, &rest, &after) {
            return true;
        }
    }
    false
}

fn is_stale(request: &Request) -> bool {
    matches!(request, Request::Range(range) if range.serializable)
}

impl Naive {
    fn carry_out(
        &mut self,
        request: &Request,
        next: Revision,
        states: &[Naive],
        events: &mut Vec<Event>,
    ) -> Body {
        match request {
            Request::Put {
                key, value, prev_kv, ..
            } => {
                let prev = self.keys.get(key).cloned();
                let kv = KeyValue {
                    key: key.clone(),
                    value: value.clone(),
                    create_revision: prev.as_ref().map_or(next, |kv| kv.create_revision),
                    mod_revision: next,
                    version: prev.as_ref().map_or(1, |kv| kv.version + 1),
                    lease: 0,
                };
                self.keys.insert(key.clone(), kv.clone());
                events.push(Event::Put { kv, prev: None });
                Body::Put {
                    prev: prev.filter(|_| *prev_kv),
                }
            }
            Request::Delete { span, prev_kv } => {
                let gone: Vec<KeyValue> = self
                    .keys
                    .values()
                    .filter(|kv| span.holds(&kv.key))
                    .cloned()
                    .collect();
                for kv in &gone {
                    self.keys.remove(&kv.key);
                    events.push(Event::Delete {
                        key: kv.key.clone(),
                        mod_revision: next,
                        prev: None,
                    });
                }
                Body::Delete {
                    deleted: gone.len() as i64,
                    prevs: if *prev_kv { gone } else { vec![] },
                }
            }
            Request::Range(range) => self.read(range, states),
            Request::Txn(txn) => {
                let succeeded = txn.compares.iter().all(|compare| {
                    let Operand::ModRevision(wanted) = compare.operand else {
                        unreachable!("no others are made here")
                    };
                    self.keys.get(&compare.span.key).map_or(0, |kv| kv.mod_revision) == wanted
                });
                let list = if succeeded { &txn.success } else { &txn.failure };
                let bodies = list
                    .iter()
                    .map(|request| self.carry_out(request, next, states, events))
                    .collect();
                Body::Txn { succeeded, bodies }
            }
            _ => unreachable!("no others are made here"),
        }
    }

    fn read(&self, range: &Range, states: &[Naive]) -> Body {
        let state = match range.revision {
            0 => self,
            // Certainly not what was answered: nobody has been there.
            revision => match states.get(revision as usize - 1) {
                Some(state) => state,
                None => {
                    return Body::Nothing;
                }
            },
        };
        let mut kvs: Vec<KeyValue> = state
            .keys
            .values()
            .filter(|kv| range.span.holds(&kv.key))
            .cloned()
            .collect();
        let count = kvs.len() as i64;
        let more = range.limit > 0 && count > range.limit;
        if more {
            kvs.truncate(range.limit as usize);
        }
        Body::Range { kvs, count, more }
    }
}

fn keys() -> impl Strategy<Value = Text> {
    prop_oneof!["a", "b"].prop_map(Text::from)
}

fn spans() -> impl Strategy<Value = Span> {
    prop_oneof![3 => keys().prop_map(Span::one), 1 => Just(Span::all())]
}

fn simple() -> impl Strategy<Value = Request> {
    let puts = (keys(), "[xy]", any::<bool>()).prop_map(|(key, value, prev_kv)| Request::Put {
        key,
        value: value.into(),
        lease: 0,
        prev_kv,
    });
    let deletes = (spans(), any::<bool>()).prop_map(|(span, prev_kv)| Request::Delete { span, prev_kv });
    prop_oneof![3 => puts, 2 => deletes, 3 => ranges()]
}

fn ranges() -> impl Strategy<Value = Request> {
    (spans(), any::<bool>(), 0..3i64).prop_map(|(span, serializable, limit)| {
        Request::Range(Range {
            serializable,
            limit: (limit - 1).max(0),
            ..Range::of(span)
        })
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let old = (spans(), 1..4i64).prop_map(|(span, revision)| {
        Request::Range(Range {
            revision,
            ..Range::of(span)
        })
    });
    let txns = (keys(), 0..4i64, keys(), spans()).prop_map(|(key, revision, put, read)| {
        Request::Txn(Txn {
            compares: vec![Compare {
                span: Span::one(key),
                verdict: Verdict::Equal,
                operand: Operand::ModRevision(revision),
            }],
            success: vec![Request::Put {
                key: put,
                value: "t".into(),
                lease: 0,
                prev_kv: false,
            }],
            failure: vec![Request::Range(Range::of(read))],
        })
    });
    prop_oneof![6 => simple(), 1 => old, 2 => txns]
}

/// What becomes of a call in a history that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    UnknownDone,
    UnknownNotDone,
    Refused,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        2 => Just(Fate::UnknownDone),
        1 => Just(Fate::UnknownNotDone),
        1 => Just(Fate::Refused),
    ]
}

/// Histories of up to seven calls: half of them right, the others damaged in one or two places.
pub(super) fn small_histories() -> impl Strategy<Value = Small> {
    let calls = prop::collection::vec((requests(), fates(), 0..35u64, 0..35u64), 1..8);
    let damages = prop::collection::vec((any::<prop::sample::Index>(), 0..7u8), 0..3);
    (calls, damages).prop_map(|(calls, damages)| {
        let mut small = made(calls);
        for (place, kind) in damages {
            let place = place.index(small.calls.len());
            damage(&mut small, place, kind);
        }
        small
    })
}

/// Carried out one after the other, 10 us apart; each call lasts from some time before to some time after that.
fn made(planned: Vec<(Request, Fate, u64, u64)>) -> Small {
    let mut states = vec![Naive::default()];
    let mut small = Small {
        calls: vec![],
        changes: vec![],
    };
    for (number, (request, fate, before, after)) in planned.into_iter().enumerate() {
        let moment = 100 + 10 * number as u64;
        let mut events = Vec::new();
        let mut outcome = match fate {
            Fate::Refused => Outcome::Refused(Refusal::Other("full".into())),
            _ => Outcome::Unknown,
        };
        let newest = states.len() as Revision;
        let is_future = matches!(&request, Request::Range(range) if range.revision > newest);
        if is_future {
            outcome = Outcome::Refused(Refusal::FutureRevision);
        } else if matches!(fate, Fate::Answered | Fate::UnknownDone) {
            let mut state = states.last().unwrap().clone();
            let body = state.carry_out(&request, newest + 1, &states, &mut events);
            let mut revision = newest;
            if !events.is_empty() {
                revision += 1;
                states.push(state);
                small.changes.push(events);
            }
            if fate == Fate::Answered {
                outcome = Outcome::Done(Answer { revision, body });
            }
        }
        small.calls.push(Call {
            client: number as u64,
            member: None,
            invoked_us: moment - before,
            returned_us: moment + after,
            request,
            outcome,
        });
    }
    small
}

fn damage(small: &mut Small, place: usize, kind: u8) {
    let call = &mut small.calls[place];
    match (kind, &mut call.outcome) {
        (0, Outcome::Done(answer)) => answer.revision += 1,
        (1, Outcome::Done(answer)) if answer.revision > 1 => answer.revision -= 1,
        (2, Outcome::Done(answer)) => match &mut answer.body {
            Body::Range { kvs, .. } => drop(kvs.pop()),
            Body::Txn { succeeded, .. } => *succeeded = !*succeeded,
            Body::Put { prev } => *prev = None,
            Body::Delete { deleted, .. } => *deleted += 1,
            _ => {}
        },
        (3, outcome) => *outcome = Outcome::Unknown,
        (4, outcome) => *outcome = Outcome::Refused(Refusal::Other("planted".into())),
        (5, _) => {
            call.invoked_us += 40;
            call.returned_us += 40;
        }
        _ => {
            call.invoked_us = call.invoked_us.saturating_sub(40);
            call.returned_us = call.returned_us.saturating_sub(40).max(call.invoked_us);
        }
    }
}
