//! Revisions that no answer claims: each is the work of a call whose end nobody knows, of a lock, or of a lease that
//! ended. One call explains one revision at most, so this is a matching; it is found by augmenting paths.

use super::execute::{execute, lock_key};
use super::linear::Timeline;
use super::table::Table;
use super::witness::Witness;
use super::{Findings, Promise};
use crate::history::{Event, History, Lease, Outcome, Request, Revision, Span, Text};
use std::collections::BTreeMap;

/// Who made a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// The call of this number.
    Call(usize),
    /// The lock, unlock or revoke of this number, on the way to its answer or after it was given up.
    Within(usize),
    /// Nobody: the lease ended.
    LeaseEnd(Lease),
}

/// What one call may have done once.
struct Chance {
    call: usize,
    deed: Deed,
    invoked_us: u64,
    until_us: u64,
}

enum Deed {
    /// What the request says.
    Whole,
    /// What a lock does to enter the queue.
    Enter(Text, Lease),
    /// What a lock or an unlock does to leave it.
    Leave(Text),
}

/// Explains what is left; what cannot be explained is a finding.
pub(super) fn rest(
    history: &History,
    witness: &Witness,
    table: &Table,
    timeline: &Timeline,
    writers: &mut BTreeMap<Revision, Writer>,
    findings: &mut Findings,
) {
    let chances = Chances::of(history);
    let mut wanting: Vec<Wanting> = Vec::new();
    for (revision, events) in witness.iter() {
        if writers.contains_key(&revision) {
            continue;
        }
        let fitting = chances.fitting(history, events, revision, table, timeline);
        match lease_that_ended(events, revision, table) {
            Some(lease) if fitting.is_empty() => {
                writers.insert(revision, Writer::LeaseEnd(lease));
            }
            // May be either; nothing is concluded from it.
            Some(_) => {}
            None => wanting.push(Wanting { revision, fitting }),
        }
    }
    for (wanting, chance) in wanting.iter().zip(matching(&wanting, chances.all.len())) {
        let Some(chance) = chance else {
            findings.add(Promise::Linear, || {
                let events = witness.at(wanting.revision);
                format!("no call explains revision {}: {events:?}", wanting.revision)
            });
            continue;
        };
        let chance = &chances.all[chance];
        let is_answered = matches!(history.calls[chance.call].outcome, Outcome::Done(_));
        let writer = match chance.deed {
            Deed::Whole if !is_answered => Writer::Call(chance.call),
            _ => Writer::Within(chance.call),
        };
        writers.insert(wanting.revision, writer);
    }
}

/// A revision in search of its maker.
struct Wanting {
    revision: Revision,
    /// Chances that would explain it, earliest first.
    fitting: Vec<usize>,
}

/// For each revision, the chance that explains it.
fn matching(wanting: &[Wanting], chances: usize) -> Vec<Option<usize>> {
    // For each chance, the place of the revision it explains.
    let mut taken = vec![None; chances];
    for place in 0..wanting.len() {
        // The path: revisions, each with the next of its chances to be tried.
        let mut seen = std::collections::BTreeSet::new();
        let mut path = vec![(place, 0)];
        while let Some((revision, next)) = path.last_mut() {
            let Some(chance) = wanting[*revision].fitting.get(*next).copied() else {
                path.pop();
                continue;
            };
            *next += 1;
            if !seen.insert(chance) {
                continue;
            }
            match taken[chance] {
                Some(holder) => path.push((holder, 0)),
                None => {
                    // Free: everybody on the path takes the chance it tried last.
                    for (revision, next) in &path {
                        taken[wanting[*revision].fitting[next - 1]] = Some(*revision);
                    }
                    break;
                }
            }
        }
    }
    let mut found = vec![None; wanting.len()];
    for (chance, place) in taken.into_iter().enumerate() {
        if let Some(place) = place {
            found[place] = Some(chance);
        }
    }
    found
}

/// All chances, found by what they may touch.
struct Chances {
    all: Vec<Chance>,
    by_key: BTreeMap<Text, Vec<usize>>,
    by_lease: BTreeMap<Lease, Vec<usize>>,
    /// Deletes of ranges, alone or in transactions.
    wide: Vec<usize>,
}

