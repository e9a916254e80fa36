//! Who is at the other end of a connection: what a transport knows about it and the requests on it should be told.
//!
//! It only passes on what the transport has proved; it never looks at a certificate itself.

use crate::caller::CertificateName;
use crate::served::Served;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection that can say who is at its other end.
pub trait Origin {
    /// The address it came from; none on a unix socket or in a test.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// What is served to those who came in where it did.
    fn served(&self) -> Served {
        Served::Everything
    }

    /// The name in the certificate that the other end has proved to own, where the server asked for one and takes it for a
    /// user's name.
    fn certificate(&self) -> Option<CertificateName> {
        None
    }
}

impl Origin for TcpStream {
    fn address(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }
}

impl Origin for UnixStream {}

impl Origin for DuplexStream {}

/// A connection of a type that cannot be taught the trait, with what is known about its other end.
#[derive(Debug)]
pub struct Originated<IO> {
    io: IO,
    address: Option<SocketAddr>,
    certificate: Option<CertificateName>,
    served: Served,
}

impl<IO> Originated<IO> {
    /// `io` comes from `address` and has proved to own `certificate`.
    pub fn new(io: IO, address: Option<SocketAddr>, certificate: Option<CertificateName>) -> Self {
        Self {
            io,
            address,
            certificate,
            served: Served::Everything,
        }
    }

    /// The same for an entrance where no more than this is served.
    #[must_use]
    pub fn serving(self, served: Served) -> Self {
        Self { served, ..self }
    }
}

impl<IO> Origin for Originated<IO> {
    fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    fn certificate(&self) -> Option<CertificateName> {
        self.certificate.clone()
    }

    fn served(&self) -> Served {
        self.served
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Originated<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Originated<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Bytes go through, and what was said about the other end is told again.
    #[tokio::test]
    async fn a_connection_says_who_is_at_its_other_end() {
        let (near, mut far) = tokio::io::duplex(64);
        assert_eq!((near.address(), near.certificate()), (None, None));
        let address: SocketAddr = "10.0.0.1:7".parse().unwrap();
        let name = CertificateName("ann".to_owned());
        let mut near = Originated::new(near, Some(address), Some(name.clone()));
        assert_eq!((near.address(), near.certificate()), (Some(address), Some(name)));
        near.write_all(b"there").await.unwrap();
        far.write_all(b"back").await.unwrap();
        let mut read = [0; 5];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"there");
        near.read_exact(&mut read[..4]).await.unwrap();
        assert_eq!(&read[..4], b"back");
    }
}
