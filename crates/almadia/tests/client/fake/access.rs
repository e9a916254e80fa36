//! Access control of the fake: one user at most who must log in, and the names of users and roles.

use std::collections::BTreeMap;

use almadia_etcd::proto::authpb::Permission;
use almadia_etcd::proto::etcdserverpb::auth_server::Auth;
use almadia_etcd::proto::etcdserverpb::*;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::{Answer, Fake, Service};

/// Users, roles, and who may ask.
#[derive(Debug, Default)]
pub struct Access {
    /// Name and password that are asked for; `None`: access control is off.
    wanted: Option<(String, String)>,
    /// Only the token of the last login is good.
    logins: usize,
    is_outdated: bool,
    users: BTreeMap<String, (String, Vec<String>)>,
    roles: BTreeMap<String, Vec<Permission>>,
}

impl Fake {
    /// Switches access control on: only this user may ask.
    pub fn require_login(&self, name: &str, password: &str) {
        self.shared.lock().access.wanted = Some((name.to_owned(), password.to_owned()));
    }

    /// Lets the tokens there are be refused from now on.
    pub fn outdate_tokens(&self) {
        self.shared.lock().access.is_outdated = true;
    }

    /// How often somebody logged in.
    pub fn logins(&self) -> usize {
        self.shared.lock().access.logins
    }

    /// A user's password.
    pub fn password(&self, user: &str) -> String {
        self.shared.lock().access.users[user].0.clone()
    }
}

impl Service {
    /// What etcd says of a request without a good token.
    pub fn check_token(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let state = self.state();
        let access = &state.access;
        if access.wanted.is_none() {
            return Ok(());
        }
        let good = format!("token.{}", access.logins);
        match metadata.get("token") {
            None => Err(Status::invalid_argument("etcdserver: user name is empty")),
            Some(token) if *token == *good && !access.is_outdated => Ok(()),
            Some(_) => Err(Status::unauthenticated("etcdserver: invalid auth token")),
        }
    }

    fn user<T>(&self, name: &str, act: impl FnOnce(&mut (String, Vec<String>)) -> T) -> Result<T, Status> {
        let mut state = self.state();
        let user = state.access.users.get_mut(name);
        user.map(act)
            .ok_or_else(|| Status::failed_precondition("etcdserver: user name not found"))
    }

    fn role<T>(&self, name: &str, act: impl FnOnce(&mut Vec<Permission>) -> T) -> Result<T, Status> {
        let mut state = self.state();
        let role = state.access.roles.get_mut(name);
        role.map(act)
            .ok_or_else(|| Status::failed_precondition("etcdserver: role name not found"))
    }
}

fn done<T: Default>() -> Answer<T> {
    Ok(Response::new(T::default()))
}

#[tonic::async_trait]
impl Auth for Service {
    async fn auth_enable(&self, _: Request<AuthEnableRequest>) -> Answer<AuthEnableResponse> {
        if !self.state().access.users.contains_key("root") {
            return Err(Status::failed_precondition(
                "etcdserver: root user does not exist",
            ));
        }
        done()
    }

    async fn auth_disable(&self, _: Request<AuthDisableRequest>) -> Answer<AuthDisableResponse> {
        self.state().access.wanted = None;
        done()
    }

    async fn auth_status(&self, _: Request<AuthStatusRequest>) -> Answer<AuthStatusResponse> {
        let enabled = self.state().access.wanted.is_some();
        Ok(Response::new(AuthStatusResponse {
            header: None,
            enabled,
            auth_revision: 3,
        }))
    }

    async fn authenticate(&self, request: Request<AuthenticateRequest>) -> Answer<AuthenticateResponse> {
        self.check()?;
        let (request, mut state) = (request.into_inner(), self.state());
        let access = &mut state.access;
        let Some(wanted) = &access.wanted else {
            return Err(Status::failed_precondition(
                "etcdserver: authentication is not enabled",
            ));
        };
        if *wanted != (request.name, request.password) {
            return Err(Status::invalid_argument(
                "etcdserver: authentication failed, invalid user ID or password",
            ));
        }
        access.logins += 1;
        access.is_outdated = false;
        let token = format!("token.{}", access.logins);
        Ok(Response::new(AuthenticateResponse { header: None, token }))
    }

    async fn user_add(&self, request: Request<AuthUserAddRequest>) -> Answer<AuthUserAddResponse> {
        let request = request.into_inner();
        let user = (request.password, Vec::new());
        self.state().access.users.insert(request.name, user);
        done()
    }

    async fn user_get(&self, request: Request<AuthUserGetRequest>) -> Answer<AuthUserGetResponse> {
        let roles = self.user(&request.into_inner().name, |user| user.1.clone())?;
        Ok(Response::new(AuthUserGetResponse { header: None, roles }))
    }

    async fn user_list(&self, _: Request<AuthUserListRequest>) -> Answer<AuthUserListResponse> {
        let users = self.state().access.users.keys().cloned().collect();
        Ok(Response::new(AuthUserListResponse { header: None, users }))
    }

    async fn user_delete(&self, request: Request<AuthUserDeleteRequest>) -> Answer<AuthUserDeleteResponse> {
        let name = request.into_inner().name;
        self.user(&name, |_| ())?;
        self.state().access.users.remove(&name);
        done()
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Answer<AuthUserChangePasswordResponse> {
        let request = request.into_inner();
        self.user(&request.name, |user| user.0 = request.password)?;
        done()
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Answer<AuthUserGrantRoleResponse> {
        let request = request.into_inner();
        self.user(&request.user, |user| user.1.push(request.role))?;
        done()
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Answer<AuthUserRevokeRoleResponse> {
        let request = request.into_inner();
        self.user(&request.name, |user| user.1.retain(|role| *role != request.role))?;
        done()
    }

    async fn role_add(&self, request: Request<AuthRoleAddRequest>) -> Answer<AuthRoleAddResponse> {
        self.state()
            .access
            .roles
            .insert(request.into_inner().name, Vec::new());
        done()
    }

    async fn role_get(&self, request: Request<AuthRoleGetRequest>) -> Answer<AuthRoleGetResponse> {
        let perm = self.role(&request.into_inner().role, |role| role.clone())?;
        Ok(Response::new(AuthRoleGetResponse { header: None, perm }))
    }

    async fn role_list(&self, _: Request<AuthRoleListRequest>) -> Answer<AuthRoleListResponse> {
        let roles = self.state().access.roles.keys().cloned().collect();
        Ok(Response::new(AuthRoleListResponse { header: None, roles }))
    }

    async fn role_delete(&self, request: Request<AuthRoleDeleteRequest>) -> Answer<AuthRoleDeleteResponse> {
        let name = request.into_inner().role;
        self.role(&name, |_| ())?;
        self.state().access.roles.remove(&name);
        done()
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Answer<AuthRoleGrantPermissionResponse> {
        let request = request.into_inner();
        self.role(&request.name, |role| role.extend(request.perm))?;
        done()
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Answer<AuthRoleRevokePermissionResponse> {
        let request = request.into_inner();
        let is_it = |permission: &Permission| {
            permission.key == request.key && permission.range_end == request.range_end
        };
        self.role(&request.role, |role| role.retain(|permission| !is_it(permission)))?;
        done()
    }
}
