//! What watchers are told: changes, and what was there before.

use crate::record::Record;
use crate::view::View;
use almadia_command::Revision;
use std::ops::Deref;
use std::sync::Arc;

/// One change of one key. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The new version, or the mark of the deletion.
    pub record: Record,
    /// The version before, when a watcher asked for such and the revision before the change is not compacted.
    pub prev: Option<Record>,
}

/// Events in order, never empty; all of a revision that concern the watcher are in it.
#[derive(Clone, Debug)]
pub struct Events(Held);

#[derive(Clone, Debug)]
enum Held {
    /// As many watchers got them.
    Shared(Arc<Parcel>),
    /// Chosen for one watcher.
    Own(Vec<Event>),
}

/// Events that were matched once and go to every watcher of a range.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) events: Vec<Event>,
    /// What the records in it take.
    pub(super) bytes: usize,
}

impl Events {
    pub(super) fn shared(parcel: Arc<Parcel>) -> Self {
        Self(Held::Shared(parcel))
    }

    pub(super) fn own(events: Vec<Event>) -> Self {
        Self(Held::Own(events))
    }

    /// The revision of the last one.
    pub fn last_revision(&self) -> Revision {
        self.last()
            .map_or(Revision(0), |event| event.record.mod_revision())
    }
}

impl Deref for Events {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        match &self.0 {
            Held::Shared(parcel) => &parcel.events,
            Held::Own(events) => events,
        }
    }
}

impl Event {
    /// Bytes of the records in it.
    pub fn bytes(&self) -> usize {
        self.record.encoded().len() + self.prev.as_ref().map_or(0, |prev| prev.encoded().len())
    }
}

/// The version that `record` took the place of, as far as it can still be read; none for a key's creation.
pub(super) fn previous(view: &View, record: &Record) -> Option<Record> {
    let before = Revision(record.mod_revision().0 - 1);
    let is_creation = !record.is_tombstone() && record.version() == 1;
    if is_creation || before < view.compacted {
        return None;
    }
    view.index.get(record.key())?.at(Some(before)).cloned()
}
