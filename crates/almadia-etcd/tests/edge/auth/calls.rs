//! Rows B2.8, B3.9 and B5.8: who may call what. Every method that is served, called without a token, with a bad one, by a
//! user with a role of its own, and by root.

use super::*;

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    Everybody,
    Users,
    Root,
    /// As `Root`, but etcd says so in its inner words.
    RootInside,
}

/// A method, a request that is well formed and concerns keys that `ann` may use, and who may call it.
type Case = (&'static str, Vec<u8>, Open);

fn case(method: &'static str, request: &impl Message, open: Open) -> Case {
    (method, request.encode_to_vec(), open)
}

/// All methods.
fn methods() -> Vec<Case> {
    [kv(), leases(), member(), users(), roles()].concat()
}

fn kv() -> Vec<Case> {
    let range = pb::RangeRequest {
        key: "a".into(),
        ..Default::default()
    };
    let put = pb::PutRequest {
        key: "a".into(),
        ..Default::default()
    };
    let delete = pb::DeleteRangeRequest {
        key: "a".into(),
        ..Default::default()
    };
    let compact = pb::CompactionRequest {
        revision: 1,
        physical: false,
    };
    vec![
        case("KV/Range", &range, Open::Users),
        case("KV/Put", &put, Open::Users),
        case("KV/DeleteRange", &delete, Open::Users),
        case("KV/Txn", &pb::TxnRequest::default(), Open::Users),
        case("KV/Compact", &compact, Open::Root),
    ]
}

fn leases() -> Vec<Case> {
    let left = pb::LeaseTimeToLiveRequest { id: 5, keys: true };
    vec![
        case(
            "Lease/LeaseGrant",
            &pb::LeaseGrantRequest { ttl: 60, id: 5 },
            Open::Users,
        ),
        case("Lease/LeaseTimeToLive", &left, Open::Users),
        case("Lease/LeaseLeases", &pb::LeaseLeasesRequest {}, Open::Users),
        case(
            "Lease/LeaseRevoke",
            &pb::LeaseRevokeRequest { id: 5 },
            Open::Users,
        ),
    ]
}

fn member() -> Vec<Case> {
    let alarm = |action| pb::AlarmRequest {
        action,
        alarm: 1,
        member_id: 9,
    };
    let list = pb::MemberListRequest { linearizable: false };
    vec![
        case("Cluster/MemberList", &list, Open::Users),
        case("Maintenance/Status", &pb::StatusRequest {}, Open::Root),
        case("Maintenance/Alarm", &pb::AlarmRequest::default(), Open::Users),
        case("Maintenance/Alarm", &alarm(1), Open::Root),
        case("Maintenance/Alarm", &alarm(2), Open::Root),
        case(
            "Maintenance/Defragment",
            &pb::DefragmentRequest {},
            Open::RootInside,
        ),
        case("Maintenance/Hash", &pb::HashRequest {}, Open::RootInside),
        case(
            "Maintenance/HashKV",
            &pb::HashKvRequest { revision: 0 },
            Open::RootInside,
        ),
        case("Auth/AuthStatus", &pb::AuthStatusRequest {}, Open::Everybody),
        case("Auth/AuthEnable", &pb::AuthEnableRequest {}, Open::Root),
    ]
}

/// In an order in which root's calls succeed, together with [`roles`].
fn users() -> Vec<Case> {
    let add = pb::AuthUserAddRequest {
        name: "n".into(),
        ..Default::default()
    };
    let change = pb::AuthUserChangePasswordRequest {
        name: "n".into(),
        ..Default::default()
    };
    let get = pb::AuthUserGetRequest { name: "root".into() };
    vec![
        case("Auth/UserAdd", &add, Open::Root),
        case("Auth/UserList", &pb::AuthUserListRequest {}, Open::Root),
        case("Auth/UserGet", &get, Open::Root),
        case("Auth/UserChangePassword", &change, Open::Root),
    ]
}

fn roles() -> Vec<Case> {
    let name = || "n".to_owned();
    let permission = authpb::Permission {
        perm_type: 0,
        key: "x".into(),
        range_end: Bytes::new(),
    };
    let grant = pb::AuthRoleGrantPermissionRequest {
        name: name(),
        perm: Some(permission),
    };
    let revoke = pb::AuthRoleRevokePermissionRequest {
        role: name(),
        key: "x".into(),
        range_end: Bytes::new(),
    };
    let give = pb::AuthUserGrantRoleRequest {
        user: name(),
        role: name(),
    };
    let take = pb::AuthUserRevokeRoleRequest {
        name: name(),
        role: name(),
    };
    vec![
        case(
            "Auth/RoleAdd",
            &pb::AuthRoleAddRequest { name: name() },
            Open::Root,
        ),
        case("Auth/RoleList", &pb::AuthRoleListRequest {}, Open::Root),
        case(
            "Auth/RoleGet",
            &pb::AuthRoleGetRequest { role: name() },
            Open::Root,
        ),
        case("Auth/UserGrantRole", &give, Open::Root),
        case("Auth/UserRevokeRole", &take, Open::Root),
        case("Auth/RoleGrantPermission", &grant, Open::Root),
        case("Auth/RoleRevokePermission", &revoke, Open::Root),
        case(
            "Auth/RoleDelete",
            &pb::AuthRoleDeleteRequest { role: name() },
            Open::Root,
        ),
        case(
            "Auth/UserDelete",
            &pb::AuthUserDeleteRequest { name: name() },
            Open::Root,
        ),
        case("Auth/AuthDisable", &pb::AuthDisableRequest {}, Open::Root),
    ]
}

/// Bytes as a message, so that one function calls all methods.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Encoded(pub Vec<u8>);

impl Message for Encoded {
    fn encode_raw(&self, into: &mut impl bytes::BufMut) {
        into.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        from: &mut impl bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, from, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[tokio::test]
async fn who_may_call_what() {
    let guarded = Guarded::new().await;
    for (method, request, open) in methods() {
        let request = Encoded(request);
        let call = async |client: &Client| client.call::<Encoded>(method, &request).await.map(|_| ());
        let inside = |(code, text): (Code, &str)| match open {
            Open::RootInside => (Code::Unknown, text.replace("etcdserver: ", "auth: ")),
            _ => (code, text.to_owned()),
        };
        let refused = |found: Found<()>, expected: (Code, &str)| {
            let found = found.expect_err(method);
            assert_eq!(found, inside(expected), "{method} ({open:?})");
        };
        // Who shows a token must have a good one, even where none is needed.
        refused(call(&guarded.nobody.with("nonsense")).await, BAD_TOKEN);
        match open {
            Open::Everybody => call(&guarded.nobody).await.unwrap(),
            _ => refused(call(&guarded.nobody).await, NO_USER),
        }
        match open {
            Open::Everybody | Open::Users => {
                call(&guarded.ann)
                    .await
                    .unwrap_or_else(|refusal| panic!("{method}: {refusal:?}"));
            }
            Open::Root | Open::RootInside => refused(call(&guarded.ann).await, DENIED),
        }
        if let Err((code, text)) = call(&guarded.root).await {
            assert!(
                ![DENIED, NO_USER, BAD_TOKEN].contains(&(code, text.as_str())),
                "{method}: root is told {text:?}"
            );
        }
    }
}

/// Row B3.9: leases are worth what the keys on them are.
#[tokio::test]
async fn leases_and_their_keys() {
    let guarded = Guarded::new().await;
    let (root, ann) = (&guarded.root, &guarded.ann);
    for id in [5, 6] {
        let grant = pb::LeaseGrantRequest { ttl: 600, id };
        let _: pb::LeaseGrantResponse = ann.call("Lease/LeaseGrant", &grant).await.unwrap();
    }
    let put = |key: &'static str, lease| pb::PutRequest {
        key: key.into(),
        lease,
        ..Default::default()
    };
    let _: pb::PutResponse = ann.call("KV/Put", &put("a", 5)).await.unwrap();
    let _: pb::PutResponse = ann.call("KV/Put", &put("b", 5)).await.unwrap();
    let _: pb::PutResponse = root.call("KV/Put", &put("x", 6)).await.unwrap();
    // Whoever may not end the lease must not hang keys on it, alone or in a transaction.
    is_refused(ann.call::<pb::PutResponse>("KV/Put", &put("a", 6)).await, DENIED);
    let operation = pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(put("a", 6))),
    };
    let txn = pb::TxnRequest {
        failure: vec![operation],
        ..Default::default()
    };
    is_refused(ann.call::<pb::TxnResponse>("KV/Txn", &txn).await, DENIED);
    let revoke = |id| pb::LeaseRevokeRequest { id };
    is_refused(
        ann.call::<pb::LeaseRevokeResponse>("Lease/LeaseRevoke", &revoke(6))
            .await,
        DENIED,
    );
    let left = |id, keys| pb::LeaseTimeToLiveRequest { id, keys };
    is_refused(
        ann.call::<pb::LeaseTimeToLiveResponse>("Lease/LeaseTimeToLive", &left(6, true))
            .await,
        DENIED,
    );
    let _: pb::LeaseTimeToLiveResponse = ann.call("Lease/LeaseTimeToLive", &left(6, false)).await.unwrap();
    let _: pb::LeaseTimeToLiveResponse = ann.call("Lease/LeaseTimeToLive", &left(5, true)).await.unwrap();
    is_refused(
        ann.call::<pb::LeaseLeasesResponse>("Lease/LeaseLeases", &pb::LeaseLeasesRequest {})
            .await,
        DENIED,
    );
    let _: pb::LeaseRevokeResponse = root.call("Lease/LeaseRevoke", &revoke(6)).await.unwrap();
    let leases: pb::LeaseLeasesResponse = ann
        .call("Lease/LeaseLeases", &pb::LeaseLeasesRequest {})
        .await
        .unwrap();
    assert_eq!(leases.leases.len(), 1);
    let _: pb::LeaseRevokeResponse = ann.call("Lease/LeaseRevoke", &revoke(5)).await.unwrap();
}

