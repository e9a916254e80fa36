//! One key's versions, wherever its leaf keeps them: the newest, those superseded since the leaf's base was made, and
//! the history before. Only reads.

use super::leaf::Leaf;
use crate::record::Record;
use almadia_command::Revision;

/// One key's versions.
#[derive(Clone, Copy)]
pub(crate) struct EntryRef<'a> {
    pub(crate) newest: &'a Record,
    pub(super) leaf: &'a Leaf,
    pub(super) slot: usize,
}

impl<'a> EntryRef<'a> {
    /// The version that a read sees: at a revision, or (`None`) the newest. `None` when the key is not there.
    pub(crate) fn at(self, revision: Option<Revision>) -> Option<&'a Record> {
        let seen = match revision {
            Some(revision) if self.newest.mod_revision() > revision => self.before(revision)?,
            _ => self.newest,
        };
        (!seen.is_tombstone()).then_some(seen)
    }

    /// The newest version at or below a revision, tombstones included.
    pub(crate) fn newest_at(self, revision: Revision) -> Option<&'a Record> {
        if self.newest.mod_revision() > revision {
            self.before(revision)
        } else {
            Some(self.newest)
        }
    }

    /// The version that came before this one, which is one of these versions; `None` when it is the oldest.
    pub(crate) fn older(self, record: &Record) -> Option<&'a Record> {
        let position = record.position();
        let older = |other: &&Record| other.position() < position;
        let mut superseded = self.leaf.superseded(self.slot);
        superseded
            .find(older)
            .or_else(|| self.leaf.history(self.slot)?.before(record))
    }

    /// The newest version at or below a revision, of those that are not the newest of all.
    fn before(self, revision: Revision) -> Option<&'a Record> {
        let mut superseded = self.leaf.superseded(self.slot);
        let seen = |record: &&Record| record.mod_revision() <= revision;
        if self.leaf.is_changed(self.slot)
            && let Some(found) = superseded.find(seen)
        {
            return Some(found);
        }
        self.leaf.history(self.slot)?.at(revision)
    }

    /// The version that came after this one, which is one of these versions; `None` when it is not, or the newest.
    pub(crate) fn after(self, record: &Record) -> Option<&'a Record> {
        let mut next = self.newest;
        for superseded in self.leaf.superseded(self.slot) {
            if superseded.position() <= record.position() {
                return (superseded.position() == record.position()).then_some(next);
            }
            next = superseded;
        }
        let history = self.leaf.history(self.slot)?;
        history
            .contains(record)
            .then(|| history.after(record).unwrap_or(next))
    }

    pub(crate) fn oldest(self) -> &'a Record {
        let history = self.leaf.history(self.slot);
        history
            .and_then(|history| history.oldest())
            .or_else(|| self.leaf.superseded(self.slot).last())
            .unwrap_or(self.newest)
    }
}
