//! Revisions count by one, and so do the versions of a key; a member never shows an older revision than it has shown. It
//! does not look at values.

use super::witness::{EMPTY_REVISION, Witness};
use super::{Findings, Promise};
use crate::history::{Event, History, Outcome, Request, Revision, Text};
use std::collections::BTreeMap;

/// Checks what the witness says of each key, and what each member has shown.
pub(super) fn check(history: &History, witness: &Witness, findings: &mut Findings) {
    check_versions(witness, findings);
    check_members(history, findings);
}

/// Every put goes on from the one before, every delete deletes something.
fn check_versions(witness: &Witness, findings: &mut Findings) {
    // Create revision and version of the keys that are there.
    let mut there: BTreeMap<&Text, (Revision, i64)> = BTreeMap::new();
    for (revision, events) in witness.iter() {
        for event in events {
            let before = there.get(event.key()).copied();
            let is_right = match (event, before) {
                (Event::Put { kv, .. }, None) => kv.create_revision == revision && kv.version == 1,
                (Event::Put { kv, .. }, Some((created, version))) => {
                    kv.create_revision == created && kv.version == version + 1
                }
                (Event::Delete { .. }, before) => before.is_some(),
            };
            if !is_right {
                findings.add(Promise::Revisions, || {
                    format!("{event:?} does not follow from (create revision, version) {before:?}")
                });
            }
            match event {
                Event::Put { kv, .. } => there.insert(&kv.key, (kv.create_revision, kv.version)),
                Event::Delete { key, .. } => there.remove(key),
            };
        }
    }
}

/// A later call to the same member is not told an older revision.
fn check_members(history: &History, findings: &mut Findings) {
    let mut moments: BTreeMap<u64, Vec<(u64, bool, Revision, usize)>> = BTreeMap::new();
    for (number, call) in history.calls.iter().enumerate() {
        // Its header shows the revision from before it was carried out, as etcd's does; just after a start that is what
        // the member had applied, not what it had shown.
        if matches!(call.request, Request::LeaseKeepAlive { .. }) {
            continue;
        }
        if let (Some(member), Outcome::Done(answer)) = (call.member, &call.outcome) {
            let of_member = moments.entry(member).or_default();
            // At the same time an invocation comes first: the two calls overlap.
            of_member.push((call.invoked_us, false, answer.revision, number));
            of_member.push((call.returned_us, true, answer.revision, number));
        }
    }
    for (member, mut of_member) in moments {
        of_member.sort_unstable();
        let mut shown = EMPTY_REVISION;
        let mut owed: BTreeMap<usize, Revision> = BTreeMap::new();
        for (_, is_return, revision, number) in of_member {
            if !is_return {
                owed.insert(number, shown);
                continue;
            }
            let owed = owed.remove(&number).unwrap_or(shown);
            if revision < owed {
                findings.add(Promise::Revisions, || {
                    let call = &history.calls[number];
                    format!("member {member} had shown revision {owed} before {call:?} was invoked")
                });
            }
            shown = shown.max(revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{at_member, deleted, found, get_at, put};

    #[track_caller]
    fn check_witness(changes: Vec<Vec<Event>>, expected: usize) {
        let history = History::default();
        assert_eq!(
            found(|findings| check(&history, &Witness::of(changes), findings)),
            expected
        );
    }

    #[test]
    fn a_right_story_passes() {
        check_witness(
            vec![
                vec![put("a", "1", 2, 2, 1)],
                vec![put("a", "2", 2, 3, 2), put("b", "1", 3, 3, 1)],
                vec![deleted("a", 4)],
                vec![put("a", "3", 5, 5, 1)],
            ],
            0,
        );
    }

    #[test]
    fn planted_wrong_counts_are_found() {
        let first = || vec![put("a", "1", 2, 2, 1)];
        check_witness(vec![first(), vec![put("a", "2", 2, 3, 3)]], 1);
        check_witness(vec![first(), vec![put("a", "2", 3, 3, 2)]], 1);
        check_witness(vec![vec![put("a", "1", 1, 2, 1)]], 1);
        check_witness(vec![first(), vec![deleted("b", 3)]], 1);
        check_witness(
            vec![first(), vec![deleted("a", 3)], vec![put("a", "2", 2, 4, 2)]],
            1,
        );
    }

    #[test]
    fn a_member_never_shows_less_than_it_has_shown() {
        let shown = |revisions: &[(u64, u64, Revision)]| {
            let calls = revisions.iter().map(|(invoked, returned, revision)| {
                at_member(1, get_at("a", *invoked, *returned, *revision))
            });
            let history = History {
                calls: calls.collect(),
                ..History::default()
            };
            found(|findings| check(&history, &Witness::default(), findings))
        };
        assert_eq!(shown(&[(1, 2, 5), (3, 4, 5), (5, 6, 7)]), 0);
        assert_eq!(shown(&[(1, 4, 5), (3, 6, 4)]), 0, "they overlap");
        assert_eq!(shown(&[(1, 2, 5), (3, 4, 4)]), 1, "planted: back in time");
    }
}
