//! Segment files: their names, how one is made, and how one frame is read.
//!
//! Never interprets what frames say.

use std::fmt;
use std::sync::Arc;

use almadia_disk::{Disk, DiskError, DiskFile};
use bytes::Bytes;

use crate::WalError;
use crate::format::{BLOCK_BYTES, Frame, HEADER_BYTES};

/// The log's directory below the data directory.
pub(crate) const DIRECTORY: &str = "wal";

/// How much is written at once while a spare is filled.
const FILL_BYTES: usize = 256 * 1024;

/// A file that is part of the log.
pub(crate) struct Segment {
    pub sequence: u64,
    pub name: String,
    /// Whole blocks.
    pub bytes: u64,
    pub life: u64,
    pub file: Arc<dyn DiskFile>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A file that waits to become a segment: full of zeros, or of what it held in an earlier life.
pub(crate) struct Spare {
    pub name: String,
    pub bytes: u64,
    pub file: Arc<dyn DiskFile>,
}

/// `wal/0000000000000001.wal`
pub(crate) fn segment_name(sequence: u64) -> String {
    format!("{DIRECTORY}/{sequence:016}.wal")
}

/// `wal/spare-1.wal`
pub(crate) fn spare_name(number: u64) -> String {
    format!("{DIRECTORY}/spare-{number}.wal")
}

/// The sequence of a segment's plain name.
pub(crate) fn parse_segment(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal").filter(|digits| digits.len() == 16)?;
    digits
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// The number of a spare's plain name.
pub(crate) fn parse_spare(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.strip_prefix("spare-")?.parse().ok()
}

/// Makes a spare and writes it full of zeros, so that later writes change no metadata and their syncs are cheap.
pub(crate) fn make_spare(disk: &dyn Disk, name: String, bytes: u64) -> Result<Spare, DiskError> {
    assert!(
        bytes >= 2 * HEADER_BYTES && bytes.is_multiple_of(HEADER_BYTES),
        "a segment is whole blocks"
    );
    let file: Arc<dyn DiskFile> = Arc::from(disk.create_for_log(&name)?);
    let fill = || {
        let zeros = vec![0; FILL_BYTES.min(bytes as usize)];
        let mut offset = 0;
        while offset < bytes {
            let count = zeros.len().min((bytes - offset) as usize);
            file.write_at(offset, &zeros[..count])?;
            offset += count as u64;
        }
        file.sync_all()?;
        disk.sync_dir(DIRECTORY)
    };
    if let Err(error) = fill() {
        // It may be the space it takes that is missing elsewhere. A half spare is also thrown away by the next start.
        let _ = disk.remove(&name);
        return Err(error);
    }
    Ok(Spare { name, bytes, file })
}

impl Segment {
    /// Reads the frame at `offset`. None when what is there is not a frame of this segment's life; an error only when
    /// the disk gives one.
    pub(crate) fn read_frame(&self, offset: u64) -> Result<Option<Frame>, DiskError> {
        let left = self.bytes.saturating_sub(offset);
        if left < BLOCK_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; BLOCK_BYTES];
        self.file.read_at(offset, &mut bytes)?;
        let Some(claimed) = Frame::claimed_bytes(&bytes, self.life).filter(|claimed| *claimed as u64 <= left)
        else {
            return Ok(None);
        };
        if claimed > BLOCK_BYTES {
            bytes.resize(claimed, 0);
            self.file
                .read_at(offset + BLOCK_BYTES as u64, &mut bytes[BLOCK_BYTES..])?;
        }
        Ok(Frame::verify(Bytes::from(bytes), self.life, offset))
    }

    /// Reads a frame that is known to be there.
    pub(crate) fn read_known_frame(&self, offset: u64, frame_bytes: u32) -> Result<Frame, WalError> {
        let mut bytes = vec![0; frame_bytes as usize];
        self.file.read_at(offset, &mut bytes)?;
        Frame::verify(Bytes::from(bytes), self.life, offset)
            .ok_or_else(|| self.damaged(offset, "a frame that was synced does not verify"))
    }

    /// Where the next valid frame begins, from `offset` on.
    pub(crate) fn find_frame(&self, mut offset: u64) -> Result<Option<u64>, DiskError> {
        let mut chunk = vec![0; FILL_BYTES];
        while offset < self.bytes {
            let count = chunk.len().min((self.bytes - offset) as usize);
            self.file.read_at(offset, &mut chunk[..count])?;
            for (block, at) in chunk[..count]
                .chunks_exact(BLOCK_BYTES)
                .zip((offset..).step_by(BLOCK_BYTES))
            {
                if Frame::claimed_bytes(block, self.life).is_some() && self.read_frame(at)?.is_some() {
                    return Ok(Some(at));
                }
            }
            offset += count as u64;
        }
        Ok(None)
    }

    pub(crate) fn damaged(&self, offset: u64, what: &'static str) -> WalError {
        WalError::Damaged {
            file: self.name.clone(),
            offset,
            what,
        }
    }
}
