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

    /// The record just before `record`, which is here or newer than all here; `None` when it is the oldest here.
    pub(crate) fn before(&self, record: &Record) -> Option<&Record> {
        self.last_before(|other| other.position() < record.position())
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
            Self::Many(sequence) => {
                let oldest = sequence.pop_front();
                if sequence.len() <= FEW_MAX as u64 / 2 {
                    *self = Self::Few(sequence.iter_from(0).cloned().collect());
                }
                oldest
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(records) => records.len(),
            Self::Many(sequence) => sequence.len() as usize,
        }
    }

    /// Reads each record of a short history.
    pub(crate) fn touch(&self) -> i64 {
        match self {
            Self::Few(records) => records
                .iter()
                .fold(0, |all, record| all ^ record.mod_revision().0),
            Self::Many(_) => 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(records) => records.is_empty(),
            Self::Many(sequence) => sequence.len() == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordParts;
    use almadia_command::LeaseId;
    use proptest::prelude::*;

    fn record(main: i64) -> Record {
        Record::from_parts(RecordParts {
            main: Revision(main),
            sub: 0,
            create_revision: Revision(1),
            version: main,
            lease: LeaseId(0),
            tombstone: false,
            key: b"k",
            value: b"",
        })
    }

    /// Every question, for revisions that are here, between, before and after.
    fn check(history: &History, model: &[i64]) {
        let main = |record: Option<&Record>| record.map(|record| record.mod_revision().0);
        assert_eq!(main(history.oldest()), model.first().copied());
        assert_eq!(history.is_empty(), model.is_empty());
        let last = model.last().copied().unwrap_or(0);
        for revision in 0..last + 3 {
            let before = model.iter().rev().find(|main| **main <= revision).copied();
            assert_eq!(main(history.at(Revision(revision))), before);
            let asked = record(revision);
            assert_eq!(
                main(history.after(&asked)),
                model.iter().find(|main| **main > revision).copied()
            );
            let older = model.iter().rev().find(|main| **main < revision).copied();
            assert_eq!(main(history.before(&asked)), older);
            assert_eq!(history.contains(&asked), model.contains(&revision));
        }
    }

    proptest! {
        /// A history agrees with a plain list whether it is short, long or has become short again, and a clone
        /// keeps what it saw.
        #[test]
        fn agrees_with_a_list(steps in proptest::collection::vec((0i64..40, 0usize..40), 1..8)) {
            let mut history = History::of(record(1));
            let (mut model, mut next) = (vec![1], 1);
            let mut kept = Vec::new();
            for (pushes, drops) in steps {
                for _ in 0..pushes {
                    next += 2;
                    history.push(record(next));
                    model.push(next);
                }
                kept.push((history.clone(), model.clone()));
                for _ in 0..drops {
                    let oldest = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(history.drop_oldest().map(|record| record.mod_revision().0), oldest);
                }
                check(&history, &model);
            }
            for (history, model) in kept {
                check(&history, &model);
            }
        }
    }
}
