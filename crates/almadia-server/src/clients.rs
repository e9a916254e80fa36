//! Connections of clients: accepted, set up, counted; what they say is the edge's business.

use crate::listen::{self, ListenError};
use crate::peers::configure_socket;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::debug;

/// Accepted connections that wait for the edge at most.
const BACKLOG_MAX: usize = 128;

/// The sockets for clients. Dropping it closes them; connections live on.
#[derive(Debug)]
pub struct ClientListener {
    accepted: mpsc::Receiver<ClientStream>,
    addresses: Vec<SocketAddr>,
    /// Dropped with the listener, which ends the accepting.
    _accepting: JoinSet<()>,
}

/// A client's connection. Counts against the bound until it is dropped.
#[derive(Debug)]
pub struct ClientStream {
    stream: TcpStream,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
}

impl ClientListener {
    /// Binds all addresses of `urls` and begins to accept on the current runtime, at most `connections_max` at the
    /// same time; more wait in the kernel's queue.
    ///
    /// # Errors
    /// [`ListenError`], naming the URL.
    pub async fn bind(urls: &[String], connections_max: usize) -> Result<Self, ListenError> {
        let listeners = listen::bind(urls).await?;
        let addresses = listen::addresses(&listeners);
        let (give, accepted) = mpsc::channel(BACKLOG_MAX);
        let permits = Arc::new(Semaphore::new(connections_max));
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept_all(listener, permits.clone(), give.clone()));
        }
        Ok(Self {
            accepted,
            addresses,
            _accepting: accepting,
        })
    }

    /// The addresses bound, with the ports the system chose where 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The next connection.
    pub async fn accept(&mut self) -> ClientStream {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// The next connection, for those who make a stream of it.
    pub fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<ClientStream> {
        match self.accepted.poll_recv(context) {
            Poll::Ready(Some(stream)) => Poll::Ready(stream),
            // The accepting tasks live as long as the listener; without a runtime there is nobody to wake.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl ClientStream {
    /// Who is at the other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

async fn accept_all(listener: TcpListener, permits: Arc<Semaphore>, give: mpsc::Sender<ClientStream>) {
    loop {
        let permit = listen::permit(&permits).await;
        let (stream, peer) = listen::accept(&listener).await;
        if let Err(error) = configure_socket(&stream) {
            debug!(%peer, %error, "a client was gone before its connection was set up");
            continue;
        }
        if give
            .send(ClientStream {
                stream,
                peer,
                _permit: permit,
            })
            .await
            .is_err()
        {
            return;
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// At the bound a client waits; it is served when another one leaves.
    #[tokio::test]
    async fn connections_are_bounded() {
        let mut listener = ClientListener::bind(&["http://127.0.0.1:0".into()], 1)
            .await
            .unwrap();
        let address = listener.addresses()[0];
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut served = listener.accept().await;
        assert_eq!(served.peer(), first.local_addr().unwrap());
        first.write_all(b"hello").await.unwrap();
        let mut read = [0; 5];
        served.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        let second = TcpStream::connect(address).await.unwrap();
        let soon = std::time::Duration::from_millis(20);
        assert!(
            tokio::time::timeout(soon, listener.accept()).await.is_err(),
            "one client at a time"
        );
        drop(served);
        assert_eq!(listener.accept().await.peer(), second.local_addr().unwrap());
    }
}
