//! Reaches peers: resolves their names anew, tries every address, shakes hands.

use super::handshake::HandshakeError;
use super::resolver::{Resolve, SystemResolver};
use super::socket::PeerStream;
use super::{CONNECT_MAX, HANDSHAKE_MAX, RESOLVE_MAX, Who, handshake, pump, socket};
use crate::tls::Connector;
use crate::url::Url;
use almadia_consensus::{DialError, Dialing, Lane, PeerAddress, PeerNetwork, Pipe};
use almadia_member::hello::Hello;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Makes pipes to peers over TCP. The pipes live on the runtime that dials.
#[derive(Clone, Debug)]
pub struct PeerDialer {
    who: Who,
    tls: Option<Arc<Connector>>,
    resolver: Arc<dyn Resolve>,
}

/// Why one address did not work.
enum Attempt {
    Unreachable(String),
    Refused(String),
}

impl PeerDialer {
    /// A dialer that introduces itself as `who`.
    pub fn new(who: Who) -> Self {
        Self {
            who,
            tls: None,
            resolver: Arc::new(SystemResolver),
        }
    }

    /// The same with another way from names to addresses.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// The same for peers with `https://` URLs, too.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Connector>>) -> Self {
        self.tls = tls;
        self
    }

    /// Tries all addresses of all URLs in order; the first that is the peer wins.
    async fn connect(self, to: PeerAddress, lane: Lane) -> Result<Pipe, DialError> {
        let hello = self.who.hello_to(to.member, &to.name, lane);
        let mut last = (String::new(), Attempt::Unreachable("it has no URL".to_owned()));
        for text in &to.urls {
            let (url, addresses) = match self.resolve(text).await {
                Ok(resolved) => resolved,
                Err(reason) => {
                    last = keep(last, (text.clone(), Attempt::Unreachable(reason)));
                    continue;
                }
            };
            for address in addresses {
                match self.attempt(&url, address, &hello).await {
                    Ok(pipe) => return Ok(pipe),
                    Err(attempt) => last = keep(last, (format!("{text} ({address})"), attempt)),
                }
            }
        }
        Err(match last {
            (url, Attempt::Unreachable(reason)) => DialError::Unreachable {
                name: to.name,
                url,
                reason,
            },
            (_, Attempt::Refused(reason)) => DialError::Refused {
                name: to.name,
                reason,
            },
        })
    }

    async fn resolve(&self, text: &str) -> Result<(Url, Vec<SocketAddr>), String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let found = timeout(RESOLVE_MAX, self.resolver.resolve(&url.host, url.port)).await;
        let addresses = found
            .map_err(|_| "the name was not resolved in time".to_owned())?
            .map_err(|error| error.to_string())?;
        if addresses.is_empty() {
            return Err("the name has no address".to_owned());
        }
        Ok((url, addresses))
    }

    async fn attempt(&self, url: &Url, address: SocketAddr, hello: &Hello) -> Result<Pipe, Attempt> {
        let unreachable = |reason: String| Attempt::Unreachable(reason);
        let cuts = self.who.cuts();
        if cuts.borrow().is_from(hello.to) {
            return Err(unreachable("cut off by fault injection".to_owned()));
        }
        let stream = timeout(CONNECT_MAX, TcpStream::connect(address))
            .await
            .map_err(|_| unreachable("no connection in time".to_owned()))?
            .map_err(|error| unreachable(error.to_string()))?;
        socket::configure(&stream).map_err(|error| unreachable(error.to_string()))?;
        let secured = timeout(HANDSHAKE_MAX, self.secure(url, stream)).await;
        let mut stream = secured.map_err(|_| unreachable("no TLS handshake in time".to_owned()))??;
        match timeout(HANDSHAKE_MAX, handshake::introduce(&mut stream, hello)).await {
            Err(_) => Err(unreachable("no handshake in time".to_owned())),
            Ok(Err(HandshakeError::RemovedByPeer)) => {
                self.who.was_removed();
                Err(Attempt::Refused(HandshakeError::RemovedByPeer.to_string()))
            }
            Ok(Err(error)) if error.is_refusal() => Err(Attempt::Refused(error.to_string())),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Ok(Ok(())) => {
                let cut = pump::CutFrom { cuts, peer: hello.to };
                let counted = self.who.traffic().connect(hello.to);
                Ok(pump::start(stream, address, cut, counted, Box::new(())))
            }
        }
    }

    /// The TLS handshake, where the URL asks for one: whoever answers must have a certificate for the URL's host.
    async fn secure(&self, url: &Url, stream: TcpStream) -> Result<PeerStream, Attempt> {
        if !url.is_tls {
            return Ok(PeerStream::Plain(stream));
        }
        let Some(tls) = &self.tls else {
            let reason = "its URL is https:// and this member has no certificate (--peer-cert-file)";
            return Err(Attempt::Refused(reason.to_owned()));
        };
        match tls.connect(&url.host, stream, &[]).await {
            Ok(stream) => Ok(PeerStream::Dialed(stream)),
            Err(error) => Err(Attempt::Refused(error.reason)),
        }
    }
}

impl PeerNetwork for PeerDialer {
    fn dial(&self, to: PeerAddress, lane: Lane) -> Dialing {
        Box::pin(self.clone().connect(to, lane))
    }
}

/// A refusal tells more than an address that does not answer.
fn keep(last: (String, Attempt), next: (String, Attempt)) -> (String, Attempt) {
    match (&last.1, &next.1) {
        (Attempt::Refused(_), Attempt::Unreachable(_)) => last,
        _ => next,
    }
}