/// Row B2.8: a watch needs its whole range, also from a key on (etcd 3.5 looks at the first key only); the stream goes on.
#[tokio::test]
async fn watches() {
    use pb::watch_client::WatchClient;
    use pb::watch_request::RequestUnion;
    let guarded = Guarded::new().await;
    let create = |key: &'static str, range_end: &'static str| pb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(pb::WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            ..Default::default()
        })),
    };
    let wanted = vec![
        create("a", "\0"),
        create("a", "d"),
        create("x", ""),
        create("", "\0"),
        create("a", "c"),
        create("b", ""),
    ];
    let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    let nobody = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
    let bad = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
    let granted = "";
    for (client, expected) in [
        (&guarded.ann, [denied, denied, denied, denied, granted, granted]),
        (&guarded.root, [granted; 6]),
        (&guarded.nobody, [nobody; 6]),
        (&guarded.nobody.with("nonsense"), [bad; 6]),
    ] {
        let mut request = Request::new(tonic::codegen::tokio_stream::iter(wanted.clone()));
        if let Some(token) = &client.token {
            request.metadata_mut().insert("token", token.parse().unwrap());
        }
        let mut answers = WatchClient::new(client.channel.clone())
            .watch(request)
            .await
            .unwrap()
            .into_inner();
        for reason in expected {
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!((answer.created, answer.cancel_reason.as_str()), (true, reason));
            assert_eq!(
                (answer.canceled, answer.watch_id == -1),
                (!reason.is_empty(), !reason.is_empty())
            );
        }
    }
}