impl Chances {
    fn of(history: &History) -> Chances {
        let mut chances = Chances {
            all: Vec::new(),
            by_key: BTreeMap::new(),
            by_lease: BTreeMap::new(),
            wide: Vec::new(),
        };
        let mut numbers: Vec<usize> = (0..history.calls.len()).collect();
        numbers.retain(|number| {
            let call = &history.calls[*number];
            let in_between = matches!(
                call.request,
                Request::Lock { .. } | Request::Unlock { .. } | Request::LeaseRevoke { .. }
            );
            match call.outcome {
                Outcome::Unknown => call.request.may_write(),
                Outcome::Done(_) => in_between,
                // Whoever gave up waiting for a lock has entered the queue and left it.
                Outcome::Refused(_) => matches!(call.request, Request::Lock { .. }),
            }
        });
        numbers.sort_by_key(|number| history.calls[*number].invoked_us);
        for number in numbers {
            chances.add(history, number);
        }
        chances
    }

    fn add(&mut self, history: &History, number: usize) {
        let call = &history.calls[number];
        let answered_us = match call.outcome {
            Outcome::Done(_) => call.returned_us,
            Outcome::Refused(_) | Outcome::Unknown => u64::MAX,
        };
        let mut push = |deed, until_us| {
            self.all.push(Chance {
                call: number,
                deed,
                invoked_us: call.invoked_us,
                until_us,
            });
            self.all.len() - 1
        };
        match &call.request {
            Request::Lock { name, lease } => {
                let key = lock_key(name, *lease);
                let entered = push(Deed::Enter(key.clone(), *lease), answered_us);
                let left = push(Deed::Leave(key.clone()), u64::MAX);
                self.by_key.entry(key).or_default().extend([entered, left]);
            }
            Request::Unlock { key } => {
                let left = push(Deed::Leave(key.clone()), answered_us);
                self.by_key.entry(key.clone()).or_default().push(left);
            }
            Request::LeaseRevoke { lease } => {
                let whole = push(Deed::Whole, answered_us);
                self.by_lease.entry(*lease).or_default().push(whole);
            }
            request => {
                let whole = push(Deed::Whole, answered_us);
                self.touch(request, whole);
            }
        }
    }

    fn touch(&mut self, request: &Request, chance: usize) {
        match request {
            Request::Put { key, .. } => self.by_key.entry(key.clone()).or_default().push(chance),
            Request::Delete { span, .. } if span.range_end.is_empty() => {
                self.by_key.entry(span.key.clone()).or_default().push(chance);
            }
            Request::Delete { .. } => self.wide.push(chance),
            Request::Txn(txn) => {
                let requests = txn.success.iter().chain(&txn.failure);
                requests.for_each(|request| self.touch(request, chance));
            }
            _ => {}
        }
    }

    /// The chances that would make exactly these changes at this revision, earliest first.
    fn fitting(
        &self,
        history: &History,
        events: &[Event],
        revision: Revision,
        table: &Table,
        timeline: &Timeline,
    ) -> Vec<usize> {
        let Some(first) = events.first() else {
            return Vec::new();
        };
        let lease = table.get(first.key(), revision - 1).map(|kv| kv.lease);
        let by_key = self.by_key.get(first.key()).into_iter().flatten();
        let by_lease = lease
            .and_then(|lease| self.by_lease.get(&lease))
            .into_iter()
            .flatten();
        let mut fitting: Vec<usize> = by_key.chain(by_lease).chain(&self.wide).copied().collect();
        fitting.sort_unstable();
        fitting.dedup();
        fitting.retain(|chance| {
            let chance = &self.all[*chance];
            let is_in_time = timeline.at(revision).is_none_or(|moment| {
                chance.invoked_us <= moment.latest_us && chance.until_us >= moment.earliest_us
            });
            is_in_time && would_make(history, chance, events, revision, table)
        });
        fitting
    }
}

fn would_make(
    history: &History,
    chance: &Chance,
    events: &[Event],
    revision: Revision,
    table: &Table,
) -> bool {
    let request = match &chance.deed {
        Deed::Whole => {
            return execute(&history.calls[chance.call].request, table, revision - 1).events == events;
        }
        Deed::Enter(key, lease) => Request::Put {
            key: key.clone(),
            value: Text::default(),
            lease: *lease,
            prev_kv: false,
        },
        Deed::Leave(key) => Request::Delete {
            span: Span::one(key.clone()),
            prev_kv: false,
        },
    };
    execute(&request, table, revision - 1).events == events
}

/// The lease whose end would make exactly these changes.
fn lease_that_ended(events: &[Event], revision: Revision, table: &Table) -> Option<Lease> {
    let lease = table.get(events.first()?.key(), revision - 1)?.lease;
    let effect = execute(&Request::LeaseRevoke { lease }, table, revision - 1);
    (lease != 0 && effect.events == events).then_some(lease)
}
