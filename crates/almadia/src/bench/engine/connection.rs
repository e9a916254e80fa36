//! One HTTP/2 connection of the load generator, without its socket: calls go in as bytes, answers come out as bytes.
//!
//! Many calls are under way at once; all that became due in one turn leaves in one write, and all that arrived in one
//! read is taken at once. A stream is one call, or stays open for many messages (`Style`). Windows are wide open on our
//! side and respected on the server's. Never blocks, never looks into a message.

use std::collections::VecDeque;

use super::frame::{self, FrameHeader};
use super::hpack::{self, Trailers};
use super::method::{Method, OpenStream, Style, split_message};

/// Our receive window: as wide as HTTP/2 allows.
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
/// The window both sides start with (RFC 9113, section 6.9.2).
const WINDOW_BYTES_INITIAL: i64 = 65_535;
/// Received bytes after which the connection's window is opened again.
const WINDOW_BYTES_REFILL: u32 = 1 << 29;
/// The largest payload sent in one DATA frame: every server must accept this much.
const DATA_BYTES_MAX: usize = 16_384;
/// Different trailer blocks remembered with their meaning.
const KNOWN_BLOCKS_MAX: usize = 64;
/// Bytes of the gRPC message frame in front of a message.
const MESSAGE_FRAME_BYTES: usize = 5;

/// Why a connection can no longer be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The server closes the connection.
    #[error("the server closes the connection (GOAWAY, code {0})")]
    GoAway(u32),
    /// The server breaks the protocol, or uses a part of it that is not implemented here.
    #[error("unexpected HTTP/2 from the server: {0}")]
    Protocol(&'static str),
}

/// A call that has come to its end, or a message on a stream that stays open.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    /// The number given to `start`.
    pub client: usize,
    /// `None` when the call succeeded or a message came, otherwise what went wrong; a stream is over then.
    pub failure: Option<String>,
}

/// One connection. Invariant: `streams[i]` is the client whose call has stream number `streams_base + 2 * i`.
#[derive(Debug)]
pub struct Connection {
    authority: String,
    encoder: hpack::Encoder,
    /// Header block per method path, and the encoder's entry count for which it is right.
    blocks: Vec<(&'static str, usize, Vec<u8>)>,
    outgoing: Vec<u8>,
    streams: VecDeque<Option<usize>>,
    streams_base: u32,
    outstanding: usize,
    streams_max: usize,
    send_window: i64,
    stream_window: i64,
    received_since_refill: u32,
    /// Answer bytes of each client's call; the buffers are kept for the next one.
    bodies: Vec<Vec<u8>>,
    /// Of each client: its stream that stays open.
    open: Vec<Option<OpenStream>>,
    known_blocks: Vec<(Vec<u8>, Option<String>)>,
    partial_block: Option<(FrameHeader, Vec<u8>)>,
    finished: Vec<Finished>,
}

impl Connection {
    /// A fresh connection for calls of clients `0..clients`; the preface is ready to be sent.
    pub fn new(authority: &str, clients: usize) -> Self {
        let mut outgoing = frame::PREFACE.to_vec();
        let settings = [
            (frame::SETTING_HEADER_TABLE_SIZE, 0),
            (frame::SETTING_ENABLE_PUSH, 0),
            (frame::SETTING_INITIAL_WINDOW, WINDOW_BYTES_MAX),
        ];
        frame::write_settings(&mut outgoing, &settings);
        frame::write_window_update(&mut outgoing, 0, WINDOW_BYTES_MAX - WINDOW_BYTES_INITIAL as u32);
        Self {
            authority: authority.to_owned(),
            encoder: hpack::Encoder::default(),
            blocks: Vec::new(),
            outgoing,
            streams: VecDeque::new(),
            streams_base: 1,
            outstanding: 0,
            streams_max: usize::MAX,
            send_window: WINDOW_BYTES_INITIAL,
            stream_window: WINDOW_BYTES_INITIAL,
            received_since_refill: 0,
            bodies: vec![Vec::new(); clients],
            open: vec![None; clients],
            known_blocks: Vec::new(),
            partial_block: None,
            finished: Vec::new(),
        }
    }

