//! Linearizability of the whole history. Revisions say where a call belongs, so nothing is searched: each answer is
//! compared with the state at its revision, and then the order of revisions with the order of time. Almost linear in the
//! number of calls.
//!
//! With every call at its place, an order that respects time exists exactly if no call returned before one that
//! stands in front of it was invoked. A serializable read may be old, but never from the future.

use super::explain::{self, Writer};
use super::place::{self, Place};
use super::table::Table;
use super::witness::Witness;
use super::{Findings, Promise};
use crate::history::{Call, History, Lease, Revision};
use std::collections::BTreeMap;

/// What is known of the order once the check has been made.
#[derive(Debug, Default)]
pub struct Order {
    /// The newest revision that the witness knows.
    pub last: Revision,
    /// Who made which revision.
    pub(super) writers: BTreeMap<Revision, Writer>,
    timeline: Timeline,
}

impl Order {
    /// Revisions that only the end of a lease explains.
    pub(super) fn lease_ends(&self) -> impl Iterator<Item = (Revision, Lease)> {
        self.writers.iter().filter_map(|(revision, writer)| match writer {
            Writer::LeaseEnd(lease) => Some((*revision, *lease)),
            _ => None,
        })
    }

    /// A revision was not there before this time.
    pub(super) fn earliest_us(&self, revision: Revision) -> u64 {
        self.timeline.at(revision).map_or(0, |moment| moment.earliest_us)
    }

    /// A revision was there at this time at the latest.
    pub(super) fn latest_us(&self, revision: Revision) -> u64 {
        self.timeline
            .at(revision)
            .map_or(u64::MAX, |moment| moment.latest_us)
    }
}

/// Between which times each revision came to be.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// By revision, from 0 on.
    moments: Vec<Moment>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) earliest_us: u64,
    /// The call that was invoked then, and whose effect is in this revision or before it.
    pub(super) because: Option<usize>,
    pub(super) latest_us: u64,
}

impl Timeline {
    pub(super) fn at(&self, revision: Revision) -> Option<Moment> {
        let place = usize::try_from(revision).ok()?;
        self.moments.get(place).copied()
    }

    /// From the places of all calls.
    fn of(calls: &[Call], places: &[Place], last: Revision) -> Timeline {
        let count = usize::try_from(last).unwrap_or(0) + 1;
        let nothing = Moment {
            earliest_us: 0,
            because: None,
            latest_us: u64::MAX,
        };
        let mut moments = vec![nothing; count];
        for (number, (call, place)) in calls.iter().zip(places).enumerate() {
            let (revision, pushes) = match place {
                Place::Nowhere => continue,
                // A read at a revision pushes what comes after it.
                Place::Read(revision) => (*revision, Some(*revision + 1)),
                Place::Write(revision) => (*revision, Some(*revision)),
                Place::Stale(revision) => (*revision, None),
            };
            let moment = &mut moments[revision as usize];
            moment.latest_us = moment.latest_us.min(place.until_us(call));
            let pushed = pushes.and_then(|pushed| moments.get_mut(pushed as usize));
            if let Some(pushed) = pushed
                && pushed.earliest_us <= call.invoked_us
            {
                pushed.earliest_us = call.invoked_us;
                pushed.because = Some(number);
            }
        }
        for place in 1..count {
            if moments[place].earliest_us < moments[place - 1].earliest_us {
                moments[place].earliest_us = moments[place - 1].earliest_us;
                moments[place].because = moments[place - 1].because;
            }
            let back = count - 1 - place;
            moments[back].latest_us = moments[back].latest_us.min(moments[back + 1].latest_us);
        }
        Timeline { moments }
    }
}

/// Places every call, explains every revision, and compares with time.
pub(super) fn check(history: &History, witness: &Witness, table: &Table, findings: &mut Findings) -> Order {
    let mut writers = BTreeMap::new();
    let mut places = place::all(history, witness, table, &mut writers, findings);
    let timeline = Timeline::of(&history.calls, &places, witness.last());
    explain::rest(history, witness, table, &timeline, &mut writers, findings);
    for (revision, writer) in &writers {
        // A call without a known end has its place now too.
        if let Writer::Call(number) = writer
            && places[*number] == Place::Nowhere
        {
            places[*number] = Place::Write(*revision);
        }
    }
    let timeline = Timeline::of(&history.calls, &places, witness.last());
    compare_with_time(&history.calls, &places, &timeline, findings);
    Order {
        last: witness.last(),
        writers,
        timeline,
    }
}

fn compare_with_time(calls: &[Call], places: &[Place], timeline: &Timeline, findings: &mut Findings) {
    for (call, place) in calls.iter().zip(places) {
        let Some(moment) = place.revision().and_then(|revision| timeline.at(revision)) else {
            continue;
        };
        if place.until_us(call) >= moment.earliest_us {
            continue;
        }
        findings.add(Promise::Linear, || {
            let before = moment.because.map(|number| &calls[number]);
            format!("{call:?} returned before {before:?} was invoked, but stands behind it ({place:?})")
        });
    }
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
