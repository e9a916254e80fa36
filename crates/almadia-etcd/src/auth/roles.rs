//! Roles and what they permit.

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::authpb;
use crate::proto::etcdserverpb as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_command::{AuthChangeKind, Permission, RoleGrantPermission, RoleName, RoleRevokePermission};
use almadia_store::{AuthRefusal, Need};
use prost::Message;
use tonic::Status;

/// Makes a role that permits nothing yet.
pub(super) async fn add<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthRoleAddRequest,
) -> Result<Replied<Plain<pb::AuthRoleAddResponse>>, Status> {
    let len = request.encoded_len();
    let kind = AuthChangeKind::RoleAdd(RoleName { name: request.name });
    let answer = |header| pb::AuthRoleAddResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}

/// What a role permits. Users may see the roles they have.
pub(super) async fn get<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthRoleGetRequest,
) -> Result<Replied<Plain<pb::AuthRoleGetResponse>>, Status> {
    let (view, actor) = shared.readable_as(&caller, false).await?;
    let user = actor.as_ref().and_then(|actor| view.auth().user(&actor.user));
    if !user.is_some_and(|user| user.has_role(&request.role)) {
        view.permits(actor.as_ref(), Need::Root).map_err(Fault::from)?;
    }
    let role = view.auth().role(&request.role);
    let role = role.ok_or(Fault::Auth(AuthRefusal::RoleNotFound))?;
    Ok(Replied::unlogged(Plain(pb::AuthRoleGetResponse {
        header: Some(shared.read_header(&view)),
        perm: role.permissions().iter().map(permission).collect(),
    })))
}

fn permission(permission: &Permission) -> authpb::Permission {
    authpb::Permission {
        perm_type: permission.kind,
        key: permission.key.clone(),
        range_end: permission.range_end.clone(),
    }
}

/// The names of all roles.
pub(super) async fn list<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
) -> Result<Replied<Plain<pb::AuthRoleListResponse>>, Status> {
    let (view, actor) = shared.readable_as(&caller, false).await?;
    view.permits(actor.as_ref(), Need::Root).map_err(Fault::from)?;
    Ok(Replied::unlogged(Plain(pb::AuthRoleListResponse {
        header: Some(shared.read_header(&view)),
        roles: view.auth().roles().map(|(name, _)| name.to_owned()).collect(),
    })))
}

/// Removes a role, also from its users.
pub(super) async fn delete<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthRoleDeleteRequest,
) -> Result<Replied<Plain<pb::AuthRoleDeleteResponse>>, Status> {
    let len = request.encoded_len();
    let kind = AuthChangeKind::RoleDelete(RoleName { name: request.role });
    let answer = |header| pb::AuthRoleDeleteResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}

/// Lets a role do more.
pub(super) async fn grant_permission<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthRoleGrantPermissionRequest,
) -> Result<Replied<Plain<pb::AuthRoleGrantPermissionResponse>>, Status> {
    let len = request.encoded_len();
    let permission = request.perm.map(|permission| Permission {
        kind: permission.perm_type,
        key: permission.key,
        range_end: permission.range_end,
    });
    let kind = AuthChangeKind::RoleGrantPermission(RoleGrantPermission {
        role: request.name,
        permission,
    });
    let answer = |header| pb::AuthRoleGrantPermissionResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}

/// Takes a permission back, exactly as it was given.
pub(super) async fn revoke_permission<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AuthRoleRevokePermissionRequest,
) -> Result<Replied<Plain<pb::AuthRoleRevokePermissionResponse>>, Status> {
    let len = request.encoded_len();
    let kind = AuthChangeKind::RoleRevokePermission(RoleRevokePermission {
        role: request.role,
        key: request.key,
        range_end: request.range_end,
    });
    let answer = |header| pb::AuthRoleRevokePermissionResponse { header };
    Ok(shared.change(&caller, kind, len, answer).await?)
}
