//! HTTP/2 frames (RFC 9113, section 4): the nine bytes in front, and the few kinds a gRPC client sends and gets.
//!
//! Never touches a socket and knows nothing about streams.

/// Bytes in front of each frame.
pub const FRAME_HEADER_BYTES: usize = 9;
/// What a client sends first on a connection.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// DATA.
pub const DATA: u8 = 0;
/// HEADERS.
pub const HEADERS: u8 = 1;
/// RST_STREAM.
pub const RST_STREAM: u8 = 3;
/// SETTINGS.
pub const SETTINGS: u8 = 4;
/// PING.
pub const PING: u8 = 6;
/// GOAWAY.
pub const GOAWAY: u8 = 7;
/// WINDOW_UPDATE.
pub const WINDOW_UPDATE: u8 = 8;
/// CONTINUATION.
pub const CONTINUATION: u8 = 9;

/// The last frame of a stream's direction (DATA, HEADERS).
pub const END_STREAM: u8 = 0x1;
/// An answer to SETTINGS or PING.
pub const ACK: u8 = 0x1;
/// The header block is complete (HEADERS, CONTINUATION).
pub const END_HEADERS: u8 = 0x4;
/// The payload begins with a padding length (DATA, HEADERS).
pub const PADDED: u8 = 0x8;
/// The header block has five bytes of priority in front (HEADERS).
pub const PRIORITY: u8 = 0x20;

/// SETTINGS_HEADER_TABLE_SIZE.
pub const SETTING_HEADER_TABLE_SIZE: u16 = 1;
/// SETTINGS_ENABLE_PUSH.
pub const SETTING_ENABLE_PUSH: u16 = 2;
/// SETTINGS_MAX_CONCURRENT_STREAMS.
pub const SETTING_STREAMS_MAX: u16 = 3;
/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const SETTING_INITIAL_WINDOW: u16 = 4;

/// The fixed front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Payload length in bytes, 24 bits.
    pub len: usize,
    /// The frame kind.
    pub kind: u8,
    /// Flags, by kind.
    pub flags: u8,
    /// The stream, 0 for the connection.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads a header from the front of `bytes`; `None` while there are not enough of them.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let front = bytes.get(..FRAME_HEADER_BYTES)?;
        Some(Self {
            len: usize::from(front[0]) << 16 | usize::from(front[1]) << 8 | usize::from(front[2]),
            kind: front[3],
            flags: front[4],
            stream: u32::from_be_bytes([front[5], front[6], front[7], front[8]]) & 0x7fff_ffff,
        })
    }

    /// Appends the nine bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        assert!(self.len < 1 << 24, "a frame's length has 24 bits");
        let len = (self.len as u32).to_be_bytes();
        out.extend_from_slice(&[len[1], len[2], len[3], self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }
}

/// Appends a SETTINGS frame.
pub fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    FrameHeader {
        len: settings.len() * 6,
        kind: SETTINGS,
        flags: 0,
        stream: 0,
    }
    .write(out);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a WINDOW_UPDATE for a stream, or for the whole connection (stream 0).
pub fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    FrameHeader {
        len: 4,
        kind: WINDOW_UPDATE,
        flags: 0,
        stream,
    }
    .write(out);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// The settings in a SETTINGS payload; an incomplete last one is left out.
pub fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> + '_ {
    payload.chunks_exact(6).map(|pair| {
        (
            u16::from_be_bytes([pair[0], pair[1]]),
            u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]),
        )
    })
}

/// The four bytes of a WINDOW_UPDATE, RST_STREAM or the like at `offset`; 0 when they are missing.
pub fn number_at(payload: &[u8], offset: usize) -> u32 {
    payload
        .get(offset..offset + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, |bytes: [u8; 4]| u32::from_be_bytes(bytes) & 0x7fff_ffff)
}

/// A DATA or HEADERS payload without padding and priority; `None` when they do not fit.
pub fn without_padding(header: FrameHeader, payload: &[u8]) -> Option<&[u8]> {
    let mut front = 0;
    let mut padding = 0;
    if header.flags & PADDED != 0 {
        padding = usize::from(*payload.first()?);
        front = 1;
    }
    if header.kind == HEADERS && header.flags & PRIORITY != 0 {
        front += 5;
    }
    payload.get(front..payload.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_round_trip() {
        let header = FrameHeader {
            len: 70_000,
            kind: HEADERS,
            flags: END_HEADERS,
            stream: 12_345,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        assert_eq!(bytes.len(), FRAME_HEADER_BYTES);
        assert_eq!(FrameHeader::parse(&bytes), Some(header));
        assert_eq!(FrameHeader::parse(&bytes[..8]), None);
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let header = FrameHeader {
            len: 0,
            kind: HEADERS,
            flags: PADDED | PRIORITY,
            stream: 1,
        };
        assert_eq!(
            without_padding(header, &[2, 0, 0, 0, 0, 0, 7, 8, 9, 9]),
            Some(&[7, 8][..])
        );
        assert_eq!(without_padding(header, &[200, 0, 0, 0, 0, 0]), None);
        assert_eq!(without_padding(header, &[]), None);
    }

    #[test]
    fn settings_are_pairs() {
        let mut bytes = Vec::new();
        write_settings(
            &mut bytes,
            &[(SETTING_ENABLE_PUSH, 0), (SETTING_INITIAL_WINDOW, 99)],
        );
        let read: Vec<_> = settings(&bytes[FRAME_HEADER_BYTES..]).collect();
        assert_eq!(read, [(SETTING_ENABLE_PUSH, 0), (SETTING_INITIAL_WINDOW, 99)]);
        assert_eq!(number_at(&[0, 0, 0, 7], 0), 7);
        assert_eq!(number_at(&[0, 0], 0), 0);
    }
}
