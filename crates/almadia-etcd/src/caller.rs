//! Who asks: what a request brings along to prove it, and which user that makes of it.
//!
//! Form is checked before a caller is, as in etcd. What the user may do is another question, which the store answers.

use crate::auth::now_ms;
use crate::backend::Backend;
use crate::connection::From;
use crate::error::Fault;
use crate::service::Shared;
use almadia_command::Actor;
use almadia_store::{AuthRefusal, Need, View};
use std::net::IpAddr;
use std::sync::Arc;
use tonic::codegen::http::{Extensions, HeaderMap};

/// The name in the certificate that a connection's client has proved to own. Whoever accepts the connection puts it into the
/// extensions of each request; it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName(pub String);

/// What a request says about who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The token of an earlier login.
    token: Option<String>,
    /// Only looked at without a token.
    certificate: Option<String>,
    /// Where the connection comes from.
    address: Option<IpAddr>,
}

impl Caller {
    /// From a request's metadata and connection. HTTP clients send the token as `authorization`, with or without `Bearer`.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = |value: &str| value.strip_prefix("Bearer ").unwrap_or(value).to_owned();
        let token = match headers.get("token") {
            // What is no text is no token; taking it for none would say "no user" instead.
            Some(token) => Some(String::from_utf8_lossy(token.as_bytes()).into_owned()),
            None => text("authorization").map(bearer),
        };
        // A gateway shows its own certificate, whoever it speaks for.
        let is_proxied = headers.contains_key("grpcgateway-accept");
        let certificate = extensions.get::<CertificateName>().filter(|_| !is_proxied);
        Self {
            token,
            certificate: certificate.map(|name| name.0.clone()),
            address: extensions.get::<From>().map(|from| from.0.ip()),
        }
    }

    /// Where it comes from, if that is an address.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether the caller says anything about itself.
    pub(crate) fn has_name(&self) -> bool {
        self.token.is_some() || self.certificate.is_some()
    }
}

impl<B: Backend> Shared<B> {
    /// The user that a caller is, by `view`; nobody while permissions do not count. Whether the user may do what it asks
    /// is another question ([`View::permits`]).
    ///
    /// # Errors
    /// A token that does not hold; [`AuthRefusal::OldRevision`] also for one that is newer than `view`. The functions below
    /// see to that.
    pub(crate) fn actor(&self, caller: &Caller, view: &View) -> Result<Option<Actor>, Fault> {
        let auth = view.auth();
        if !auth.is_enabled() {
            return Ok(None);
        }
        if let Some(token) = &caller.token {
            return self.access.tokens.verify(auth, token, now_ms()).map(Some);
        }
        Ok(caller.certificate.as_ref().map(|name| Actor {
            user: name.clone(),
            auth_revision: auth.revision(),
            internal: false,
        }))
    }

    /// Whether permissions count and the caller has not proved to be anybody.
    pub(crate) fn is_stranger(&self, caller: &Caller) -> bool {
        let view = self.backend.view();
        // A token that is newer than the view is one: only another member can have given it out.
        let is_known = match self.actor(caller, &view) {
            Ok(actor) => actor.is_some(),
            Err(fault) => matches!(fault, Fault::Auth(AuthRefusal::OldRevision)),
        };
        view.auth().is_enabled() && !is_known
    }

    /// The user that a caller is, as far as this member can know: a token that another member has just given out is looked
    /// at again when this one has caught up. (etcd waits for the token's log entry.)
    pub(crate) async fn known_actor(&self, caller: &Caller) -> Result<Option<Actor>, Fault> {
        match self.actor(caller, &self.backend.view()) {
            Err(Fault::Auth(AuthRefusal::OldRevision)) => {
                self.read_barrier().await?;
                self.actor(caller, &self.backend.view())
            }
            known => known,
        }
    }

    /// Whether the caller may do what needs `need`, as far as this member can know: for what is answered without the log and
    /// by no particular view.
    pub(crate) async fn permitted(&self, caller: &Caller, need: Need<'_>) -> Result<(), Fault> {
        let actor = self.known_actor(caller).await?;
        Ok(self.backend.view().permits(actor.as_ref(), need)?)
    }

    /// The view that a read may be served from, and the user that the caller is in it: whoever reads asks that same view what
    /// the user may do.
    pub(crate) async fn readable_as(
        &self,
        caller: &Caller,
        serializable: bool,
    ) -> Result<(Arc<View>, Option<Actor>), Fault> {
        let view = self.readable_view(serializable).await?;
        match self.actor(caller, &view) {
            Err(Fault::Auth(AuthRefusal::OldRevision)) if serializable => {
                let view = self.readable_view(false).await?;
                let actor = self.actor(caller, &view)?;
                Ok((view, actor))
            }
            actor => Ok((view, actor?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(
        headers: &[(&'static str, &'static str)],
        certificate: Option<&str>,
    ) -> (Option<String>, Option<String>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        if let Some(name) = certificate {
            extensions.insert(CertificateName(name.to_owned()));
        }
        let caller = Caller::of(&map, &extensions);
        assert_eq!(
            caller.has_name(),
            caller.token.is_some() || certificate.is_some() && caller.certificate.is_some()
        );
        (caller.token, caller.certificate)
    }

    fn names(token: Option<&str>, certificate: Option<&str>) -> (Option<String>, Option<String>) {
        (token.map(str::to_owned), certificate.map(str::to_owned))
    }

    /// Rows B6.2 and B6.7: where a token stands, and when a certificate counts.
    #[test]
    fn what_a_request_says() {
        assert_eq!(caller(&[], None), names(None, None));
        assert_eq!(
            caller(&[("token", "t"), ("authorization", "a")], None),
            names(Some("t"), None)
        );
        assert_eq!(caller(&[("authorization", "a")], None), names(Some("a"), None));
        assert_eq!(
            caller(&[("authorization", "Bearer a")], None),
            names(Some("a"), None)
        );
        assert_eq!(caller(&[("token", "")], None), names(Some(""), None));
        assert_eq!(
            caller(&[("token", "t")], Some("ann")),
            names(Some("t"), Some("ann"))
        );
        assert_eq!(
            caller(&[("grpcgateway-accept", "x")], Some("gateway")),
            names(None, None)
        );
    }
}