    /// The clients that wait for an answer.
    pub fn waiting_clients(&self) -> impl Iterator<Item = usize> + '_ {
        let is_waiting = |client: &usize| self.open[*client].as_ref().is_none_or(|open| open.is_awaited);
        self.streams.iter().copied().flatten().filter(is_waiting)
    }

    /// Whether a call with a message of this size may begin now. When not, try again after the next `receive`.
    pub fn can_start(&self, message_bytes: usize) -> bool {
        let bytes = (message_bytes + MESSAGE_FRAME_BYTES) as i64;
        self.outstanding < self.streams_max && bytes <= self.send_window && bytes <= self.stream_window
    }

    /// Begins a call of `client`, or sends its next message when its stream is open already; the bytes leave with the next
    /// write of `outgoing`.
    pub fn start(&mut self, client: usize, method: Method, message: &[u8]) {
        assert!(self.can_start(message.len()), "the caller has asked");
        if method.style != Style::Subscription {
            self.bodies[client].clear();
        }
        if method.style == Style::Unary {
            let stream = self.begin_stream(client, method.path);
            self.write_message(stream, message, true);
            return;
        }
        if self.open[client].is_none() {
            let number = self.begin_stream(client, method.path);
            self.open[client] = Some(OpenStream::new(number, method.style, self.stream_window));
        }
        let open = self.open[client].as_mut().expect("just opened");
        open.is_awaited = true;
        let number = open.number;
        if open.take_window(message.len() + MESSAGE_FRAME_BYTES) {
            self.write_message(number, message, false);
        } else {
            open.is_awaited = false;
            let failure = Some("the server does not open the window of a stream".to_owned());
            self.finished.push(Finished { client, failure });
        }
    }

    /// Hands over all messages that came on the stream of `client`, a subscription, and waits for more.
    pub fn take_messages(&mut self, client: usize, mut each: impl FnMut(&[u8])) {
        let body = &mut self.bodies[client];
        let mut rest = &body[..];
        while let Some((message, after)) = split_message(rest) {
            each(message);
            rest = after;
        }
        let used = body.len() - rest.len();
        body.drain(..used);
        if let Some(open) = &mut self.open[client] {
            open.is_awaited = true;
        }
    }

    /// Bytes to be sent. The caller drains what it has sent.
    pub fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// How many bytes are to be sent, sent ones included until they are drained.
    pub fn outgoing_len(&self) -> usize {
        self.outgoing.len()
    }

    /// The answer of a client's last call, without its gRPC frame; empty when there is none.
    pub fn answer(&self, client: usize) -> &[u8] {
        self.bodies[client].get(MESSAGE_FRAME_BYTES..).unwrap_or_default()
    }

    /// Calls that came to their end since this was asked last.
    pub fn take_finished(&mut self, into: &mut Vec<Finished>) {
        into.append(&mut self.finished);
    }

