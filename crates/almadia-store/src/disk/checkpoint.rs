//! Bringing the state on disk up to a view.

use almadia_command::planted::{Bug, planted};
use almadia_command::{LogIndex, Revision, Term};

use super::batch::{Batch, remove_all};
use super::block::Stored;
use super::error::KeeperError;
use super::keeper::Keeper;
use super::manifest::Manifest;
use super::names::SEGMENT_DIR;
use super::reserve;
use super::segment::SegmentInfo;
use crate::View;

/// What a checkpoint has achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointDone {
    /// The last log entry that the newest manifest holds.
    pub applied: (LogIndex, Term),
    /// The last log entry that both kept manifests hold: the log up to here may be purged.
    pub purgeable: (LogIndex, Term),
    /// Bytes of the segments that were written; 0 when only a manifest was, or nothing.
    pub bytes_written: u64,
}

/// Segments to be taken out of the manifest, and those that stand in their place.
pub(super) struct Replacement {
    pub(super) old: Vec<SegmentInfo>,
    pub(super) new: Vec<SegmentInfo>,
}

impl Keeper {
    /// Writes what `view` has and the last checkpoint has not, and makes it the state. When it returns, a restart
    /// finds this view or a newer one. Costs what has changed, not what there is; writes nothing when nothing has.
    ///
    /// # Errors
    /// A failing disk; the state is then the last checkpoint's, and the call may be repeated.
    pub fn checkpoint(&mut self, view: &View) -> Result<CheckpointDone, KeeperError> {
        let is_new = view.applied().0 > self.current.applied.0;
        let bytes_written = if is_new {
            self.checkpoint_replacing(view, None)?
        } else {
            0
        };
        Ok(CheckpointDone {
            applied: self.current.applied,
            purgeable: self.purgeable(),
            bytes_written,
        })
    }

    /// A checkpoint that at the same moment puts rewritten segments in their place. The view must not be older
    /// than the one by which they were rewritten. Takes the new segments over: on an error they are gone.
    pub(super) fn checkpoint_replacing(
        &mut self,
        view: &View,
        replacement: Option<Replacement>,
    ) -> Result<u64, KeeperError> {
        assert!(
            view.applied().0 >= self.current.applied.0,
            "a checkpoint never goes back"
        );
        let (old, mut new) = replacement.map_or_else(Default::default, |it| (it.old, it.new));
        let delta = match self.write_delta(view) {
            Ok(delta) => delta,
            Err(error) => {
                remove_all(self.disk.as_ref(), &new);
                return Err(error);
            }
        };
        let bytes_written = delta.iter().map(|segment| segment.bytes).sum();
        let mut segments: Vec<SegmentInfo> = self.current.segments.clone();
        segments.retain(|segment| !old.iter().any(|gone| gone.generation == segment.generation));
        new.extend(delta);
        segments.extend(new.iter().copied());
        segments.sort_by_key(|segment| segment.first);
        self.install(view, segments, &new)?;
        Ok(bytes_written)
    }

    /// Makes `segments` the state; `new` are those that no manifest names yet.
    pub(super) fn install(
        &mut self,
        view: &View,
        segments: Vec<SegmentInfo>,
        new: &[SegmentInfo],
    ) -> Result<(), KeeperError> {
        if let Err(error) = self.sync_segments(new) {
            remove_all(self.disk.as_ref(), new);
            return Err(error);
        }
        let manifest = Manifest {
            applied: if planted(Bug::AppliedApart) {
                let (index, term) = view.applied();
                (LogIndex(index.0.saturating_sub(2)), term)
            } else {
                view.applied()
            },
            revision: view.revision().0,
            compacted: view.compacted().0,
            membership: view.membership().clone(),
            sections: view.sections(),
            segments,
            ..Manifest::empty(0)
        };
        if let Err(error) = self.commit(manifest) {
            self.give_up_segments(new, error.may_be_named);
            return Err(error.into());
        }
        view.note_checkpointed(view.revision());
        reserve::keep(self.disk.as_ref(), self.options.reserve_bytes_max);
        Ok(())
    }

    fn sync_segments(&self, new: &[SegmentInfo]) -> Result<(), KeeperError> {
        if !new.is_empty() {
            self.disk.sync_dir(SEGMENT_DIR)?;
        }
        Ok(())
    }

    /// New segments whose manifest failed. If a later start might find that manifest, they stay until another one
    /// has taken its place.
    pub(super) fn give_up_segments(&mut self, new: &[SegmentInfo], may_be_named: bool) {
        if may_be_named {
            self.leftovers.extend(new.iter().map(SegmentInfo::name));
        } else {
            remove_all(self.disk.as_ref(), new);
        }
    }

    /// Writes the records after the last checkpoint.
    fn write_delta(&mut self, view: &View) -> Result<Vec<SegmentInfo>, KeeperError> {
        let from = self.current.revision;
        // Above `from` nothing is dead at `from`; at a higher compacted revision something may be.
        let mut batch = Batch::new(&self.options, from.min(view.compacted().0));
        for record in view.records_after(Revision(from)) {
            let pushed = batch.push(
                self.disk.as_ref(),
                &mut self.next_generation,
                &Stored::from(record),
            );
            if let Err(error) = pushed {
                batch.abandon(self.disk.as_ref());
                return Err(error.into());
            }
        }
        batch.finish(self.disk.as_ref()).map_err(|error| {
            batch.abandon(self.disk.as_ref());
            error.into()
        })
    }
}
