//! Files of certificates, keys and revocations, read as far as their form goes. Whatever the bytes, there is either what was
//! asked for or one line that names the file and says what is wrong with it.

use super::certificate::{Facts, now};
use std::io::Read;
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem};

/// The largest file that is read: a revocation list of a large company fits.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file of the operator, by the flag that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As it is typed, with its dashes.
    pub flag: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {}: {reason}", path.display())]
pub struct FileError {
    /// The flag that names it.
    pub flag: String,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Named {
    /// A file by its flag.
    pub fn new(flag: impl Into<String>, path: &Path) -> Self {
        Self {
            flag: flag.into(),
            path: path.to_owned(),
        }
    }

    /// A complaint about it.
    pub fn error(&self, reason: impl Into<String>) -> FileError {
        FileError {
            flag: self.flag.clone(),
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    /// All its bytes.
    ///
    /// # Errors
    /// The system's words, or that it is too large.
    pub fn read(&self) -> Result<Vec<u8>, FileError> {
        let error = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => self.error("there is no such file"),
            std::io::ErrorKind::PermissionDenied => {
                self.error("this process may not read it; look at the file's owner and mode")
            }
            _ => self.error(format!("cannot be read: {error}")),
        };
        let file = std::fs::File::open(&self.path).map_err(error)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(error)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(self.error(format!("has more than {FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }

    /// The certificates in `bytes`, at least one.
    ///
    /// # Errors
    /// What else is there instead.
    pub fn certificates(&self, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
        let found = self.sections::<CertificateDer<'static>>(bytes, "certificate", "CERTIFICATE")?;
        for (at, certificate) in found.iter().enumerate() {
            let reason =
                |reason| self.error(format!("certificate {} in it cannot be read: {reason}", at + 1));
            Facts::read(certificate).map_err(reason)?;
        }
        Ok(found)
    }

    /// The certificates in `bytes`, the first of which must be valid now.
    ///
    /// # Errors
    /// Also for one that has expired.
    pub fn chain(&self, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
        let chain = self.certificates(bytes)?;
        let facts = Facts::read(&chain[0]).map_err(|reason| self.error(reason))?;
        let now = now();
        if facts.not_after < now {
            return Err(self.error(format!(
                "the certificate has expired on {}; put a new one there",
                facts.not_after_text()
            )));
        }
        if facts.not_before > now {
            return Err(self.error(format!(
                "the certificate is valid only from {}; is this machine's clock right?",
                facts.not_before_text()
            )));
        }
        Ok(chain)
    }

    /// The private key in `bytes`.
    ///
    /// # Errors
    /// That there is none that can be used.
    pub fn key(&self, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, FileError> {
        if contains(bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || contains(bytes, b"Proc-Type: 4,ENCRYPTED")
        {
            return Err(self.error(
                "the key is encrypted with a passphrase; write it without one (openssl pkey -in … -out …)",
            ));
        }
        PrivateKeyDer::from_pem_slice(bytes)
            .map_err(|error| self.error(self.wording(bytes, &error, "private key")))
    }

    /// The revocation lists in `bytes`, at least one; etcd's are DER, and PEM is what most tools write.
    ///
    /// # Errors
    /// What else is there instead.
    pub fn revocations(&self, bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
        // A DER list is a sequence, which begins with 0x30; PEM begins with a dash or a comment.
        if bytes.first() == Some(&0x30) {
            return Ok(vec![bytes.to_vec().into()]);
        }
        self.sections(bytes, "revocation list", "X509 CRL")
    }

    fn sections<T: PemObject>(&self, bytes: &[u8], what: &str, tag: &str) -> Result<Vec<T>, FileError> {
        let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(bytes).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.error(format!(
                "no {what} in it: expected PEM, a part that begins with -----BEGIN {tag}-----{}",
                instead(bytes)
            ))),
            Ok(found) => Ok(found),
            Err(error) => Err(self.error(self.wording(bytes, &error, what))),
        }
    }

    fn wording(&self, bytes: &[u8], error: &pem::Error, what: &str) -> String {
        match error {
            pem::Error::NoItemsFound => format!("no {what} in it: expected PEM{}", instead(bytes)),
            pem::Error::MissingSectionEnd { .. } => "the file is cut off: a PEM part has no end".to_owned(),
            pem::Error::Base64Decode(_) => "not PEM: a part of it is not base64".to_owned(),
            other => format!("not PEM: {other:?}"),
        }
    }
}

/// What a file has that was named for something else.
fn instead(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        "; the file is empty"
    } else if bytes.first() == Some(&0x30) {
        "; it looks like DER (openssl … -inform der -outform pem converts it)"
    } else if contains(bytes, b"PRIVATE KEY-----") {
        "; it has a private key"
    } else if contains(bytes, b"-----BEGIN CERTIFICATE REQUEST-----") {
        "; it has a request that nobody has signed"
    } else if contains(bytes, b"-----BEGIN CERTIFICATE-----") {
        "; it has a certificate"
    } else {
        ""
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
