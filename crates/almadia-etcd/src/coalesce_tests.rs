//! Nothing lost, nothing reordered, nothing beyond the bound, and one write for what one turn gathered.

use super::*;
use proptest::prelude::*;
use std::task::Waker;

/// A socket that takes as much as it is told to, and nothing to read.
#[derive(Debug, Default)]
struct Socket {
    taken: Vec<u8>,
    /// Bytes it still takes; then it is full.
    room: usize,
    writes: usize,
    is_shut_down: bool,
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.is_shut_down, "nothing is written after the end");
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Poll::Pending;
        }
        self.room -= count;
        self.writes += 1;
        self.taken.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}

type Transport = Coalesced<Socket>;

fn transport(room: usize) -> Transport {
    let socket = Socket {
        room,
        ..Socket::default()
    };
    Coalesced::new(socket, Activity::default())
}

fn write(transport: &mut Transport, bytes: &[u8]) -> Poll<io::Result<usize>> {
    Pin::new(transport).poll_write(&mut Context::from_waker(Waker::noop()), bytes)
}

fn flush(transport: &mut Transport) -> Poll<io::Result<()>> {
    Pin::new(transport).poll_flush(&mut Context::from_waker(Waker::noop()))
}

/// What each turn of the connection's task begins with.
fn turn(transport: &mut Transport) {
    let mut nothing = [0; 1];
    let mut into = ReadBuf::new(&mut nothing);
    let read = Pin::new(transport).poll_read(&mut Context::from_waker(Waker::noop()), &mut into);
    assert!(
        read.is_pending(),
        "there is nothing to read, and the socket does not fail"
    );
}

fn shut_down(transport: &mut Transport) -> Poll<io::Result<()>> {
    Pin::new(transport).poll_shutdown(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_turns_answers_are_one_write() {
    let mut transport = transport(usize::MAX);
    drop((
        transport.activity.under_way().begin(),
        transport.activity.under_way().begin(),
    ));
    for _ in 0..16 {
        assert!(matches!(write(&mut transport, &[7; 300]), Poll::Ready(Ok(300))));
        assert!(flush(&mut transport).is_ready());
    }
    assert_eq!(transport.io.writes, 0);
    turn(&mut transport);
    assert_eq!((transport.io.writes, transport.io.taken.len()), (1, 4800));
    turn(&mut transport);
    assert_eq!(transport.io.writes, 1, "nothing is due any more");
}

#[test]
fn a_lone_answer_is_written_at_once() {
    let mut transport = transport(usize::MAX);
    drop(transport.activity.under_way().begin());
    assert!(write(&mut transport, b"an answer").is_ready());
    assert!(flush(&mut transport).is_ready());
    assert_eq!(transport.io.taken, b"an answer");
}

#[test]
fn a_connection_is_busy_for_a_while_after_two_requests_met() {
    let mut transport = transport(usize::MAX);
    drop((
        transport.activity.under_way().begin(),
        transport.activity.under_way().begin(),
    ));
    for flushes in 1..=BUSY_FLUSHES + 1 {
        let writes = transport.io.writes;
        assert!(write(&mut transport, b"an answer").is_ready());
        assert!(flush(&mut transport).is_ready());
        assert_eq!(
            transport.io.writes > writes,
            flushes > BUSY_FLUSHES,
            "flush {flushes}"
        );
        turn(&mut transport);
    }
}

#[test]
fn a_lone_answer_that_the_socket_does_not_take_is_written_later() {
    let mut transport = transport(2);
    assert!(write(&mut transport, b"an answer").is_ready());
    assert!(flush(&mut transport).is_ready());
    transport.io.room = usize::MAX;
    turn(&mut transport);
    assert_eq!(transport.io.taken, b"an answer");
}

#[test]
fn what_is_not_flushed_waits() {
    let mut transport = transport(usize::MAX);
    assert!(write(&mut transport, b"half a frame").is_ready());
    turn(&mut transport);
    assert_eq!(transport.io.writes, 0);
}

#[test]
fn a_full_socket_stops_the_writer_at_the_bound() {
    let mut transport = transport(0);
    let block = vec![1; 100_000];
    let mut accepted = 0;
    while let Poll::Ready(Ok(count)) = write(&mut transport, &block) {
        accepted += count;
    }
    assert_eq!(accepted, BUFFER_BYTES_MAX);
    transport.io.room = 1000;
    assert!(
        write(&mut transport, &block).is_pending(),
        "it wants the socket to take all of it first"
    );
    transport.io.room = usize::MAX;
    assert!(write(&mut transport, &block).is_ready());
}

#[test]
fn shutting_down_writes_what_is_left_first() {
    let mut transport = transport(3);
    assert!(write(&mut transport, b"the last words").is_ready());
    assert!(shut_down(&mut transport).is_pending());
    transport.io.room = usize::MAX;
    assert!(shut_down(&mut transport).is_ready());
    assert_eq!(transport.io.taken, b"the last words");
}

#[test]
fn a_large_buffer_is_given_back() {
    let mut transport = transport(usize::MAX);
    assert!(write(&mut transport, &[0; 200_000]).is_ready());
    assert!(flush(&mut transport).is_ready());
    turn(&mut transport);
    assert!(transport.buffer.capacity() <= BUFFER_BYTES_KEPT);
}

/// What can happen to a transport.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Flush,
    Turn,
    Room(usize),
    Begin,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1usize..90_000).prop_map(Step::Write),
        Just(Step::Flush),
        Just(Step::Turn),
        (0usize..120_000).prop_map(Step::Room),
        Just(Step::Begin),
        Just(Step::End),
    ]
}

proptest! {
    #[test]
    fn bytes_arrive_in_order_and_the_bound_holds(steps in proptest::collection::vec(step(), 0..60)) {
        let mut transport = transport(0);
        let (mut sent, mut others) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Write(len) => {
                    let bytes: Vec<u8> = (sent.len()..sent.len() + len).map(|at| (at % 251) as u8).collect();
                    if let Poll::Ready(Ok(count)) = write(&mut transport, &bytes) {
                        sent.extend_from_slice(&bytes[..count]);
                    }
                }
                Step::Flush => prop_assert!(flush(&mut transport).is_ready()),
                Step::Turn => turn(&mut transport),
                Step::Room(room) => transport.io.room = room,
                Step::Begin => others.push(transport.activity.under_way().begin()),
                Step::End => drop(others.pop()),
            }
            prop_assert!(transport.buffer.len() <= BUFFER_BYTES_MAX);
            prop_assert!(sent.starts_with(&transport.io.taken));
        }
        transport.io.room = usize::MAX;
        if flush(&mut transport).is_ready() {
            turn(&mut transport);
        }
        prop_assert_eq!(&transport.io.taken, &sent, "a flush and a turn bring everything out");
    }
}
