//! Rows B6.2, B6.5 and B6.8: tokens from the client's side, changes amid traffic, and logins that stand in nobody's way.

use super::*;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// Another member of the cluster: another edge, the same log.
async fn another_edge(guarded: &Guarded) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let backend = Arc::clone(&guarded.scene.double);
    tokio::spawn(async move {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        almadia_etcd::serve(backend, config(), incoming, std::future::pending()).await
    });
    Client {
        channel: crate::double::connect(&url).await,
        token: None,
    }
}

/// A token is good on every member at once, and as bad.
#[tokio::test]
async fn good_on_any_member() {
    let guarded = Guarded::new().await;
    let elsewhere = another_edge(&guarded).await;
    let ann = elsewhere.with(guarded.ann.token.as_ref().unwrap());
    ann.put("a").await.unwrap();
    is_refused(ann.put("x").await, DENIED);
    let (letters, digits) = ann.token.as_ref().unwrap().split_once('.').unwrap();
    assert!(
        letters.bytes().all(|byte| byte.is_ascii_lowercase()),
        "letters as etcd's: {letters}"
    );
    assert!(
        digits.bytes().all(|byte| byte.is_ascii_digit()),
        "digits as etcd's: {digits}"
    );
}

#[tokio::test]
async fn tampered_or_of_somebody_else() {
    let guarded = Guarded::new().await;
    let token = guarded.ann.token.clone().unwrap();
    let root = guarded.root.token.clone().unwrap();
    for at in 0..token.len() {
        let with = if token.as_bytes()[at] == b'b' { "c" } else { "b" };
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        is_refused(guarded.nobody.with(&changed).put("a").await, BAD_TOKEN);
    }
    // The code of one with the body of the other, both ways.
    for (one, other) in [(&token, &root), (&root, &token)] {
        is_refused(
            guarded
                .nobody
                .with(&format!("{}{}", &one[..64], &other[64..]))
                .put("a")
                .await,
            BAD_TOKEN,
        );
    }
    let cluster = Guarded::new().await;
    is_refused(cluster.nobody.with(&root).put("a").await, BAD_TOKEN);
    for garbage in ["", ".", "a.1", "Bearer x", "ab.18446744073709551616"] {
        is_refused(guarded.nobody.with(garbage).put("a").await, BAD_TOKEN);
    }
}

#[tokio::test]
async fn ended_by_a_new_password_and_by_deletion() {
    let guarded = Guarded::new().await;
    let root = &guarded.root;
    let change = pb::AuthUserChangePasswordRequest {
        name: "ann".to_owned(),
        password: "b".to_owned(),
        ..Default::default()
    };
    let _: pb::AuthUserChangePasswordResponse = root.change("UserChangePassword", change).await;
    is_refused(guarded.ann.put("a").await, BAD_TOKEN);
    assert!(guarded.nobody.login("ann", "a").await.is_err());
    let ann = guarded.nobody.login("ann", "b").await.unwrap();
    ann.put("a").await.unwrap();
    let delete = pb::AuthUserDeleteRequest {
        name: "ann".to_owned(),
    };
    let _: pb::AuthUserDeleteResponse = root.change("UserDelete", delete).await;
    is_refused(ann.put("a").await, BAD_TOKEN);
    // Turning it off and on again ends all tokens.
    let _: pb::AuthDisableResponse = root.change("AuthDisable", pb::AuthDisableRequest {}).await;
    ann.put("a").await.unwrap();
    let _: pb::AuthEnableResponse = guarded
        .nobody
        .change("AuthEnable", pb::AuthEnableRequest {})
        .await;
    is_refused(root.put("a").await, BAD_TOKEN);
    guarded
        .nobody
        .login("root", "r")
        .await
        .unwrap()
        .put("a")
        .await
        .unwrap();
}

/// A token that is not used ends by itself.
#[tokio::test]
async fn ended_by_time() {
    let guarded = Guarded::with(with_ttl(Duration::ZERO)).await;
    is_refused(guarded.ann.put("a").await, BAD_TOKEN);
    let login: Found<pb::AuthStatusResponse> = guarded
        .ann
        .call("Auth/AuthStatus", &pb::AuthStatusRequest {})
        .await;
    is_refused(login, BAD_TOKEN);
}

/// Row 5 of the known failures: users and roles change all the time amid traffic. Who is permitted throughout is never
/// refused, who is not never gets through, and every answer is one of the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_amid_traffic() {
    let guarded = Guarded::new().await;
    let root = guarded.root.clone();
    let changes = tokio::spawn(async move {
        for _ in 0..60 {
            root.role_add("other").await;
            let delete = pb::AuthRoleDeleteRequest {
                role: "other".to_owned(),
            };
            let _: pb::AuthRoleDeleteResponse = root.change("RoleDelete", delete).await;
        }
    });
    let traffic = |client: Client| async move {
        for _ in 0..100 {
            let put = client.put("a").await;
            // Four changes in a row between finding the user and applying may show; a client asks again.
            let old = (
                Code::InvalidArgument,
                "etcdserver: revision of auth store is old".to_owned(),
            );
            assert!(
                put.is_ok() || put.as_ref().is_err_and(|refusal| *refusal == old),
                "{put:?}"
            );
            client.get("a").await.unwrap();
            is_refused(
                client.put("x").await.map_err(|found| {
                    if found == old {
                        (DENIED.0, DENIED.1.to_owned())
                    } else {
                        found
                    }
                }),
                DENIED,
            );
        }
    };
    let (one, other) = (
        tokio::spawn(traffic(guarded.ann.clone())),
        tokio::spawn(traffic(guarded.ann.clone())),
    );
    one.await.unwrap();
    other.await.unwrap();
    changes.await.unwrap();
    assert!(
        guarded
            .scene
            .double
            .proposals
            .load(std::sync::atomic::Ordering::Relaxed)
            > 300
    );
}

/// Logins hash on threads of their own: while many wait for costly hashes, reads and writes are answered.
#[tokio::test]
async fn logins_stand_in_nobodys_way() {
    let mut costly = config();
    costly.auth.bcrypt_cost = 9;
    let guarded = Guarded::with(costly).await;
    let logins: Vec<_> = (0..8)
        .map(|number| {
            let nobody = guarded.nobody.clone();
            tokio::spawn(async move {
                let name = if number % 2 == 0 { "ann" } else { "nobody" };
                nobody.login(name, "a").await.is_ok()
            })
        })
        .collect();
    // The test, the server and the logins share one thread; it serves these although hashing has begun.
    let mut answered = 0;
    while !logins.iter().all(|login| login.is_finished()) {
        guarded.ann.put("a").await.unwrap();
        answered += 1;
    }
    assert!(answered > 20, "only {answered} writes during 8 logins");
    for (number, login) in logins.into_iter().enumerate() {
        assert_eq!(login.await.unwrap(), number % 2 == 0);
    }
}
