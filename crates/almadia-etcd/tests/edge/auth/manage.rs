//! Rows B6.1 to B6.4: the Auth service from the client's side, with etcd's texts.

use super::*;

#[tokio::test]
async fn off_as_long_as_nobody_turns_it_on() {
    let scene = Scene::with(config()).await;
    let client = Client::of(&scene).await;
    let off = "etcdserver: authentication is not enabled";
    let refused = client.login("root", "r").await.map(|_| ());
    assert_eq!(refused, refusal(Code::FailedPrecondition, off));
    let status: pb::AuthStatusResponse = client.change("AuthStatus", pb::AuthStatusRequest {}).await;
    assert_eq!((status.enabled, status.auth_revision), (false, 1));
    let _: pb::AuthDisableResponse = client.change("AuthDisable", pb::AuthDisableRequest {}).await;
    let enable = async || {
        client
            .call::<pb::AuthEnableResponse>("Auth/AuthEnable", &pb::AuthEnableRequest {})
            .await
    };
    is_refused(
        enable().await,
        (Code::FailedPrecondition, "etcdserver: root user does not exist"),
    );
    client.user_add("root", "r").await;
    is_refused(
        enable().await,
        (
            Code::FailedPrecondition,
            "etcdserver: root user does not have root role",
        ),
    );
    // Tokens that nobody has given out do no harm while nobody looks.
    client.with("nonsense").put("a").await.unwrap();
    client.user_grant("root", "root").await;
    let header = enable().await.unwrap().header.unwrap();
    assert_eq!(
        (header.revision, header.member_id),
        (2, crate::double::MEMBER.get()),
        "{header:?}"
    );
    let status: pb::AuthStatusResponse = client.change("AuthStatus", pb::AuthStatusRequest {}).await;
    assert_eq!((status.enabled, status.auth_revision), (true, 3));
    is_refused(client.put("a").await, NO_USER);
    is_refused(client.with("nonsense").put("a").await, BAD_TOKEN);
}

#[tokio::test]
async fn logins() {
    let guarded = Guarded::new().await;
    let wrong = (
        Code::InvalidArgument,
        "etcdserver: authentication failed, invalid user ID or password",
    );
    for (name, password) in [
        ("ann", "A"),
        ("ann", ""),
        ("ann", "r"),
        ("bob", "a"),
        ("", ""),
        ("ANN", "a"),
    ] {
        is_refused(guarded.nobody.login(name, password).await.map(|_| ()), wrong);
    }
    let card = pb::AuthUserAddRequest {
        name: "card".to_owned(),
        password: "ignored".to_owned(),
        options: Some(authpb::UserAddOptions { no_password: true }),
        ..Default::default()
    };
    let _: pb::AuthUserAddResponse = guarded.root.change("UserAdd", card).await;
    let no_password = "auth: authentication failed, password was given for no password user";
    for password in ["", "ignored"] {
        is_refused(
            guarded.nobody.login("card", password).await.map(|_| ()),
            (Code::Unknown, no_password),
        );
    }
    guarded.root.user_add("empty", "").await;
    guarded.nobody.login("empty", "").await.unwrap();
    let long = pb::AuthUserAddRequest {
        name: "long".to_owned(),
        password: "x".repeat(73),
        ..Default::default()
    };
    let refused = guarded
        .root
        .call::<pb::AuthUserAddResponse>("Auth/UserAdd", &long)
        .await;
    is_refused(
        refused,
        (Code::Unknown, "bcrypt: password length exceeds 72 bytes"),
    );
}

/// A hash in the place of a password, made by another program and written in base64.
#[tokio::test]
async fn passwords_that_come_hashed() {
    let guarded = Guarded::new().await;
    let hash = bcrypt_of_u();
    let request = pb::AuthUserAddRequest {
        name: "hashed".to_owned(),
        hashed_password: hash,
        ..Default::default()
    };
    let _: pb::AuthUserAddResponse = guarded.root.change("UserAdd", request).await;
    guarded.nobody.login("hashed", "U*U").await.unwrap();
    assert!(guarded.nobody.login("hashed", "U*V").await.is_err());
    let request = pb::AuthUserChangePasswordRequest {
        name: "hashed".to_owned(),
        hashed_password: "no base64".to_owned(),
        ..Default::default()
    };
    let refused = guarded
        .root
        .call::<pb::AuthUserChangePasswordResponse>("Auth/UserChangePassword", &request)
        .await;
    assert_eq!(refused.map(|_| ()).unwrap_err().0, Code::Unknown);
}

/// A known answer of bcrypt: `U*U`, cost 5, from the test vectors of crypt_blowfish, in base64.
fn bcrypt_of_u() -> String {
    "JDJhJDA1JENDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQy5FNVlQTzlrbXl1Ukd5aDBYb3VRWWI0WU1KS3Z5T2VX".to_owned()
}

