//! What stands in a certificate, for people and for rules. It believes nothing: who has signed it is checked elsewhere.

use super::pem::Named;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is, as text.
    pub subject: String,
    /// The common name in it; etcd takes it for a user's.
    pub common_name: Option<String>,
    /// Who has signed it.
    pub issuer: String,
    /// Its number, in hexadecimal digits.
    pub serial: String,
    /// Valid from, in seconds since 1970.
    pub not_before: i64,
    /// Valid until.
    pub not_after: i64,
    /// Hosts it is valid for, by name; may begin with `*.`.
    pub dns_names: Vec<String>,
    /// Hosts it is valid for, by address.
    pub addresses: Vec<IpAddr>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// What it may be used for: `server`, `client`; empty: everything.
    pub usages: Vec<&'static str>,
}

impl Facts {
    /// Reads a certificate, whatever the bytes.
    ///
    /// # Errors
    /// Why these bytes are none.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (rest, read) =
            X509Certificate::from_der(certificate).map_err(|error| format!("not a certificate: {error}"))?;
        if !rest.is_empty() {
            return Err("not a certificate: there are bytes after it".to_owned());
        }
        let (dns_names, addresses) = hosts(&read)?;
        let common_name = read.subject().iter_common_name().next();
        Ok(Self {
            subject: read.subject().to_string(),
            common_name: common_name
                .and_then(|name| name.as_str().ok())
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            issuer: read.issuer().to_string(),
            serial: hexadecimal(read.raw_serial()),
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
            dns_names,
            addresses,
            is_authority: read.is_ca(),
            usages: usages(&read),
        })
    }

    /// Everything it is valid for, names first.
    pub fn hosts(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        self.dns_names.iter().cloned().chain(addresses).collect()
    }

    /// Its number as it stands in it.
    pub fn serial_bytes(&self) -> Vec<u8> {
        let digits = self.serial.as_bytes().chunks(2);
        let byte = |pair| {
            std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        };
        digits.filter_map(byte).collect()
    }

    /// Until when it is valid.
    pub fn not_after_text(&self) -> String {
        date(self.not_after)
    }

    /// From when on it is valid.
    pub fn not_before_text(&self) -> String {
        date(self.not_before)
    }
}

/// What stands in each certificate of a file.
///
/// # Errors
/// Why there is none.
pub fn read_chain(path: &Path) -> Result<Vec<Facts>, String> {
    let named = Named::new("", path);
    let chain = named.read().and_then(|bytes| named.certificates(&bytes));
    let chain = chain.map_err(|error| error.reason)?;
    chain.iter().map(Facts::read).collect()
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn hosts(certificate: &X509Certificate<'_>) -> Result<(Vec<String>, Vec<IpAddr>), String> {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let extension = certificate
        .subject_alternative_name()
        .map_err(|error| format!("its subject alternative names cannot be read: {error}"))?;
    for name in extension
        .iter()
        .flat_map(|extension| &extension.value.general_names)
    {
        match name {
            GeneralName::DNSName(name) => names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    Ok((names, addresses))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn usages(certificate: &X509Certificate<'_>) -> Vec<&'static str> {
    let Ok(Some(extension)) = certificate.extended_key_usage() else {
        return Vec::new();
    };
    let all = [
        (extension.value.any, "any"),
        (extension.value.server_auth, "server"),
        (extension.value.client_auth, "client"),
    ];
    all.into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| name)
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn date(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
