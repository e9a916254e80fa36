//! Writes once per turn of a connection's task.
//!
//! HTTP/2 hands each larger answer to the socket on its own and flushes after it, which costs one system call per
//! answer. [`Coalesced`] takes the bytes into a buffer instead; a flush only notes that they are due and asks the
//! runtime to say when it has run what else is ready (mostly the tasks of other requests on the same connection,
//! whose answers then join the buffer). Then the connection's task is woken; its turn begins by reading, and that is
//! where everything gathered is written with one call. On a connection that has had one request at a time for a while
//! nothing would join: there a flush writes at once, so that a lone client does not pay for others that are not there.
//!
//! It never waits on a timer, never holds bytes longer than one turn of the task while the socket takes them, and
//! never holds more than [`BUFFER_BYTES_MAX`]: at the bound a write goes to the socket at once, and waits when the
//! socket does not take it. Shutting down writes what is left first.

use crate::connection::Activity;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes gathered at most before the socket must take some. Large enough for a turn's answers, small enough that
/// hundreds of clients who do not read cost little.
pub const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// A drained buffer larger than this is given back, so that connections which were busy once do not keep memory.
const BUFFER_BYTES_KEPT: usize = 32 * 1024;

/// Flushes for which a connection counts as busy after two requests were under way on it at the same time.
const BUSY_FLUSHES: u32 = 64;

/// A transport that gathers writes; see the module's documentation.
#[derive(Debug)]
pub struct Coalesced<IO> {
    io: IO,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that the socket has already taken.
    written: usize,
    /// A flush was asked for and has not been carried out.
    due: bool,
    turn: Arc<Turn>,
    activity: Activity,
    /// Flushes for which the connection still counts as busy.
    busy_flushes: u32,
}

/// How many requests of one connection are being worked on. The connection carries it to each request's extensions;
/// whoever answers holds a guard as long as it works.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    now: AtomicUsize,
    /// Two or more were under way at the same time since this was last asked.
    met: AtomicBool,
    /// Streams that are open, whether or not they have something to say.
    streams: AtomicUsize,
    /// Bytes of unfinished messages from somebody whom nobody knows.
    unfinished_bytes: AtomicUsize,
}

/// One stream that is open.
#[derive(Debug)]
pub(crate) struct Open(UnderWay);

/// One request that is being worked on.
#[derive(Debug)]
pub struct Working(UnderWay);

impl UnderWay {
    /// One more, until the guard is dropped.
    pub fn begin(&self) -> Working {
        if self.0.now.fetch_add(1, Ordering::Relaxed) > 0 {
            self.0.met.store(true, Ordering::Relaxed);
        }
        Working(self.clone())
    }

    /// Some bytes more are held for the connection; returns how many now are.
    pub(crate) fn hold(&self, bytes: usize) -> usize {
        self.0.unfinished_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// Some of what was held is held no more.
    pub(crate) fn release(&self, bytes: usize) {
        self.0.unfinished_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// One more stream, until the guard is dropped.
    pub(crate) fn open(&self) -> Open {
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Whether any request or stream is.
    pub(crate) fn is_any(&self) -> bool {
        self.0.now.load(Ordering::Relaxed) > 0 || self.0.streams.load(Ordering::Relaxed) > 0
    }

    fn have_met(&self) -> bool {
        self.0.met.load(Ordering::Relaxed) && self.0.met.swap(false, Ordering::Relaxed)
    }
}

impl Working {
    /// A stream has something to say: so may others, now.
    pub fn speaks(&self) {
        let counts = &self.0.0;
        if counts.now.load(Ordering::Relaxed) > 1 {
            counts.met.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells that the runtime has run what was ready when the flush was asked for.
#[derive(Debug, Default)]
struct Turn {
    has_come: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.has_come.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Turn {
    /// Has the current task woken, with `has_come` set, once what else is ready has run.
    ///
    /// Polling tokio's own yield once does that without telling another thread that there is work, which would cost a
    /// system call each time; outside a tokio runtime it wakes the task at once.
    fn ask(self: &Arc<Self>, cx: &Context<'_>) {
        self.has_come.store(false, Ordering::Release);
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(self));
        let mut others = std::pin::pin!(tokio::task::yield_now());
        if others.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
    }
}

impl<IO> Coalesced<IO> {
    /// Wraps a transport, whose traffic is noted in `activity`.
    pub fn new(io: IO, activity: Activity) -> Self {
        Self {
            io,
            buffer: Vec::new(),
            written: 0,
            due: false,
            turn: Arc::default(),
            activity,
            busy_flushes: 0,
        }
    }
}

impl<IO: AsyncWrite + Unpin> Coalesced<IO> {
    /// Writes until the buffer is empty or the socket takes no more (then the task is woken when it does).
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, &self.buffer[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.activity.note_written(count);
        }
        self.written = 0;
        self.due = false;
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        } else {
            self.buffer.clear();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn has_room(&self) -> bool {
        self.buffer.len() < BUFFER_BYTES_MAX
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Coalesced<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.due && self.turn.has_come.load(Ordering::Acquire) {
            // A socket that takes no more has registered the task; reading must go on meanwhile.
            if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                return Poll::Ready(Err(error));
            }
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, into))?;
        self.activity.note_read(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Coalesced<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.has_room() {
            ready!(self.poll_drain(cx))?;
        }
        let count = bytes.len().min(BUFFER_BYTES_MAX - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    /// Writes at once when nothing is likely to join; else notes that what is gathered is due and asks for another turn.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() || self.due {
            return Poll::Ready(Ok(()));
        }
        self.due = true;
        if self.activity.under_way().have_met() {
            self.busy_flushes = BUSY_FLUSHES;
        }
        if self.busy_flushes == 0 {
            self.turn.has_come.store(true, Ordering::Release);
            // A socket that takes no more has registered the task, whose next turn goes on writing.
            if let Poll::Ready(result) = self.poll_drain(cx) {
                return Poll::Ready(result);
            }
        } else {
            self.busy_flushes -= 1;
            self.turn.ask(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Not vectored: HTTP/2 then copies answers of up to a kilobyte itself and calls less often.
    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
#[path = "coalesce_tests.rs"]
mod tests;
