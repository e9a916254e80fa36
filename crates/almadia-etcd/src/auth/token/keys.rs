//! Keys of JSON Web Tokens: read from PEM once, then used to sign and to check. All arithmetic is the library's.

use super::jwt::JwtError;
use crate::auth::base64;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, ParsedPublicKey, RsaEncoding,
    RsaKeyPair, VerificationAlgorithm,
};
use aws_lc_rs::{error, hmac};

/// How a method signs.
#[derive(Clone, Copy)]
enum Scheme {
    Hmac(&'static hmac::Algorithm),
    Rsa(&'static dyn RsaEncoding, &'static dyn VerificationAlgorithm),
    Ecdsa(&'static EcdsaSigningAlgorithm, &'static dyn VerificationAlgorithm),
    Ed25519,
}

/// The methods that can be named, as in etcd.
static METHODS: [(&str, Scheme); 13] = [
    ("HS256", Scheme::Hmac(&hmac::HMAC_SHA256)),
    ("HS384", Scheme::Hmac(&hmac::HMAC_SHA384)),
    ("HS512", Scheme::Hmac(&hmac::HMAC_SHA512)),
    (
        "RS256",
        Scheme::Rsa(
            &signature::RSA_PKCS1_SHA256,
            &signature::RSA_PKCS1_2048_8192_SHA256,
        ),
    ),
    (
        "RS384",
        Scheme::Rsa(
            &signature::RSA_PKCS1_SHA384,
            &signature::RSA_PKCS1_2048_8192_SHA384,
        ),
    ),
    (
        "RS512",
        Scheme::Rsa(
            &signature::RSA_PKCS1_SHA512,
            &signature::RSA_PKCS1_2048_8192_SHA512,
        ),
    ),
    (
        "PS256",
        Scheme::Rsa(&signature::RSA_PSS_SHA256, &signature::RSA_PSS_2048_8192_SHA256),
    ),
    (
        "PS384",
        Scheme::Rsa(&signature::RSA_PSS_SHA384, &signature::RSA_PSS_2048_8192_SHA384),
    ),
    (
        "PS512",
        Scheme::Rsa(&signature::RSA_PSS_SHA512, &signature::RSA_PSS_2048_8192_SHA512),
    ),
    (
        "ES256",
        Scheme::Ecdsa(
            &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            &signature::ECDSA_P256_SHA256_FIXED,
        ),
    ),
    (
        "ES384",
        Scheme::Ecdsa(
            &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            &signature::ECDSA_P384_SHA384_FIXED,
        ),
    ),
    (
        "ES512",
        Scheme::Ecdsa(
            &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
            &signature::ECDSA_P521_SHA512_FIXED,
        ),
    ),
    ("EdDSA", Scheme::Ed25519),
];

/// What signs. Absent from keys that only check.
enum Private {
    // Boxed: it is many times as large as the others.
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What checks, where that is another key than the one that signs.
enum Public {
    Same,
    Other(ParsedPublicKey),
}

/// The keys of one method.
pub(super) struct Keys {
    method: &'static str,
    private: Option<Private>,
    public: Public,
}

impl Keys {
    /// Reads the keys of a method and tries out whether they belong together.
    pub(super) fn new(method: &str, private: Option<&[u8]>, public: Option<&[u8]>) -> Result<Self, JwtError> {
        let method = METHODS.iter().find(|(name, _)| *name == method);
        let (method, scheme) = *method.ok_or(JwtError::Method)?;
        let private = private.filter(|key| !key.is_empty());
        let public = public.filter(|key| !key.is_empty());
        let checks: &'static dyn VerificationAlgorithm = match scheme {
            Scheme::Hmac(algorithm) => {
                let secret = private.ok_or(JwtError::MissingKey)?;
                let key = hmac::Key::new(*algorithm, secret);
                return Ok(Self {
                    method,
                    private: Some(Private::Hmac(Box::new(key))),
                    public: Public::Same,
                });
            }
            Scheme::Rsa(_, checks) | Scheme::Ecdsa(_, checks) => checks,
            Scheme::Ed25519 => &signature::ED25519,
        };
        let private = private.map(|pem| read_private(scheme, pem)).transpose()?;
        let public = match (public, &private) {
            (Some(pem), _) => Pem::read(pem)
                .filter(|pem| pem.label.ends_with("PUBLIC KEY"))
                .map(|pem| pem.bytes),
            (None, Some(private)) => Some(private.public()),
            (None, None) => return Err(JwtError::MissingKey),
        };
        let public = public.and_then(|public| ParsedPublicKey::new(checks, public).ok());
        let keys = Self {
            method,
            private,
            public: Public::Other(public.ok_or(JwtError::Key("pub-key"))?),
        };
        match keys.sign(b"") {
            Some(signature) if !keys.verify(b"", &signature) => Err(JwtError::Mismatch),
            _ => Ok(keys),
        }
    }

