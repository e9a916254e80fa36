//! A run of new segments, each about as large as asked; the last one holds the rest.

use almadia_disk::{Disk, DiskError};

use super::block::Stored;
use super::keeper::Options;
use super::segment::SegmentInfo;
use super::segment_writer::SegmentWriter;

/// Segments being written that no manifest names yet. Must be finished or abandoned; what a crash leaves behind
/// the next open removes.
pub(super) struct Batch {
    writer: Option<SegmentWriter>,
    done: Vec<SegmentInfo>,
    options: Options,
    clean_to: i64,
}

impl Batch {
    /// `clean_to` as in [`SegmentInfo::clean_to`].
    pub(super) fn new(options: &Options, clean_to: i64) -> Self {
        Self {
            writer: None,
            done: Vec::new(),
            options: *options,
            clean_to,
        }
    }

    /// Adds a record. A revision never spans two segments.
    pub(super) fn push(
        &mut self,
        disk: &dyn Disk,
        next_generation: &mut u64,
        record: &Stored<'_>,
    ) -> Result<(), DiskError> {
        let is_full = self.writer.as_ref().is_some_and(|writer| {
            writer.len_bytes() >= self.options.segment_bytes && writer.last_revision() < Some(record.main)
        });
        if is_full {
            self.close(disk)?;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let generation = *next_generation;
                *next_generation += 1;
                none.insert(SegmentWriter::create(disk, generation, self.options.block_bytes)?)
            }
        };
        writer.push(record)
    }

    /// Completes and syncs the files; the directory is still to be synced. None when there was no record.
    pub(super) fn finish(&mut self, disk: &dyn Disk) -> Result<Vec<SegmentInfo>, DiskError> {
        self.close(disk)?;
        Ok(std::mem::take(&mut self.done))
    }

    /// Gives all files up.
    pub(super) fn abandon(&mut self, disk: &dyn Disk) {
        if let Some(writer) = self.writer.take() {
            writer.abandon(disk);
        }
        remove_all(disk, &std::mem::take(&mut self.done));
    }

    fn close(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        if let Some(writer) = self.writer.take() {
            self.done.push(writer.finish(disk, self.clean_to)?);
        }
        Ok(())
    }
}

/// Removes segments that no manifest names. What cannot be removed now is removed by the next open.
pub(super) fn remove_all(disk: &dyn Disk, segments: &[SegmentInfo]) {
    for segment in segments {
        let _ = disk.remove(&segment.name());
    }
}
