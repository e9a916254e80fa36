//! Users: their passwords and their roles.

use super::base64;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_command::{AuthChangeKind, UserAdd, UserChangePassword, UserName, UserRole};
use almadia_store::{AuthRefusal, Need};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

/// Makes a user. A password wins over a hash that comes beside it.
pub(super) async fn add<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthUserAddRequest,
) -> Result<Replied<Plain<pb::AuthUserAddResponse>>, Status> {
    let len = request.encoded_len();
    let no_password = request.options.is_some_and(|options| options.no_password);
    let password_hash = if no_password {
        Bytes::new()
    } else {
        shared
            .hash(&caller, request.password, &request.hashed_password)
            .await?
    };
    let kind = AuthChangeKind::UserAdd(UserAdd {
        name: request.name,
        password_hash,
        no_password,
    });
    let answer = |header| pb::AuthUserAddResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}

/// Sets a password, which ends all tokens of the user.
pub(super) async fn change_password<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthUserChangePasswordRequest,
) -> Result<Replied<Plain<pb::AuthUserChangePasswordResponse>>, Status> {
    let len = request.encoded_len();
    let password_hash = shared
        .hash(&caller, request.password, &request.hashed_password)
        .await?;
    let kind = AuthChangeKind::UserChangePassword(UserChangePassword {
        name: request.name,
        password_hash,
    });
    let answer = |header| pb::AuthUserChangePasswordResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}

impl<B: Backend> Shared<B> {
    /// The hash of a new password. Whoever may not set one does not keep a processor busy with it.
    async fn hash(&self, caller: &Caller, password: String, hashed: &str) -> Result<Bytes, Fault> {
        self.permitted(caller, Need::Root).await?;
        if password.is_empty() && !hashed.is_empty() {
            // etcd's word for a hash that cannot be read.
            return base64::decode(hashed)
                .map(Bytes::from)
                .ok_or(Fault::NoPasswordUser);
        }
        self.access.passwords.hash(password).await
    }
}

/// The roles of a user. Users may see their own.
pub(super) async fn get<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthUserGetRequest,
) -> Result<Replied<Plain<pb::AuthUserGetResponse>>, Status> {
    let (view, actor) = shared.readable_as(&caller, false).await?;
    let own = actor.as_ref().map_or("", |actor| &actor.user);
    if request.name != own {
        view.permits(actor.as_ref(), Need::Root).map_err(Fault::from)?;
    }
    let user = view.auth().user(&request.name);
    let user = user.ok_or(Fault::Auth(AuthRefusal::UserNotFound))?;
    Ok(Replied::unlogged(Plain(pb::AuthUserGetResponse {
        header: Some(shared.read_header(&view)),
        roles: user.roles().map(str::to_owned).collect(),
    })))
}

/// The names of all users.
pub(super) async fn list<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
) -> Result<Replied<Plain<pb::AuthUserListResponse>>, Status> {
    let (view, actor) = shared.readable_as(&caller, false).await?;
    view.permits(actor.as_ref(), Need::Root).map_err(Fault::from)?;
    Ok(Replied::unlogged(Plain(pb::AuthUserListResponse {
        header: Some(shared.read_header(&view)),
        users: view.auth().users().map(|(name, _)| name.to_owned()).collect(),
    })))
}

/// Removes a user, which ends all its tokens.
pub(super) async fn delete<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthUserDeleteRequest,
) -> Result<Replied<Plain<pb::AuthUserDeleteResponse>>, Status> {
    let len = request.encoded_len();
    let kind = AuthChangeKind::UserDelete(UserName { name: request.name });
    let answer = |header| pb::AuthUserDeleteResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}

/// Gives a user a role.
pub(super) async fn grant_role<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthUserGrantRoleRequest,
) -> Result<Replied<Plain<pb::AuthUserGrantRoleResponse>>, Status> {
    let len = request.encoded_len();
    let kind = AuthChangeKind::UserGrantRole(UserRole {
        user: request.user,
        role: request.role,
    });
    let answer = |header| pb::AuthUserGrantRoleResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}

/// Takes a role from a user.
pub(super) async fn revoke_role<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthUserRevokeRoleRequest,
) -> Result<Replied<Plain<pb::AuthUserRevokeRoleResponse>>, Status> {
    let len = request.encoded_len();
    let kind = AuthChangeKind::UserRevokeRole(UserRole {
        user: request.name,
        role: request.role,
    });
    let answer = |header| pb::AuthUserRevokeRoleResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}
