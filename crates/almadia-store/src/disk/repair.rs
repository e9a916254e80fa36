//! Looking for rot while the truth is still in memory, and writing rotten segments again.

use almadia_command::Revision;

use super::batch::Batch;
use super::block::Stored;
use super::error::{Damage, KeeperError};
use super::keeper::Keeper;
use super::segment::SegmentInfo;
use super::segment_reader::verify_file;
use crate::View;
use crate::bounds::{Bounds, End};
use crate::record::Record;

/// What one call of [`Keeper::scrub`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// There are no segments.
    Nothing,
    /// The segment with this name is as it was written.
    Clean(String),
    /// This file was rotten; the newest manifest does without it now, and is whole.
    Repaired(Damage),
}

impl Keeper {
    /// Reads the next segment of those that are kept and checks it. A rotten one is written again from `view`, which
    /// costs as much as the segments that have to be replaced with it. A whole round is as many calls as there are
    /// segments.
    ///
    /// # Errors
    /// A failing disk, or a repair that failed: the rot is then found again in the next round.
    pub fn scrub(&mut self, view: &View) -> Result<Scrubbed, KeeperError> {
        let Some(segment) = self.next_to_scrub() else {
            return Ok(Scrubbed::Nothing);
        };
        self.scrubbed = segment.generation;
        let name = segment.name();
        let damage = match verify_file(self.disk.as_ref(), &name, &segment) {
            Ok(()) => return Ok(Scrubbed::Clean(name)),
            Err(KeeperError::Damaged(damage)) => damage,
            Err(error) => Damage::new(&name, error.to_string()),
        };
        self.repair(segment.generation, view)?;
        Ok(Scrubbed::Repaired(damage))
    }

    /// By generation, so that a segment that comes and goes in between does not disturb the round.
    fn next_to_scrub(&self) -> Option<SegmentInfo> {
        let kept = || self.kept().flat_map(|manifest| &manifest.segments);
        let next = kept()
            .filter(|segment| segment.generation > self.scrubbed)
            .min_by_key(|it| it.generation);
        next.or_else(|| kept().min_by_key(|segment| segment.generation))
            .copied()
    }

    /// Makes a state that does without the segment of this generation: two manifests, so that none that is kept
    /// names it.
    pub(super) fn repair(&mut self, rotten: u64, view: &View) -> Result<(), KeeperError> {
        if view.applied().0 < self.current.applied.0 {
            // Too old a view to replace anything. The next round brings a newer one.
            return Ok(());
        }
        self.abandon_rewrite();
        let at = self
            .current
            .segments
            .iter()
            .position(|segment| segment.generation == rotten);
        if let Some(at) = at {
            self.write_again(at, view)?;
        }
        let names_it = |segment: &SegmentInfo| segment.generation == rotten;
        if self
            .previous
            .as_ref()
            .is_some_and(|previous| previous.segments.iter().any(names_it))
        {
            self.commit(self.current.clone())?;
        }
        Ok(())
    }

    /// Replaces the segment at `at` by what memory has of its revisions. Memory has no tombstones that compaction
    /// dropped, so when the segment may have held some that older segments need, those are replaced too.
    fn write_again(&mut self, at: usize, view: &View) -> Result<(), KeeperError> {
        self.checkpoint(view)?;
        let segments = self.current.segments.clone();
        let rotten = segments[at];
        let start = if rotten.counts.tombstones == 0 { at } else { 0 };
        let compacted = view.compacted().0;
        let mut batch = Batch::new(&self.options, compacted);
        for record in retained(view, segments[start].first, rotten.last) {
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
        let finished = batch.finish(self.disk.as_ref());
        let new = finished.inspect_err(|_| batch.abandon(self.disk.as_ref()))?;
        let mut replaced = segments;
        replaced.splice(start..=at, new.iter().copied());
        self.install(view, replaced, &new)
    }
}

/// Every record from revision `first` to `last` that can be read, or watched, at the compacted revision or later, in order. Holds
/// a reference to each: a thousandth of the segments that are replaced.
fn retained(view: &View, first: i64, last: i64) -> Vec<&Record> {
    let compacted = view.compacted();
    let bounds = Bounds {
        start: &[0],
        end: End::Open,
    };
    // What the compacted revision itself changed is in the revision log whole, tombstones too.
    let old = view
        .index
        .forward(view.index.span(bounds))
        .filter_map(|entry| entry.at(Some(compacted)))
        .filter(|record| record.mod_revision() < compacted);
    let mut records: Vec<&Record> = old
        .filter(|record| (first..=last).contains(&record.mod_revision().0))
        .collect();
    records.sort_unstable_by_key(|record| record.position());
    let from = Revision((compacted.0 - 1).max(first - 1));
    records.extend(
        view.records_after(from)
            .take_while(|record| record.mod_revision().0 <= last),
    );
    records
}
