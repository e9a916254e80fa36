//! Takes connections of peers, shakes hands, and hands the pipes over.

use super::handshake::HandshakeError;
use super::socket::PeerStream;
use super::{CONNECTIONS_MAX, HANDSHAKE_MAX, HANDSHAKES_MAX, Who, handshake, pump, socket};
use crate::complaints::Complaints;
use crate::listen::{self, ListenError, Listening};
use crate::tls::{Acceptor, HandshakeFailure};
use almadia_command::MemberId;
use almadia_consensus::{Lane, Pipe};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

/// A pipe that a peer has opened.
#[derive(Debug)]
pub struct Accepted {
    /// What it is for.
    pub lane: Lane,
    /// Who opened it.
    pub from: MemberId,
    /// Its name.
    pub name: String,
    /// The pipe.
    pub pipe: Pipe,
}

/// Takes accepted pipes over; called on the peer runtime, must not block.
pub type Accept = Arc<dyn Fn(Accepted) + Send + Sync>;

/// The sockets for peers, bound but not served yet.
#[derive(Debug)]
pub struct PeerListener {
    listeners: Vec<Listening>,
    tls: Option<Arc<Acceptor>>,
    addresses: Vec<SocketAddr>,
    who: Who,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl PeerListener {
    /// Binds all addresses of `urls`; `tls` shakes hands where a URL asks for it.
    ///
    /// # Errors
    /// [`ListenError`], naming the URL.
    pub async fn bind(urls: &[String], who: Who, tls: Option<Arc<Acceptor>>) -> Result<Self, ListenError> {
        let listeners = listen::bind(urls).await?;
        if let Some(listener) = listeners.iter().find(|listener| listener.is_tls && tls.is_none()) {
            return Err(ListenError::NoCertificate {
                url: listener.url(),
                flags: "--peer-cert-file, --peer-key-file and --peer-trusted-ca-file, or --peer-auto-tls",
            });
        }
        let addresses = listen::addresses(&listeners);
        Ok(Self {
            listeners,
            tls,
            addresses,
            who,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }

    /// The addresses bound, with the ports the system chose where 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until dropped.
    pub async fn serve(self, accept: Accept) {
        let mut serving = JoinSet::new();
        let complaints = Arc::new(Complaints::default());
        for listener in self.listeners {
            let host = Host {
                tls: self.tls.clone().filter(|_| listener.is_tls),
                who: self.who.clone(),
                accept: accept.clone(),
                handshakes: self.handshakes.clone(),
                connections: self.connections.clone(),
                complaints: complaints.clone(),
            };
            serving.spawn(host.serve(listener));
        }
        while serving.join_next().await.is_some() {}
    }
}

/// What one listening socket needs.
struct Host {
    /// Where connections begin with a TLS handshake.
    tls: Option<Arc<Acceptor>>,
    who: Who,
    accept: Accept,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    complaints: Arc<Complaints>,
}

impl Host {
    async fn serve(self, listener: Listening) {
        let host = Arc::new(self);
        loop {
            // Taken before a connection is: whoever comes meanwhile waits in the kernel's bounded queue.
            let connection = listen::permit(&host.connections).await;
            let handshake = listen::permit(&host.handshakes).await;
            let (stream, peer) = listener.accept_tcp().await;
            let host = host.clone();
            tokio::spawn(async move { host.welcome(stream, peer, connection, handshake).await });
        }
    }

    async fn welcome(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        connection: OwnedSemaphorePermit,
        handshake: OwnedSemaphorePermit,
    ) {
        if let Err(error) = socket::configure(&stream) {
            warn!(%peer, %error, "cannot configure a connection");
            return;
        }
        let mut stream = match timeout(HANDSHAKE_MAX, self.secure(stream, peer)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(failure)) => return self.complain_of_tls(&failure, peer),
            Err(_) => return self.complain_of_silence(peer),
        };
        let cuts = self.who.cuts();
        let shaken = timeout(
            HANDSHAKE_MAX,
            handshake::receive(
                &mut stream,
                |theirs| self.who.hello_back(theirs),
                |id| self.who.knows_removed(id),
                |id| self.who.cut.borrow().is_from(id),
            ),
        );
        let theirs = match shaken.await {
            Ok(Ok(theirs)) => theirs,
            Ok(Err(error)) => return self.complain(&error, peer),
            Err(_) => return self.complain_of_silence(peer),
        };
        drop(handshake);
        let lane = theirs.known_lane().expect("the handshake refuses unknown lanes");
        let cut = pump::CutFrom {
            cuts,
            peer: theirs.from,
        };
        let counted = self.who.traffic().connect(theirs.from);
        let pipe = pump::start(stream, peer, cut, counted, Box::new(connection));
        (self.accept)(Accepted {
            lane,
            from: theirs.from,
            name: theirs.from_name,
            pipe,
        });
    }

    /// The TLS handshake, where there is one: whoever comes must have a certificate that is believed, and come from where it says.
    async fn secure(&self, stream: TcpStream, peer: SocketAddr) -> Result<PeerStream, HandshakeFailure> {
        let Some(tls) = &self.tls else {
            return Ok(PeerStream::Plain(stream));
        };
        let shaken = tls.accept(stream).await?;
        if let Some(certificate) = &shaken.certificate {
            tls.check_origin(certificate, peer.ip()).await?;
        }
        Ok(PeerStream::Accepted(shaken.stream))
    }

    fn complain_of_silence(&self, peer: SocketAddr) {
        if self.complaints.is_due(&format!("silent {}", peer.ip())) {
            warn!(%peer, "a connection without a handshake in time; closed");
        }
    }

    fn complain_of_tls(&self, failure: &HandshakeFailure, peer: SocketAddr) {
        if *failure == HandshakeFailure::HungUp {
            debug!(%peer, "a connection that was closed during the TLS handshake");
        } else if self.complaints.is_due(&format!("{} {failure}", peer.ip())) {
            warn!(%peer, reason = %failure, "a connection that is not a member's; closed");
        }
    }

    fn complain(&self, error: &HandshakeError, peer: SocketAddr) {
        if error.is_hang_up() {
            // Probes of supervisors do nothing else.
            debug!(%peer, "a connection that was closed without a word");
        } else if error.is_refusal() {
            if self.complaints.is_due(&error.to_string()) {
                info!(%peer, %error, "refused a peer connection");
            }
        } else if self.complaints.is_due(&format!("{} {error}", peer.ip())) {
            warn!(%peer, %error, "a connection that is not a member's; closed");
        }
    }
}
