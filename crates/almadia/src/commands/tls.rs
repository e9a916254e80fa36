//! TLS of the client commands: whom they believe, what they show, and what the usual mistakes look like.
//!
//! The flags and their variables are etcdctl's. Files are read when the first `https://` address is dialed.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use almadia_server::tls::{ClientFiles, Connector, Trust, wording};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

use super::error::CommandError;
use super::global::Address;

/// The protocol of gRPC, by its name in TLS.
pub const ALPN: [&[u8]; 1] = [b"h2"];

/// How long to look whether a member speaks TLS, for a complaint.
const PROBE_MAX: Duration = Duration::from_millis(500);

/// The flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsArguments {
    /// Believe members whose certificate was signed by an authority in this file (PEM) [default: this machine's list].
    #[arg(
        id = "tls_cacert",
        long = "cacert",
        global = true,
        env = "ALMADIA_CACERT",
        value_name = "FILE",
        help_heading = "Client options"
    )]
    pub cacert: Option<PathBuf>,
    /// Show this certificate (PEM).
    #[arg(
        id = "tls_cert",
        long = "cert",
        global = true,
        env = "ALMADIA_CERT",
        value_name = "FILE",
        help_heading = "Client options"
    )]
    pub cert: Option<PathBuf>,
    /// The key of --cert.
    #[arg(
        id = "tls_key",
        long = "key",
        global = true,
        env = "ALMADIA_KEY",
        value_name = "FILE",
        help_heading = "Client options"
    )]
    pub key: Option<PathBuf>,
    /// Believe any certificate: no protection against anybody in between.
    #[arg(
        long,
        global = true,
        env = "ALMADIA_INSECURE_SKIP_TLS_VERIFY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Client options"
    )]
    pub insecure_skip_tls_verify: Option<bool>,
    /// Whether an address without scheme is http:// [default: true, unless there is a flag about certificates].
    #[arg(
        long,
        global = true,
        env = "ALMADIA_INSECURE_TRANSPORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Client options"
    )]
    pub insecure_transport: Option<bool>,
}

/// What a client does about TLS. Clones share what was read.
#[derive(Clone)]
pub struct Security {
    files: ClientFiles,
    is_default: bool,
    connector: Arc<OnceLock<Result<Arc<Connector>, String>>>,
}

impl fmt::Debug for Security {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Security")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Security {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.is_default == other.is_default
    }
}

impl Eq for Security {}

impl Default for Security {
    fn default() -> Self {
        Self::of(&TlsArguments::default(), |_| None)
    }
}

impl Security {
    /// What the flags say, and where they say nothing, etcdctl's variables.
    pub fn new(arguments: &TlsArguments) -> Self {
        Self::of(arguments, |name| std::env::var(name).ok())
    }

    fn of(arguments: &TlsArguments, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|text| !text.is_empty());
        let path =
            |given: &Option<PathBuf>, name: &str| given.clone().or_else(|| variable(name).map(PathBuf::from));
        let switch = |given: Option<bool>, name: &str| {
            given.or_else(|| variable(name).and_then(|text| text.parse().ok()))
        };
        let authorities = path(&arguments.cacert, "ETCDCTL_CACERT");
        let certificate = path(&arguments.cert, "ETCDCTL_CERT");
        let key = path(&arguments.key, "ETCDCTL_KEY");
        let skips = switch(
            arguments.insecure_skip_tls_verify,
            "ETCDCTL_INSECURE_SKIP_TLS_VERIFY",
        ) == Some(true);
        let is_said = authorities.is_some() || certificate.is_some() || key.is_some() || skips;
        let is_plain = switch(arguments.insecure_transport, "ETCDCTL_INSECURE_TRANSPORT");
        let trust = match authorities {
            _ if skips => Trust::Anybody,
            Some(path) => Trust::File(path),
            None => Trust::System,
        };
        Self {
            files: ClientFiles {
                trust,
                certificate,
                key,
            },
            // etcdctl's default is "insecure", which certificates overrule.
            is_default: is_said || is_plain == Some(false),
            connector: Arc::default(),
        }
    }

    /// Whether an address without scheme means `https://`.
    pub fn is_default(&self) -> bool {
        self.is_default
    }

    /// What shakes hands; reads the files when it is first asked for.
    pub fn connector(&self) -> Result<Arc<Connector>, CommandError> {
        let made = self.connector.get_or_init(|| {
            let made = Connector::for_clients(&self.files).map_err(|error| error.to_string());
            made.map(Arc::new)
        });
        made.clone().map_err(CommandError::usage)
    }
}

