//! Dropping what no read can see any more, in slices.
//!
//! The `Compact` command moves the compacted revision at once; what a read sees depends on that alone, never on how
//! far the slices have come. The cost follows the garbage: each record that leaves the revision log takes the
//! version before it along, so that a slice is bounded even when one key has all the versions.

use crate::view::View;
use almadia_command::Revision;
use almadia_command::planted::{Bug, planted};
use std::sync::atomic::Ordering;

/// Records that each publication drops from the front of the revision log at most, once a checkpoint holds them.
/// Without that, what waited for a checkpoint would stay until the next compaction.
const RELEASED_PER_PUBLICATION_MAX: usize = 256;

/// Handles up to `revisions_max` records; true when there is more to do.
pub(crate) fn compact_slice(state: &mut View, revisions_max: usize) -> bool {
    for _ in 0..revisions_max {
        if !settle_next(state) {
            break;
        }
    }
    for _ in 0..revisions_max {
        if !release_first(state) {
            break;
        }
    }
    state.compaction_pending() || can_release(state)
}

/// Drops a few of the records that compaction has kept for a checkpoint and that one holds now.
pub(crate) fn release_some(state: &mut View) {
    for _ in 0..RELEASED_PER_PUBLICATION_MAX {
        if !release_first(state) {
            return;
        }
    }
}

/// Drops what the next record at or below the compacted revision supersedes.
fn settle_next(state: &mut View) -> bool {
    let next = state
        .revlog
        .get(state.settled)
        .filter(|record| record.mod_revision() <= state.compacted);
    let Some(record) = next.cloned() else { return false };
    state.settled += 1;
    // A key that was created here had nothing before, or a tombstone that took everything along when its turn was.
    if record.is_tombstone() || record.version() > 1 {
        let dropped = state.index.settle(&record);
        state.sizes.revisions -= dropped.records;
        state.sizes.bytes -= dropped.bytes;
    }
    true
}

/// Whether the first record of the revision log is settled, in a checkpoint and known to those who watch. What the
/// compacted revision itself changed stays: a watch may start there, and a tombstone of it is nowhere else.
fn can_release(state: &View) -> bool {
    let checkpointed = Revision(state.checkpointed.load(Ordering::Relaxed));
    let watched = Revision(state.watched.load(Ordering::Relaxed));
    let last = if planted(Bug::TombstoneDropped) {
        checkpointed.min(watched).min(state.compacted)
    } else if planted(Bug::CompactsUnsaved) {
        watched.min(Revision(state.compacted.0 - 1))
    } else {
        checkpointed.min(watched).min(Revision(state.compacted.0 - 1))
    };
    let first = state.revlog.start();
    first < state.settled
        && state
            .revlog
            .get(first)
            .is_some_and(|record| record.mod_revision() <= last)
}

fn release_first(state: &mut View) -> bool {
    let released = can_release(state);
    if released && let Some(record) = state.revlog.pop_front() {
        state.released = record.mod_revision();
    }
    released
}
