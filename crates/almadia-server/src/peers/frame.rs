//! Frames on a byte stream: length, CRC-32C of the bytes, bytes; all numbers little-endian.
//!
//! It never trusts a length before comparing it with the limit, and never hands out bytes with a wrong checksum.

use almadia_consensus::FRAME_BYTES_MAX;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Length and checksum.
pub(super) const HEADER_BYTES: usize = 8;

/// Room made for one read, so that many small frames cost one system call.
const READ_BYTES: usize = 64 * 1024;

/// Room for a long frame is made as its bytes come, up to so many times what is there: whoever announces much and sends little
/// costs little, and a long frame is moved three times at most.
const GROWTH: usize = 4;

/// Why no frame can be read any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side announces more than it may.
    #[error("a frame of {len} bytes is announced, the limit is {max}")]
    TooLong {
        /// What is announced.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes are not what was sent.
    #[error("a frame of {len} bytes has a wrong checksum")]
    Checksum {
        /// Its length.
        len: usize,
    },
}

impl FrameError {
    /// True when the other side sent what no member sends (or the network broke it).
    pub(super) fn is_garbage(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

/// Writes a frame's header.
///
/// # Panics
/// When the frame is longer than [`FRAME_BYTES_MAX`]: the peer would cut us off, and who made it has a bug.
pub(super) fn put_header(buffer: &mut impl BufMut, frame: &[u8]) {
    assert!(
        frame.len() <= FRAME_BYTES_MAX,
        "a frame of {} bytes is over the limit",
        frame.len()
    );
    buffer.put_u32_le(u32::try_from(frame.len()).expect("below the limit"));
    buffer.put_u32_le(crc32c::crc32c(frame));
}

/// Reads one frame and not a byte more.
pub(super) async fn read_one(reader: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Bytes, FrameError> {
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).await?;
    let (len, checksum) = read_header(&header, max)?;
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes).await?;
    checked(bytes.into(), checksum)
}

/// Reads frames with as few system calls as possible. The frames share the buffer they were read into: whoever keeps
/// one for long copies it, else a small frame keeps 64 KiB in memory.
pub(super) struct FrameReader<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame; `None` when the stream ends between two frames. May be dropped while it waits: what was
    /// read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            let wanted = match self.buffer.first_chunk::<HEADER_BYTES>() {
                None => HEADER_BYTES,
                Some(header) => {
                    let (len, checksum) = read_header(header, FRAME_BYTES_MAX)?;
                    if self.buffer.len() >= HEADER_BYTES + len {
                        self.buffer.advance(HEADER_BYTES);
                        return checked(self.buffer.split_to(len).freeze(), checksum).map(Some);
                    }
                    HEADER_BYTES + len
                }
            };
            let missing = wanted - self.buffer.len();
            let room = READ_BYTES.max(missing.min(GROWTH * self.buffer.len()));
            self.buffer.reserve(room);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                };
            }
        }
    }
}

fn read_header(mut header: &[u8], max: usize) -> Result<(usize, u32), FrameError> {
    let len = header.get_u32_le() as usize;
    let checksum = header.get_u32_le();
    if len > max {
        return Err(FrameError::TooLong { len, max });
    }
    Ok((len, checksum))
}

fn checked(bytes: Bytes, checksum: u32) -> Result<Bytes, FrameError> {
    if crc32c::crc32c(&bytes) != checksum {
        return Err(FrameError::Checksum { len: bytes.len() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            put_header(&mut bytes, frame);
            bytes.extend(frame);
        }
        bytes
    }

    fn read_all(bytes: &[u8]) -> (Vec<Bytes>, Result<(), FrameError>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut frames = Vec::new();
        let end = runtime.block_on(async {
            let mut reader = FrameReader::new(bytes);
            while let Some(frame) = reader.next().await? {
                frames.push(frame);
            }
            Ok(())
        });
        (frames, end)
    }

    /// Released bytes keep their meaning: these are the bytes of version 0.1.
    #[test]
    fn golden_bytes() {
        assert_eq!(
            encoded(&[b"123456789".to_vec()]),
            b"\x09\0\0\0\x83\x92\x06\xe3123456789"
        );
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_allocated() {
        let (_, end) = read_all(b"\xff\xff\xff\xff....");
        assert!(matches!(end, Err(FrameError::TooLong { .. })));
    }

    /// 8 MiB are announced and ten bytes sent.
    #[test]
    fn room_is_made_for_what_comes() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = encoded(&[vec![7; FRAME_BYTES_MAX]]);
        let begun = &whole[..HEADER_BYTES + 10];
        let mut reader = FrameReader::new(begun);
        assert!(runtime.block_on(reader.next()).is_err(), "it ends too soon");
        let room = reader.buffer.capacity();
        assert!(room <= 2 * READ_BYTES, "{room} bytes");
        let (frames, end) = read_all(&whole);
        assert!(end.is_ok() && frames[0] == vec![7; FRAME_BYTES_MAX]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let (read, end) = read_all(&encoded(&frames));
            prop_assert!(end.is_ok());
            prop_assert_eq!(read, frames);
        }

        /// A changed byte never changes what is handed out: frames before it arrive, nothing after it does.
        #[test]
        fn damage_is_noticed(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 1..8),
            at in any::<usize>(),
            change in 1u8..,
        ) {
            let mut bytes = encoded(&frames);
            let at = at % bytes.len();
            bytes[at] ^= change;
            let (read, end) = read_all(&bytes);
            prop_assert!(end.is_err());
            prop_assert!(read.len() < frames.len());
            for (read, frame) in read.iter().zip(&frames) {
                prop_assert_eq!(read, frame);
            }
        }

        /// No bytes make the reader panic.
        #[test]
        fn garbage_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_all(&bytes);
        }
    }
}
