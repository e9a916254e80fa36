//! The older versions of one key, oldest first. The newest stands in the index itself.

use crate::record::Record;
use crate::sequence::Sequence;
use almadia_command::Revision;

/// A copy of this many records is cheaper than a tree; a key with more older versions gets a shared sequence, so
/// that a key that is written often is not copied whole at each put.
const FEW_MAX: usize = 16;

/// Never empty while the index holds it.
#[derive(Clone)]
pub(crate) enum History {
    Few(Vec<Record>),
    Many(Sequence),
}

impl History {
    pub(crate) fn of(record: Record) -> Self {
        Self::Few(vec![record])
    }

    /// Adds a record that is newer than all here.
    pub(crate) fn push(&mut self, record: Record) {
        match self {
            Self::Few(records) if records.len() < FEW_MAX => records.push(record),
            Self::Few(records) => {
                let mut sequence = Sequence::default();
                records.drain(..).for_each(|older| sequence.push(older));
                sequence.push(record);
                *self = Self::Many(sequence);
            }
            Self::Many(sequence) => sequence.push(record),
        }
    }

    /// The newest record at or below `revision`, tombstones included.
    pub(crate) fn at(&self, revision: Revision) -> Option<&Record> {
        self.last_before(|record| record.mod_revision() <= revision)
    }

    /// The newest record of those that satisfy `before`, which are the oldest ones.
    fn last_before(&self, before: impl Fn(&Record) -> bool) -> Option<&Record> {
        match self {
            Self::Few(records) => records.iter().rev().find(|record| before(record)),
            Self::Many(sequence) => {
                let after = sequence.partition_point(before);
                after.checked_sub(1).and_then(|position| sequence.get(position))
            }
        }
    }

    /// The record just after `record`, which is here or older than all here; `None` when it is the newest here.
    pub(crate) fn after(&self, record: &Record) -> Option<&Record> {
        let position = record.position();
        match self {
            Self::Few(records) => records.iter().find(|other| other.position() > position),
            Self::Many(sequence) => {
                sequence.get(sequence.partition_point(|other| other.position() <= position))
            }
        }
    }

    /// Whether exactly this record is here.
    pub(crate) fn contains(&self, record: &Record) -> bool {
        let found = self.last_before(|other| other.position() <= record.position());
        found.is_some_and(|found| found.position() == record.position())
    }

    pub(crate) fn oldest(&self) -> Option<&Record> {
        match self {
            Self::Few(records) => records.first(),
            Self::Many(sequence) => sequence.get(sequence.start()),
        }
    }

    pub(crate) fn drop_oldest(&mut self) -> Option<Record> {
        match self {
            Self::Few(records) if records.is_empty() => None,
            Self::Few(records) => Some(records.remove(0)),
            Self::Many(sequence) => sequence.pop_front(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(records) => records.is_empty(),
            Self::Many(sequence) => sequence.len() == 0,
        }
    }
}
