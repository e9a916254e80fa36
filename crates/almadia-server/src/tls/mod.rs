//! TLS: which certificates are shown and believed, read from files that may change at any time.
//!
//! Reading order: `settings` (what the operator names), `pem` (files to bytes, with complaints that name them), `trust`
//! (bytes to what rustls wants), `live` (the same again whenever a file changes), `acceptor` and `connector` (the two ends
//! of a handshake), `origin` (may this peer come from there?). `certificate` reads and `issue` makes certificates, for the
//! program's `cert` command, for auto-TLS and for tests. It never logs a key, and sends nothing that is not a handshake.

mod acceptor;
mod auto;
pub mod certificate;
mod connector;
pub mod issue;
mod live;
mod origin;
mod pem;
mod settings;
mod suites;
mod trust;

pub use acceptor::{Acceptor, HandshakeFailure, Handshaken};
pub use connector::{ClientFiles, Connector, NotConnected, Trust, server_name, wording};
pub use pem::FileError;
pub use settings::{Scope, TlsError, TlsFiles, TlsSettings};
pub use suites::{CipherSuite, Version};

use crate::config::ServerConfig;
use std::sync::Arc;

/// The certificates of a member. Dropping it ends the reading again.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// For `https://` and `unixs://` client URLs.
    pub(crate) clients: Option<Arc<Acceptor>>,
    /// For `https://` peer URLs this member listens on.
    pub(crate) peers: Option<Arc<Acceptor>>,
    /// For `https://` peer URLs of others.
    pub(crate) dialer: Option<Arc<Connector>>,
    _watching: live::Watching,
}

impl Certificates {
    /// Reads all files that the configuration names, makes those of auto-TLS, and from then on looks each second, on the
    /// current runtime, whether they have changed.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub(crate) fn open(config: &ServerConfig) -> Result<Self, TlsError> {
        let tls = &config.tls;
        let client_files = auto::complete(&tls.client, tls, &config.data_dir, &config.client_hosts())?;
        let peer_files = auto::complete(&tls.peer, tls, &config.data_dir, &config.peer_hosts())?;
        let clients = client_files.map(|files| Acceptor::open(files, tls, &acceptor::ALPN_CLIENTS));
        let clients = clients.transpose()?.map(Arc::new);
        let (mut peers, mut dialer) = (None, None);
        if let Some(files) = peer_files {
            dialer = Some(Arc::new(Connector::for_peers(&files, tls)?));
            peers = Some(Arc::new(Acceptor::open(files, tls, &[])?));
        }
        let mut watching = live::Watching::default();
        for changing in clients.iter().chain(&peers) {
            watching.watch(changing.clone());
        }
        dialer
            .iter()
            .for_each(|changing| watching.watch(changing.clone()));
        Ok(Self {
            clients,
            peers,
            dialer,
            _watching: watching,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
