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

/// The methods with a request that is well formed and concerns keys that `ann` may use.
fn methods() -> Vec<(&'static str, Vec<u8>, Open)> {
    let bytes = |message: &dyn Fn() -> Vec<u8>| message();
    let key = || "a".into();
    let mut methods = vec![
        (
            "KV/Range",
            pb::RangeRequest {
                key: key(),
                ..Default::default()
            }
            .encode_to_vec(),
            Open::Users,
        ),
        (
            "KV/Put",
            pb::PutRequest {
                key: key(),
                ..Default::default()
            }
            .encode_to_vec(),
            Open::Users,
        ),
        (
            "KV/DeleteRange",
            pb::DeleteRangeRequest {
                key: key(),
                ..Default::default()
            }
            .encode_to_vec(),
            Open::Users,
        ),
        ("KV/Txn", pb::TxnRequest::default().encode_to_vec(), Open::Users),
        (
            "KV/Compact",
            pb::CompactionRequest {
                revision: 1,
                physical: false,
            }
            .encode_to_vec(),
            Open::Root,
        ),
        (
            "Lease/LeaseGrant",
            pb::LeaseGrantRequest { ttl: 60, id: 5 }.encode_to_vec(),
            Open::Users,
        ),
        (
            "Lease/LeaseTimeToLive",
            pb::LeaseTimeToLiveRequest { id: 5, keys: true }.encode_to_vec(),
            Open::Users,
        ),
        (
            "Lease/LeaseLeases",
            pb::LeaseLeasesRequest {}.encode_to_vec(),
            Open::Users,
        ),
        (
            "Lease/LeaseRevoke",
            pb::LeaseRevokeRequest { id: 5 }.encode_to_vec(),
            Open::Users,
        ),
        (
            "Cluster/MemberList",
            pb::MemberListRequest { linearizable: false }.encode_to_vec(),
            Open::Users,
        ),
        (
            "Maintenance/Status",
            pb::StatusRequest {}.encode_to_vec(),
            Open::Root,
        ),
        (
            "Maintenance/Alarm",
            pb::AlarmRequest::default().encode_to_vec(),
            Open::Users,
        ),
        (
            "Maintenance/Alarm",
            pb::AlarmRequest {
                action: 1,
                alarm: 1,
                member_id: 9,
            }
            .encode_to_vec(),
            Open::Root,
        ),
        (
            "Maintenance/Alarm",
            pb::AlarmRequest {
                action: 2,
                alarm: 1,
                member_id: 9,
            }
            .encode_to_vec(),
            Open::Root,
        ),
        (
            "Maintenance/Defragment",
            pb::DefragmentRequest {}.encode_to_vec(),
            Open::RootInside,
        ),
        (
            "Maintenance/Hash",
            pb::HashRequest {}.encode_to_vec(),
            Open::RootInside,
        ),
        (
            "Maintenance/HashKV",
            pb::HashKvRequest { revision: 0 }.encode_to_vec(),
            Open::RootInside,
        ),
        (
            "Auth/AuthStatus",
            bytes(&|| pb::AuthStatusRequest {}.encode_to_vec()),
            Open::Everybody,
        ),
    ];
    let root_only = [
        ("Auth/AuthEnable", pb::AuthEnableRequest {}.encode_to_vec()),
        (
            "Auth/UserAdd",
            pb::AuthUserAddRequest {
                name: "n".into(),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        ("Auth/UserList", pb::AuthUserListRequest {}.encode_to_vec()),
        (
            "Auth/UserGet",
            pb::AuthUserGetRequest { name: "root".into() }.encode_to_vec(),
        ),
        (
            "Auth/UserChangePassword",
            pb::AuthUserChangePasswordRequest {
                name: "n".into(),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            "Auth/RoleAdd",
            pb::AuthRoleAddRequest { name: "n".into() }.encode_to_vec(),
        ),
        ("Auth/RoleList", pb::AuthRoleListRequest {}.encode_to_vec()),
        (
            "Auth/RoleGet",
            pb::AuthRoleGetRequest { role: "n".into() }.encode_to_vec(),
        ),
        (
            "Auth/UserGrantRole",
            pb::AuthUserGrantRoleRequest {
                user: "n".into(),
                role: "n".into(),
            }
            .encode_to_vec(),
        ),
        (
            "Auth/UserRevokeRole",
            pb::AuthUserRevokeRoleRequest {
                name: "n".into(),
                role: "n".into(),
            }
            .encode_to_vec(),
        ),
        (
            "Auth/RoleGrantPermission",
            pb::AuthRoleGrantPermissionRequest {
                name: "n".into(),
                perm: Some(authpb::Permission {
                    perm_type: 0,
                    key: "x".into(),
                    range_end: Bytes::new(),
                }),
            }
            .encode_to_vec(),
        ),
        (
            "Auth/RoleRevokePermission",
            pb::AuthRoleRevokePermissionRequest {
                role: "n".into(),
                key: "x".into(),
                range_end: Bytes::new(),
            }
            .encode_to_vec(),
        ),
        (
            "Auth/RoleDelete",
            pb::AuthRoleDeleteRequest { role: "n".into() }.encode_to_vec(),
        ),
        (
            "Auth/UserDelete",
            pb::AuthUserDeleteRequest { name: "n".into() }.encode_to_vec(),
        ),
        ("Auth/AuthDisable", pb::AuthDisableRequest {}.encode_to_vec()),
    ];
    methods.extend(root_only.map(|(method, request)| (method, request, Open::Root)));
    methods
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
