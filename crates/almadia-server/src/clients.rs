//! Connections of clients: accepted, set up, after their TLS handshake where there is one, counted; what they say is the edge's
//! business.
//!
//! Handshakes do not wait for each other. Those under way are bounded: at the bound the oldest gives way, so that clients that
//! never finish theirs keep nobody out.

use crate::carrier::{Carrier, Socket};
use crate::complaints::Complaints;
use crate::listen::{self, ListenError, Listening};
use crate::peers::configure_socket;
use crate::tls::{Acceptor, HandshakeFailure};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, warn};

/// Accepted connections that wait for the edge at most.
const BACKLOG_MAX: usize = 128;

/// A TLS handshake takes this long at most; then the connection is closed.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// TLS handshakes under way on one listening socket at most; one more ends the oldest.
pub const HANDSHAKES_MAX: usize = 512;

/// What a client came in by. What it is served there is the edge's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// `--listen-client-urls`.
    Clients,
    /// `--listen-client-http-urls`.
    Http,
    /// `--listen-metrics-urls`.
    Metrics,
}

/// The sockets for clients. Dropping it closes them; connections live on.
#[derive(Debug)]
pub struct ClientListener {
    accepted: mpsc::Receiver<ClientStream>,
    give: mpsc::Sender<ClientStream>,
    complaints: Arc<Complaints>,
    addresses: Vec<SocketAddr>,
    urls: Vec<(Entrance, String)>,
    /// Given out before those that come in.
    put_back: VecDeque<ClientStream>,
    /// Dropped with the listener, which ends the accepting.
    accepting: JoinSet<()>,
}

/// A client's connection. Counts against the bound until it is dropped.
#[derive(Debug)]
pub struct ClientStream {
    stream: Carrier,
    peer: Option<SocketAddr>,
    user: Option<String>,
    entrance: Entrance,
    /// Read once already, and read again before anything else.
    unread: BytesMut,
    _permit: OwnedSemaphorePermit,
}

impl ClientListener {
    /// Binds all addresses of `urls` and begins to accept on the current runtime, at most `connections_max` at the
    /// same time; more wait in the kernel's queue. `tls` shakes hands where a URL asks for it.
    ///
    /// # Errors
    /// [`ListenError`], naming the URL.
    pub async fn bind(
        urls: &[String],
        connections_max: usize,
        tls: Option<Arc<Acceptor>>,
    ) -> Result<Self, ListenError> {
        let (give, accepted) = mpsc::channel(BACKLOG_MAX);
        let mut listener = Self {
            accepted,
            give,
            complaints: Arc::new(Complaints::default()),
            addresses: Vec::new(),
            urls: Vec::new(),
            put_back: VecDeque::new(),
            accepting: JoinSet::new(),
        };
        listener
            .open(Entrance::Clients, urls, connections_max, tls)
            .await?;
        Ok(listener)
    }

    /// Opens an entrance more, with a bound of its own: whoever fills one keeps nobody out of the others.
    ///
    /// # Errors
    /// As [`ClientListener::bind`].
    pub async fn open(
        &mut self,
        entrance: Entrance,
        urls: &[String],
        connections_max: usize,
        tls: Option<Arc<Acceptor>>,
    ) -> Result<(), ListenError> {
        let listeners = listen::bind_for_clients(urls).await?;
        self.addresses.extend(listen::addresses(&listeners));
        let bound = listeners.iter().map(|listener| (entrance, listener.url()));
        self.urls.extend(bound);
        let permits = Arc::new(Semaphore::new(connections_max));
        for listener in listeners {
            let tls = match (&tls, listener.is_tls) {
                (_, false) => None,
                (Some(tls), true) => Some(tls.clone()),
                (None, true) => {
                    return Err(ListenError::NoCertificate {
                        url: listener.url(),
                        flags: "--cert-file and --key-file, or --auto-tls",
                    });
                }
            };
            let door = Door {
                permits: permits.clone(),
                give: self.give.clone(),
                complaints: self.complaints.clone(),
                entrance,
            };
            self.accepting.spawn(door.accept_all(listener, tls));
        }
        Ok(())
    }

