//! A connection on a real, non-blocking socket, plain or inside TLS.
//!
//! Reads all there is in one go and writes all there is in one go. Never waits, except while connecting.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use almadia_server::tls::{server_name, wording};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio_rustls::rustls;

use super::connection::{Connection, ConnectionError};
use crate::commands::global::Address;
use crate::commands::tls::ALPN;

/// Longest wait for a server to accept a connection.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// Longest wait for each step of a TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(2);
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
        source: Error,
    },
    /// Reading or writing failed.
    #[error("connection lost: {0}")]
    Lost(#[from] Error),
    /// The server broke the protocol or closed the connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A connection and its socket.
#[derive(Debug)]
pub struct Socket {
    wire: Wire,
    connection: Connection,
    incoming: Vec<u8>,
    incoming_len: usize,
    sent: usize,
}

/// What the bytes go over.
#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<Secured>),
}

/// A socket inside TLS.
#[derive(Debug)]
struct Secured {
    stream: TcpStream,
    session: rustls::ClientConnection,
}

impl Socket {
    /// Connects to `address` for calls of clients `0..clients`; where it is `https://`, after a handshake.
    pub fn connect(address: &Address, clients: usize) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Connect {
            address: address.authority.clone(),
            source,
        };
        let mut last = Error::from(ErrorKind::AddrNotAvailable);
        for resolved in address.authority.to_socket_addrs().map_err(failed)? {
            match connect_one(&resolved, address) {
                Ok(wire) => {
                    let connection = Connection::new(&address.authority, clients);
                    return Ok(Self {
                        wire,
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
            match self.wire.read(room) {
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
                return Ok(self.wire.flush()?);
            }
            match self.wire.write(&outgoing[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether bytes wait for the socket to take them.
    pub fn wants_to_write(&self) -> bool {
        self.sent < self.connection.outgoing_len() || self.wire.wants_to_write()
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
        match &self.wire {
            Wire::Plain(stream) => stream.as_fd(),
            Wire::Tls(secured) => secured.stream.as_fd(),
        }
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

fn connect_one(resolved: &SocketAddr, address: &Address) -> std::io::Result<Wire> {
    let stream = TcpStream::connect_timeout(resolved, CONNECT_MAX)?;
    stream.set_nodelay(true)?;
    let wire = if address.is_tls {
        Wire::Tls(Box::new(shake_hands(stream.try_clone()?, address)?))
    } else {
        Wire::Plain(stream.try_clone()?)
    };
    stream.set_nonblocking(true)?;
    Ok(wire)
}

fn shake_hands(mut stream: TcpStream, address: &Address) -> std::io::Result<Secured> {
    let connector = address
        .security
        .connector()
        .map_err(|reason| Error::other(reason.to_string()))?;
    let name = server_name(address.host()).map_err(Error::other)?;
    let mut session = rustls::ClientConnection::new(connector.config(&ALPN), name).map_err(Error::other)?;
    stream.set_read_timeout(Some(HANDSHAKE_MAX))?;
    stream.set_write_timeout(Some(HANDSHAKE_MAX))?;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|failure| {
            let told = failure
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            told.map(|told| wording(told, address.host()))
                .map_or(failure, Error::other)
        })?;
    }
    Ok(Secured { stream, session })
}

impl Wire {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(secured) => secured.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(secured) => {
                secured.push()?;
                secured.session.writer().write(bytes)
            }
        }
    }

    /// Sends what TLS holds back, as far as the socket takes it.
    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(secured) => match secured.push() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
                pushed => pushed,
            },
        }
    }

    fn wants_to_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secured) => secured.session.wants_write(),
        }
    }
}

impl Secured {
    fn push(&mut self) -> std::io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => written.map(|_| ())?,
            }
        }
        Ok(())
    }

    /// What has arrived and makes sense already; "would block" when that is nothing.
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.session.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            self.session.process_new_packets().map_err(Error::other)?;
        }
    }
}
