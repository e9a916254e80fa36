//! Rows B10.1, B10.5: codes and texts that nothing else here provokes, one call each.

use super::*;

/// What a call comes to for root, while permissions count.
async fn refused<M: Message + Default>(
    guarded: &Guarded,
    method: &str,
    request: impl Message,
) -> (Code, String) {
    let found = guarded.root.call::<M>(method, &request).await;
    found.map(|_| ()).expect_err(method)
}

fn user_role(user: &str, role: &str) -> pb::AuthUserRevokeRoleRequest {
    pb::AuthUserRevokeRoleRequest {
        name: user.to_owned(),
        role: role.to_owned(),
    }
}

#[tokio::test]
async fn what_cannot_be_there_twice_or_be_taken_away() {
    let guarded = Guarded::new().await;
    let user = pb::AuthUserAddRequest {
        name: "ann".to_owned(),
        password: "a".to_owned(),
        ..Default::default()
    };
    let role = pb::AuthRoleAddRequest { name: "r".to_owned() };
    let permission = pb::AuthRoleRevokePermissionRequest {
        role: "r".to_owned(),
        key: "x".into(),
        range_end: "z".into(),
    };
    let answers = [
        refused::<pb::AuthUserAddResponse>(&guarded, "Auth/UserAdd", user).await,
        refused::<pb::AuthRoleAddResponse>(&guarded, "Auth/RoleAdd", role).await,
        refused::<pb::AuthUserRevokeRoleResponse>(&guarded, "Auth/UserRevokeRole", user_role("ann", "root"))
            .await,
        refused::<pb::AuthRoleRevokePermissionResponse>(&guarded, "Auth/RoleRevokePermission", permission)
            .await,
    ];
    let texts = [
        "etcdserver: user name already exists",
        "etcdserver: role name already exists",
        "etcdserver: role is not granted to the user",
        "etcdserver: permission is not granted to the role",
    ];
    assert_eq!(
        answers,
        texts.map(|text| (Code::FailedPrecondition, text.to_owned()))
    );
}

#[tokio::test]
async fn what_is_no_request() {
    let guarded = Guarded::new().await;
    let nameless = pb::AuthRoleAddRequest::default();
    let without = pb::AuthRoleGrantPermissionRequest {
        name: "r".to_owned(),
        perm: None,
    };
    let root = pb::AuthUserDeleteRequest {
        name: "root".to_owned(),
    };
    let nowhere = pb::MemberAddRequest {
        peer_ur_ls: vec!["nowhere".to_owned()],
        is_learner: false,
    };
    let answers = [
        refused::<pb::AuthRoleAddResponse>(&guarded, "Auth/RoleAdd", nameless).await,
        refused::<pb::AuthRoleGrantPermissionResponse>(&guarded, "Auth/RoleGrantPermission", without).await,
        refused::<pb::AuthUserDeleteResponse>(&guarded, "Auth/UserDelete", root).await,
        refused::<pb::AuthUserRevokeRoleResponse>(&guarded, "Auth/UserRevokeRole", user_role("root", "root"))
            .await,
        refused::<pb::MemberAddResponse>(&guarded, "Cluster/MemberAdd", nowhere).await,
    ];
    let texts = [
        "etcdserver: role name is empty",
        "etcdserver: permission not given",
        "etcdserver: invalid auth management",
        "etcdserver: invalid auth management",
        "etcdserver: given member URLs are invalid",
    ];
    assert_eq!(
        answers,
        texts.map(|text| (Code::InvalidArgument, text.to_owned()))
    );
}
