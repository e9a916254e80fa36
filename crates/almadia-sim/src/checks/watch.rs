//! The nine promises of watches, checked on every watcher against the witness. It does not ask how late an event came.
//!
//! Unlike etcd's own checks, which compare watchers with each other, these compare each with what really happened.

use super::table::Table;
use super::witness::Witness;
use super::{Findings, Promise};
use crate::history::{Event, History, KeyValue, Report, Request, Revision, Text, Watch, WatchResponse};
use std::collections::BTreeSet;

/// Checks every watcher.
pub(super) fn check(history: &History, witness: &Witness, table: &Table, findings: &mut Findings) {
    let asked = Compactions::of(history);
    for watch in &history.watches {
        let Some(first) = first_revision(watch) else {
            continue;
        };
        let mut told = Told {
            watch,
            first,
            findings,
        };
        told.filter();
        told.ordered();
        told.unique();
        told.atomic();
        told.bookmarkable(witness);
        told.resumable(witness);
        told.reliable(witness);
        told.is_create(table);
        told.prev_kv(table, &asked);
    }
}

/// The first revision that a watcher is to be told of; `None` if it was never answered.
fn first_revision(watch: &Watch) -> Option<Revision> {
    if watch.request.start_revision > 0 {
        return Some(watch.request.start_revision);
    }
    let created = watch
        .responses
        .iter()
        .find(|response| matches!(response.report, Report::Created))?;
    Some(created.revision + 1)
}

/// What one watcher was told.
struct Told<'a> {
    watch: &'a Watch,
    first: Revision,
    findings: &'a mut Findings,
}

impl<'a> Told<'a> {
    fn add(&mut self, promise: Promise, what: impl FnOnce() -> String) {
        let Watch {
            id, member, request, ..
        } = self.watch;
        self.findings.add(promise, || {
            format!("watcher {id} at member {member:?}, {request:?}: {}", what())
        });
    }

