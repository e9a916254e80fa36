//! The settings of TLS, checked one by one; that they go together is checked with the rest of the server's. It opens no file.

use super::ConfigError;
use super::config::{complain, number, written};
use super::values::{Values, parse_switch};
use almadia_server::tls::{CipherSuite, Scope, TlsFiles, TlsSettings, Version};
use std::path::PathBuf;

/// Years that a self-made certificate is valid for at most.
const YEARS_MAX: u64 = 100;

/// Names of the settings of one set, where they are not the same with `peer-` before them.
struct Names {
    scope: Scope,
    prefix: &'static str,
    revoked: &'static str,
    allowed_hosts: &'static str,
}

const CLIENT: Names = Names {
    scope: Scope::Client,
    prefix: "",
    revoked: "client-crl-file",
    allowed_hosts: "client-cert-allowed-hostname",
};

const PEER: Names = Names {
    scope: Scope::Peer,
    prefix: "peer-",
    revoked: "peer-crl-file",
    allowed_hosts: "peer-cert-allowed-hostname",
};

/// Reads all of them.
pub fn settings(values: &Values) -> Result<TlsSettings, ConfigError> {
    let defaults = TlsSettings::default();
    let (cipher_suites, _) = suites(values)?;
    let years = u64::from(defaults.self_signed_years);
    let years = number(values, "self-signed-cert-validity", years, 1, YEARS_MAX)?;
    Ok(TlsSettings {
        client: files(values, &CLIENT)?,
        peer: files(values, &PEER)?,
        version_min: version(values, "tls-min-version", defaults.version_min)?,
        version_max: version(values, "tls-max-version", defaults.version_max)?,
        cipher_suites,
        self_signed_years: u32::try_from(years).expect("at most 100"),
    })
}

/// What the operator should know about how they were read.
pub fn warnings(values: &Values) -> Vec<String> {
    let weak = suites(values).map(|(_, weak)| weak).unwrap_or_default();
    if weak.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "--cipher-suites: not offered, or with TLS 1.3 always on: {}",
        weak.join(", ")
    )]
}

fn files(values: &Values, names: &Names) -> Result<TlsFiles, ConfigError> {
    let name = |name: &str| format!("{}{name}", names.prefix);
    let path = |setting: &str| written(values, setting).map(PathBuf::from);
    let list = |setting: &str| -> Vec<String> {
        let text = written(values, setting).unwrap_or_default();
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    // A client's certificate for dialing is for etcd's gateway, which dials its own client port; here nobody does.
    let dials = names.scope == Scope::Peer;
    Ok(TlsFiles {
        scope: names.scope,
        certificate: path(&name("cert-file")),
        key: path(&name("key-file")),
        client_certificate: path(&name("client-cert-file")).filter(|_| dials),
        client_key: path(&name("client-key-file")).filter(|_| dials),
        trusted_ca: path(&name("trusted-ca-file")),
        revoked: path(names.revoked),
        requires_client_certificate: switch(values, &name("client-cert-auth"))?,
        allowed_names: if dials {
            list("peer-cert-allowed-cn")
        } else {
            Vec::new()
        },
        allowed_hosts: list(names.allowed_hosts),
        is_automatic: switch(values, &name("auto-tls"))?,
        skips_origin: dials && switch(values, "peer-skip-client-san-verification")?,
    })
}

pub(super) fn switch(values: &Values, name: &str) -> Result<bool, ConfigError> {
    let Some(text) = written(values, name) else {
        return Ok(false);
    };
    parse_switch(text).ok_or_else(|| complain(values, name, "allowed are true and false"))
}

fn version(values: &Values, name: &str, default: Version) -> Result<Version, ConfigError> {
    let Some(text) = written(values, name) else {
        return Ok(default);
    };
    Version::parse(text).ok_or_else(|| complain(values, name, "allowed are TLS1.2 and TLS1.3"))
}

/// The suites that are offered, and those that are asked for and are not.
fn suites(values: &Values) -> Result<(Vec<CipherSuite>, Vec<String>), ConfigError> {
    let name = "cipher-suites";
    let wrong = |what: &str| {
        let allowed = format!("{what}; allowed are {}", CipherSuite::names());
        complain(values, name, &allowed)
    };
    let Some(text) = written(values, name) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let (suites, weak) =
        CipherSuite::parse_list(text).map_err(|unknown| wrong(&format!("{unknown} is no cipher suite")))?;
    if suites.is_empty() && !weak.is_empty() {
        return Err(wrong("none of them is offered for TLS 1.2"));
    }
    Ok((suites, weak))
}
