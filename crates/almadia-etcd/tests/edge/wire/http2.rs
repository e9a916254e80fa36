//! HTTP/2 by hand, to do what no library lets a client do.

use bytes::Bytes;
use prost::Message;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const HEADERS: u8 = 1;
pub const DATA: u8 = 0;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const WINDOW_MAX: u32 = 0x7fff_ffff;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block without compression: names by number where HTTP/2 has one, everything else spelled out.
pub fn header_block(path: &str, authority: &[u8], more: &[(&str, &[u8])]) -> Vec<u8> {
    let spelled = |block: &mut Vec<u8>, text: &[u8]| {
        block.push(u8::try_from(text.len()).expect("short"));
        block.extend(text);
    };
    // :method POST, :scheme http, then :path, :authority, content-type and te.
    let mut block = vec![0x83, 0x86, 0x04];
    spelled(&mut block, path.as_bytes());
    block.push(0x01);
    spelled(&mut block, authority);
    block.extend([0x0f, 0x10]);
    spelled(&mut block, b"application/grpc");
    block.push(0x00);
    spelled(&mut block, b"te");
    spelled(&mut block, b"trailers");
    for (name, value) in more {
        block.push(0x00);
        spelled(&mut block, name.as_bytes());
        spelled(&mut block, value);
    }
    block
}

/// What every connection begins with; windows as wide as can be.
pub fn greeting() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut window = vec![0, 4];
    window.extend(WINDOW_MAX.to_be_bytes());
    bytes.extend(frame(SETTINGS, 0, 0, &window));
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - 65_535).to_be_bytes()));
    bytes
}

/// A message behind its prefix.
pub fn payload(message: &impl Message) -> Vec<u8> {
    packed(0, &message.encode_to_vec())
}

/// Bytes behind a prefix with this flag.
pub fn packed(flag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut payload = vec![flag];
    payload.extend(u32::try_from(bytes.len()).expect("short").to_be_bytes());
    payload.extend(bytes);
    payload
}

/// A whole request with one message.
pub fn request(stream: u32, block: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, block);
    // Frames of the size that every peer takes.
    let mut chunks = payload.chunks(16 * 1024).peekable();
    while let Some(chunk) = chunks.next() {
        let flags = if chunks.peek().is_none() { END_STREAM } else { 0 };
        bytes.extend(frame(DATA, flags, stream, chunk));
    }
    bytes
}

/// A frame as it came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Bytes,
}

/// A connection that says what it is told to.
pub struct Wire(pub TcpStream);

impl Wire {
    /// Connected, with nothing said.
    pub async fn silent(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("the server listens"))
    }

    /// Connected and greeted.
    pub async fn open(address: SocketAddr) -> Self {
        let mut wire = Self::silent(address).await;
        wire.say(&greeting()).await;
        wire
    }

    /// Connected, greeted, and allowed to send as much as the server takes.
    pub async fn settled(address: SocketAddr) -> Self {
        let mut wire = Self::open(address).await;
        wire.hear_kind(SETTINGS).await.expect("the server greets");
        wire.say(&frame(SETTINGS, ACK, 0, &[])).await;
        wire.hear_kind(WINDOW_UPDATE)
            .await
            .expect("the server opens its window");
        wire.say(&frame(PING, 0, 0, &[0; 8])).await;
        wire.hear_kind(PING)
            .await
            .expect("what came before has been heard");
        wire
    }

    /// Says these bytes; a server that has had enough does not hear them.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame; none when the server has closed the connection.
    pub async fn hear(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: payload.into(),
        })
    }

    /// The next frame of this kind.
    pub async fn hear_kind(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.hear().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Returns when the server has closed the connection.
    pub async fn hear_end(&mut self) {
        while self.hear().await.is_some() {}
    }
}
