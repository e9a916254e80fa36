//! Listening sockets: binding the URLs of a flag, and accepting without ever giving up.

use crate::url::{Url, UrlError};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

/// After a failed accept (no file descriptors left): others need a moment to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The URL cannot be read.
    #[error("cannot listen on {url}: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// Why.
        reason: UrlError,
    },
    /// The address cannot be had.
    #[error("cannot listen on {url}: {cause}")]
    Bind {
        /// The URL.
        url: String,
        /// The system's words.
        cause: io::Error,
    },
}

/// Binds every address of every URL.
pub(crate) async fn bind(urls: &[String]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    for text in urls {
        let url = Url::parse(text).map_err(|reason| ListenError::Url {
            url: text.clone(),
            reason,
        })?;
        let error = |cause| ListenError::Bind {
            url: text.clone(),
            cause,
        };
        let before = listeners.len();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in lookup_host((url.host.as_str(), url.port)).await.map_err(error)? {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(cause) => last = cause,
            }
            // Port 0 on a name with two addresses would give two ports; the first is enough.
            if url.port == 0 && listeners.len() > before {
                break;
            }
        }
        // A name like localhost may have an IPv6 address on a machine without IPv6: one address is enough.
        if listeners.len() == before {
            return Err(error(last));
        }
    }
    Ok(listeners)
}

/// Where listeners are bound.
pub(crate) fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .collect()
}

/// The next connection. Errors of accepting are logged and waited out: they pass.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Room for one more connection.
pub(crate) async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
}