/// A stream with watches on [a, c) and on b, both made.
async fn two_watches(client: &Client) -> tonic::Streaming<pb::WatchResponse> {
    use pb::watch_request::RequestUnion;
    let create = |key: &'static str, range_end: &'static str| pb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(pb::WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            ..Default::default()
        })),
    };
    let wanted = vec![create("a", "c"), create("b", "")];
    let mut request = Request::new(tonic::codegen::tokio_stream::iter(wanted));
    let token = client.token.as_ref().unwrap().parse().unwrap();
    request.metadata_mut().insert("token", token);
    let mut client = pb::watch_client::WatchClient::new(client.channel.clone());
    let mut answers = client.watch(request).await.unwrap().into_inner();
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap();
        assert!(answer.created && !answer.canceled, "{answer:?}");
    }
    answers
}

/// The next answers to the two watches of a stream, by watch: how many events, and why it ended.
async fn two_answers(answers: &mut tonic::Streaming<pb::WatchResponse>) -> Vec<(i64, usize, String)> {
    let mut heard = Vec::new();
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap();
        heard.push((answer.watch_id, answer.events.len(), answer.cancel_reason));
    }
    heard.sort_unstable();
    heard
}

/// Row B2.8: who may no longer read what it watches hears nothing more of it: the watch ends with the reason before the first
/// event that it may not see, the others of its stream go on. (etcd 3.5.30 goes on telling it everything, until it opens the watch
/// again.)
#[tokio::test]
async fn a_watch_ends_with_its_right() {
    let guarded = Guarded::new().await;
    let root = &guarded.root;
    root.role_add("only-b").await;
    root.role_grant("only-b", authpb::permission::Type::Read, "b", "")
        .await;
    root.user_grant("ann", "only-b").await;
    let ann = guarded.ann.login("ann", "a").await.unwrap();
    let (mut hers, mut roots) = (two_watches(&ann).await, two_watches(root).await);
    let nothing = String::new;
    root.put("b").await.unwrap();
    for answers in [&mut hers, &mut roots] {
        assert_eq!(two_answers(answers).await, [(0, 1, nothing()), (1, 1, nothing())]);
    }
    let request = pb::AuthUserRevokeRoleRequest {
        name: "ann".to_owned(),
        role: "r".to_owned(),
    };
    let _: pb::AuthUserRevokeRoleResponse = root.change("UserRevokeRole", request).await;
    root.put("b").await.unwrap();
    let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    let hers_now = two_answers(&mut hers).await;
    assert_eq!(hers_now, [(0, 0, denied.to_owned()), (1, 1, nothing())]);
    assert_eq!(
        two_answers(&mut roots).await,
        [(0, 1, nothing()), (1, 1, nothing())]
    );
    // Ended for good, also when the right comes back; what goes on goes on.
    root.user_grant("ann", "r").await;
    root.put("a").await.unwrap();
    root.put("b").await.unwrap();
    let answer = hers.message().await.unwrap().unwrap();
    assert_eq!((answer.watch_id, answer.events.len()), (1, 1));
    assert_eq!(answer.events[0].kv.as_ref().unwrap().key, b"b"[..]);
    // And without any right left the stream has no watch, but is not broken.
    let request = pb::AuthUserDeleteRequest {
        name: "ann".to_owned(),
    };
    let _: pb::AuthUserDeleteResponse = root.change("UserDelete", request).await;
    root.put("b").await.unwrap();
    let answer = hers.message().await.unwrap().unwrap();
    assert_eq!(
        (answer.watch_id, answer.canceled, answer.events.len()),
        (1, true, 0)
    );
    assert!(!answer.cancel_reason.is_empty());
}