    /// Takes received bytes and returns how many of them were used; the rest is the front of a frame.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, ConnectionError> {
        let mut used = 0;
        while let Some(header) = FrameHeader::parse(&bytes[used..]) {
            let start = used + frame::FRAME_HEADER_BYTES;
            let Some(payload) = bytes.get(start..start + header.len) else {
                break;
            };
            self.take_frame(header, payload)?;
            used = start + header.len;
        }
        Ok(used)
    }

    fn begin_stream(&mut self, client: usize, path: &'static str) -> u32 {
        let stream = self.streams_base + 2 * self.streams.len() as u32;
        self.streams.push_back(Some(client));
        self.outstanding += 1;
        self.write_headers(stream, path);
        stream
    }

    fn write_headers(&mut self, stream: u32, path: &'static str) {
        let entries = self.encoder.entries();
        let known = self
            .blocks
            .iter()
            .position(|block| block.0 == path && block.1 == entries);
        let at = known.unwrap_or_else(|| self.encode_block(path));
        let block = &self.blocks[at].2;
        FrameHeader {
            len: block.len(),
            kind: frame::HEADERS,
            flags: frame::END_HEADERS,
            stream,
        }
        .write(&mut self.outgoing);
        self.outgoing.extend_from_slice(block);
    }

    /// Encodes the header block for `path`. A block that inserts into the dynamic table is right only once.
    fn encode_block(&mut self, path: &'static str) -> usize {
        let headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", self.authority.as_str()),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let before = self.encoder.entries();
        let mut block = Vec::new();
        self.encoder.encode(&headers, &mut block);
        self.blocks.retain(|block| block.0 != path);
        self.blocks.push((path, before, block));
        self.blocks.len() - 1
    }

    fn write_message(&mut self, stream: u32, message: &[u8], is_last: bool) {
        let len = message.len() + MESSAGE_FRAME_BYTES;
        self.send_window -= len as i64;
        let mut prefix = [0; MESSAGE_FRAME_BYTES];
        prefix[1..].copy_from_slice(&(message.len() as u32).to_be_bytes());
        let first = message.len().min(DATA_BYTES_MAX - MESSAGE_FRAME_BYTES);
        let (front, mut rest) = message.split_at(first);
        let flags = |rest: &[u8]| match rest.is_empty() && is_last {
            true => frame::END_STREAM,
            false => 0,
        };
        FrameHeader {
            len: first + MESSAGE_FRAME_BYTES,
            kind: frame::DATA,
            flags: flags(rest),
            stream,
        }
        .write(&mut self.outgoing);
        self.outgoing.extend_from_slice(&prefix);
        self.outgoing.extend_from_slice(front);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(DATA_BYTES_MAX));
            FrameHeader {
                len: piece.len(),
                kind: frame::DATA,
                flags: flags(after),
                stream,
            }
            .write(&mut self.outgoing);
            self.outgoing.extend_from_slice(piece);
            rest = after;
        }
    }

    fn take_frame(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), ConnectionError> {
        match header.kind {
            frame::DATA => self.take_data(header, payload),
            frame::HEADERS | frame::CONTINUATION => self.take_header_frame(header, payload),
            frame::RST_STREAM => {
                let failure = format!(
                    "the server reset the stream, code {}",
                    frame::number_at(payload, 0)
                );
                self.finish(header.stream, Some(failure));
                Ok(())
            }
            frame::SETTINGS if header.flags & frame::ACK == 0 => {
                self.take_settings(payload);
                Ok(())
            }
            frame::PING if header.flags & frame::ACK == 0 => {
                FrameHeader {
                    flags: frame::ACK,
                    ..header
                }
                .write(&mut self.outgoing);
                self.outgoing.extend_from_slice(payload);
                Ok(())
            }
            frame::GOAWAY => Err(ConnectionError::GoAway(frame::number_at(payload, 4))),
            frame::WINDOW_UPDATE if header.stream == 0 => {
                self.send_window += i64::from(frame::number_at(payload, 0));
                Ok(())
            }
            frame::WINDOW_UPDATE => {
                // Of a single call it does not matter: a whole message fits the first window or is not sent.
                if let Some(client) = self.client_of(header.stream)
                    && let Some(open) = &mut self.open[client]
                {
                    open.send_window += i64::from(frame::number_at(payload, 0));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_data(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), ConnectionError> {
        self.received_since_refill += header.len as u32;
        if self.received_since_refill >= WINDOW_BYTES_REFILL {
            frame::write_window_update(&mut self.outgoing, 0, self.received_since_refill);
            self.received_since_refill = 0;
        }
        let data = frame::without_padding(header, payload).ok_or(ConnectionError::Protocol("padding"))?;
        if let Some(client) = self.client_of(header.stream) {
            self.bodies[client].extend_from_slice(data);
            self.note_message(client, header);
        }
        if header.flags & frame::END_STREAM != 0 {
            self.finish(header.stream, Some("the answer has no gRPC status".to_owned()));
        }
        Ok(())
    }

    /// On a stream that stays open: says that a message is complete, and opens our window again.
    fn note_message(&mut self, client: usize, header: FrameHeader) {
        let Some(open) = &mut self.open[client] else {
            return;
        };
        open.received_since_refill += header.len as u32;
        if open.received_since_refill >= WINDOW_BYTES_REFILL {
            frame::write_window_update(&mut self.outgoing, header.stream, open.received_since_refill);
            open.received_since_refill = 0;
        }
        if open.is_awaited && split_message(&self.bodies[client]).is_some() {
            open.is_awaited = false;
            let failure = None;
            self.finished.push(Finished { client, failure });
        }
    }

    /// Gathers a header block over CONTINUATION frames and takes it when it is complete.
    fn take_header_frame(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), ConnectionError> {
        if header.kind == frame::HEADERS {
            let block =
                frame::without_padding(header, payload).ok_or(ConnectionError::Protocol("padding"))?;
            if header.flags & frame::END_HEADERS != 0 {
                return self.take_block(header, block);
            }
            self.partial_block = Some((header, block.to_vec()));
            return Ok(());
        }
        let (first, mut block) = self
            .partial_block
            .take()
            .ok_or(ConnectionError::Protocol("CONTINUATION without HEADERS"))?;
        block.extend_from_slice(payload);
        if header.flags & frame::END_HEADERS != 0 {
            return self.take_block(first, &block);
        }
        self.partial_block = Some((first, block));
        Ok(())
    }

    fn take_block(&mut self, header: FrameHeader, block: &[u8]) -> Result<(), ConnectionError> {
        let is_last = header.flags & frame::END_STREAM != 0;
        if let Some((_, failure)) = self.known_blocks.iter().find(|known| is_last && known.0 == block) {
            let failure = failure.clone();
            self.finish(header.stream, failure);
            return Ok(());
        }
        if !is_last {
            // The answer's first headers: `:status 200`. Anything else comes with trailers that say so.
            return Ok(());
        }
        let trailers = hpack::decode(block).ok_or(ConnectionError::Protocol("header block"))?;
        let failure = failure_of(&trailers);
        if self.known_blocks.len() < KNOWN_BLOCKS_MAX {
            self.known_blocks.push((block.to_vec(), failure.clone()));
        }
        self.finish(header.stream, failure);
        Ok(())
    }

    fn take_settings(&mut self, payload: &[u8]) {
        for (id, value) in frame::settings(payload) {
            match id {
                frame::SETTING_STREAMS_MAX => self.streams_max = value as usize,
                frame::SETTING_INITIAL_WINDOW => {
                    // It changes the windows of streams that are open, too (RFC 9113, section 6.9.2).
                    let difference = i64::from(value) - self.stream_window;
                    self.stream_window = i64::from(value);
                    for open in self.open.iter_mut().flatten() {
                        open.send_window += difference;
                    }
                }
                _ => {}
            }
        }
        FrameHeader {
            len: 0,
            kind: frame::SETTINGS,
            flags: frame::ACK,
            stream: 0,
        }
        .write(&mut self.outgoing);
    }

    fn client_of(&self, stream: u32) -> Option<usize> {
        let at = stream.checked_sub(self.streams_base)? / 2;
        self.streams.get(at as usize).copied().flatten()
    }

    fn finish(&mut self, stream: u32, failure: Option<String>) {
        let Some(client) = self.client_of(stream) else {
            return;
        };
        let at = (stream - self.streams_base) / 2;
        self.streams[at as usize] = None;
        self.outstanding -= 1;
        while let Some(None) = self.streams.front() {
            self.streams.pop_front();
            self.streams_base += 2;
        }
        let Some(open) = self.open[client].take() else {
            self.finished.push(Finished { client, failure });
            return;
        };
        // Nobody waits on an exchange between two calls: the next one opens a new stream.
        if open.is_awaited || open.style == Style::Subscription {
            let failure = failure.or_else(|| Some("the server ended the stream".to_owned()));
            self.finished.push(Finished { client, failure });
        }
    }
}

/// `None` for status 0; otherwise the code and the text.
fn failure_of(trailers: &Trailers) -> Option<String> {
    let message = trailers.grpc_message.as_deref().unwrap_or_default();
    match (trailers.grpc_status, trailers.http_status) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("gRPC code {code}: {message}")),
        (None, Some(status)) => Some(format!("HTTP status {status} without a gRPC status")),
        (None, None) => Some("the answer has no gRPC status".to_owned()),
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
