//! The dialing end of a handshake: believes who was signed by whom we trust and is who we looked for, and says in one line
//! why a handshake came to nothing and what to do.

use super::live::{Changing, Contents, Live};
use super::pem::Named;
use super::settings::{TlsError, TlsFiles, TlsSettings};
use super::suites;
use super::trust::{self, Anybody, Rules};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::{ClientConfig, Resumption};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Where systems keep the authorities that everybody believes.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The dialing end.
#[derive(Debug)]
pub struct Connector {
    live: Live<ClientConfig>,
}

/// Whom a client believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities in a file.
    File(PathBuf),
    /// Those of this machine.
    System,
    /// Everybody, which is no protection against anybody in between.
    Anybody,
}

/// What a client is told about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// Whom to believe.
    pub trust: Trust,
    /// The certificate to show.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Why a handshake came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotConnected {
    /// In one line, with what to do.
    pub reason: String,
}

impl Connector {
    /// For peers: shows this member's certificate, and believes the trusted CA file. With auto-TLS there is nobody to
    /// believe.
    pub(super) fn for_peers(files: &TlsFiles, settings: &TlsSettings) -> Result<Self, TlsError> {
        let (rules, settings) = (Rules::of(files)?, settings.clone());
        let shown = match (&files.client_certificate, &files.client_key) {
            (Some(certificate), Some(key)) => Some(("client-cert-file", certificate, "client-key-file", key)),
            _ => files
                .certificate
                .as_ref()
                .zip(files.key.as_ref())
                .map(|(certificate, key)| ("cert-file", certificate, "key-file", key)),
        };
        let flags = Flags {
            shown: shown.map(|(certificate, _, key, _)| (files.flag(certificate), files.flag(key))),
            trusted: files.trusted_ca.as_ref().map(|_| files.flag("trusted-ca-file")),
            revoked: files.revoked.as_ref().map(|_| files.flag("crl-file")),
        };
        let named = |flag: &Option<String>, path: Option<&PathBuf>| {
            flag.as_ref()
                .zip(path)
                .map(|(flag, path)| Named::new(flag.clone(), path))
        };
        let mut sources: Vec<Named> = Vec::new();
        if let Some((certificate, path, key, key_path)) = shown {
            sources.push(Named::new(files.flag(certificate), path));
            sources.push(Named::new(files.flag(key), key_path));
        }
        sources.extend(named(&flags.trusted, files.trusted_ca.as_ref()));
        sources.extend(named(&flags.revoked, files.revoked.as_ref()));
        let live = Live::open(sources, move |contents| {
            client_config(&flags, &settings, &rules, contents)
        })?;
        Ok(Self { live })
    }

    /// With default settings.
    #[cfg(test)]
    pub(crate) fn for_tests(files: &TlsFiles) -> Self {
        Self::for_peers(files, &TlsSettings::default()).expect("files that a test has made")
    }

    /// For clients.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn for_clients(files: &ClientFiles) -> Result<Self, TlsError> {
        let (shown, mut sources) = match (&files.certificate, &files.key) {
            (None, None) => (None, Vec::new()),
            (Some(certificate), Some(key)) => (
                Some(("--cert".to_owned(), "--key".to_owned())),
                vec![Named::new("--cert", certificate), Named::new("--key", key)],
            ),
            _ => return Err(TlsError::Settings("--cert and --key need each other".to_owned())),
        };
        let bundle = match &files.trust {
            Trust::File(path) => Some(path.clone()),
            Trust::System => Some(system_bundle().ok_or_else(|| {
                TlsError::Settings(
                    "this machine has no list of authorities; name the cluster's with --cacert FILE"
                        .to_owned(),
                )
            })?),
            Trust::Anybody => None,
        };
        sources.extend(bundle.as_ref().map(|path| Named::new("--cacert", path)));
        let flags = Flags {
            shown,
            trusted: bundle.map(|_| "--cacert".to_owned()),
            revoked: None,
        };
        let live = Live::open(sources, move |contents| {
            client_config(&flags, &TlsSettings::default(), &Rules::default(), contents)
        })?;
        Ok(Self { live })
    }

    /// What the library needs for one handshake, with these protocols for ALPN.
    pub fn config(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let config = self.live.current();
        if protocols.is_empty() {
            return config;
        }
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    /// Shakes hands with `host`, a name or an address that its certificate must be for.
    ///
    /// # Errors
    /// [`NotConnected`]. It has no time limit of its own.
    pub async fn connect<IO>(
        &self,
        host: &str,
        io: IO,
        protocols: &[&[u8]],
    ) -> Result<Box<TlsStream<IO>>, NotConnected>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host)?;
        let connector = TlsConnector::from(self.config(protocols));
        match connector.connect(name, io).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(not_connected(&error, host)),
        }
    }
}

impl Changing for Connector {
    fn look(&self) {
        self.live.look();
    }
}

/// A host as the library wants it.
///
/// # Errors
/// When it is neither a name nor an address.
pub fn server_name(host: &str) -> Result<ServerName<'static>, NotConnected> {
    ServerName::try_from(host.to_owned()).map_err(|_| NotConnected {
        reason: format!("{host} is neither a name nor an address"),
    })
}

/// Which flags name what is needed.
struct Flags {
    shown: Option<(String, String)>,
    trusted: Option<String>,
    revoked: Option<String>,
}

fn client_config(
    flags: &Flags,
    settings: &TlsSettings,
    rules: &Rules,
    contents: &Contents,
) -> Result<ClientConfig, TlsError> {
    let provider: Arc<CryptoProvider> = suites::provider(settings);
    let get = |flag: &Option<String>| flag.as_ref().and_then(|flag| contents.get(flag));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&suites::versions(settings))?;
    let verifier = match get(&flags.trusted) {
        Some((named, bytes)) => {
            let authorities = trust::authorities(named, bytes)?;
            let revoked = get(&flags.revoked)
                .map(|(named, bytes)| Ok::<_, TlsError>((named, named.revocations(bytes)?)))
                .transpose()?;
            trust::server_verifier(authorities, revoked, rules.clone(), provider.clone())?
        }
        None => Arc::new(Anybody(provider.signature_verification_algorithms)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let shown = flags
        .shown
        .as_ref()
        .and_then(|(certificate, key)| contents.get(certificate).zip(contents.get(key)));
    let mut config = match shown {
        Some((certificate, key)) => {
            let identity = trust::identity(certificate, key, &provider)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
        None => builder.with_no_client_auth(),
    };
    // A connection lives long; each new one shows and checks what is good now.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_bundle() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = SYSTEM_BUNDLES.iter().map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| Path::is_file(path))
}

fn not_connected(error: &io::Error, host: &str) -> NotConnected {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let reason = tls.map_or_else(
        || format!("it hung up during the TLS handshake ({error})"),
        |error| wording(error, host),
    );
    NotConnected { reason }
}

/// What an error of the library means to whoever has dialed `host`.
pub fn wording(error: &Error, host: &str) -> String {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS there; use http:// instead of https://".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate was signed by nobody in the CA file that was given".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("its certificate is not valid for {host}: {error}"),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "its certificate has none of the allowed names".to_owned()
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a client certificate; give --cert and --key".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => format!("it does not believe our certificate: {error}"),
        other => format!("TLS handshake: {other}"),
    }
}
