//! The Auth service and permissions over the real edge on a loopback socket, its store behind a double. Tests name the rows of
//! etcd-surface.md (B…) and known-failures.md (row …) that they decide.

mod calls;
mod like_etcd;
mod manage;
mod texts;
mod tokens;

use crate::double::Scene;
use almadia_etcd::proto::authpb;
use almadia_etcd::proto::etcdserverpb as pb;
use almadia_etcd::{AuthConfig, Config, TokenKind};
use bytes::Bytes;
use prost::Message;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Response};

/// Hashes that cost nothing; the rest as by default.
fn config() -> Config {
    Config {
        auth: AuthConfig {
            bcrypt_cost: 4,
            // Tests are wrong on purpose, and often.
            failed_logins_max: 0,
            ..AuthConfig::default()
        },
        ..Config::default()
    }
}

/// What a call comes to: the message, or code and text.
type Found<M> = Result<M, (Code, String)>;

/// A connection, and the token that is shown on it.
#[derive(Clone)]
struct Client {
    channel: Channel,
    token: Option<String>,
}

impl Client {
    async fn of(scene: &Scene) -> Self {
        Self {
            channel: crate::double::connect(&format!("http://{}", scene.address)).await,
            token: None,
        }
    }

    /// The same connection with this token.
    fn with(&self, token: &str) -> Self {
        Self {
            channel: self.channel.clone(),
            token: Some(token.to_owned()),
        }
    }

    /// Calls a method, given as `Service/Method` of etcd.
    async fn call<M: Message + Default>(&self, method: &str, request: &impl Message) -> Found<M> {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.expect("the server takes connections");
        let path = PathAndQuery::try_from(format!("/etcdserverpb.{method}")).expect("it is a path");
        let mut request = Request::new(Bytes::from(request.encode_to_vec()));
        if let Some(token) = &self.token {
            request
                .metadata_mut()
                .insert("token", token.parse().expect("it is metadata"));
        }
        let answer = client
            .unary(request, path, crate::raw::Raw)
            .await
            .map(Response::into_inner);
        let answer = answer.map_err(|status| (status.code(), status.message().to_owned()))?;
        Ok(M::decode(answer).expect("it answers its message"))
    }

    async fn change<M: Message + Default>(&self, method: &str, request: impl Message) -> M {
        let found = self.call(&format!("Auth/{method}"), &request).await;
        found.unwrap_or_else(|refusal| panic!("{method}: {refusal:?}"))
    }

    async fn login(&self, name: &str, password: &str) -> Found<Self> {
        let request = pb::AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let answer: pb::AuthenticateResponse = self.call("Auth/Authenticate", &request).await?;
        Ok(self.with(&answer.token))
    }

    async fn put(&self, key: &str) -> Found<pb::PutResponse> {
        let request = pb::PutRequest {
            key: key.to_owned().into(),
            ..Default::default()
        };
        self.call("KV/Put", &request).await
    }

    async fn get(&self, key: &str) -> Found<pb::RangeResponse> {
        let request = pb::RangeRequest {
            key: key.to_owned().into(),
            ..Default::default()
        };
        self.call("KV/Range", &request).await
    }

    async fn user_add(&self, name: &str, password: &str) {
        let request = pb::AuthUserAddRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            ..Default::default()
        };
        let _: pb::AuthUserAddResponse = self.change("UserAdd", request).await;
    }

    async fn user_grant(&self, user: &str, role: &str) {
        let request = pb::AuthUserGrantRoleRequest {
            user: user.to_owned(),
            role: role.to_owned(),
        };
        let _: pb::AuthUserGrantRoleResponse = self.change("UserGrantRole", request).await;
    }

    async fn role_add(&self, name: &str) {
        let request = pb::AuthRoleAddRequest {
            name: name.to_owned(),
        };
        let _: pb::AuthRoleAddResponse = self.change("RoleAdd", request).await;
    }

    async fn role_grant(&self, role: &str, kind: authpb::permission::Type, key: &str, range_end: &str) {
        let request = pb::AuthRoleGrantPermissionRequest {
            name: role.to_owned(),
            perm: Some(authpb::Permission {
                perm_type: kind as i32,
                key: key.to_owned().into(),
                range_end: range_end.to_owned().into(),
            }),
        };
        let _: pb::AuthRoleGrantPermissionResponse = self.change("RoleGrantPermission", request).await;
    }
}

/// A served store with root and `ann`, who may read and write [a, c); permissions count.
struct Guarded {
    scene: Scene,
    /// Without a token.
    nobody: Client,
    root: Client,
    ann: Client,
}

impl Guarded {
    async fn new() -> Self {
        Self::with(config()).await
    }

    async fn with(config: Config) -> Self {
        let scene = Scene::with(config).await;
        let nobody = Client::of(&scene).await;
        nobody.user_add("root", "r").await;
        nobody.user_grant("root", "root").await;
        nobody.role_add("r").await;
        nobody
            .role_grant("r", authpb::permission::Type::Readwrite, "a", "c")
            .await;
        nobody.user_add("ann", "a").await;
        nobody.user_grant("ann", "r").await;
        let _: pb::AuthEnableResponse = nobody.change("AuthEnable", pb::AuthEnableRequest {}).await;
        let root = nobody.login("root", "r").await.unwrap();
        let ann = nobody.login("ann", "a").await.unwrap();
        Self {
            scene,
            nobody,
            root,
            ann,
        }
    }
}

fn refusal<M>(code: Code, text: &str) -> Found<M> {
    Err((code, text.to_owned()))
}

const DENIED: (Code, &str) = (Code::PermissionDenied, "etcdserver: permission denied");
const NO_USER: (Code, &str) = (Code::InvalidArgument, "etcdserver: user name is empty");
const BAD_TOKEN: (Code, &str) = (Code::Unauthenticated, "etcdserver: invalid auth token");

#[track_caller]
fn is_refused<M: std::fmt::Debug>(found: Found<M>, (code, text): (Code, &str)) {
    let (found_code, found_text) = found.expect_err(text);
    assert_eq!((found_code, found_text.as_str()), (code, text));
}

/// A cluster whose simple tokens hold for this long.
fn with_ttl(ttl: Duration) -> Config {
    let mut config = config();
    config.auth.tokens = TokenKind::Simple { ttl };
    config
}
