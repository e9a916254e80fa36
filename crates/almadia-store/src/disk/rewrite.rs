//! Rewriting neighbouring segments without what is dead in them, a few blocks per call.
//!
//! The new segments count only from the manifest that names them, which is also a checkpoint of the view by which
//! the last record was judged: so nothing is missing that an entry of the log after that manifest could need.

use std::fmt;
use std::ops::Range;

use super::batch::Batch;
use super::block::Stored;
use super::checkpoint::Replacement;
use super::error::KeeperError;
use super::garbage::tombstones_needed_after;
use super::keeper::{Keeper, Options};
use super::load::check_place;
use super::segment::SegmentInfo;
use super::segment_reader::{Buffers, SegmentReader, WholeCheck};
use crate::View;
use crate::record::Record;
use almadia_disk::Disk;

/// A rewrite under way.
pub(super) struct Rewrite {
    /// Neighbours, oldest first.
    old: Vec<SegmentInfo>,
    /// How many of them are done.
    done: usize,
    reading: Option<Reading>,
    batch: Batch,
    /// The compacted revision when it began: what was dead then is left out of all that it writes.
    compacted: i64,
    /// Tombstones up to here hide nothing: what they hid is gone from older segments, and goes from these. Below the
    /// compacted revision, whose own tombstones can be watched.
    tombstones_to: i64,
    buffers: Buffers,
}

struct Reading {
    reader: SegmentReader,
    check: WholeCheck,
    block: usize,
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite")
            .field("old", &self.old)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl Rewrite {
    fn new(segments: &[SegmentInfo], run: Range<usize>, compacted: i64, options: &Options) -> Self {
        Self {
            tombstones_to: tombstones_needed_after(segments, run.start).min(compacted - 1),
            old: segments[run].to_vec(),
            done: 0,
            reading: None,
            batch: Batch::new(options, compacted),
            compacted,
            buffers: Buffers::default(),
        }
    }

    /// Copies the next block's records that are still needed; false when there is no next block.
    fn step(&mut self, disk: &dyn Disk, next_generation: &mut u64, view: &View) -> Result<bool, KeeperError> {
        let Some(info) = self.old.get(self.done) else {
            return Ok(false);
        };
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => Reading {
                reader: SegmentReader::open(disk, info)?,
                check: WholeCheck::new(),
                block: 0,
            },
        };
        let reader = &reading.reader;
        let (piece, mut records) = reader.read(reading.block, &mut self.buffers)?;
        reading.check.block(piece);
        for stored in records.by_ref() {
            check_place(reader, &mut reading.check, stored.place())?;
            if is_needed(&stored, view, self.tombstones_to).map_err(|why| reader.damaged(why))? {
                self.batch.push(disk, next_generation, &stored)?;
            }
        }
        if records.is_damaged() {
            return Err(reader.damaged("a block does not hold whole records"));
        }
        reading.block += 1;
        if reading.block < reader.block_count() {
            self.reading = Some(reading);
        } else {
            reading.check.end(&reading.reader)?;
            self.done += 1;
        }
        Ok(true)
    }
}

/// Whether a restart needs the record: to be read, or to hide an older one that is still on disk.
fn is_needed(stored: &Stored<'_>, view: &View, tombstones_to: i64) -> Result<bool, String> {
    // Everything after the compacted revision can be read, and what itself changed can be watched, tombstones too.
    // Also spares an allocation.
    if stored.main >= view.compacted().0 {
        return Ok(true);
    }
    if stored.is_tombstone {
        return Ok(stored.main > tombstones_to);
    }
    let record = Record::try_from(*stored).map_err(|error| error.to_string())?;
    Ok(view.is_live(&record))
}

impl Keeper {
    pub(super) fn begin_rewrite(&mut self, run: Range<usize>, view: &View) {
        assert!(self.rewrite.is_none(), "one rewrite at a time");
        self.rewrite = Some(Rewrite::new(
            &self.current.segments,
            run,
            view.compacted().0,
            &self.options,
        ));
    }

    /// Goes on with the rewrite; at its end the new segments take the place of the old ones.
    pub(super) fn step_rewrite(&mut self, view: &View) -> Result<(), KeeperError> {
        let Some(mut rewrite) = self.rewrite.take() else {
            return Ok(());
        };
        match self.step_blocks(&mut rewrite, view) {
            Ok(true) => {
                self.rewrite = Some(rewrite);
                Ok(())
            }
            Ok(false) => self.end_rewrite(rewrite, view),
            Err(error) => {
                rewrite.batch.abandon(self.disk.as_ref());
                match error {
                    KeeperError::Damaged(damage) => {
                        let rotten = rewrite.old[rewrite.done].generation;
                        tracing::error!(%damage, "a segment is damaged and is written again from memory");
                        self.repair(rotten, view)
                    }
                    error => Err(error),
                }
            }
        }
    }

    fn step_blocks(&mut self, rewrite: &mut Rewrite, view: &View) -> Result<bool, KeeperError> {
        for _ in 0..self.options.slice_blocks {
            if !rewrite.step(self.disk.as_ref(), &mut self.next_generation, view)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn end_rewrite(&mut self, mut rewrite: Rewrite, view: &View) -> Result<(), KeeperError> {
        let finished = rewrite.batch.finish(self.disk.as_ref());
        let new = finished.inspect_err(|_| rewrite.batch.abandon(self.disk.as_ref()))?;
        let replacement = Replacement {
            old: rewrite.old.clone(),
            new: new.clone(),
        };
        self.checkpoint_replacing(view, Some(replacement))?;
        self.garbage.note_rewritten(&rewrite.old, &new, rewrite.compacted);
        Ok(())
    }

    /// Gives up what is under way, because the segments it reads are about to go.
    pub(super) fn abandon_rewrite(&mut self) {
        if let Some(mut rewrite) = self.rewrite.take() {
            rewrite.batch.abandon(self.disk.as_ref());
        }
    }
}
