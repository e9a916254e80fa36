//! A file whose whole blocks are written past the page cache: for the log, which writes much and is hardly ever read.
//!
//! Through the page cache each small group would mark whole large pages as dirty and copy bytes that nobody reads again;
//! directly, a group costs what it weighs. Where the file system cannot do it, writes go through the cache as usual.
//! Reads always do: the kernel keeps the two in step. It decides nothing about syncing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

/// What every device and file system we know takes as the unit of a direct write.
const BLOCK_BYTES: usize = 4096;

/// Bytes of one direct write at most: what is gathered in the aligned buffer.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Writes whole blocks directly.
#[derive(Debug)]
pub(crate) struct DirectWriter {
    file: File,
    buffer: Mutex<AlignedBuffer>,
}

impl DirectWriter {
    /// None where the file system does not take direct writes.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path)
            .ok()?;
        Some(Self {
            file,
            buffer: Mutex::default(),
        })
    }

    /// Whether this write consists of whole blocks.
    pub(crate) fn takes(&self, offset: u64, bytes: &[u8]) -> bool {
        offset.is_multiple_of(BLOCK_BYTES as u64) && bytes.len().is_multiple_of(BLOCK_BYTES)
    }

    /// Writes whole blocks.
    pub(crate) fn write_at(&self, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut buffer = self
            .buffer
            .lock()
            .expect("nobody panics while holding the buffer");
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.file.write_all_at(buffer.aligned(chunk), offset)?;
            offset += chunk.len() as u64;
        }
        Ok(())
    }
}

/// Memory in which bytes stand on a block's border, kept between writes and grown to the largest one.
#[derive(Debug, Default)]
struct AlignedBuffer(Vec<u8>);

impl AlignedBuffer {
    fn aligned(&mut self, bytes: &[u8]) -> &[u8] {
        let wanted = bytes.len() + BLOCK_BYTES;
        if self.0.len() < wanted {
            self.0 = vec![0; wanted];
        }
        let start = self.0.as_ptr().align_offset(BLOCK_BYTES);
        let place = &mut self.0[start..start + bytes.len()];
        place.copy_from_slice(bytes);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_written_directly_are_read_through_the_cache() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("file");
        std::fs::write(&path, vec![7; 4 * BLOCK_BYTES]).expect("a file");
        let Some(writer) = DirectWriter::open(&path) else {
            eprintln!("SKIPPED: this file system takes no direct writes");
            return;
        };
        let large: Vec<u8> = (0..3 * BLOCK_BYTES).map(|at| (at / 100) as u8).collect();
        assert!(
            writer.takes(4096, &large) && !writer.takes(4097, &large) && !writer.takes(4096, &large[1..])
        );
        writer.write_at(4096, &large).expect("a direct write");
        let read = std::fs::read(&path).expect("the file");
        assert_eq!(&read[..BLOCK_BYTES], &[7; BLOCK_BYTES]);
        assert_eq!(&read[BLOCK_BYTES..], large);
    }

    #[test]
    fn the_buffer_is_aligned_whatever_its_size() {
        let mut buffer = AlignedBuffer::default();
        for blocks in [1, 3, 2, 9] {
            let bytes = vec![blocks as u8; blocks * BLOCK_BYTES];
            let aligned = buffer.aligned(&bytes);
            assert_eq!(aligned.as_ptr().align_offset(BLOCK_BYTES), 0);
            assert_eq!(aligned, bytes);
        }
    }
}
