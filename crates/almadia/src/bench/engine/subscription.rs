//! Listens on many streams that stay open, on one thread.
//!
//! A connection that is lost is not made again: what was not told meanwhile is missing, and whoever listens says so.
//! Never looks into a message.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connection::Finished;
use super::method::Method;
use super::socket::{Socket, SocketError, wait};
use crate::commands::global::Address;

/// Longest sleep: bounds how late `is_over` is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// Who listens.
pub trait Subscriber {
    /// The messages with which a stream begins.
    fn open(&mut self, stream: usize) -> Vec<Vec<u8>>;
    /// A message has come.
    fn message(&mut self, stream: usize, message: &[u8], now: Instant);
    /// A stream is over; nothing comes on it any more.
    fn ended(&mut self, stream: usize, reason: &str);
    /// Whether to stop; asked after each turn.
    fn is_over(&mut self, now: Instant) -> bool;
}

/// Opens `streams` streams of `method`, dealt to `connections` in turn, and listens until the subscriber
/// has had enough.
pub fn run(connections: &[Address], streams: usize, method: Method, subscriber: &mut dyn Subscriber) {
    assert!(!connections.is_empty(), "streams need a connection");
    let count = connections.len();
    let mut lines: Vec<Line> = (0..count)
        .map(|at| Line::new(at, count, streams, subscriber))
        .collect();
    for (line, address) in lines.iter_mut().zip(connections) {
        match Socket::connect(address, line.streams.len()) {
            Ok(socket) => line.socket = Some(socket),
            Err(error) => line.lose(&error, subscriber),
        }
    }
    let mut finished = Vec::new();
    while !subscriber.is_over(Instant::now()) {
        for line in &mut lines {
            line.write(method, subscriber);
        }
        if lines.iter().all(|line| line.socket.is_none()) {
            std::thread::sleep(SLEEP_MAX);
            continue;
        }
        for at in wait(lines.iter().map(|line| line.socket.as_ref()), SLEEP_MAX) {
            lines[at].read(&mut finished, subscriber);
        }
    }
}

/// A connection and the streams on it.
struct Line {
    socket: Option<Socket>,
    /// The subscriber's number of each stream.
    streams: Vec<usize>,
    /// Messages that have not been sent: the stream's place and the message.
    unsent: VecDeque<(usize, Vec<u8>)>,
}

impl Line {
    fn new(at: usize, count: usize, streams: usize, subscriber: &mut dyn Subscriber) -> Self {
        let streams: Vec<usize> = (at..streams).step_by(count).collect();
        let mut unsent = VecDeque::new();
        for (place, stream) in streams.iter().enumerate() {
            let messages = subscriber.open(*stream);
            unsent.extend(messages.into_iter().map(|message| (place, message)));
        }
        Self {
            socket: None,
            streams,
            unsent,
        }
    }

    fn write(&mut self, method: Method, subscriber: &mut dyn Subscriber) {
        let Some(socket) = &mut self.socket else { return };
        while let Some((place, message)) = self.unsent.front() {
            if !socket.connection().can_start(message.len()) {
                break;
            }
            socket.connection().start(*place, method, message);
            self.unsent.pop_front();
        }
        if let Err(error) = socket.write() {
            self.lose(&error, subscriber);
        }
    }

    fn read(&mut self, finished: &mut Vec<Finished>, subscriber: &mut dyn Subscriber) {
        let Some(socket) = &mut self.socket else { return };
        let outcome = socket.read();
        let now = Instant::now();
        socket.connection().take_finished(finished);
        for Finished { client, failure } in finished.drain(..) {
            let stream = self.streams[client];
            socket
                .connection()
                .take_messages(client, |message| subscriber.message(stream, message, now));
            if let Some(reason) = failure {
                subscriber.ended(stream, &reason);
            }
        }
        if let Err(error) = outcome {
            self.lose(&error, subscriber);
        }
    }

    fn lose(&mut self, error: &SocketError, subscriber: &mut dyn Subscriber) {
        self.socket = None;
        let reason = error.to_string();
        for stream in &self.streams {
            subscriber.ended(*stream, &reason);
        }
    }
}
