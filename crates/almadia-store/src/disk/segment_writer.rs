//! Writes a segment, block after block; never holds more than one block in memory.

use almadia_command::planted::{Bug, planted};
use almadia_disk::{Disk, DiskError, DiskFile};

use super::block::{BlockMaker, Stored};
use super::names;
use super::segment::{Counts, Footer, SegmentInfo, header};

/// A segment under a temporary name. What is not finished is a leftover that the next open removes.
pub(super) struct SegmentWriter {
    file: Box<dyn DiskFile>,
    generation: u64,
    /// Where the next byte goes, and the checksum of all before.
    end: u64,
    checksum: u32,
    first: i64,
    last: Option<(i64, u32)>,
    counts: Counts,
    offsets: Vec<u64>,
    raw: Vec<u8>,
    block_bytes: usize,
    block: Vec<u8>,
    maker: BlockMaker,
}

impl SegmentWriter {
    pub(super) fn create(disk: &dyn Disk, generation: u64, block_bytes: usize) -> Result<Self, DiskError> {
        let file = disk.create(&names::segment_temporary(generation))?;
        let mut writer = Self {
            file,
            generation,
            end: 0,
            checksum: 0,
            first: 0,
            last: None,
            counts: Counts::default(),
            offsets: Vec::new(),
            raw: Vec::with_capacity(block_bytes * 2),
            block_bytes,
            block: header(),
            maker: BlockMaker::new(),
        };
        writer
            .write_out()
            .inspect_err(|_| remove_unfinished(disk, generation))?;
        Ok(writer)
    }

    /// Adds a record, which must come after the last one.
    pub(super) fn push(&mut self, record: &Stored<'_>) -> Result<(), DiskError> {
        assert!(
            self.last < Some(record.place()),
            "records are written in revision order"
        );
        if self.last.is_none() {
            self.first = record.main;
        }
        self.last = Some(record.place());
        let before = self.raw.len();
        record.put(&mut self.raw);
        let bytes = (self.raw.len() - before) as u64;
        self.counts.records += 1;
        self.counts.raw_bytes += bytes;
        if record.is_tombstone {
            self.counts.tombstones += 1;
            self.counts.tombstone_bytes += bytes;
        }
        if self.raw.len() >= self.block_bytes {
            self.close_block()
        } else {
            Ok(())
        }
    }

    /// Bytes in the file so far, and those waiting for their block to be full.
    pub(super) fn len_bytes(&self) -> u64 {
        self.end + self.raw.len() as u64
    }

    /// The revision of the last record.
    pub(super) fn last_revision(&self) -> Option<i64> {
        self.last.map(|place| place.0)
    }

    /// Completes the file, syncs it and gives it its name; the directory is still to be synced. On an error
    /// nothing is left behind that could be taken for a segment.
    pub(super) fn finish(mut self, disk: &dyn Disk, clean_to: i64) -> Result<SegmentInfo, DiskError> {
        let info = self.complete(clean_to);
        let named = info.and_then(|info| {
            disk.rename(&names::segment_temporary(self.generation), &info.name())?;
            Ok(info)
        });
        named.inspect_err(|_| remove_unfinished(disk, self.generation))
    }

    /// Gives the file up.
    pub(super) fn abandon(self, disk: &dyn Disk) {
        remove_unfinished(disk, self.generation);
    }

    fn complete(&mut self, clean_to: i64) -> Result<SegmentInfo, DiskError> {
        let (last, _) = self.last.expect("a segment is begun only for a record");
        if !self.raw.is_empty() {
            self.close_block()?;
        }
        let offsets = std::mem::take(&mut self.offsets);
        let footer = Footer {
            first: self.first,
            last,
            counts: self.counts,
            offsets,
        };
        self.block = footer.encode(self.checksum);
        self.write_out()?;
        if !planted(Bug::SegmentNotSynced) {
            self.file.sync_all()?;
        }
        Ok(SegmentInfo {
            first: self.first,
            last,
            generation: self.generation,
            bytes: self.end,
            checksum: self.checksum,
            counts: self.counts,
            clean_to,
        })
    }

    fn close_block(&mut self) -> Result<(), DiskError> {
        self.offsets.push(self.end);
        self.maker.put(&self.raw, &mut self.block);
        self.raw.clear();
        self.write_out()
    }

    fn write_out(&mut self) -> Result<(), DiskError> {
        self.file.write_at(self.end, &self.block)?;
        self.end += self.block.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.block);
        self.block.clear();
        Ok(())
    }
}

/// Only to give the room back at once: the next open removes it anyway.
fn remove_unfinished(disk: &dyn Disk, generation: u64) {
    let _ = disk.remove(&names::segment_temporary(generation));
}
