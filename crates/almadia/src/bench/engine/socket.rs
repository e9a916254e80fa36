//! A connection on a real, non-blocking socket.
//!
//! Reads all there is in one go and writes all there is in one go. Never waits, except while connecting.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Connection, ConnectionError};

/// Longest wait for a server to accept a connection.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// Bytes asked for in one read; grows when one frame needs more.
const READ_BYTES: usize = 256 * 1024;

/// Why a socket can no longer be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The address has no meaning or nobody listens there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Reading or writing failed.
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    /// The server broke the protocol or closed the connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A connection and its socket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    connection: Connection,
    incoming: Vec<u8>,
    incoming_len: usize,
    sent: usize,
}

impl Socket {
    /// Connects to `address` (host:port) for calls of clients `0..clients`.
    pub fn connect(address: &str, clients: usize) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Connect {
            address: address.to_owned(),
            source,
        };
        let mut last = std::io::Error::from(ErrorKind::AddrNotAvailable);
        for resolved in address.to_socket_addrs().map_err(failed)? {
            match connect_one(&resolved) {
                Ok(stream) => {
                    let connection = Connection::new(address, clients);
                    return Ok(Self {
                        stream,
                        connection,
                        incoming: vec![0; READ_BYTES],
                        incoming_len: 0,
                        sent: 0,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// The calls on this socket.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Takes in whatever has arrived. The caller then asks the connection for what has finished.
    pub fn read(&mut self) -> Result<(), SocketError> {
        loop {
            if self.incoming_len == self.incoming.len() {
                self.incoming.resize(self.incoming.len() * 2, 0);
            }
            let room = &mut self.incoming[self.incoming_len..];
            let room_len = room.len();
            match self.stream.read(room) {
                Ok(0) => return Err(SocketError::Lost(ErrorKind::UnexpectedEof.into())),
                Ok(len) => {
                    self.incoming_len += len;
                    self.take()?;
                    if len < room_len {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends what can be sent without waiting.
    pub fn write(&mut self) -> Result<(), SocketError> {
        loop {
            let outgoing = self.connection.outgoing();
            if self.sent == outgoing.len() {
                outgoing.clear();
                self.sent = 0;
                return Ok(());
            }
            match self.stream.write(&outgoing[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether bytes wait for the socket to take them.
    pub fn wants_to_write(&self) -> bool {
        self.sent < self.connection.outgoing_len()
    }

    fn take(&mut self) -> Result<(), SocketError> {
        let used = self.connection.receive(&self.incoming[..self.incoming_len])?;
        self.incoming.copy_within(used..self.incoming_len, 0);
        self.incoming_len -= used;
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Sleeps until bytes arrive or a socket that has some to send can take them, at most for `sleep`; the places of those to
/// be read.
pub fn wait<'a>(sockets: impl Iterator<Item = Option<&'a Socket>>, sleep: Duration) -> Vec<usize> {
    let mut at = Vec::new();
    let mut polled = Vec::new();
    for (place, socket) in sockets.enumerate() {
        let Some(socket) = socket else { continue };
        let writes = match socket.wants_to_write() {
            true => PollFlags::OUT,
            false => PollFlags::empty(),
        };
        polled.push(PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN | writes));
        at.push(place);
    }
    let timeout = Timespec {
        tv_sec: sleep.as_secs().cast_signed(),
        tv_nsec: i64::from(sleep.subsec_nanos()),
    };
    // An interrupted poll is a poll in which nothing has arrived.
    let _ = poll(&mut polled, Some(&timeout));
    let is_readable = |fd: &PollFd<'_>| {
        fd.revents()
            .intersects(PollFlags::IN | PollFlags::ERR | PollFlags::HUP)
    };
    let each = at.into_iter().zip(&polled);
    each.filter(|(_, fd)| is_readable(fd)).map(|(at, _)| at).collect()
}

fn connect_one(address: &SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, CONNECT_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
