//! Auto-TLS: a certificate that a member makes itself and keeps in its data directory. It encrypts; since nobody has signed it,
//! it proves nothing to anybody who has not been given it.

use super::certificate::{Facts, now};
use super::issue::{self, Issued, Purpose, Wish};
use super::pem::Named;
use super::settings::{Scope, TlsError, TlsFiles, TlsSettings};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;
use tracing::info;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A certificate that would end sooner than this is made anew at a start.
const LEFT_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The files of a set, those of auto-TLS made if need be; `None` where there is no TLS.
pub(super) fn complete(
    files: &TlsFiles,
    settings: &TlsSettings,
    data_dir: &Path,
    hosts: &[String],
) -> Result<Option<TlsFiles>, TlsError> {
    if !files.certificate_is_own_work() {
        return Ok(files.certificate.is_some().then(|| files.clone()));
    }
    let name = match files.scope {
        Scope::Client => "client",
        Scope::Peer => "peer",
    };
    let directory = data_dir.join("tls").join(name);
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    if !is_good(&certificate, &key, hosts) {
        let wish = Wish {
            name: "almadia auto-tls".to_owned(),
            hosts: hosts.to_vec(),
            purpose: Purpose::Peer,
            validity: YEAR * settings.self_signed_years,
        };
        make_directory(&directory)?;
        let Issued {
            certificate: certificate_text,
            key: key_text,
        } = issue::unsigned(&wish)?;
        issue::save(&key, &key_text, true, true)?;
        issue::save(&certificate, &certificate_text, false, true)?;
        info!(path = %certificate.display(), hosts = hosts.join(","), years = settings.self_signed_years, "made a certificate for {}", files.flag("auto-tls"));
    }
    Ok(Some(TlsFiles {
        certificate: Some(certificate),
        key: Some(key),
        ..files.clone()
    }))
}

/// Whether what is kept there is for all these hosts and lasts for a while.
fn is_good(certificate: &Path, key: &Path, hosts: &[String]) -> bool {
    let named = Named::new("", certificate);
    let facts = named
        .read()
        .and_then(|bytes| named.chain(&bytes))
        .ok()
        .and_then(|chain| Facts::read(&chain[0]).ok());
    let Some(facts) = facts.filter(|_| key.exists()) else {
        return false;
    };
    let left_min = i64::try_from(LEFT_MIN.as_secs()).expect("a month");
    let lasts = facts.not_after - now() > left_min;
    let has = |host: &String| match host.parse() {
        Ok(address) => facts.addresses.contains(&address),
        Err(_) => facts.dns_names.contains(host),
    };
    lasts && hosts.iter().all(has)
}

fn make_directory(directory: &Path) -> Result<(), TlsError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|cause: io::Error| {
        TlsError::Settings(format!(
            "cannot make {}, where the certificate of auto-TLS belongs: {cause}",
            directory.display()
        ))
    })
}
