//! Reading what has happened from the revision log, in slices: a watcher far behind takes many short turns, each of
//! which holds a view for its own time only.

use super::event::{Event, previous};
use crate::bounds::Bounds;
use crate::record::Record;
use crate::view::View;
use almadia_command::Revision;

/// Revisions of one slice at most, as etcd sends them; and records looked at, and bytes of the events found, after
/// which a slice ends with the revision it is in.
const SLICE_REVISIONS_MAX: i64 = if cfg!(test) { 6 } else { 1000 };
const SLICE_RECORDS_MAX: usize = 2000;
const SLICE_BYTES_MAX: usize = 512 * 1024;

/// What a watcher wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) puts: bool,
    pub(super) deletes: bool,
    pub(super) prev: bool,
}

impl Wishes {
    pub(super) fn include(self, record: &Record) -> bool {
        if record.is_tombstone() {
            self.deletes
        } else {
            self.puts
        }
    }
}

/// A piece of history.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) events: Vec<Event>,
    /// Everything up to here is in this piece or the ones before.
    pub(super) upto: Revision,
}

/// The next piece from revision `from` on, which must not be below the compacted revision. Whole revisions only.
pub(super) fn read(view: &View, bounds: Bounds<'_>, wishes: Wishes, from: Revision) -> Slice {
    assert!(from >= view.compacted, "compacted history is not read");
    let mut events = Vec::new();
    if from > view.revision {
        let upto = Revision(from.0 - 1);
        return Slice { events, upto };
    }
    let last = Revision(from.0.saturating_add(SLICE_REVISIONS_MAX - 1));
    let (mut current, mut records, mut bytes) = (from, 0, 0);
    for record in view.records_after(Revision(from.0 - 1)) {
        let revision = record.mod_revision();
        let is_full = revision > last || records >= SLICE_RECORDS_MAX || bytes >= SLICE_BYTES_MAX;
        if revision > current && is_full {
            let upto = Revision(revision.0 - 1);
            return Slice { events, upto };
        }
        (current, records) = (revision, records + 1);
        if bounds.contains(record.key()) && wishes.include(record) {
            let prev = if wishes.prev { previous(view, record) } else { None };
            let event = Event {
                record: record.clone(),
                prev,
            };
            bytes += event.bytes();
            events.push(event);
        }
    }
    let upto = view.revision;
    Slice { events, upto }
}