    /// Responses that bring events, in order.
    fn batches(&self) -> impl Iterator<Item = (&'a WatchResponse, &'a [Event], bool)> + use<'a> {
        self.watch
            .responses
            .iter()
            .filter_map(|response| match &response.report {
                Report::Events { events, fragment } => Some((response, events.as_slice(), *fragment)),
                _ => None,
            })
    }

    fn events(&self) -> impl Iterator<Item = &'a Event> + use<'a> {
        self.batches().flat_map(|(_, events, _)| events)
    }

    /// What it should be told of some revisions.
    fn wanted(
        &self,
        witness: &'a Witness,
        from: Revision,
        to: Revision,
    ) -> impl Iterator<Item = &'a Event> + use<'a> {
        let request = &self.watch.request;
        let revisions = from.max(self.first)..=to;
        let events = revisions.flat_map(|revision| witness.at(revision).unwrap_or_default());
        events.filter(move |event| request.wants(event))
    }

    /// 1. Only what was asked for.
    fn filter(&mut self) {
        for event in self.events() {
            if !self.watch.request.wants(event) || event.revision() < self.first {
                self.add(Promise::WatchFilter, || {
                    format!("was sent {event:?}, which it did not ask for")
                });
            }
        }
    }

    /// 2. Revisions never go back.
    fn ordered(&mut self) {
        let mut newest = 0;
        for event in self.events() {
            if event.revision() < newest {
                self.add(Promise::WatchOrdered, || {
                    format!("was sent {event:?} after revision {newest}")
                });
            }
            newest = newest.max(event.revision());
        }
    }

    /// 3. No event twice.
    fn unique(&mut self) {
        let mut seen: BTreeSet<(Revision, &Text)> = BTreeSet::new();
        for event in self.events() {
            if !seen.insert((event.revision(), event.key())) {
                self.add(Promise::WatchUnique, || format!("was sent {event:?} twice"));
            }
        }
    }

    /// 4. A revision is never split over two answers, unless the first says so.
    fn atomic(&mut self) {
        let mut finished = 0;
        for (_, events, fragment) in self.batches() {
            if let Some(event) = events.first()
                && event.revision() == finished
            {
                self.add(Promise::WatchAtomic, || {
                    format!("was sent revision {finished} in two answers")
                });
            }
            finished = if fragment {
                0
            } else {
                events.last().map_or(finished, Event::revision)
            };
        }
    }

    /// 5. Progress says that everything up to it was sent.
    fn bookmarkable(&mut self, witness: &'a Witness) {
        let mut bookmark = 0;
        let mut sent = 0;
        for response in &self.watch.responses {
            match &response.report {
                Report::Progress => {
                    let missing = self.wanted(witness, sent + 1, response.revision).next();
                    if let Some(missing) = missing {
                        self.add(Promise::WatchBookmarkable, || {
                            format!(
                                "was told of progress to {} without {missing:?}",
                                response.revision
                            )
                        });
                    }
                    bookmark = bookmark.max(response.revision);
                }
                Report::Events { events, .. } => {
                    for event in events {
                        if event.revision() <= bookmark {
                            self.add(Promise::WatchBookmarkable, || {
                                format!("was sent {event:?} after progress to {bookmark}")
                            });
                        }
                        sent = sent.max(event.revision());
                    }
                }
                Report::Created | Report::Cancelled { .. } => {}
            }
        }
    }

    /// 6. The first event sent is the first there is from the start revision on.
    fn resumable(&mut self, witness: &'a Witness) {
        let Some(got) = self.events().next() else {
            return;
        };
        let wanted = self.wanted(witness, self.first, witness.last()).next();
        if wanted.is_none_or(|wanted| got.bare() != *wanted) {
            let first = self.first;
            self.add(Promise::WatchResumable, || {
                format!("the first event from {first} on is {wanted:?}, but {got:?} was sent first")
            });
        }
    }

    /// 7. From the first event to the last, exactly what happened.
    fn reliable(&mut self, witness: &'a Witness) {
        let (Some(first), Some(last)) = (self.events().next(), self.events().last()) else {
            return;
        };
        if last.revision() > witness.last() {
            let end = witness.last();
            self.add(Promise::WatchReliable, || {
                format!("undecided: {last:?}, but the witness ends at {end}")
            });
            return;
        }
        // The last revision may have been cut off in the middle only if it came in fragments.
        let mut wanted = self.wanted(witness, first.revision(), last.revision());
        for event in self.events() {
            let expected = wanted.next();
            if expected.is_none_or(|expected| event.bare() != *expected) {
                self.add(Promise::WatchReliable, || {
                    format!("was sent {event:?} instead of {expected:?}")
                });
                return;
            }
        }
        let is_cut = self.batches().last().is_some_and(|(_, _, fragment)| fragment);
        if let Some(missing) = wanted.next()
            && !is_cut
        {
            self.add(Promise::WatchReliable, || format!("was never sent {missing:?}"));
        }
    }

    /// 8. Whether a put created its key is told rightly.
    fn is_create(&mut self, table: &Table) {
        for event in self.events() {
            let Event::Put { kv, .. } = event else {
                continue;
            };
            let told = kv.create_revision == kv.mod_revision;
            if told == table.get(&kv.key, kv.mod_revision - 1).is_some() {
                self.add(Promise::WatchIsCreate, || {
                    format!("was sent {event:?}, created: {told}")
                });
            }
        }
    }

    /// 9. The value before, if it was asked for, and only then; it may be missing if it was compacted by then.
    fn prev_kv(&mut self, table: &Table, asked: &Compactions) {
        for (response, events, _) in self.batches() {
            for event in events {
                let before = table.get(event.key(), event.revision() - 1);
                let expected = before.filter(|_| self.watch.request.prev_kv);
                let is_right = match (event.prev(), expected) {
                    (None, Some(_)) => asked.may_have_forgotten(event.revision() - 1, response.at_us),
                    (told, expected) => told == expected,
                };
                if !is_right {
                    self.add(Promise::WatchPrevKv, || wrong_prev(event, expected));
                }
            }
        }
    }
}

fn wrong_prev(event: &Event, expected: Option<&KeyValue>) -> String {
    format!("was sent {event:?}, but before it was {expected:?}")
}

/// When clients asked for which compaction.
struct Compactions(Vec<(u64, Revision)>);

impl Compactions {
    fn of(history: &History) -> Compactions {
        let asked = history.calls.iter().filter_map(|call| match call.request {
            Request::Compact { revision } => Some((call.invoked_us, revision)),
            _ => None,
        });
        Compactions(asked.collect())
    }

    /// Whether a revision may have been compacted at a time.
    fn may_have_forgotten(&self, revision: Revision, at_us: u64) -> bool {
        let mut asked = self.0.iter();
        asked.any(|(invoked_us, compacted)| *invoked_us <= at_us && revision < *compacted)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
