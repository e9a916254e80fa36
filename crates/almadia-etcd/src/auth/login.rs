//! Trading a password for a token.

use super::now_ms;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_store::AuthRefusal;
use std::time::Instant;
use tonic::Status;

/// Logs in, by the newest state: a password that was changed before the call is not taken any more.
///
/// A change of the password while it is being checked ends the token that is given out, since that says at which revision the
/// password was right.
pub(super) async fn authenticate<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthenticateRequest,
) -> Result<Replied<Plain<pb::AuthenticateResponse>>, Status> {
    let view = shared.readable_view(false).await?;
    let auth = view.auth();
    if !auth.is_enabled() {
        return Err(Fault::Auth(AuthRefusal::NotEnabled).into());
    }
    let guesses = &shared.access.guesses;
    guesses.permit(&request.name, caller.address(), Instant::now())?;
    let user = auth.user(&request.name);
    if user.is_some_and(|user| user.has_no_password()) {
        return Err(Fault::NoPasswordUser.into());
    }
    let hash = user.map(|user| user.password_hash().clone());
    if !shared.access.passwords.verify(request.password, hash).await? {
        guesses.note_wrong(&request.name, caller.address(), Instant::now());
        return Err(Fault::AuthenticationFailed.into());
    }
    // Changes of others since must not end a JSON Web Token at once.
    let now = shared.backend.view();
    let is_same = now.auth().is_enabled() && now.auth().honours(&request.name, auth.revision());
    let auth = if is_same { now.auth() } else { auth };
    let token = shared.access.tokens.issue(auth, &request.name, now_ms())?;
    Ok(Replied::unlogged(Plain(pb::AuthenticateResponse {
        header: Some(shared.read_header(&view)),
        token,
    })))
}
