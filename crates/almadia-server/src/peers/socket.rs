//! What a connection between members, or with a client, is set to; and the connections between members, plain or inside TLS.

use rustix::net::sockopt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

/// An idle connection is probed after this time, and then as often.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Probes without an answer after which a connection is dead.
const KEEPALIVE_PROBES: u32 = 3;

/// Sent bytes that nobody confirms for this long end the connection (`TCP_USER_TIMEOUT`): a machine that lost its
/// power says nothing, and the kernel alone would try for a quarter of an hour.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);

/// Small frames go out at once, and a dead other side is noticed.
pub(crate) fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    let unconfirmed_ms = u32::try_from(UNCONFIRMED_MAX.as_millis()).expect("a few seconds");
    sockopt::set_tcp_user_timeout(stream, unconfirmed_ms)?;
    Ok(())
}

/// A connection between members.
#[derive(Debug)]
pub(super) enum PeerStream {
    /// As it is.
    Plain(TcpStream),
    /// Inside TLS; the other side has dialed.
    Accepted(Box<server::TlsStream<TcpStream>>),
    /// Inside TLS; we have dialed.
    Dialed(Box<client::TlsStream<TcpStream>>),
}

/// For the handshake alone; afterwards both directions have their own half.
impl AsyncRead for PeerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Accepted(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Dialed(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Accepted(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Dialed(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Accepted(stream) => Pin::new(stream).poll_flush(context),
            Self::Dialed(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Accepted(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Dialed(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