/// Dials one member for a channel: TCP, then the handshake.
#[derive(Clone)]
pub struct Dialer {
    authority: String,
    host: String,
    connector: Arc<Connector>,
}

impl Dialer {
    /// For one address with `https://`.
    pub fn new(address: &Address) -> Result<Self, CommandError> {
        Ok(Self {
            authority: address.authority.clone(),
            host: address.host().to_owned(),
            connector: address.security.connector()?,
        })
    }

    async fn dial(self) -> io::Result<Connection> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        match self.connector.connect(&self.host, stream, &ALPN).await {
            Ok(stream) => Ok(TokioIo::new(stream)),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

type Connection = TokioIo<Box<TlsStream<TcpStream>>>;

impl Service<Uri> for Dialer {
    type Response = Connection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().dial())
    }
}

/// Whether a member answers TLS on a port that was dialed without it.
pub async fn speaks_tls(address: &Address) -> bool {
    let anybody = ClientFiles {
        trust: Trust::Anybody,
        certificate: None,
        key: None,
    };
    let Ok(connector) = Connector::for_clients(&anybody) else {
        return false;
    };
    let probe = async {
        let stream = TcpStream::connect(&address.authority).await.ok()?;
        connector.connect(address.host(), stream, &ALPN).await.ok()
    };
    tokio::time::timeout(PROBE_MAX, probe)
        .await
        .is_ok_and(|stream| stream.is_some())
}

/// What an error deep in a connection says about TLS: with TLS 1.3 a member refuses our certificate only after the
/// handshake is over for us.
pub fn told_later(error: &(dyn std::error::Error + 'static), address: &Address) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = inner.or_else(|| error.downcast_ref::<rustls::Error>()) {
            return Some(wording(tls, address.host()));
        }
        // HTTP/2 keeps only the words.
        let text = error.to_string();
        if text.contains("received fatal alert: CertificateRequired") {
            return Some("it wants a client certificate; give --cert and --key".to_owned());
        }
        if let Some((_, alert)) = text.split_once("received fatal alert: ") {
            return Some(format!("it does not believe our certificate (alert: {alert})"));
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: etcdctl's variables mean here what they mean there, and ours and the flags go first.
    #[test]
    fn flags_go_before_variables() {
        let variables = |name: &str| match name {
            "ETCDCTL_CACERT" => Some("/ca".to_owned()),
            "ETCDCTL_CERT" => Some("/cert".to_owned()),
            "ETCDCTL_KEY" => Some(String::new()),
            _ => None,
        };
        let security = Security::of(&TlsArguments::default(), variables);
        assert_eq!(
            security.files,
            ClientFiles {
                trust: Trust::File("/ca".into()),
                certificate: Some("/cert".into()),
                key: None,
            }
        );
        assert!(security.is_default());
        let flags = TlsArguments {
            cacert: Some("/other".into()),
            ..TlsArguments::default()
        };
        assert_eq!(
            Security::of(&flags, variables).files.trust,
            Trust::File("/other".into())
        );
        let complaint = security.connector().unwrap_err().to_string();
        assert!(
            complaint.contains("--cert and --key need each other"),
            "{complaint}"
        );
    }

    #[test]
    fn certificates_are_checked_unless_it_is_said_otherwise() {
        assert_eq!(Security::default().files.trust, Trust::System);
        assert!(!Security::default().is_default(), "http:// as ever");
        let skipping = TlsArguments {
            insecure_skip_tls_verify: Some(true),
            ..TlsArguments::default()
        };
        assert_eq!(Security::of(&skipping, |_| None).files.trust, Trust::Anybody);
        let secure = TlsArguments {
            insecure_transport: Some(false),
            ..TlsArguments::default()
        };
        assert!(Security::of(&secure, |_| None).is_default());
    }
}
