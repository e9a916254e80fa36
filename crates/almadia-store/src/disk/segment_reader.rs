//! Reads a segment and believes nothing: every length is checked before it is used, every byte is under a checksum.

use almadia_disk::{Disk, DiskFile};

use super::block::{BLOCK_HEADER_BYTES, Stored, read_block};
use super::error::{Damage, KeeperError};
use super::fields::Fields;
use super::segment::{FORMAT_VERSION, Footer, HEADER_BYTES, SegmentInfo, TAIL_BYTES, Tail, header};

/// A whole-file check reads pieces of this size.
const CHECK_BYTES: usize = 256 << 10;

/// An open segment.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: Box<dyn DiskFile>,
    pub(super) info: SegmentInfo,
    pub(super) name: String,
    footer: Footer,
    footer_start: u64,
    /// CRC32C of footer and tail, for the checksum of the whole.
    end_checksum: u32,
}

/// Memory for reading blocks, used again and again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    block: Vec<u8>,
    raw: Vec<u8>,
}

impl SegmentReader {
    /// Opens the segment that a manifest names and reads its footer.
    pub(super) fn open(disk: &dyn Disk, info: &SegmentInfo) -> Result<Self, KeeperError> {
        let name = info.name();
        let file = open_whole(disk, &name, info.bytes)?;
        let damaged = |why: &str| KeeperError::from(Damage::new(&name, why));
        if info.bytes < HEADER_BYTES + TAIL_BYTES as u64 {
            return Err(damaged("the file is too short for a segment"));
        }
        let mut tail_bytes = [0; TAIL_BYTES];
        let tail_start = info.bytes - TAIL_BYTES as u64;
        file.read_at(tail_start, &mut tail_bytes)?;
        let tail = Tail::decode(&tail_bytes).ok_or_else(|| damaged("the file does not end as a segment"))?;
        if tail.version > FORMAT_VERSION {
            return Err(newer_or_damaged(file.as_ref(), &name, info, tail.version));
        }
        let mut start_bytes = [0; HEADER_BYTES as usize];
        file.read_at(0, &mut start_bytes)?;
        if start_bytes[..] != header()[..] {
            return Err(damaged("the file does not begin as a segment"));
        }
        let footer_len = u64::from(tail.footer_len);
        let footer_start = tail_start
            .checked_sub(footer_len)
            .filter(|start| *start > HEADER_BYTES)
            .ok_or_else(|| damaged("the footer's length is wrong"))?;
        let mut end = vec![0; (info.bytes - footer_start) as usize];
        file.read_at(footer_start, &mut end)?;
        let footer = Footer::decode(&end[..footer_len as usize], footer_start)
            .filter(|footer| {
                (footer.first, footer.last, footer.counts) == (info.first, info.last, info.counts)
            })
            .ok_or_else(|| damaged("the footer is not what the manifest says"))?;
        let end_checksum = crc32c::crc32c(&end);
        Ok(Self {
            file,
            info: *info,
            name,
            footer,
            footer_start,
            end_checksum,
        })
    }

    pub(super) fn block_count(&self) -> usize {
        self.footer.offsets.len()
    }

    /// Reads a block and hands over its records. Answers the block's checksum and length, for [`WholeCheck`].
    pub(super) fn read<'b>(
        &self,
        number: usize,
        buffers: &'b mut Buffers,
    ) -> Result<(Piece, Records<'b>), KeeperError> {
        let start = self.footer.offsets[number];
        let end = self
            .footer
            .offsets
            .get(number + 1)
            .copied()
            .unwrap_or(self.footer_start);
        let len = (end - start) as usize;
        if len < BLOCK_HEADER_BYTES {
            return Err(self.damaged("a block is shorter than its header"));
        }
        buffers.block.resize(len, 0);
        self.file.read_at(start, &mut buffers.block)?;
        let checksum = crc32c::crc32c(&buffers.block);
        read_block(&buffers.block, &mut buffers.raw).map_err(|why| self.damaged(why))?;
        Ok((
            Piece { checksum, len },
            Records {
                fields: Fields(&buffers.raw),
                is_damaged: false,
            },
        ))
    }

    pub(super) fn damaged(&self, why: impl Into<String>) -> KeeperError {
        Damage::new(&self.name, why).into()
    }
}