    /// The addresses bound, with the ports the system chose where 0 was asked for; unix sockets have none.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Everything that is bound for an entrance, as URLs.
    pub fn urls(&self, entrance: Entrance) -> Vec<&str> {
        let bound = self.urls.iter().filter(|(bound, _)| *bound == entrance);
        bound.map(|(_, url)| url.as_str()).collect()
    }

    /// The next connection.
    pub async fn accept(&mut self) -> ClientStream {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// The next connection, for those who make a stream of it.
    pub fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<ClientStream> {
        if let Some(stream) = self.put_back.pop_front() {
            return Poll::Ready(stream);
        }
        match self.accepted.poll_recv(context) {
            Poll::Ready(Some(stream)) => Poll::Ready(stream),
            // The accepting tasks live as long as the listener; without a runtime there is nobody to wake.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Connections that were taken and are to be given out again, before others.
    pub(crate) fn put_back(&mut self, streams: impl IntoIterator<Item = ClientStream>) {
        self.put_back.extend(streams);
    }
}

impl ClientStream {
    /// The same connection as it was before `read` was read of it.
    pub(crate) fn unread(mut self, read: BytesMut) -> Self {
        self.unread = read;
        self
    }

    /// The address at the other end; none on a unix socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The user that the client's certificate stands for, where certificates stand for users.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// What it came in by.
    pub fn entrance(&self) -> Entrance {
        self.entrance
    }
}

/// Lets clients in by one listening socket.
#[derive(Clone)]
struct Door {
    permits: Arc<Semaphore>,
    give: mpsc::Sender<ClientStream>,
    complaints: Arc<Complaints>,
    entrance: Entrance,
}

impl Door {
    async fn accept_all(self, listener: Listening, tls: Option<Arc<Acceptor>>) {
        let mut handshakes = Handshakes::default();
        loop {
            let permit = listen::permit(&self.permits).await;
            let (socket, peer) = listener.accept().await;
            if let Socket::Tcp(stream) = &socket
                && let Err(error) = configure_socket(stream)
            {
                debug!(?peer, %error, "a client was gone before its connection was set up");
                continue;
            }
            match &tls {
                None => {
                    let stream = ClientStream {
                        stream: Carrier::Plain(socket),
                        peer,
                        user: None,
                        entrance: self.entrance,
                        unread: BytesMut::new(),
                        _permit: permit,
                    };
                    if self.give.send(stream).await.is_err() {
                        return;
                    }
                }
                Some(tls) => {
                    handshakes.begin(self.clone().shake_hands(tls.clone(), socket, peer, permit));
                }
            }
        }
    }

    async fn shake_hands(
        self,
        tls: Arc<Acceptor>,
        socket: Socket,
        peer: Option<SocketAddr>,
        permit: OwnedSemaphorePermit,
    ) {
        match timeout(HANDSHAKE_MAX, tls.accept(socket)).await {
            Ok(Ok(shaken)) => {
                let user = shaken.certificate.as_ref().and_then(|facts| tls.user(facts));
                let stream = ClientStream {
                    stream: Carrier::Tls(shaken.stream),
                    peer,
                    user,
                    entrance: self.entrance,
                    unread: BytesMut::new(),
                    _permit: permit,
                };
                // Whoever wanted it is gone: so is the server.
                let _ = self.give.send(stream).await;
            }
            Ok(Err(HandshakeFailure::HungUp)) => debug!(?peer, "a client hung up during the TLS handshake"),
            Ok(Err(failure)) => self.complain(peer, &failure.to_string()),
            Err(_) => self.complain(peer, "no TLS handshake in time"),
        }
    }

    /// The same reason is told rarely, whoever comes with it: many clients that are set up wrong fill no log.
    fn complain(&self, peer: Option<SocketAddr>, reason: &str) {
        if self.complaints.is_due(reason) {
            let peer = peer.map_or_else(|| "a unix socket".to_owned(), |peer| peer.to_string());
            warn!(%peer, reason, "a client was not let in; more of the kind are not told for a while");
        }
    }
}

/// Handshakes under way; they end with it.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn begin(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        if self.oldest_first.len() >= HANDSHAKES_MAX {
            self.oldest_first.retain(|handle| !handle.is_finished());
        }
        if self.oldest_first.len() >= HANDSHAKES_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        self.oldest_first.push_back(self.tasks.spawn(handshake));
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let len = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread.split_to(len));
            return Poll::Ready(Ok(()));
        }
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
mod tests;
