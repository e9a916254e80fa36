//! Making a store out of what a checkpoint or a snapshot holds.

use crate::history::History;
use crate::index::Index;
use crate::lease::LeaseTable;
use crate::record::Record;
use crate::sequence::Sequence;
use crate::table::{self, TableError};
use crate::view::{Sizes, View};
use almadia_command::planted::{Bug, planted};
use almadia_command::{LogIndex, Revision, Term};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a checkpoint or snapshot holds, to be made into a store.
#[derive(Clone, Debug)]
pub struct RestoredState {
    /// The last log entry whose effect is in `records`.
    pub applied: (LogIndex, Term),
    /// The membership of the cluster, as opaque bytes.
    pub membership: Bytes,
    /// The revision of the last change.
    pub revision: Revision,
    /// The compacted revision, 0 for none.
    pub compacted: Revision,
    /// The small tables, by name.
    pub sections: BTreeMap<String, Bytes>,
    /// Every record that is needed, in the order of the changes. Records that the compacted revision hides may
    /// be among them.
    pub records: Vec<Record>,
}

/// A restored state that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A record does not come after the one before it.
    #[error("restoring the store: the record at revision {}.{} is out of order", .0.0, .0.1)]
    OutOfOrder((Revision, u32)),
    /// A record is newer than the state it belongs to, or the compacted revision is.
    #[error("restoring the store: revision {0} lies beyond the state's revision {1}")]
    Beyond(Revision, Revision),
    /// A state with a revision below that of an empty store.
    #[error("restoring the store: there is no state with revision {0} and compacted revision {1}")]
    NoState(Revision, Revision),
    /// A record that does not follow from the record of its key before it.
    #[error("restoring the store: the record at revision {}.{} does not follow from its key's history", .0.0, .0.1)]
    Unconnected((Revision, u32)),
    /// A small table that cannot be read.
    #[error("restoring the store: {0}")]
    Table(#[from] TableError),
}

/// Builds the state that `restored` describes.
pub(crate) fn restore(restored: RestoredState) -> Result<View, RestoreError> {
    let RestoredState {
        applied,
        membership,
        revision,
        compacted,
        sections,
        mut records,
    } = restored;
    check_order(revision, compacted, &records)?;
    let mut revlog = Sequence::default();
    let from = records.partition_point(|record| record.mod_revision() < compacted);
    let after = records.partition_point(|record| record.mod_revision() <= compacted);
    records[from..]
        .iter()
        .for_each(|record| revlog.push(record.clone()));
    // A stable sort: the versions of a key stay in the order of the changes.
    records.sort_by(|a, b| a.key().cmp(b.key()));
    check_histories(compacted, &records)?;
    let (mut sizes, mut entries) = (Sizes::default(), Vec::new());
    for versions in records.chunk_by(|a, b| a.key() == b.key()) {
        let visible = &versions[first_visible(compacted, versions)..];
        entries.extend(entry(visible, &mut sizes));
    }
    let mut leases: LeaseTable = table::load(&sections)?;
    if planted(Bug::RestoreForgetsLeases) {
        leases = LeaseTable::default();
    }
    entries.iter().for_each(|(newest, _)| leases.attach_live(newest));
    let index = Index::build(entries.into_iter());
    Ok(View {
        applied,
        membership,
        revision,
        compacted,
        index,
        // What the compacted revision itself changed is there for those who watch from it on; what it superseded is
        // left out below.
        settled: (after - from) as u64,
        released: Revision((compacted.0 - 1).max(0)),
        revlog,
        sizes,
        leases,
        auth: table::load(&sections)?,
        alarms: table::load(&sections)?,
        downgrade: table::load(&sections)?,
        hash: if planted(Bug::RestoreForgetsHash) {
            crate::HistoryHash::default()
        } else {
            table::load(&sections)?
        },
        ..View::empty()
    })
}

fn check_order(revision: Revision, compacted: Revision, records: &[Record]) -> Result<(), RestoreError> {
    if revision.0 < 1 || compacted.0 < 0 {
        return Err(RestoreError::NoState(revision, compacted));
    }
    if compacted > revision {
        return Err(RestoreError::Beyond(compacted, revision));
    }
    if let Some(pair) = records
        .windows(2)
        .find(|pair| pair[0].position() >= pair[1].position())
    {
        return Err(RestoreError::OutOfOrder(pair[1].position()));
    }
    match records.last() {
        Some(last) if last.mod_revision() > revision => {
            Err(RestoreError::Beyond(last.mod_revision(), revision))
        }
        _ => Ok(()),
    }
}

/// After the compacted revision nothing is missing, so each version must follow from the one before: counting the
/// keys at an old revision relies on it.
fn check_histories(compacted: Revision, records: &[Record]) -> Result<(), RestoreError> {
    for versions in records.chunk_by(|a, b| a.key() == b.key()) {
        let mut previous: Option<&Record> = None;
        for record in versions {
            if record.mod_revision() > compacted && !follows(previous, record) {
                return Err(RestoreError::Unconnected(record.position()));
            }
            previous = Some(record);
        }
    }
    Ok(())
}

fn follows(previous: Option<&Record>, record: &Record) -> bool {
    let live = previous.filter(|previous| !previous.is_tombstone());
    match (live, record.is_tombstone()) {
        (live, true) => live.is_some(),
        (None, false) => record.version() == 1 && record.create_revision() == record.mod_revision(),
        (Some(live), false) => {
            record.version() == live.version() + 1 && record.create_revision() == live.create_revision()
        }
    }
}

/// The first of a key's versions that a read at the compacted revision or later can see.
fn first_visible(compacted: Revision, versions: &[Record]) -> usize {
    let after = versions.partition_point(|record| record.mod_revision() <= compacted);
    match after.checked_sub(1) {
        Some(last) if !versions[last].is_tombstone() => last,
        _ => after,
    }
}

fn entry(versions: &[Record], sizes: &mut Sizes) -> Option<(Record, Option<History>)> {
    let (newest, older) = versions.split_last()?;
    sizes.revisions += versions.len() as u64;
    sizes.bytes += versions
        .iter()
        .map(|record| record.encoded().len() as u64)
        .sum::<u64>();
    if !newest.is_tombstone() {
        sizes.live_bytes += newest.encoded().len() as u64;
    }
    let mut history: Option<History> = None;
    for record in older {
        match &mut history {
            Some(history) => history.push(record.clone()),
            none => *none = Some(History::of(record.clone())),
        }
    }
    Some((newest.clone(), history))
}