/// The records of one block, in order. Ask [`Records::is_damaged`] at the end.
#[derive(Debug)]
pub(super) struct Records<'a> {
    fields: Fields<'a>,
    is_damaged: bool,
}

impl<'a> Iterator for Records<'a> {
    type Item = Stored<'a>;

    fn next(&mut self) -> Option<Stored<'a>> {
        if self.fields.is_done() || self.is_damaged {
            return None;
        }
        let stored = Stored::take(&mut self.fields);
        self.is_damaged = stored.is_none();
        stored
    }
}

impl Records<'_> {
    /// Whether it ended at bytes that are not a record.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }
}

/// The checksum of a stretch of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) checksum: u32,
    pub(super) len: usize,
}

/// Puts the checksum of a whole segment together from its blocks', and checks what only the whole can show.
#[derive(Debug)]
pub(super) struct WholeCheck {
    checksum: u32,
    records: u64,
    last: Option<(i64, u32)>,
}

impl WholeCheck {
    pub(super) fn new() -> Self {
        // `SegmentReader::open` has compared the header.
        Self {
            checksum: crc32c::crc32c(&header()),
            records: 0,
            last: None,
        }
    }

    pub(super) fn block(&mut self, piece: Piece) {
        self.checksum = crc32c::crc32c_combine(self.checksum, piece.checksum, piece.len);
    }

    /// True when the record may stand behind those before it.
    pub(super) fn record(&mut self, reader: &SegmentReader, place: (i64, u32)) -> bool {
        let fits = self.last < Some(place) && (reader.info.first..=reader.info.last).contains(&place.0);
        self.last = Some(place);
        self.records += 1;
        fits
    }

    pub(super) fn end(self, reader: &SegmentReader) -> Result<(), KeeperError> {
        let end_len = (reader.info.bytes - reader.footer_start) as usize;
        let checksum = crc32c::crc32c_combine(self.checksum, reader.end_checksum, end_len);
        if checksum != reader.info.checksum {
            return Err(reader.damaged("the checksum of the file is wrong"));
        }
        if self.records != reader.info.counts.records {
            return Err(reader.damaged("the file does not hold as many records as it says"));
        }
        Ok(())
    }
}

/// Opens a file that must have `bytes` bytes. A missing file is damage, not a failing disk.
pub(super) fn open_whole(disk: &dyn Disk, name: &str, bytes: u64) -> Result<Box<dyn DiskFile>, KeeperError> {
    let file = match disk.open(name) {
        Err(error) if error.cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(Damage::new(name, "the file is missing").into());
        }
        opened => opened?,
    };
    let len = file.len()?;
    if len == bytes {
        Ok(file)
    } else {
        Err(Damage::new(name, format!("the file has {len} bytes instead of {bytes}")).into())
    }
}

/// CRC32C of a file's first `bytes` bytes.
pub(super) fn file_checksum(file: &dyn DiskFile, bytes: u64) -> Result<u32, KeeperError> {
    let mut buffer = vec![0; CHECK_BYTES.min(bytes as usize)];
    let (mut checksum, mut at) = (0, 0);
    while at < bytes {
        let len = (bytes - at).min(CHECK_BYTES as u64) as usize;
        file.read_at(at, &mut buffer[..len])?;
        checksum = crc32c::crc32c_append(checksum, &buffer[..len]);
        at += len as u64;
    }
    Ok(checksum)
}

/// Checks the file of a segment against its manifest without looking inside.
pub(super) fn verify_file(disk: &dyn Disk, name: &str, info: &SegmentInfo) -> Result<(), KeeperError> {
    let file = open_whole(disk, name, info.bytes)?;
    if file_checksum(file.as_ref(), info.bytes)? == info.checksum {
        Ok(())
    } else {
        Err(Damage::new(name, "the checksum of the file is wrong").into())
    }
}

/// A version above ours is believed only where the whole file is what its manifest says.
fn newer_or_damaged(file: &dyn DiskFile, name: &str, info: &SegmentInfo, version: u32) -> KeeperError {
    match file_checksum(file, info.bytes) {
        Ok(checksum) if checksum == info.checksum => KeeperError::Newer {
            name: name.to_owned(),
            version,
            known: FORMAT_VERSION,
        },
        Ok(_) => Damage::new(name, "the checksum of the file is wrong").into(),
        Err(error) => error,
    }
}
