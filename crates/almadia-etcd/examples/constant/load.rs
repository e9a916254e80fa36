//! A load that costs next to nothing: HTTP/2 written by hand, the same requests over and over, answers counted and
//! not looked at. With a real client library the load would take most of the machine.

use almadia_etcd::proto::etcdserverpb::{PutRequest, RangeRequest};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const WINDOW_MAX: u32 = 0x7fff_ffff;
const HEAD_BYTES: usize = 9;

/// One request, as bytes that only lack the stream's number.
pub struct Call {
    block: Vec<u8>,
    payload: Vec<u8>,
}

impl Call {
    /// A put of a value of this many bytes.
    pub fn put(value_bytes: usize) -> Self {
        let request = PutRequest {
            key: "key".into(),
            value: vec![b'v'; value_bytes].into(),
            ..Default::default()
        };
        Self::new("/etcdserverpb.KV/Put", &request.encode_to_vec())
    }

    /// A get of one key.
    pub fn get() -> Self {
        let request = RangeRequest {
            key: "key".into(),
            ..Default::default()
        };
        Self::new("/etcdserverpb.KV/Range", &request.encode_to_vec())
    }

    fn new(path: &str, message: &[u8]) -> Self {
        let mut block = vec![0x83, 0x86, 0x04];
        spell(&mut block, path);
        block.push(0x01);
        spell(&mut block, "localhost");
        block.extend([0x0f, 0x10]);
        spell(&mut block, "application/grpc");
        block.push(0x00);
        spell(&mut block, "te");
        spell(&mut block, "trailers");
        let mut payload = vec![0];
        payload.extend((message.len() as u32).to_be_bytes());
        payload.extend(message);
        Self { block, payload }
    }

    fn write(&self, stream: u32, into: &mut Vec<u8>) {
        frame(HEADERS, END_HEADERS, stream, &self.block, into);
        frame(DATA, END_STREAM, stream, &self.payload, into);
    }
}

fn spell(block: &mut Vec<u8>, text: &str) {
    block.push(text.len() as u8);
    block.extend(text.as_bytes());
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], into: &mut Vec<u8>) {
    into.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    into.extend([kind, flags]);
    into.extend(stream.to_be_bytes());
    into.extend(payload);
}

/// Keeps `clients` calls in flight on one connection until the server goes away.
pub async fn run(
    address: String,
    clients: usize,
    call: Arc<Call>,
    calls: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut window = vec![0, 4];
    window.extend(WINDOW_MAX.to_be_bytes());
    frame(SETTINGS, 0, 0, &window, &mut out);
    frame(
        WINDOW_UPDATE,
        0,
        0,
        &(WINDOW_MAX - 65_535).to_be_bytes(),
        &mut out,
    );
    let mut stream = 1;
    for _ in 0..clients {
        call.write(stream, &mut out);
        stream += 2;
    }
    let (mut unread, mut received) = (Vec::with_capacity(1 << 16), 0);
    loop {
        connection.write_all(&out).await?;
        out.clear();
        if connection.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
        let mut ended = 0;
        let mut rest = &unread[..];
        while let Some((kind, flags, payload, after)) = next_frame(rest) {
            match kind {
                DATA => received += payload.len() as u32,
                SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[], &mut out),
                PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, &mut out),
                _ => {}
            }
            if kind <= HEADERS && flags & END_STREAM != 0 {
                ended += 1;
                call.write(stream, &mut out);
                stream += 2;
            }
            rest = after;
        }
        unread.drain(..unread.len() - rest.len());
        calls.fetch_add(ended, Ordering::Relaxed);
        if received > WINDOW_MAX / 2 {
            frame(WINDOW_UPDATE, 0, 0, &received.to_be_bytes(), &mut out);
            received = 0;
        }
    }
}

fn next_frame(bytes: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let (payload, after) = rest.split_at_checked(len)?;
    Some((head[3], head[4], payload, after))
}
