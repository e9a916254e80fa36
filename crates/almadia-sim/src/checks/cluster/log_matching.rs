//! Log matching: two logs with the same term at the same index are the same up to there.
//!
//! Every entry of every log is entered once under its index and term, with the term of the entry before it. Whoever has
//! another entry, or another entry before it, under that name, breaks the promise.

use almadia_command::LogIndex;
use almadia_wal::{Entry, Wal, WalError};
use std::collections::BTreeMap;

/// Bytes read from a log at once.
const READ_BYTES: usize = 1024 * 1024;

/// What one log holds, as far as it was followed: the term at each index.
#[derive(Default)]
pub struct Followed {
    terms: BTreeMap<u64, u64>,
}

impl Followed {
    /// The term at an index.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.terms.get(&index).copied()
    }

    /// The first and the last index.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        let (first, _) = self.terms.first_key_value()?;
        let (last, _) = self.terms.last_key_value()?;
        Some((*first, *last))
    }
}

struct Slot {
    entry: Entry,
    before: Option<u64>,
}

/// Every entry that any log has ever had.
#[derive(Default)]
pub struct Slots {
    slots: BTreeMap<(u64, u64), Slot>,
}

impl Slots {
    /// The entry of a name.
    pub fn entry(&self, index: u64, term: u64) -> Option<&Entry> {
        self.slots.get(&(index, term)).map(|slot| &slot.entry)
    }

    /// Goes along with what has changed in a log.
    pub fn follow(&mut self, followed: &mut Followed, wal: &Wal) -> Result<(), String> {
        let Some((first, last)) = wal.first_last() else {
            followed.terms.clear();
            return Ok(());
        };
        let (first, last) = (first.0, last.0);
        while let Some((index, term)) = followed.terms.last_key_value().map(|(i, t)| (*i, *t)) {
            let still = (first..=last).contains(&index)
                && wal.log_id_at(LogIndex(index)).is_some_and(|id| id.term.0 == term);
            if still {
                break;
            }
            followed.terms.remove(&index);
        }
        while followed
            .terms
            .first_key_value()
            .is_some_and(|(index, _)| *index < first)
        {
            followed.terms.pop_first();
        }
        let mut next = followed.bounds().map_or(first, |(_, last)| last + 1);
        while next <= last {
            let entries = match wal.read(LogIndex(next), LogIndex(last + 1), READ_BYTES) {
                Ok(entries) => entries,
                // The member says the same to whoever asks it.
                Err(WalError::Stopped(_) | WalError::Closed | WalError::Disk(_)) => return Ok(()),
                Err(error) => return Err(format!("the log cannot be read at {next}: {error}")),
            };
            for entry in entries {
                let before = wal
                    .log_id_at(LogIndex(entry.index.0.saturating_sub(1)))
                    .map(|id| id.term.0);
                next = entry.index.0 + 1;
                followed.terms.insert(entry.index.0, entry.term.0);
                self.enter(entry, before)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, entry: Entry, before: Option<u64>) -> Result<(), String> {
        let name = (entry.index.0, entry.term.0);
        let Some(slot) = self.slots.get_mut(&name) else {
            self.slots.insert(name, Slot { entry, before });
            return Ok(());
        };
        if slot.entry.kind != entry.kind || slot.entry.checksum != entry.checksum {
            return Err(format!(
                "entry {} of term {} is {:08x} here and {:08x} elsewhere",
                name.0, name.1, entry.checksum, slot.entry.checksum
            ));
        }
        match (slot.before, before) {
            (Some(there), Some(here)) if there != here => Err(format!(
                "before entry {} of term {} comes term {here} here and term {there} elsewhere",
                name.0, name.1
            )),
            (None, Some(_)) => {
                slot.before = before;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
