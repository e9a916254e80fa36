//! Protocol versions and cipher suites, by the names etcd has for them.

use super::TlsSettings;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::{self, SupportedCipherSuite, SupportedProtocolVersion, version};

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// From a flag's value.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "TLS1.2" => Some(Self::Tls12),
            "TLS1.3" => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// A cipher suite of TLS 1.2 that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite(rustls::CipherSuite);

/// Names that Go takes, and what they are here.
const KNOWN: &[(&str, rustls::CipherSuite)] = {
    use rustls::CipherSuite as Suite;
    &[
        (
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
            Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
        (
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ),
        (
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ),
        (
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
        (
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
            Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
    ]
};

impl CipherSuite {
    /// Names of all that are offered, for a complaint.
    pub fn names() -> String {
        let names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// Reads a list of Go's names. The second list has those that Go knows and nobody should use any more (CBC, RC4, key
    /// exchange by RSA): they are not offered here.
    ///
    /// # Errors
    /// A name that nobody knows.
    pub fn parse_list(text: &str) -> Result<(Vec<Self>, Vec<String>), String> {
        let (mut suites, mut weak) = (Vec::new(), Vec::new());
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match KNOWN.iter().find(|(known, _)| *known == name) {
                Some((_, suite)) if suites.contains(&Self(*suite)) => {}
                Some((_, suite)) => suites.push(Self(*suite)),
                None if is_weak(name) => weak.push(name.to_owned()),
                None => return Err(name.to_owned()),
            }
        }
        Ok((suites, weak))
    }
}

/// What Go's list has besides: suites without forward secrecy or with a broken cipher, and those of TLS 1.3, which are
/// always on.
fn is_weak(name: &str) -> bool {
    let is_new = matches!(
        name,
        "TLS_AES_128_GCM_SHA256" | "TLS_AES_256_GCM_SHA384" | "TLS_CHACHA20_POLY1305_SHA256"
    );
    let is_old = name.starts_with("TLS_RSA_WITH_") || name.starts_with("TLS_ECDHE_");
    is_new
        || is_old
            && ["_CBC_", "RC4", "3DES", "TLS_RSA_WITH_AES"]
                .iter()
                .any(|part| name.contains(part))
}

/// The library's algorithms, as far as the settings allow them.
pub(super) fn provider(settings: &TlsSettings) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let allowed = &settings.cipher_suites;
    if !allowed.is_empty() {
        let is_allowed = |suite: &SupportedCipherSuite| {
            suite.tls13().is_some() || allowed.contains(&CipherSuite(suite.suite()))
        };
        provider.cipher_suites.retain(is_allowed);
    }
    Arc::new(provider)
}

/// The versions between the bounds.
pub(super) fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let all = [
        (Version::Tls13, &version::TLS13),
        (Version::Tls12, &version::TLS12),
    ];
    let range = settings.version_min..=settings.version_max;
    all.into_iter()
        .filter(|(version, _)| range.contains(version))
        .map(|(_, supported)| supported)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_go_s() {
        let (suites, weak) = CipherSuite::parse_list(
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA,TLS_AES_128_GCM_SHA256",
        )
        .unwrap();
        assert_eq!(
            suites,
            [CipherSuite(
                rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            )]
        );
        assert_eq!(weak, ["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_AES_128_GCM_SHA256"]);
        assert_eq!(CipherSuite::parse_list("TLS_MAGIC"), Err("TLS_MAGIC".to_owned()));
    }

    /// Every name stands for something the library has.
    #[test]
    fn every_suite_is_offered() {
        let all = aws_lc_rs::default_provider().cipher_suites;
        for (name, suite) in KNOWN {
            assert!(all.iter().any(|offered| offered.suite() == *suite), "{name}");
        }
    }

    #[test]
    fn suites_and_versions_follow_the_settings() {
        let (cipher_suites, _) = CipherSuite::parse_list("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256").unwrap();
        let settings = TlsSettings {
            cipher_suites,
            version_max: Version::Tls12,
            ..TlsSettings::default()
        };
        let provider = provider(&settings);
        let is_tls12 = |suite: &&SupportedCipherSuite| suite.tls13().is_none();
        assert_eq!(provider.cipher_suites.iter().filter(is_tls12).count(), 1);
        assert_eq!(versions(&settings), [&version::TLS12]);
    }
}
