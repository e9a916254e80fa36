//! Writes once per turn of a connection's task.
//!
//! HTTP/2 hands each larger answer to the socket on its own and flushes after it, which costs one system call per
//! answer. [`Coalesced`] takes the bytes into a buffer instead; a flush only notes that they are due and wakes the
//! connection's task once more. The runtime first runs what else is ready (mostly the tasks of other requests on the
//! same connection, whose answers then join the buffer); when the connection's turn comes again, it begins by
//! reading, and that is where everything gathered is written with one call.
//!
//! It never waits on a timer, never holds bytes longer than one turn of the task while the socket takes them, and
//! never holds more than [`BUFFER_BYTES_MAX`]: at the bound a write goes to the socket at once, and waits when the
//! socket does not take it. Shutting down writes what is left first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Bytes gathered at most before the socket must take some. Large enough for a turn's answers, small enough that
/// hundreds of clients who do not read cost little.
pub const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// A drained buffer larger than this is given back, so that connections which were busy once do not keep memory.
const BUFFER_BYTES_KEPT: usize = 32 * 1024;

/// A transport that gathers writes; see the module's documentation.
#[derive(Debug)]
pub struct Coalesced<IO> {
    io: IO,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that the socket has already taken.
    written: usize,
    /// A flush was asked for and has not been carried out: the next turn writes.
    due: bool,
}

impl<IO> Coalesced<IO> {
    /// Wraps a transport.
    pub fn new(io: IO) -> Self {
        Self {
            io,
            buffer: Vec::new(),
            written: 0,
            due: false,
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
        if self.due {
            // A socket that takes no more has registered the task; reading must go on meanwhile.
            if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                return Poll::Ready(Err(error));
            }
        }
        Pin::new(&mut self.io).poll_read(cx, into)
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

    /// Notes that what is gathered is due, and asks for another turn to write it in.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() && !self.due {
            self.due = true;
            ask_for_another_turn(cx);
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

/// Has the current task woken once what else is ready has run.
///
/// Polling tokio's own yield once does that without telling another thread that there is work, which would cost a
/// system call each time; outside a tokio runtime it wakes the task at once.
fn ask_for_another_turn(cx: &mut Context<'_>) {
    let mut turn = std::pin::pin!(tokio::task::yield_now());
    if turn.as_mut().poll(cx).is_ready() {
        cx.waker().wake_by_ref();
    }
}

/// Nothing about the connection: what carries it need not know tonic.
impl<IO> Connected for Coalesced<IO> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

#[cfg(test)]
#[path = "coalesce_tests.rs"]
mod tests;
