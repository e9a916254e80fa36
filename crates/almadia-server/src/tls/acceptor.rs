//! The listening end of a handshake: shows our certificate, asks for theirs, and says in one line why it came to nothing.

use super::certificate::Facts;
use super::live::{Changing, Contents, Live};
use super::pem::Named;
use super::settings::{TlsError, TlsFiles, TlsSettings};
use super::trust::{self, Rules};
use super::{origin, suites};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::{NoServerSessionStorage, ServerConfig};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use tokio_rustls::server::TlsStream;

/// What clients may speak: gRPC, and plain HTTP for those who only want metrics or JSON.
pub(super) const ALPN_CLIENTS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What Go's server says to whoever speaks HTTP/1 to a TLS port; clients know it.
const PLAIN_ANSWER: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// The listening end.
#[derive(Debug)]
pub struct Acceptor {
    live: Live<ServerConfig>,
    files: TlsFiles,
}

/// A connection whose handshake is over.
#[derive(Debug)]
pub struct Handshaken<IO> {
    /// What was encrypted comes out of it.
    pub stream: Box<TlsStream<IO>>,
    /// The other side's certificate, where one was asked for; it is good.
    pub certificate: Option<Facts>,
}

/// Why a handshake came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFailure {
    /// The other side went away in the middle: probes and port scanners do.
    #[error("it hung up during the TLS handshake")]
    HungUp,
    /// No TLS at all.
    #[error("it does not speak TLS, which this port wants: use https://")]
    PlainText,
    /// Something a person may want to know.
    #[error("{0}")]
    Refused(String),
}

impl Acceptor {
    /// Reads the files; `protocols` are offered by ALPN.
    pub(super) fn open(
        files: TlsFiles,
        settings: &TlsSettings,
        protocols: &[&[u8]],
    ) -> Result<Self, TlsError> {
        let (rules, settings) = (Rules::of(&files)?, settings.clone());
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let sources = sources(&files);
        let set = files.clone();
        let live = Live::open(sources, move |contents| {
            let mut config = server_config(&set, &settings, &rules, contents)?;
            config.alpn_protocols.clone_from(&protocols);
            Ok(config)
        })?;
        Ok(Self { live, files })
    }

    /// With default settings.
    #[cfg(test)]
    pub(crate) fn for_tests(files: TlsFiles) -> Self {
        Self::open(files, &TlsSettings::default(), &ALPN_CLIENTS).expect("files that a test has made")
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// [`HandshakeFailure`]; the connection is closed then. It has no time limit of its own.
    pub async fn accept<IO>(&self, io: IO) -> Result<Handshaken<IO>, HandshakeFailure>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.live.current());
        let stream = match acceptor.accept(io).into_fallible().await {
            Ok(stream) => stream,
            Err((error, mut io)) => {
                let failure = failure(&error);
                if failure == HandshakeFailure::PlainText {
                    // Whether it arrives or not: the connection ends.
                    let _ = io.write_all(PLAIN_ANSWER).await;
                    let _ = io.shutdown().await;
                }
                return Err(failure);
            }
        };
        let shown = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let certificate = shown.map(Facts::read).transpose();
        let certificate =
            certificate.map_err(|reason| HandshakeFailure::Refused(format!("its certificate: {reason}")))?;
        Ok(Handshaken {
            stream: Box::new(stream),
            certificate,
        })
    }

    /// The user that a certificate stands for, where certificates stand for users.
    pub fn user(&self, certificate: &Facts) -> Option<String> {
        let counts = self.files.requires_client_certificate;
        certificate.common_name.clone().filter(|_| counts)
    }

    /// Whether the owner of a certificate with hosts in it may come from `address`.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn check_origin(
        &self,
        certificate: &Facts,
        address: IpAddr,
    ) -> Result<(), HandshakeFailure> {
        if self.files.skips_origin {
            return Ok(());
        }
        origin::check(certificate, address)
            .await
            .map_err(HandshakeFailure::Refused)
    }
}

impl Changing for Acceptor {
    fn look(&self) {
        self.live.look();
    }
}

/// The files a listener is made of.
fn sources(files: &TlsFiles) -> Vec<Named> {
    let all = [
        ("cert-file", &files.certificate),
        ("key-file", &files.key),
        ("trusted-ca-file", &files.trusted_ca),
        ("crl-file", &files.revoked),
    ];
    all.into_iter()
        .filter_map(|(name, path)| Some(Named::new(files.flag(name), path.as_ref()?)))
        .collect()
}

fn server_config(
    files: &TlsFiles,
    settings: &TlsSettings,
    rules: &Rules,
    contents: &Contents,
) -> Result<ServerConfig, TlsError> {
    let provider = suites::provider(settings);
    let get = |name: &str| contents.get(&files.flag(name));
    let (Some(certificate), Some(key)) = (get("cert-file"), get("key-file")) else {
        return Err(TlsError::Settings(format!(
            "{} and {} are needed",
            files.flag("cert-file"),
            files.flag("key-file")
        )));
    };
    let identity = trust::identity(certificate, key, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&suites::versions(settings))?;
    let asks = files.asks_for_certificate();
    let builder = match get("trusted-ca-file") {
        Some((named, bytes)) if asks => {
            let authorities = trust::authorities(named, bytes)?;
            let revoked = get("crl-file")
                .map(|(named, bytes)| Ok::<_, TlsError>((named, named.revocations(bytes)?)))
                .transpose()?;
            let verifier = trust::client_verifier(authorities, revoked, rules.clone(), provider)?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    if asks {
        // A resumed session would not be checked again: its certificate may have expired meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// What an error of the library means.
fn failure(error: &io::Error) -> HandshakeFailure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(tls) = tls else {
        return HandshakeFailure::HungUp;
    };
    HandshakeFailure::Refused(match tls {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => return HandshakeFailure::PlainText,
        Error::NoCertificatesPresented => {
            "it shows no certificate, and this port wants one (--client-cert-auth)".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate was signed by nobody in the trusted CA file".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Revoked) => "its certificate was revoked".to_owned(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "its certificate has none of the allowed names".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        ) => "it does not believe this member's certificate".to_owned(),
        other => format!("TLS handshake: {other}"),
    })
}
