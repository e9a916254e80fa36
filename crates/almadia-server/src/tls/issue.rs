//! Makes certificates: an authority, and what it signs. For tests and small set-ups; it keeps no list of what was issued.

use super::certificate::now;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Clocks of other machines may be behind by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A certificate that nobody will see the end of.
const VALIDITY_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be shown to clients.
    Server,
    /// To be shown by clients.
    Client,
    /// Both: members dial and are dialed.
    Peer,
}

/// A certificate to be made.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its common name.
    pub name: String,
    /// Names and addresses it is valid for.
    pub hosts: Vec<String>,
    /// What for.
    pub purpose: Purpose,
    /// For how long from now.
    pub validity: Duration,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Issued {
    /// For everybody.
    pub certificate: String,
    /// For its owner alone.
    pub key: String,
}

/// Written by hand, so that no key gets into a log.
impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Why a certificate cannot be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The wish cannot be fulfilled.
    #[error("{what} cannot be made: {cause}")]
    Make {
        /// The certificate.
        what: String,
        /// The library's words.
        cause: rcgen::Error,
    },
    /// It would have to be valid for too long or too short.
    #[error("a certificate is valid for at least an hour and at most 100 years")]
    Validity,
    /// There is one already.
    #[error("{} exists; --force replaces it", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Its words.
        cause: io::Error,
    },
}

/// An authority that signs itself.
///
/// # Errors
/// [`IssueError`].
pub fn authority(name: &str, validity: Duration) -> Result<Issued, IssueError> {
    let mut params = parameters(name, &[], validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    self_signed(name, &params)
}

/// A certificate signed by `authority`.
///
/// # Errors
/// [`IssueError`].
pub fn signed(wish: &Wish, authority: &Issued) -> Result<Issued, IssueError> {
    let error = |cause| make_error(&wish.name, cause);
    let issuer = issuer(authority)?;
    let mut params = parameters(&wish.name, &wish.hosts, wish.validity)?;
    params.use_authority_key_identifier_extension = true;
    set_purpose(&mut params, wish.purpose);
    let key = KeyPair::generate().map_err(error)?;
    let certificate = params.signed_by(&key, &issuer).map_err(error)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate that nobody else has signed.
///
/// # Errors
/// [`IssueError`].
pub fn unsigned(wish: &Wish) -> Result<Issued, IssueError> {
    let mut params = parameters(&wish.name, &wish.hosts, wish.validity)?;
    set_purpose(&mut params, wish.purpose);
    self_signed(&wish.name, &params)
}

/// A list that says which of the certificates signed by `authority` are good no more, by their numbers.
///
/// # Errors
/// [`IssueError`].
pub fn revocations(
    authority: &Issued,
    serials: &[Vec<u8>],
    validity: Duration,
) -> Result<String, IssueError> {
    let error = |cause| make_error("the revocation list", cause);
    let dated = dated(validity)?;
    let revoked = |serial: &Vec<u8>| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: dated.not_before,
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: dated.not_before,
        next_update: dated.not_after,
        // Numbers must rise from list to list, and time does.
        crl_number: SerialNumber::from(now().unsigned_abs()),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = params.signed_by(&issuer(authority)?).map_err(error)?;
    list.pem().map_err(error)
}

/// Writes a new file for its owner alone (mode 0600) or for everybody to read (0644), at once and whole. One that exists stays
/// unless `replace`.
///
/// # Errors
/// [`IssueError::Exists`] or [`IssueError::Write`].
pub fn save(path: &Path, text: &str, is_secret: bool, replace: bool) -> Result<(), IssueError> {
    let error = |cause| IssueError::Write {
        path: path.to_owned(),
        cause,
    };
    if !replace && path.exists() {
        return Err(IssueError::Exists {
            path: path.to_owned(),
        });
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let _ = std::fs::remove_file(&new);
    let mode = if is_secret { 0o600 } else { 0o644 };
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .map_err(error)?;
    file.write_all(text.as_bytes()).map_err(error)?;
    file.sync_all().map_err(error)?;
    std::fs::rename(&new, path).map_err(error)
}

fn self_signed(name: &str, params: &CertificateParams) -> Result<Issued, IssueError> {
    let error = |cause| make_error(name, cause);
    let key = KeyPair::generate().map_err(error)?;
    let certificate = params.self_signed(&key).map_err(error)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn issuer(authority: &Issued) -> Result<Issuer<'static, KeyPair>, IssueError> {
    let error = |cause| make_error("a certificate by this authority", cause);
    let key = KeyPair::from_pem(&authority.key).map_err(error)?;
    Issuer::from_ca_cert_pem(&authority.certificate, key).map_err(error)
}

fn parameters(name: &str, hosts: &[String], validity: Duration) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::new(hosts).map_err(|cause| make_error(name, cause))?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let dated = dated(validity)?;
    (params.not_before, params.not_after) = (dated.not_before, dated.not_after);
    Ok(params)
}

fn set_purpose(params: &mut CertificateParams, purpose: Purpose) {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match purpose {
        Purpose::Server => vec![ServerAuth],
        Purpose::Client => vec![ClientAuth],
        Purpose::Peer => vec![ServerAuth, ClientAuth],
    };
}

/// Nothing but the time: from now, a little earlier, until then.
fn dated(validity: Duration) -> Result<CertificateParams, IssueError> {
    if validity < Duration::from_secs(3600) || validity > VALIDITY_MAX {
        return Err(IssueError::Validity);
    }
    let now = Duration::from_secs(now().unsigned_abs());
    let first_second = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = first_second + now.saturating_sub(CLOCK_SKEW);
    params.not_after = first_second + now + validity;
    Ok(params)
}

fn make_error(what: &str, cause: rcgen::Error) -> IssueError {
    IssueError::Make {
        what: what.to_owned(),
        cause,
    }
}
