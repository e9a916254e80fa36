//! Who asks: what a request brings along to prove it, before anybody has looked at it.
//!
//! Form is checked before a caller is ([`Shared::actor`]), as in etcd.

use crate::backend::Backend;
use crate::error::Fault;
use crate::service::Shared;
use almadia_command::Actor;
use almadia_store::View;
use tonic::codegen::http::HeaderMap;

/// What a request says about who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The token of an earlier login.
    #[allow(dead_code, reason = "tokens come with the Auth service")]
    token: Option<String>,
}

impl Caller {
    /// From a request's metadata.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let token = headers.get("token").and_then(|token| token.to_str().ok());
        Self {
            token: token.map(str::to_owned),
        }
    }
}

impl<B: Backend> Shared<B> {
    /// The user that a caller is, by `view`; nobody while permissions do not count. Whether the user may do what it asks
    /// is another question ([`View::permits`]).
    pub(crate) fn actor(&self, _caller: &Caller, _view: &View) -> Result<Option<Actor>, Fault> {
        Ok(None)
    }
}
