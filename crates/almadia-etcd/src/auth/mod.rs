//! The Auth service: users, roles, permissions, logins.
//!
//! Passwords are hashed and checked here, and never go further; what users may do is decided by the store. How it all
//! goes together: `docs/internals/auth.md`.

pub(crate) mod base64;
mod guesses;
mod login;
mod password;
mod roles;
mod token;
mod users;

pub use token::{Jwt, JwtError, TokenKind};

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::metrics::Bounds;
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Replied, Shared};
use crate::wire::Plain;
use almadia_command::{AuthChange, AuthChangeKind, AuthDisable, AuthEnable, Kind};
use guesses::Guesses;
use password::Passwords;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use token::{Tokens, now_ms};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// Bytes of the secret that tokens are signed with, as long as the code it makes.
const TOKEN_SECRET_BYTES: usize = 32;

/// How logins work. Defaults are etcd's.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Which tokens are given out and taken (`--auth-token`).
    pub tokens: TokenKind,
    /// bcrypt's cost of new hashes, from 4 to 31 (`--bcrypt-cost`).
    pub bcrypt_cost: u32,
    /// Wrong passwords of one user from one address in a minute (`--max-failed-logins`); 0 is no bound.
    pub failed_logins_max: u32,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            tokens: TokenKind::Simple {
                ttl: Duration::from_secs(300),
            },
            bcrypt_cost: 10,
            failed_logins_max: 10,
        }
    }
}

/// What all connections share of it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) tokens: Tokens,
    passwords: Passwords,
    guesses: Guesses,
}

impl Access {
    pub(crate) fn new(config: &AuthConfig, wait_max: Duration, metrics: &Bounds) -> Self {
        Self {
            tokens: Tokens::new(config.tokens.clone()),
            passwords: Passwords::new(config.bcrypt_cost, wait_max),
            guesses: Guesses::new(config.failed_logins_max, metrics.logins_refused.clone()),
        }
    }
}

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    let shared = shared.as_ref();
    let response = match method {
        "AuthEnable" => {
            call.unary(shared, |caller, _: pb::AuthEnableRequest| enable(shared, caller))
                .await
        }
        "AuthDisable" => {
            call.unary(shared, |caller, _: pb::AuthDisableRequest| {
                disable(shared, caller)
            })
            .await
        }
        "AuthStatus" => {
            call.unary(shared, |caller, _: pb::AuthStatusRequest| status(shared, caller))
                .await
        }
        "Authenticate" => {
            call.unary(shared, |caller, request| {
                login::authenticate(shared, caller, request)
            })
            .await
        }
        _ if method.starts_with("User") => return serve_users(shared, method, call).await,
        _ => return serve_roles(shared, method, call).await,
    };
    Some(response)
}

async fn serve_users<B: Backend>(shared: &Shared<B>, method: &str, call: Call) -> Option<Response<Body>> {
    let response = match method {
        "UserAdd" => {
            call.unary(shared, |caller, request| users::add(shared, caller, request))
                .await
        }
        "UserGet" => {
            call.unary(shared, |caller, request| users::get(shared, caller, request))
                .await
        }
        "UserList" => {
            call.unary(shared, |caller, _: pb::AuthUserListRequest| {
                users::list(shared, caller)
            })
            .await
        }
        "UserDelete" => {
            call.unary(shared, |caller, request| users::delete(shared, caller, request))
                .await
        }
        "UserChangePassword" => {
            call.unary(shared, |caller, request| {
                users::change_password(shared, caller, request)
            })
            .await
        }
        "UserGrantRole" => {
            call.unary(shared, |caller, request| {
                users::grant_role(shared, caller, request)
            })
            .await
        }
        "UserRevokeRole" => {
            call.unary(shared, |caller, request| {
                users::revoke_role(shared, caller, request)
            })
            .await
        }
        _ => return None,
    };
    Some(response)
}

async fn serve_roles<B: Backend>(shared: &Shared<B>, method: &str, call: Call) -> Option<Response<Body>> {
    let response = match method {
        "RoleAdd" => {
            call.unary(shared, |caller, request| roles::add(shared, caller, request))
                .await
        }
        "RoleGet" => {
            call.unary(shared, |caller, request| roles::get(shared, caller, request))
                .await
        }
        "RoleList" => {
            call.unary(shared, |caller, _: pb::AuthRoleListRequest| {
                roles::list(shared, caller)
            })
            .await
        }
        "RoleDelete" => {
            call.unary(shared, |caller, request| roles::delete(shared, caller, request))
                .await
        }
        "RoleGrantPermission" => {
            call.unary(shared, |caller, request| {
                roles::grant_permission(shared, caller, request)
            })
            .await
        }
        "RoleRevokePermission" => {
            call.unary(shared, |caller, request| {
                roles::revoke_permission(shared, caller, request)
            })
            .await
        }
        _ => return None,
    };
    Some(response)
}

async fn enable<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
) -> Result<Replied<Plain<pb::AuthEnableResponse>>, Status> {
    let mut secret = vec![0; TOKEN_SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Status::internal("the system has no randomness"))?;
    let enable = AuthEnable {
        token_secret: secret.into(),
    };
    let kind = AuthChangeKind::Enable(enable);
    let answer = |header| pb::AuthEnableResponse { header };
    Ok(shared.change(&caller, kind, 0, answer).await?)
}

async fn disable<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
) -> Result<Replied<Plain<pb::AuthDisableResponse>>, Status> {
    let kind = AuthChangeKind::Disable(AuthDisable {});
    let answer = |header| pb::AuthDisableResponse { header };
    Ok(shared.change(&caller, kind, 0, answer).await?)
}

/// Whether permissions count. Anybody may ask, as in etcd 3.7, but not with a token that does not hold.
async fn status<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
) -> Result<Replied<Plain<pb::AuthStatusResponse>>, Status> {
    let (view, _) = shared.readable_as(&caller, false).await?;
    Ok(Replied::unlogged(Plain(pb::AuthStatusResponse {
        header: Some(shared.read_header(&view)),
        enabled: view.auth().is_enabled(),
        auth_revision: view.auth().revision(),
    })))
}

impl<B: Backend> Shared<B> {
    /// Changes users and roles for a caller.
    async fn change<A>(
        &self,
        caller: &Caller,
        kind: AuthChangeKind,
        request_bytes: usize,
        answer: impl FnOnce(Option<pb::ResponseHeader>) -> A,
    ) -> Result<Replied<Plain<A>>, Fault> {
        let kind = Kind::Auth(AuthChange { kind: Some(kind) });
        let written = self.write(caller, kind, request_bytes).await?;
        Ok(Replied {
            answer: Plain(answer(Some(written.header))),
            position: Some(written.position),
        })
    }
}
