//! Tokens: what a login is answered with and later requests show.
//!
//! A token says which user it is for and at which revision of users and roles it was given out. Whether that still means
//! anything is asked of the store each time: a changed password or a deleted user ends all tokens given out before.

mod jwt;
#[cfg(test)]
mod jwt_tests;
mod keys;
mod seen;
mod simple;

pub use jwt::{Jwt, JwtError};

use crate::error::Fault;
use almadia_command::Actor;
use almadia_store::{AuthRefusal, AuthTable};
use seen::Seen;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which tokens are given out and taken (`--auth-token`).
#[derive(Clone, Debug)]
pub enum TokenKind {
    /// Signed by a secret that the cluster draws itself.
    Simple {
        /// How long a token holds that is not used (`--auth-token-ttl`).
        ttl: Duration,
    },
    /// JSON Web Tokens, signed by keys that an operator provides.
    Jwt(Jwt),
}

/// What a token says. Only a token that was made with the right key says anything.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claims {
    user: String,
    /// The revision of users and roles at which it was given out.
    revision: u64,
    /// Absent: for ever.
    until_ms: Option<u64>,
}

impl Claims {
    fn holds_at(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }
}

/// Gives tokens out and checks them.
#[derive(Debug)]
pub(crate) struct Tokens {
    kind: TokenKind,
    seen: Seen,
}

impl Tokens {
    pub(crate) fn new(kind: TokenKind) -> Self {
        Self {
            kind,
            seen: Seen::default(),
        }
    }

    /// A token for a user whose password has been checked by `auth`.
    pub(crate) fn issue(&self, auth: &AuthTable, user: &str, now_ms: u64) -> Result<String, Fault> {
        let ttl = match &self.kind {
            TokenKind::Simple { ttl } => *ttl,
            TokenKind::Jwt(jwt) => jwt.ttl(),
        };
        let claims = Claims {
            user: user.to_owned(),
            revision: auth.revision(),
            until_ms: Some(now_ms.saturating_add(milliseconds(ttl))),
        };
        match &self.kind {
            TokenKind::Simple { .. } => Ok(simple::seal(auth.token_secret(), &claims)),
            TokenKind::Jwt(jwt) => jwt.seal(&claims).ok_or(Fault::VerifyOnly),
        }
    }

    /// Who shows a token, by `auth`.
    ///
    /// A simple token speaks for its user as the user is now; a JSON Web Token as the user was when it was given out, which
    /// the store refuses wherever that matters.
    ///
    /// # Errors
    /// [`Fault::InvalidToken`]; [`AuthRefusal::OldRevision`] for a token that is newer than `auth`, and for a JSON Web Token
    /// that its user's new password has ended.
    pub(crate) fn verify(&self, auth: &AuthTable, token: &str, now_ms: u64) -> Result<Actor, Fault> {
        match &self.kind {
            TokenKind::Simple { ttl } => self.verify_simple(auth, token, now_ms, milliseconds(*ttl)),
            TokenKind::Jwt(jwt) => verify_jwt(jwt, auth, token, now_ms),
        }
    }

    fn verify_simple(&self, auth: &AuthTable, token: &str, now_ms: u64, ttl_ms: u64) -> Result<Actor, Fault> {
        let seen = self.seen.renew(token, now_ms, ttl_ms);
        let is_new = seen.is_none();
        let open = || simple::open(auth.token_secret(), token, now_ms).map(Arc::new);
        let claims = seen.or_else(open).ok_or(Fault::InvalidToken)?;
        if claims.revision > auth.revision() {
            return Err(Fault::Auth(AuthRefusal::OldRevision));
        }
        if !auth.honours(&claims.user, claims.revision) {
            return Err(Fault::InvalidToken);
        }
        let actor = Actor {
            user: claims.user.clone(),
            auth_revision: auth.revision(),
            internal: false,
        };
        if is_new {
            self.seen.remember(token, claims, now_ms, ttl_ms);
        }
        Ok(actor)
    }
}

fn verify_jwt(jwt: &Jwt, auth: &AuthTable, token: &str, now_ms: u64) -> Result<Actor, Fault> {
    let claims = jwt.open(token, now_ms).ok_or(Fault::InvalidToken)?;
    // etcd lets a user with a new password go on with old tokens wherever it does not look at the revision.
    let is_ended = auth.user(&claims.user).is_some() && !auth.honours(&claims.user, claims.revision);
    if is_ended || claims.revision > auth.revision() {
        return Err(Fault::Auth(AuthRefusal::OldRevision));
    }
    Ok(Actor {
        user: claims.user,
        auth_revision: claims.revision,
        internal: false,
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Wall-clock time, by which tokens end: members that share them have no other time in common.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, milliseconds)
}
