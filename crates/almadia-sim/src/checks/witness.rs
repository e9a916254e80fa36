//! What really happened, revision by revision, as the members tell it; and that they tell the same. It does not ask
//! whether that was right.

use super::{Findings, Promise};
use crate::history::{Change, Event, Revision};
use std::collections::BTreeMap;

/// The revision of an empty store: the first change makes the next one.
pub const EMPTY_REVISION: Revision = 1;

/// The changes of each revision, from the first one on, without what was there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    changes: Vec<Vec<Event>>,
}

impl Witness {
    /// From the changes of revision 2, 3 and so on.
    pub fn of(changes: Vec<Vec<Event>>) -> Witness {
        Witness { changes }
    }

    /// The newest revision that it knows.
    pub fn last(&self) -> Revision {
        EMPTY_REVISION + self.changes.len() as Revision
    }

    /// What was changed at a revision; `None` if it does not know that revision.
    pub fn at(&self, revision: Revision) -> Option<&[Event]> {
        let place = usize::try_from(revision - EMPTY_REVISION - 1).ok()?;
        self.changes.get(place).map(Vec::as_slice)
    }

    /// Revisions with their changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Revision, &[Event])> {
        (EMPTY_REVISION + 1..).zip(self.changes.iter().map(Vec::as_slice))
    }
}

/// One story out of all members'. Two that differ are a finding, and so is a hole; what lies behind a hole is not
/// used.
pub(super) fn merge(changes: &[Change], findings: &mut Findings) -> Witness {
    let mut told: BTreeMap<Revision, (u64, Vec<Event>)> = BTreeMap::new();
    for change in changes {
        let events: Vec<Event> = change.events.iter().map(Event::bare).collect();
        let Change { member, revision, .. } = change;
        if events.is_empty() || events.iter().any(|event| event.revision() != *revision) {
            findings.add(Promise::OneStory, || {
                format!(
                    "member {member} says of revision {revision}: {events:?}, which is not a change of it"
                )
            });
        }
        match told.get(revision) {
            None => {
                told.insert(*revision, (*member, events));
            }
            Some((first, other)) if *other != events => findings.add(Promise::OneStory, || {
                format!(
                    "revision {revision} is {other:?} to member {first}, but {events:?} to member {member}"
                )
            }),
            Some(_) => {}
        }
    }
    let mut witness = Witness::default();
    for (revision, (_, events)) in told {
        let wanted = witness.last() + 1;
        if revision != wanted {
            findings.add(Promise::OneStory, || {
                format!("no member tells what happened at revision {wanted}, but one does of {revision}")
            });
            break;
        }
        witness.changes.push(events);
    }
    witness
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{deleted, put};

    fn found(changes: &[(u64, Revision, Vec<Event>)]) -> (Revision, usize) {
        let changes: Vec<Change> = changes
            .iter()
            .map(|(member, revision, events)| Change {
                member: *member,
                revision: *revision,
                events: events.clone(),
            })
            .collect();
        let mut findings = Findings::default();
        (merge(&changes, &mut findings).last(), findings.kept.len())
    }

    #[test]
    fn members_that_agree_are_one_story() {
        let (two, three) = (vec![put("a", "1", 2, 2, 1)], vec![deleted("a", 3)]);
        let changes = [
            (2, 3, three.clone()),
            (1, 2, two.clone()),
            (1, 3, three),
            (2, 2, two),
        ];
        assert_eq!(found(&changes), (3, 0));
        assert_eq!(found(&[]), (1, 0));
    }

    #[test]
    fn planted_members_that_differ_and_holes_are_found() {
        let put_one = vec![put("a", "1", 2, 2, 1)];
        let put_two = vec![put("a", "2", 2, 2, 1)];
        assert_eq!(found(&[(1, 2, put_one.clone()), (2, 2, put_two)]), (2, 1));
        assert_eq!(
            found(&[(1, 2, put_one.clone()), (1, 4, vec![deleted("a", 4)])]),
            (2, 1)
        );
        assert_eq!(found(&[(1, 2, vec![])]), (2, 1), "an empty change");
        assert_eq!(
            found(&[(1, 3, put_one)]),
            (1, 2),
            "filed under the wrong revision, and a hole"
        );
    }
}
