//! The URLs of the flags: scheme, host and port, and nothing else; for clients also the path of a unix socket.
//!
//! It never resolves a name: that is done anew at each connection.

use std::fmt;
use std::path::PathBuf;

/// Where somebody listens or can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    /// `https://`.
    pub is_tls: bool,
    /// A name or an address, without the brackets of IPv6.
    pub host: String,
    /// The port; 0 only where somebody listens, for a free one.
    pub port: u16,
}

/// Where clients can come in: a port, or a socket in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientUrl {
    /// `http://` or `https://`.
    Net(Url),
    /// `unix://PATH`, or with TLS `unixs://PATH`; as in etcd, what follows is the path, relative unless there are three
    /// slashes.
    Unix {
        /// `unixs://`.
        is_tls: bool,
        /// The socket's file.
        path: PathBuf,
    },
}

impl ClientUrl {
    /// Reads it.
    ///
    /// # Errors
    /// [`UrlError`], whatever the text.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (is_tls, path) = match (text.strip_prefix("unix://"), text.strip_prefix("unixs://")) {
            (Some(path), _) => (false, path),
            (None, Some(path)) => (true, path),
            (None, None) => return Url::parse(text).map(Self::Net),
        };
        if path.is_empty() || path.ends_with('/') || path.contains(['\0', '?', '#']) {
            return Err(UrlError::Path);
        }
        Ok(Self::Unix {
            is_tls,
            path: path.into(),
        })
    }

    /// Whether connections begin with a TLS handshake.
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Net(url) => url.is_tls,
            Self::Unix { is_tls, .. } => *is_tls,
        }
    }
}

/// Why a text is no URL for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `http://` nor `https://`.
    #[error("it must begin with http:// or https://")]
    Scheme,
    /// There is a path, a query or a user.
    #[error("it must be scheme, host and port only")]
    Extra,
    /// No host.
    #[error("the host is missing")]
    Host,
    /// No port, or not a number up to 65535.
    #[error("the port is missing or not a number up to 65535")]
    Port,
    /// `unix://` without the path of a file.
    #[error("after unix:// the path of the socket's file is missing")]
    Path,
}

impl Url {
    /// Reads `http://host:port`; a single `/` at the end is allowed, as etcd allows it.
    ///
    /// # Errors
    /// [`UrlError`], whatever the text.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (is_tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(UrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', ' ']) {
            return Err(UrlError::Extra);
        }
        let (host, port) = rest.rsplit_once(':').ok_or(UrlError::Port)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inside) => inside,
            None if host.contains([':', '[', ']']) => return Err(UrlError::Host),
            None => host,
        };
        if host.is_empty() {
            return Err(UrlError::Host);
        }
        // `parse` of a number would also take "+80".
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UrlError::Port);
        }
        let port = port.parse().map_err(|_| UrlError::Port)?;
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_of_the_flags() {
        let check = |text: &str, expected: Result<(bool, &str, u16), UrlError>| {
            let read = Url::parse(text);
            let expected = expected.map(|(is_tls, host, port)| Url {
                is_tls,
                host: host.to_owned(),
                port,
            });
            assert_eq!(read, expected, "{text}");
        };
        check("http://a:2380", Ok((false, "a", 2380)));
        check(
            "https://almadia-0.almadia.ns.svc:2380/",
            Ok((true, "almadia-0.almadia.ns.svc", 2380)),
        );
        check("http://[::1]:0", Ok((false, "::1", 0)));
        check("a:2380", Err(UrlError::Scheme));
        check("unix://x:1", Err(UrlError::Scheme));
        check("http://a:2380/path", Err(UrlError::Extra));
        check("http://user@a:2380", Err(UrlError::Extra));
        check("http://a", Err(UrlError::Port));
        check("http://a:70000", Err(UrlError::Port));
        check("http://a:+80", Err(UrlError::Port));
        check("http://:2380", Err(UrlError::Host));
        check("http://::1:2380", Err(UrlError::Host));
    }

    #[test]
    fn clients_may_come_in_by_a_socket() {
        let unix = |is_tls, path: &str| {
            Ok(ClientUrl::Unix {
                is_tls,
                path: path.into(),
            })
        };
        assert_eq!(ClientUrl::parse("unix:///run/a.sock"), unix(false, "/run/a.sock"));
        assert_eq!(
            ClientUrl::parse("unixs://localhost:m0"),
            unix(true, "localhost:m0")
        );
        assert_eq!(ClientUrl::parse("unix://"), Err(UrlError::Path));
        assert_eq!(ClientUrl::parse("unix:///run/"), Err(UrlError::Path));
        assert_eq!(ClientUrl::parse("ftp://a:1"), Err(UrlError::Scheme));
        assert!(ClientUrl::parse("https://a:1").unwrap().is_tls());
    }

    proptest! {
        /// What is printed is read as the same URL, and no text makes the reader panic.
        #[test]
        fn printing_and_reading_agree(text in "(http://|https://|)[a-z0-9:./\\[\\]@-]{0,30}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
