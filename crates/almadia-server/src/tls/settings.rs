//! What the operator says about TLS, in etcd's words, and which of it does not go together. It opens no file.

use super::pem::FileError;
use super::suites::{CipherSuite, Version};
use std::fmt;
use std::path::PathBuf;

/// Which connections a set of files is for; the flags of peers begin with `peer-`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Clients.
    #[default]
    Client,
    /// Other members.
    Peer,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "--",
            Self::Peer => "--peer-",
        })
    }
}

/// The files of one set and the rules for who is let in with which certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom it is for.
    pub scope: Scope,
    /// `cert-file`: the certificate shown, with the intermediate ones.
    pub certificate: Option<PathBuf>,
    /// `key-file`: its key.
    pub key: Option<PathBuf>,
    /// `client-cert-file`: the certificate shown when dialing, where it is another one.
    pub client_certificate: Option<PathBuf>,
    /// `client-key-file`: its key.
    pub client_key: Option<PathBuf>,
    /// `trusted-ca-file`: who may have signed the other side's certificate.
    pub trusted_ca: Option<PathBuf>,
    /// `client-crl-file`, `peer-crl-file`: certificates that are good no more.
    pub revoked: Option<PathBuf>,
    /// `client-cert-auth`.
    pub requires_client_certificate: bool,
    /// `cert-allowed-cn`: a certificate must have one of these names, if there are any.
    pub allowed_names: Vec<String>,
    /// `cert-allowed-hostname`: a certificate must be valid for one of these hosts, if there are any.
    pub allowed_hosts: Vec<String>,
    /// `auto-tls`.
    pub is_automatic: bool,
    /// `skip-client-san-verification`.
    pub skips_origin: bool,
}

/// Everything about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// For clients.
    pub client: TlsFiles,
    /// For other members.
    pub peer: TlsFiles,
    /// `--tls-min-version`.
    pub version_min: Version,
    /// `--tls-max-version`.
    pub version_max: Version,
    /// `--cipher-suites` for TLS 1.2; empty: all that are good.
    pub cipher_suites: Vec<CipherSuite>,
    /// `--self-signed-cert-validity`.
    pub self_signed_years: u32,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            client: TlsFiles::default(),
            peer: TlsFiles {
                scope: Scope::Peer,
                ..TlsFiles::default()
            },
            version_min: Version::Tls12,
            version_max: Version::Tls13,
            cipher_suites: Vec::new(),
            self_signed_years: 1,
        }
    }
}

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Settings that do not go together.
    #[error("{0}")]
    Settings(String),
    /// A certificate cannot be made.
    #[error("{0}")]
    Issue(#[from] super::issue::IssueError),
    /// The library refuses.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] tokio_rustls::rustls::Error),
}

impl TlsFiles {
    /// Whether there is a certificate to be shown, or will be.
    pub fn is_configured(&self) -> bool {
        self.is_automatic || self.certificate.is_some()
    }

    /// As in etcd: naming who is trusted asks for a certificate, too.
    pub(crate) fn asks_for_certificate(&self) -> bool {
        self.requires_client_certificate || self.trusted_ca.is_some()
    }

    /// The name of a flag of this set, as the operator types it.
    pub(crate) fn flag(&self, name: &str) -> String {
        match (self.scope, name) {
            (Scope::Client, "crl-file") => "--client-crl-file".to_owned(),
            (Scope::Client, "cert-allowed-hostname") => "--client-cert-allowed-hostname".to_owned(),
            (scope, name) => format!("{scope}{name}"),
        }
    }

    /// What does not go together.
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        let flag = |name: &str| self.flag(name);
        let fail = |text: String| Err(TlsError::Settings(text));
        let pairs = [
            ("cert-file", &self.certificate, "key-file", &self.key),
            (
                "client-cert-file",
                &self.client_certificate,
                "client-key-file",
                &self.client_key,
            ),
        ];
        for (certificate_flag, certificate, key_flag, key) in pairs {
            match (certificate, key) {
                (Some(_), None) => {
                    return fail(format!("{} needs {} too", flag(certificate_flag), flag(key_flag)));
                }
                (None, Some(_)) => {
                    return fail(format!("{} needs {} too", flag(key_flag), flag(certificate_flag)));
                }
                _ => {}
            }
        }
        if !self.allowed_names.is_empty() && !self.allowed_hosts.is_empty() {
            return fail(format!(
                "{} and {} exclude each other",
                flag("cert-allowed-cn"),
                flag("cert-allowed-hostname")
            ));
        }
        if self.requires_client_certificate && self.trusted_ca.is_none() {
            return fail(format!(
                "{} needs {}: whose certificates are to be believed?",
                flag("client-cert-auth"),
                flag("trusted-ca-file")
            ));
        }
        if self.has_rules() && self.trusted_ca.is_none() {
            return fail(format!(
                "a rule for certificates needs {}: without it none is asked for",
                flag("trusted-ca-file")
            ));
        }
        if self.scope == Scope::Peer && self.certificate_is_own_work() && self.trusted_ca.is_some() {
            return fail(
                "--peer-auto-tls and --peer-trusted-ca-file exclude each other: nobody signs what members make".to_owned(),
            );
        }
        if self.scope == Scope::Peer && self.certificate.is_some() && self.trusted_ca.is_none() {
            return fail(
                "--peer-cert-file needs --peer-trusted-ca-file: without it a member cannot tell who another one is"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Auto-TLS, and nothing that would take its place.
    pub(crate) fn certificate_is_own_work(&self) -> bool {
        self.is_automatic && self.certificate.is_none()
    }

    fn has_rules(&self) -> bool {
        self.revoked.is_some() || !self.allowed_names.is_empty() || !self.allowed_hosts.is_empty()
    }
}

impl TlsSettings {
    /// Says whether the settings go together.
    ///
    /// # Errors
    /// The first that do not, in one line that names the flags.
    pub fn check(&self) -> Result<(), TlsError> {
        self.client.check()?;
        self.peer.check()?;
        let fail = |text: &str| Err(TlsError::Settings(text.to_owned()));
        if self.version_min > self.version_max {
            return fail("--tls-min-version is above --tls-max-version");
        }
        if self.version_min == Version::Tls13 && !self.cipher_suites.is_empty() {
            return fail(
                "--cipher-suites are those of TLS 1.2, which --tls-min-version=TLS1.3 excludes; leave one out",
            );
        }
        Ok(())
    }

    /// What the operator should know, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for files in [&self.client, &self.peer] {
            if files.is_automatic && files.certificate.is_some() {
                warnings.push(format!(
                    "{} is ignored: {} is given",
                    files.flag("auto-tls"),
                    files.flag("cert-file")
                ));
            }
        }
        if self.peer.certificate_is_own_work() {
            warnings.push(
                "--peer-auto-tls encrypts what members say, but does not prove who they are; use it for first tries only"
                    .to_owned(),
            );
        }
        warnings
    }
}