#[tokio::test]
async fn users_and_roles_are_shown() {
    let guarded = Guarded::new().await;
    let (root, ann) = (&guarded.root, &guarded.ann);
    let users: pb::AuthUserListResponse = root.change("UserList", pb::AuthUserListRequest {}).await;
    assert_eq!(users.users, ["ann", "root"]);
    let roles: pb::AuthRoleListResponse = root.change("RoleList", pb::AuthRoleListRequest {}).await;
    assert_eq!(roles.roles, ["r"]);
    let user = |name: &str| pb::AuthUserGetRequest {
        name: name.to_owned(),
    };
    let role = |role: &str| pb::AuthRoleGetRequest {
        role: role.to_owned(),
    };
    // Everybody may see themselves and what they may do, nobody else.
    let own: pb::AuthUserGetResponse = ann.change("UserGet", user("ann")).await;
    assert_eq!(own.roles, ["r"]);
    let own: pb::AuthRoleGetResponse = ann.change("RoleGet", role("r")).await;
    assert_eq!(own.perm.len(), 1);
    for name in ["root", "none", ""] {
        is_refused(
            ann.call::<pb::AuthUserGetResponse>("Auth/UserGet", &user(name))
                .await,
            DENIED,
        );
        is_refused(
            ann.call::<pb::AuthRoleGetResponse>("Auth/RoleGet", &role(name))
                .await,
            DENIED,
        );
    }
    let not_found = (Code::FailedPrecondition, "etcdserver: user name not found");
    is_refused(
        root.call::<pb::AuthUserGetResponse>("Auth/UserGet", &user("none"))
            .await,
        not_found,
    );
    is_refused(
        guarded
            .nobody
            .call::<pb::AuthUserGetResponse>("Auth/UserGet", &user(""))
            .await,
        not_found,
    );
    is_refused(
        guarded
            .nobody
            .call::<pb::AuthUserGetResponse>("Auth/UserGet", &user("ann"))
            .await,
        NO_USER,
    );
    let no_role = (Code::FailedPrecondition, "etcdserver: role name not found");
    is_refused(
        root.call::<pb::AuthRoleGetResponse>("Auth/RoleGet", &role("none"))
            .await,
        no_role,
    );
    is_refused(
        guarded
            .nobody
            .call::<pb::AuthRoleGetResponse>("Auth/RoleGet", &role("r"))
            .await,
        NO_USER,
    );
}

/// Row B6.4: what a role may do changes at once for those who are logged in, and the union of ranges decides.
#[tokio::test]
async fn rights_come_and_go_at_once() {
    let guarded = Guarded::new().await;
    let (root, ann) = (&guarded.root, &guarded.ann);
    ann.put("b").await.unwrap();
    is_refused(ann.put("c").await, DENIED);
    root.role_grant("r", authpb::permission::Type::Write, "c", "d")
        .await;
    ann.put("c").await.unwrap();
    is_refused(ann.get("c").await, DENIED);
    let across = pb::DeleteRangeRequest {
        key: "a".into(),
        range_end: "d".into(),
        prev_kv: false,
    };
    let deleted: pb::DeleteRangeResponse = ann.call("KV/DeleteRange", &across).await.unwrap();
    assert_eq!(deleted.deleted, 2);
    let across = pb::DeleteRangeRequest {
        prev_kv: true,
        ..across
    };
    is_refused(
        ann.call::<pb::DeleteRangeResponse>("KV/DeleteRange", &across)
            .await,
        DENIED,
    );
    let revoke = pb::AuthRoleRevokePermissionRequest {
        role: "r".to_owned(),
        key: "a".into(),
        range_end: "c".into(),
    };
    let _: pb::AuthRoleRevokePermissionResponse = root.change("RoleRevokePermission", revoke).await;
    is_refused(ann.put("b").await, DENIED);
    is_refused(ann.get("b").await, DENIED);
    let revoke = pb::AuthUserRevokeRoleRequest {
        name: "ann".to_owned(),
        role: "r".to_owned(),
    };
    let _: pb::AuthUserRevokeRoleResponse = root.change("UserRevokeRole", revoke).await;
    is_refused(ann.put("c").await, DENIED);
}

/// A request that is malformed is refused for that, whoever asks; a revision is looked at only after the user.
#[tokio::test]
async fn form_comes_before_users_and_users_before_revisions() {
    let guarded = Guarded::new().await;
    for client in [&guarded.nobody, &guarded.ann, &guarded.nobody.with("nonsense")] {
        let no_key = (Code::InvalidArgument, "etcdserver: key is not provided");
        is_refused(client.put("").await, no_key);
        is_refused(client.get("").await, no_key);
    }
    let future = pb::RangeRequest {
        key: "x".into(),
        revision: 99,
        ..Default::default()
    };
    is_refused(
        guarded
            .nobody
            .call::<pb::RangeResponse>("KV/Range", &future)
            .await,
        NO_USER,
    );
    is_refused(
        guarded.ann.call::<pb::RangeResponse>("KV/Range", &future).await,
        DENIED,
    );
    let too_late = "etcdserver: mvcc: required revision is a future revision";
    is_refused(
        guarded.root.call::<pb::RangeResponse>("KV/Range", &future).await,
        (Code::OutOfRange, too_late),
    );
}
