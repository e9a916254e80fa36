//! Takes connections of peers, shakes hands, and hands the pipes over.

use super::complaints::Complaints;
use super::handshake::HandshakeError;
use super::{CONNECTIONS_MAX, HANDSHAKE_MAX, HANDSHAKES_MAX, Who, handshake, pump, socket};
use crate::listen::{self, ListenError};
use almadia_command::MemberId;
use almadia_consensus::{Lane, Pipe};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
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
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    who: Who,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl PeerListener {
    /// Binds all addresses of `urls`.
    ///
    /// # Errors
    /// [`ListenError`], naming the URL.
    pub async fn bind(urls: &[String], who: Who) -> Result<Self, ListenError> {
        let listeners = listen::bind(urls).await?;
        let addresses = listen::addresses(&listeners);
        Ok(Self {
            listeners,
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
    who: Who,
    accept: Accept,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    complaints: Arc<Complaints>,
}

impl Host {
    async fn serve(self, listener: TcpListener) {
        let host = Arc::new(self);
        loop {
            // Taken before a connection is: whoever comes meanwhile waits in the kernel's bounded queue.
            let connection = listen::permit(&host.connections).await;
            let handshake = listen::permit(&host.handshakes).await;
            let (stream, peer) = listen::accept(&listener).await;
            let host = host.clone();
            tokio::spawn(async move { host.welcome(stream, peer, connection, handshake).await });
        }
    }

    async fn welcome(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        connection: OwnedSemaphorePermit,
        handshake: OwnedSemaphorePermit,
    ) {
        let isolation = self.who.isolation();
        if *isolation.borrow() {
            let refusal = handshake::refuse(&mut stream, "this member is isolated");
            let _ = timeout(HANDSHAKE_MAX, refusal).await;
            return;
        }
        if let Err(error) = socket::configure(&stream) {
            warn!(%peer, %error, "cannot configure a connection");
            return;
        }
        let shaken = timeout(
            HANDSHAKE_MAX,
            handshake::receive(
                &mut stream,
                |theirs| self.who.hello_back(theirs),
                |id| self.who.knows_removed(id),
            ),
        );
        let theirs = match shaken.await {
            Ok(Ok(theirs)) => theirs,
            Ok(Err(error)) => return self.complain(&error, peer),
            Err(_) => {
                if self.complaints.is_due(&format!("silent {}", peer.ip())) {
                    warn!(%peer, "a connection without a handshake in time; closed");
                }
                return;
            }
        };
        drop(handshake);
        let lane = theirs.known_lane().expect("the handshake refuses unknown lanes");
        let pipe = pump::start(stream, peer, isolation, Box::new(connection));
        (self.accept)(Accepted {
            lane,
            from: theirs.from,
            name: theirs.from_name,
            pipe,
        });
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
