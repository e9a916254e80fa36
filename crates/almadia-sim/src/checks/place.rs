//! Where each answered call belongs: at the revision it was told, if the state there gives that answer. It does not
//! look at time.

use super::execute::execute;
use super::explain::Writer;
use super::table::Table;
use super::witness::{EMPTY_REVISION, Witness};
use super::{Findings, Promise};
use crate::history::{Answer, Body, Call, History, Outcome, Request, Revision};
use std::collections::BTreeMap;

/// A call's place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It made this revision.
    Write(Revision),
    /// It saw this revision as the newest.
    Read(Revision),
    /// It saw this revision, which may have been an old one.
    Stale(Revision),
    /// It had no effect, or nobody knows.
    Nowhere,
}

impl Place {
    /// The revision, if it has one.
    pub(super) fn revision(self) -> Option<Revision> {
        match self {
            Place::Write(revision) | Place::Read(revision) | Place::Stale(revision) => Some(revision),
            Place::Nowhere => None,
        }
    }

    /// When it must have happened by: without an answer, whenever.
    pub(super) fn until_us(self, call: &Call) -> u64 {
        match call.outcome {
            Outcome::Done(_) => call.returned_us,
            Outcome::Refused(_) | Outcome::Unknown => u64::MAX,
        }
    }
}

/// The places of all calls that were answered; who made which revision goes to `writers`.
pub(super) fn all(
    history: &History,
    witness: &Witness,
    table: &Table,
    writers: &mut BTreeMap<Revision, Writer>,
    findings: &mut Findings,
) -> Vec<Place> {
    let mut places = Vec::with_capacity(history.calls.len());
    for (number, call) in history.calls.iter().enumerate() {
        let Outcome::Done(answer) = &call.outcome else {
            places.push(Place::Nowhere);
            continue;
        };
        let place = match one(call, answer, witness, table) {
            Ok(place) => place,
            Err(trouble) => {
                findings.add(Promise::Linear, || format!("{call:?}: {trouble}"));
                Place::Nowhere
            }
        };
        if let Place::Write(revision) = place
            && let Some(other) = writers.insert(revision, Writer::Call(number))
        {
            findings.add(Promise::Linear, || {
                format!("{call:?} was told revision {revision}, and so was {other:?}")
            });
        }
        places.push(place);
    }
    places
}

/// The place of one answer, or why there is none.
fn one(call: &Call, answer: &Answer, witness: &Witness, table: &Table) -> Result<Place, String> {
    let revision = answer.revision;
    if revision < EMPTY_REVISION || revision > witness.last() {
        return Err(format!(
            "undecided: the witness ends at revision {}",
            witness.last()
        ));
    }
    match &call.request {
        Request::Put { .. } | Request::Delete { .. } | Request::Txn(_) | Request::Range(_) => {
            carried_out(&call.request, answer, witness, table)
        }
        Request::LeaseRevoke { lease } => match table.attached(*lease, revision).next() {
            Some(key) => Err(format!("{key} still hangs on it at revision {revision}")),
            None => Ok(Place::Read(revision)),
        },
        Request::Unlock { key } => match table.get(key, revision) {
            Some(kv) => Err(format!("still there at revision {revision}: {kv:?}")),
            None => Ok(Place::Read(revision)),
        },
        Request::Lock { lease, .. } => match &answer.body {
            Body::Lock { key } if table.get(key, revision).is_some_and(|kv| kv.lease == *lease) => {
                Ok(Place::Read(revision))
            }
            _ => Err(format!("no such key of this lease at revision {revision}")),
        },
        Request::Compact { .. } | Request::LeaseGrant { .. } => Ok(Place::Read(revision)),
        // Answered from the member's own state or the leader's books.
        Request::LeaseKeepAlive { .. } | Request::LeaseTimeToLive { .. } => Ok(Place::Stale(revision)),
    }
}

fn carried_out(
    request: &Request,
    answer: &Answer,
    witness: &Witness,
    table: &Table,
) -> Result<Place, String> {
    let revision = answer.revision;
    let wrote = wrote(&answer.body);
    let effect = execute(request, table, if wrote { revision - 1 } else { revision });
    if effect.body.as_ref() != Some(&answer.body) {
        let expected = effect.body;
        return Err(format!("the state there would have answered {expected:?}"));
    }
    if !wrote {
        return match request {
            _ if !effect.events.is_empty() => Err("it would have written".to_owned()),
            Request::Range(range) if range.revision > revision => Err("read in the future".to_owned()),
            _ if is_serializable(request) => Ok(Place::Stale(revision)),
            _ => Ok(Place::Read(revision)),
        };
    }
    match witness.at(revision) {
        Some(events) if events == effect.events => Ok(Place::Write(revision)),
        told => Err(format!("the witness says {told:?}, not {:?}", effect.events)),
    }
}

/// Whether an answer says that something was changed.
pub(super) fn wrote(body: &Body) -> bool {
    match body {
        Body::Put { .. } => true,
        Body::Delete { deleted, .. } => *deleted > 0,
        Body::Txn { bodies, .. } => bodies.iter().any(wrote),
        Body::Range { .. }
        | Body::Nothing
        | Body::Lease { .. }
        | Body::TimeToLive { .. }
        | Body::Lock { .. } => false,
    }
}

/// Whether the member's own state was good enough; a transaction of such reads is one too.
fn is_serializable(request: &Request) -> bool {
    match request {
        Request::Range(range) => range.serializable,
        Request::Txn(txn) => {
            let mut all = txn.success.iter().chain(&txn.failure).peekable();
            all.peek().is_some() && all.all(is_serializable)
        }
        _ => false,
    }
}
