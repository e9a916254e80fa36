//! From bytes to what the library wants: an identity to show, authorities to believe, and our own rules on top of theirs.

use super::TlsError;
use super::certificate::{Facts, now};
use super::pem::{FileError, Named};
use super::settings::TlsFiles;
use std::sync::Arc;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, InconsistentKeys, RootCertStore,
    SignatureScheme,
};

/// A certificate with its key, which must belong together.
pub(super) fn identity(
    certificate: (&Named, &[u8]),
    key: (&Named, &[u8]),
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, FileError> {
    let chain = certificate.0.chain(certificate.1)?;
    let read_key = key.0.key(key.1)?;
    match CertifiedKey::from_der(chain, read_key, provider) {
        Ok(identity) => Ok(Arc::new(identity)),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(key.0.error(format!(
            "the key does not belong to the certificate in {} (its first one must be the key's own)",
            certificate.0.path.display()
        ))),
        Err(error) => Err(key.0.error(format!("the key cannot be used: {error}"))),
    }
}

/// The authorities in a bundle. Those that have expired stay out of it.
pub(super) fn authorities(named: &Named, bytes: &[u8]) -> Result<Arc<RootCertStore>, FileError> {
    let mut store = RootCertStore::empty();
    let mut expired = None;
    for certificate in named.certificates(bytes)? {
        let facts = Facts::read(&certificate).map_err(|reason| named.error(reason))?;
        if facts.not_after < now() {
            expired = Some(format!(
                "the authority {} has expired on {}, and there is no other in it",
                facts.subject,
                facts.not_after_text()
            ));
            continue;
        }
        store.add(certificate).map_err(|error| {
            named.error(format!("the authority {} cannot be used: {error}", facts.subject))
        })?;
    }
    match expired {
        Some(reason) if store.is_empty() => Err(named.error(reason)),
        _ => Ok(Arc::new(store)),
    }
}

/// What a file of revocations is good for, in the library's words.
fn unusable(revoked: Option<&Named>, error: &VerifierBuilderError) -> TlsError {
    match revoked {
        Some(named) => named
            .error(format!(
                "the revocation list cannot be used: {error} (it must be version 2, with a number, as `openssl ca -gencrl` writes \
                 it with crl_extensions)"
            ))
            .into(),
        None => TlsError::Settings(format!("client certificates cannot be checked: {error}")),
    }
}

/// Checks certificates of whoever dials us.
pub(super) fn client_verifier(
    authorities: Arc<RootCertStore>,
    revoked: Option<(&Named, Vec<CertificateRevocationListDer<'static>>)>,
    rules: Rules,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let named = revoked.as_ref().map(|(named, _)| *named);
    let lists = revoked.map(|(_, lists)| lists).unwrap_or_default();
    // An authority without a list has revoked nothing.
    let inner = WebPkiClientVerifier::builder_with_provider(authorities, provider)
        .with_crls(lists)
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| unusable(named, &error))?;
    Ok(Arc::new(CheckedClient { inner, rules }))
}

/// Checks certificates of whom we dial.
pub(super) fn server_verifier(
    authorities: Arc<RootCertStore>,
    revoked: Option<(&Named, Vec<CertificateRevocationListDer<'static>>)>,
    rules: Rules,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let named = revoked.as_ref().map(|(named, _)| *named);
    let lists = revoked.map(|(_, lists)| lists).unwrap_or_default();
    let inner = WebPkiServerVerifier::builder_with_provider(authorities, provider)
        .with_crls(lists)
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| unusable(named, &error))?;
    Ok(Arc::new(CheckedServer { inner, rules }))
}

/// Names that a certificate must have, beyond being good.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    names: Vec<String>,
    hosts: Vec<ServerName<'static>>,
}

impl Rules {
    pub(super) fn of(files: &TlsFiles) -> Result<Self, TlsError> {
        let host = |host: &String| {
            ServerName::try_from(host.clone()).map_err(|_| {
                TlsError::Settings(format!(
                    "{} {host}: neither a name nor an address",
                    files.flag("cert-allowed-hostname")
                ))
            })
        };
        Ok(Self {
            names: files.allowed_names.clone(),
            hosts: files.allowed_hosts.iter().map(host).collect::<Result<_, _>>()?,
        })
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let refused = || Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        if !self.names.is_empty() {
            let facts = Facts::read(certificate)
                .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
            let is_allowed = |name: &String| self.names.contains(name);
            if !facts.common_name.as_ref().is_some_and(is_allowed) {
                return Err(refused());
            }
        }
        if !self.hosts.is_empty() {
            let parsed = ParsedCertificate::try_from(certificate)?;
            if !self
                .hosts
                .iter()
                .any(|host| verify_server_name(&parsed, host).is_ok())
            {
                return Err(refused());
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct CheckedClient {
    inner: Arc<dyn ClientCertVerifier>,
    rules: Rules,
}

impl ClientCertVerifier for CheckedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(certificate, intermediates, now)?;
        self.rules.check(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct CheckedServer {
    inner: Arc<WebPkiServerVerifier>,
    rules: Rules,
}

impl ServerCertVerifier for CheckedServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .inner
            .verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        self.rules.check(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Believes everybody who owns the certificate it shows: for `--insecure-skip-tls-verify` and peers with auto-TLS.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
