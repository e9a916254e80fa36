//! Listening sockets: binding the URLs of a flag, and accepting without ever giving up.

use crate::carrier::Socket;
use crate::url::{ClientUrl, Url, UrlError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, lookup_host};
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
    /// TLS without a certificate.
    #[error("cannot listen on {url}: there is no certificate; give {flags}")]
    NoCertificate {
        /// The URL.
        url: String,
        /// The flags that would name one.
        flags: &'static str,
    },
}

/// A listening socket for peers or clients.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Whether connections begin with a TLS handshake.
    pub(crate) is_tls: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Tcp(TcpListener),
    Unix(UnixListener, RemoveOnDrop),
}

/// A socket's file, which nobody should find when nobody listens any more.
#[derive(Debug)]
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds every address of every URL.
pub(crate) async fn bind(urls: &[String]) -> Result<Vec<Listening>, ListenError> {
    let mut listeners = Vec::new();
    for text in urls {
        let url = Url::parse(text).map_err(|reason| ListenError::Url {
            url: text.clone(),
            reason,
        })?;
        bind_net(text, &url, &mut listeners).await?;
    }
    Ok(listeners)
}

/// The same for clients, which may also come in by a unix socket.
pub(crate) async fn bind_for_clients(urls: &[String]) -> Result<Vec<Listening>, ListenError> {
    let mut listeners = Vec::new();
    for text in urls {
        let url = ClientUrl::parse(text).map_err(|reason| ListenError::Url {
            url: text.clone(),
            reason,
        })?;
        match url {
            ClientUrl::Net(url) => bind_net(text, &url, &mut listeners).await?,
            ClientUrl::Unix { is_tls, path } => {
                let listener = bind_unix(&path).map_err(|cause| ListenError::Bind {
                    url: text.clone(),
                    cause,
                })?;
                listeners.push(Listening {
                    is_tls,
                    place: Place::Unix(listener, RemoveOnDrop(path)),
                });
            }
        }
    }
    Ok(listeners)
}

async fn bind_net(text: &str, url: &Url, listeners: &mut Vec<Listening>) -> Result<(), ListenError> {
    let error = |cause| ListenError::Bind {
        url: text.to_owned(),
        cause,
    };
    let before = listeners.len();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host((url.host.as_str(), url.port)).await.map_err(error)? {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(Listening {
                is_tls: url.is_tls,
                place: Place::Tcp(listener),
            }),
            Err(cause) => last = cause,
        }
        // Port 0 on a name with two addresses would give two ports; the first is enough.
        if url.port == 0 && listeners.len() > before {
            break;
        }
    }
    // A name like localhost may have an IPv6 address on a machine without IPv6: one address is enough.
    if listeners.len() > before {
        return Ok(());
    }
    if !is_every_address_without_ipv6(url, &last) {
        return Err(error(last));
    }
    tracing::info!(
        url = text,
        "this machine has no IPv6: listening on 0.0.0.0 instead"
    );
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, url.port)).await;
    listeners.push(Listening {
        is_tls: url.is_tls,
        place: Place::Tcp(listener.map_err(error)?),
    });
    Ok(())
}

/// `[::]` means every address, those of IPv4 too; a machine without IPv6 knows it as 0.0.0.0.
fn is_every_address_without_ipv6(url: &Url, cause: &io::Error) -> bool {
    let is_unknown = cause.kind() == io::ErrorKind::AddrNotAvailable
        || cause.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    url.host == "::" && is_unknown
}

/// A socket that a killed process has left there is replaced; one on which somebody listens is not, nor is any other file.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match BlockingUnixStream::connect(path) {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process listens there",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
        },
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file of another kind",
            ));
        }
        Err(_) => {}
    }
    UnixListener::bind(path)
}

impl Listening {
    /// Where it is bound; a unix socket has no such address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Tcp(listener) => listener.local_addr().ok(),
            Place::Unix(..) => None,
        }
    }

    /// As a URL, with the port the system chose.
    pub(crate) fn url(&self) -> String {
        match (&self.place, self.is_tls) {
            (Place::Tcp(listener), is_tls) => {
                let scheme = if is_tls { "https" } else { "http" };
                let address = listener
                    .local_addr()
                    .map_or_else(|_| "?".to_owned(), |address| address.to_string());
                format!("{scheme}://{address}")
            }
            (Place::Unix(_, path), false) => format!("unix://{}", path.0.display()),
            (Place::Unix(_, path), true) => format!("unixs://{}", path.0.display()),
        }
    }

    /// The next connection, and the address it is from. Errors of accepting are logged and waited out: they pass.
    pub(crate) async fn accept(&self) -> (Socket, Option<SocketAddr>) {
        loop {
            let accepted = match &self.place {
                Place::Tcp(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, peer)| (Socket::Tcp(stream), Some(peer)))
                }
                Place::Unix(listener, _) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| (Socket::Unix(stream), None))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => wait_out(&error).await,
            }
        }
    }

    /// The next connection where only TCP is bound.
    ///
    /// # Panics
    /// On a unix socket: peers have none.
    pub(crate) async fn accept_tcp(&self) -> (TcpStream, SocketAddr) {
        let Place::Tcp(listener) = &self.place else {
            panic!("peers come by TCP")
        };
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => wait_out(&error).await,
            }
        }
    }
}

async fn wait_out(error: &io::Error) {
    warn!(%error, "cannot accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Where listeners are bound.
pub(crate) fn addresses(listeners: &[Listening]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(Listening::address).collect()
}

/// Room for one more connection.
pub(crate) async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
}
