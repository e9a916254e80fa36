//! JSON Web Tokens (RFC 7519) with etcd's claims: `username`, `revision` (of users and roles, when it was given out) and
//! `exp`.
//!
//! Who has only the public key checks tokens and gives none out. It never reads a clock or a file, and takes no word for how
//! a token is signed: the method is the one that was configured.

use super::Claims;
use super::keys::Keys;
use crate::auth::base64;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longer ones are not looked at.
const TOKEN_CHARACTERS_MAX: usize = 16 * 1024;

/// Keys that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// The method is not known.
    #[error("sign-method must be one of HS256, RS256, PS256, ES256 (each also with 384 and 512) and EdDSA")]
    Method,
    /// Neither key was given, or for HS no private one.
    #[error("a key is missing: HS needs priv-key, the others priv-key, pub-key or both")]
    MissingKey,
    /// A key that is not of the method's kind.
    #[error("{0} is no key for this sign-method, in PEM form")]
    Key(&'static str),
    /// What is signed with the private key does not hold by the public one.
    #[error("pub-key and priv-key do not belong together")]
    Mismatch,
}

/// How JSON Web Tokens are signed and checked. Cheap to clone.
#[derive(Clone)]
pub struct Jwt {
    keys: Arc<Keys>,
    ttl: Duration,
}

/// Written by hand: keys must not get into a log.
impl fmt::Debug for Jwt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jwt")
            .field("method", &self.keys.method())
            .field("signs", &self.keys.can_sign())
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl Jwt {
    /// From etcd's options: the method's name, and the keys' files as they are (PEM; for HS the secret itself).
    ///
    /// # Errors
    /// [`JwtError`] when they are no keys, or do not go together.
    pub fn new(
        method: &str,
        private: Option<&[u8]>,
        public: Option<&[u8]>,
        ttl: Duration,
    ) -> Result<Self, JwtError> {
        let keys = Arc::new(Keys::new(method, private, public)?);
        Ok(Self { keys, ttl })
    }

    /// How long its tokens hold.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Signs; nothing where there is only the public key.
    pub(super) fn seal(&self, claims: &Claims) -> Option<String> {
        let header = json!({"alg": self.keys.method(), "typ": "JWT"});
        let mut body = json!({"username": claims.user, "revision": claims.revision});
        if let Some(until_ms) = claims.until_ms {
            // Whole seconds, as other checkers expect; never longer than was said.
            body["exp"] = (until_ms / 1000).into();
        }
        let part = |value: &Value| base64::encode_url(value.to_string().as_bytes());
        let mut token = format!("{}.{}", part(&header), part(&body));
        let signature = self.keys.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&base64::encode_url(&signature));
        Some(token)
    }

    /// What a token says, if it is signed with this key, by this method, and holds at `now_ms`.
    pub(super) fn open(&self, token: &str, now_ms: u64) -> Option<Claims> {
        if token.len() > TOKEN_CHARACTERS_MAX {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, body) = message.split_once('.')?;
        let part = |text: &str| -> Option<Value> { serde_json::from_slice(&base64::decode_url(text)?).ok() };
        let header = part(header)?;
        // What a header declares critical must be understood (RFC 7515, 4.1.11), and nothing is.
        if header.get("alg")?.as_str()? != self.keys.method() || header.get("crit").is_some() {
            return None;
        }
        if !self
            .keys
            .verify(message.as_bytes(), &base64::decode_url(signature)?)
        {
            return None;
        }
        let body = part(body)?;
        let time = |name: &str| body.get(name).map(milliseconds);
        let until_ms = match time("exp") {
            Some(until) => Some(until?),
            None => None,
        };
        let claims = Claims {
            user: body.get("username")?.as_str()?.to_owned(),
            revision: whole(body.get("revision")?)?,
            until_ms,
        };
        let from_ms = time("nbf").unwrap_or(Some(0))?;
        (from_ms <= now_ms && claims.holds_at(now_ms)).then_some(claims)
    }
}

/// Seconds since 1970, whole or not, as milliseconds.
fn milliseconds(seconds: &Value) -> Option<u64> {
    if let Some(seconds) = seconds.as_u64() {
        return Some(seconds.saturating_mul(1000));
    }
    let seconds = seconds.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some((seconds * 1000.0) as u64)
}

/// JSON knows no whole numbers: other signers may write 7.0.
fn whole(value: &Value) -> Option<u64> {
    let float = || {
        value
            .as_f64()
            .filter(|number| *number >= 0.0)
            .map(|number| number as u64)
    };
    value.as_u64().or_else(float)
}
