//! Nothing acknowledged is lost: each acknowledged write is in the witness, at the revision that was acknowledged, with
//! its value. It leaves the rest of the answer to the check of linearizability.

use super::place::wrote;
use super::witness::Witness;
use super::{Findings, Promise};
use crate::history::{Body, Event, History, Outcome, Request, Revision};

/// Checks every acknowledged write.
pub(super) fn check(history: &History, witness: &Witness, findings: &mut Findings) {
    for call in &history.calls {
        let Outcome::Done(answer) = &call.outcome else {
            continue;
        };
        if wrote(&answer.body) && !is_there(&call.request, &answer.body, answer.revision, witness) {
            findings.add(Promise::Durable, || {
                let told = witness.at(answer.revision);
                format!(
                    "{call:?} was acknowledged, but revision {} is {told:?}",
                    answer.revision
                )
            });
        }
    }
}

/// Whether all that an answer says was written stands at its revision.
fn is_there(request: &Request, body: &Body, revision: Revision, witness: &Witness) -> bool {
    let events = witness.at(revision).unwrap_or_default();
    match (request, body) {
        (Request::Put { key, value, lease, .. }, _) => events.iter().any(|event| {
            matches!(event, Event::Put { kv, .. } if kv.key == *key && kv.value == *value && kv.lease == *lease)
        }),
        (Request::Delete { span, .. }, Body::Delete { deleted, .. }) => {
            let gone = events
                .iter()
                .filter(|event| matches!(event, Event::Delete { key, .. } if span.holds(key)));
            gone.count() as i64 >= *deleted
        }
        (Request::Txn(txn), Body::Txn { succeeded, bodies }) => {
            let list = if *succeeded { &txn.success } else { &txn.failure };
            let mut pairs = list.iter().zip(bodies);
            pairs.all(|(request, body)| !wrote(body) || is_there(request, body, revision, witness))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{delete_at, found, put, put_at};

    #[test]
    fn planted_lost_and_changed_writes_are_found() {
        let lost = |call, changes: Vec<Vec<Event>>| {
            let history = History {
                calls: vec![call],
                ..History::default()
            };
            found(|findings| check(&history, &Witness::of(changes), findings))
        };
        let there = || vec![vec![put("a", "1", 2, 2, 1)]];
        assert_eq!(lost(put_at("a", "1", 1, 2, 2), there()), 0);
        assert_eq!(lost(put_at("a", "1", 1, 2, 2), vec![]), 1, "gone");
        assert_eq!(lost(put_at("a", "1", 1, 2, 3), there()), 1, "at another revision");
        assert_eq!(lost(put_at("a", "2", 1, 2, 2), there()), 1, "another value");
        assert_eq!(lost(delete_at("a", 1, 2, 2), there()), 1, "not deleted");
    }
}
