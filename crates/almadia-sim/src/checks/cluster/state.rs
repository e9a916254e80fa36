//! State machine safety: at every applied index all members have the same state, and it is the one that comes of applying the
//! committed entries one by one, from the first, without ever stopping.

use super::Glimpse;
use super::commit::Committed;
use super::log_matching::Slots;
use crate::chance::mix;
use crate::clients::serve::key_value;
use crate::history::{Change, Event, KeyValue};
use almadia_command::{Command, LogIndex, Proposal, Range, Revision, Term};
use almadia_store::{Outcome, Store, View};
use almadia_wal::{Entry, EntryKind};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Revisions whose leftovers are dropped after each entry.
const SLICE: usize = 64;

/// What can be compared of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    revision: i64,
    compacted: i64,
    history: u64,
    tables: u64,
}

/// The replica that never stops.
pub struct Reference {
    store: Store,
    sums: Vec<Sum>,
    outcomes: BTreeMap<u64, Outcome>,
    memberships: BTreeMap<u64, u32>,
    changes: Vec<Change>,
    /// Every committed entry that says who belongs, in order.
    membership_entries: Vec<Entry>,
}

impl Default for Reference {
    fn default() -> Self {
        let mut store = Store::empty();
        let sum = sum_of(&store.publish());
        Self {
            store,
            sums: vec![sum],
            outcomes: BTreeMap::new(),
            memberships: BTreeMap::new(),
            changes: Vec::new(),
            membership_entries: Vec::new(),
        }
    }
}

impl Reference {
    /// Applies what has been committed since.
    pub fn catch_up(&mut self, committed: &Committed, slots: &Slots) -> Result<(), String> {
        while (self.sums.len() as u64) <= committed.len() {
            let index = self.sums.len() as u64;
            let term = committed.term_at(index).unwrap_or_default();
            let entry = slots.entry(index, term);
            let entry = entry.ok_or_else(|| format!("entry {index} of term {term} was never seen"))?;
            self.apply(entry)?;
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        let (index, term) = (LogIndex(entry.index.0), Term(entry.term.0));
        let before = self.store.revision();
        match entry.kind {
            EntryKind::Blank => self.store.note_applied(index, term),
            EntryKind::Membership => {
                self.store.set_membership(index, term, entry.data.clone());
                self.membership_entries.push(entry.clone());
            }
            EntryKind::Command => {
                let command = command_of(entry)?;
                let outcome = self.store.apply(index, term, &command);
                self.outcomes.insert(index.0, outcome);
            }
        }
        let view = self.store.publish();
        self.sums.push(sum_of(&view));
        if view.revision() != before {
            if view.revision().0 != before.0 + 1 {
                return Err(format!(
                    "entry {index} made revision {} of {before}",
                    view.revision()
                ));
            }
            let events = view.records_after(before).map(event).collect();
            self.changes.push(Change {
                member: u64::MAX,
                revision: view.revision().0,
                events,
            });
        }
        self.store.compact_slice(SLICE);
        Ok(())
    }

    /// Compares a member's state.
    pub fn check(&mut self, glimpse: &Glimpse) -> Result<(), String> {
        let index = glimpse.view.applied().0.0;
        let Some(wanted) = self.sums.get(index as usize) else {
            return Err(format!(
                "it has applied {index}, committed is {}",
                self.sums.len() - 1
            ));
        };
        let found = sum_of(&glimpse.view);
        if found != *wanted {
            return Err(format!("its state at {index} is {found:?}, wanted {wanted:?}"));
        }
        let membership = crc32c::crc32c(glimpse.view.membership());
        let first = *self.memberships.entry(index).or_insert(membership);
        if first != membership {
            return Err(format!("its members at {index} are not those of others there"));
        }
        Ok(())
    }

    /// Compares all that can be read of a member's state, record by record: a sum that was kept says nothing about what it is of.
    pub fn check_whole(&self, view: &View) -> Result<(), String> {
        let own = self.store.views().load();
        let newest = view.revision();
        if newest < own.compacted() || newest > own.revision() {
            return Ok(());
        }
        let oldest = own.compacted().max(view.compacted());
        let records = |view: &View| -> Vec<KeyValue> {
            let since = view.records_after(oldest);
            let seen = since.take_while(|record| record.mod_revision() <= newest);
            seen.map(key_value).collect()
        };
        same("changes", records(view), records(&own))?;
        for revision in [oldest.max(Revision(1)), newest] {
            let there = |view: &View| match view.range(&everything_at(revision)) {
                Ok(answer) => Ok(answer.records.iter().map(key_value).collect::<Vec<_>>()),
                Err(refusal) => Err(format!("revision {revision} cannot be read: {refusal}")),
            };
            same("keys", there(view)?, there(&own)?)?;
        }
        Ok(())
    }

    /// Every committed entry that says who belongs, in order.
    pub fn membership_entries(&self) -> &[Entry] {
        &self.membership_entries
    }

    /// What applying an entry answered.
    pub fn outcome(&self, index: u64) -> Option<&Outcome> {
        self.outcomes.get(&index)
    }

    /// All changes, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

fn same(what: &str, found: Vec<KeyValue>, wanted: Vec<KeyValue>) -> Result<(), String> {
    let both = found.iter().zip(&wanted);
    if let Some((found, wanted)) = both.clone().find(|(found, wanted)| found != wanted) {
        return Err(format!("of its {what}, {found:?} should be {wanted:?}"));
    }
    match found.len() == wanted.len() {
        true => Ok(()),
        false => Err(format!("it has {} {what}, wanted {}", found.len(), wanted.len())),
    }
}

fn everything_at(revision: Revision) -> Range {
    Range {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        revision: revision.0,
        ..Range::default()
    }
}

/// The command in an entry.
pub fn command_of(entry: &Entry) -> Result<Command, String> {
    let proposal = Proposal::from_parts(entry.data.clone(), entry.checksum);
    let proposal = proposal.map_err(|error| format!("entry {}: {error}", entry.index))?;
    Command::decode_bytes(proposal.command()).map_err(|error| format!("entry {}: {error}", entry.index))
}

fn event(record: &almadia_store::Record) -> Event {
    if record.is_tombstone() {
        Event::Delete {
            key: record.key().into(),
            mod_revision: record.mod_revision().0,
            prev: None,
        }
    } else {
        Event::Put {
            kv: key_value(record),
            prev: None,
        }
    }
}

fn sum_of(view: &View) -> Sum {
    let tables = view.sections().iter().fold(0, |sum, (name, bytes)| {
        let parts = [crc32c::crc32c(name.as_bytes()), crc32c::crc32c(bytes)];
        parts.iter().fold(sum, |sum, part| mix(sum ^ u64::from(*part)))
    });
    Sum {
        revision: view.revision().0,
        compacted: view.compacted().0,
        history: view
            .hash_at(Revision(view.revision().0))
            .map_or(0, |hash| hash.get()),
        tables,
    }
}