    /// The method's name.
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// Whether there is a key to sign with.
    pub(super) fn can_sign(&self) -> bool {
        self.private.is_some()
    }

    /// Signs; nothing where there is only the public key.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signed = self.private.as_ref()?.sign(message);
        // Keys have been tried out; what can still fail is the system's randomness.
        signed.ok()
    }

    /// Whether the signature is of this message and of this key.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.public, &self.private) {
            (Public::Other(key), _) => key.verify_sig(message, signature),
            (Public::Same, Some(Private::Hmac(key))) => hmac::verify(key, message, signature),
            (Public::Same, _) => Err(error::Unspecified),
        };
        verified.is_ok()
    }
}

impl Private {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, error::Unspecified> {
        Ok(match self {
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &SystemRandom::new(), message, &mut signature)?;
                signature
            }
            Self::Ecdsa(key) => key.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        })
    }

    /// The key that checks what this one signs, as bytes.
    fn public(&self) -> Vec<u8> {
        match self {
            Self::Hmac(_) => Vec::new(),
            Self::Rsa(key, _) => key.public_key().as_ref().to_vec(),
            Self::Ecdsa(key) => key.public_key().as_ref().to_vec(),
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }
}

fn read_private(scheme: Scheme, pem: &[u8]) -> Result<Private, JwtError> {
    let refused = JwtError::Key("priv-key");
    let Some(Pem { label, bytes }) = Pem::read(pem) else {
        return Err(refused);
    };
    let key = match (scheme, label.as_str()) {
        (Scheme::Rsa(encoding, _), "PRIVATE KEY") => {
            RsaKeyPair::from_pkcs8(&bytes).map(|key| Private::Rsa(key, encoding))
        }
        (Scheme::Rsa(encoding, _), "RSA PRIVATE KEY") => {
            RsaKeyPair::from_der(&bytes).map(|key| Private::Rsa(key, encoding))
        }
        (Scheme::Ecdsa(algorithm, _), "PRIVATE KEY") => {
            EcdsaKeyPair::from_pkcs8(algorithm, &bytes).map(Private::Ecdsa)
        }
        (Scheme::Ecdsa(algorithm, _), "EC PRIVATE KEY") => {
            EcdsaKeyPair::from_private_key_der(algorithm, &bytes).map(Private::Ecdsa)
        }
        (Scheme::Ed25519, "PRIVATE KEY") => Ed25519KeyPair::from_pkcs8(&bytes).map(Private::Ed25519),
        _ => return Err(refused),
    };
    key.map_err(|_| refused)
}

/// One block of a PEM file (RFC 7468).
struct Pem {
    label: String,
    bytes: Vec<u8>,
}

impl Pem {
    /// The first block that is a key; what stands before it (the parameters of a curve, words) is passed over.
    fn read(file: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(file).ok()?.lines().map(str::trim);
        loop {
            let begin = lines.find(|line| line.starts_with("-----BEGIN "))?;
            let label = begin.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            if !label.ends_with(" KEY") {
                continue;
            }
            let end = format!("-----END {label}-----");
            let mut text = String::new();
            loop {
                match lines.next()? {
                    line if line == end => break,
                    line => text.push_str(line),
                }
            }
            return Some(Self {
                label: label.to_owned(),
                bytes: base64::decode(&text)?,
            });
        }
    }
}
