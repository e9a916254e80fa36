//! One tower service for all gRPC services, etcd's and ours: finds the method, reads the request, answers.
//!
//! It routes by the request's path alone and is served on any HTTP/2 connection; [`crate::serve`] does that with
//! tonic's server. What a method means stands in [`crate::kv`], [`crate::maintenance`] and [`crate::cluster`].

use crate::backend::Backend;
use crate::coalesce::UnderWay;
use crate::config::Config;
use crate::position::{self, Position};
use crate::wire::{self, Answer};
use crate::{admin, cluster, kv, maintenance};
use prost::Message;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};

/// The services of etcd with their methods, so that an unknown one is told from one that comes later.
const METHODS: [(&str, &[&str]); 9] = [
    ("almadia.v1.Admin", &["Log"]),
    (
        "etcdserverpb.KV",
        &["Range", "RangeStream", "Put", "DeleteRange", "Txn", "Compact"],
    ),
    ("etcdserverpb.Watch", &["Watch"]),
    (
        "etcdserverpb.Lease",
        &[
            "LeaseGrant",
            "LeaseRevoke",
            "LeaseKeepAlive",
            "LeaseTimeToLive",
            "LeaseLeases",
        ],
    ),
    (
        "etcdserverpb.Cluster",
        &[
            "MemberAdd",
            "MemberRemove",
            "MemberUpdate",
            "MemberList",
            "MemberPromote",
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        &[
            "Alarm",
            "Status",
            "Defragment",
            "Hash",
            "HashKV",
            "Snapshot",
            "MoveLeader",
            "Downgrade",
        ],
    ),
    (
        "etcdserverpb.Auth",
        &[
            "AuthEnable",
            "AuthDisable",
            "AuthStatus",
            "Authenticate",
            "UserAdd",
            "UserGet",
            "UserList",
            "UserDelete",
            "UserChangePassword",
            "UserGrantRole",
            "UserRevokeRole",
            "RoleAdd",
            "RoleGet",
            "RoleList",
            "RoleDelete",
            "RoleGrantPermission",
            "RoleRevokePermission",
        ],
    ),
    ("v3lockpb.Lock", &["Lock", "Unlock"]),
    (
        "v3electionpb.Election",
        &["Campaign", "Proclaim", "Leader", "Observe", "Resign"],
    ),
];

/// The edge of one member. Cheap to clone; every connection has one.
pub struct Edge<B> {
    shared: Arc<Shared<B>>,
}

/// What every request needs.
pub(crate) struct Shared<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) config: Config,
}

/// What a method answers: the message, and where its command stands in the log if it has one.
pub(crate) struct Replied<A> {
    pub(crate) answer: A,
    pub(crate) position: Option<Position>,
}

impl<A> Replied<A> {
    /// An answer without a place in the log.
    pub(crate) fn unlogged(answer: A) -> Self {
        Self {
            answer,
            position: None,
        }
    }
}

impl<B> Clone for Edge<B> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<B: Backend> Edge<B> {
    /// An edge over a member.
    pub fn new(backend: Arc<B>, config: Config) -> Self {
        Self {
            shared: Arc::new(Shared { backend, config }),
        }
    }
}

impl<B: Backend> Service<http::Request<Body>> for Edge<B> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let working = request.extensions().get::<UnderWay>().map(UnderWay::begin);
        Box::pin(async move {
            let response = shared.answer(request).await;
            drop(working);
            Ok(response)
        })
    }
}

impl<B: Backend> Shared<B> {
    async fn answer(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        match parts.uri.path() {
            "/etcdserverpb.KV/Range" => {
                self.finish(headers, async {
                    kv::range(self, self.read(headers, body).await?).await
                })
                .await
            }
            "/etcdserverpb.KV/Put" => {
                self.finish(headers, async {
                    kv::put(self, self.read(headers, body).await?).await
                })
                .await
            }
            "/etcdserverpb.KV/DeleteRange" => {
                self.finish(headers, async {
                    kv::delete_range(self, self.read(headers, body).await?).await
                })
                .await
            }
            "/etcdserverpb.KV/Txn" => {
                self.finish(headers, async {
                    kv::txn(self, self.read(headers, body).await?).await
                })
                .await
            }
            "/etcdserverpb.KV/Compact" => {
                self.finish(headers, async {
                    kv::compact(self, self.read(headers, body).await?).await
                })
                .await
            }
            "/etcdserverpb.Maintenance/Status" => {
                self.finish(headers, async {
                    maintenance::status(self, self.read(headers, body).await?)
                })
                .await
            }
            "/etcdserverpb.Cluster/MemberList" => {
                self.finish(headers, async {
                    cluster::member_list(self, self.read(headers, body).await?).await
                })
                .await
            }
            "/almadia.v1.Admin/Log" => {
                self.finish(headers, async {
                    admin::log(self, self.read(headers, body).await?).await
                })
                .await
            }
            path => unserved(path).into_http(),
        }
    }

    async fn read<M: Message + Default>(&self, headers: &http::HeaderMap, body: Body) -> Result<M, Status> {
        wire::read_message(headers, body, self.config.message_bytes_max()).await
    }

    async fn finish<A: Answer>(
        &self,
        headers: &http::HeaderMap,
        reply: impl Future<Output = Result<Replied<A>, Status>>,
    ) -> http::Response<Body> {
        match reply.await {
            Ok(replied) => {
                let mut response = wire::respond(replied.answer);
                if let Some(position) = replied.position
                    && position::is_asked_for(headers)
                {
                    position.write(&self.backend.status(), response.headers_mut());
                }
                response
            }
            Err(status) => status.into_http(),
        }
    }
}

/// What a method that is not served is answered: as etcd does for what nobody knows, and plainly for what is to come.
fn unserved(path: &str) -> Status {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
        return Status::unimplemented(format!("malformed method name: {path:?}"));
    };
    let Some((_, methods)) = METHODS.iter().find(|(name, _)| *name == service) else {
        return Status::unimplemented(format!("unknown service {service}"));
    };
    if methods.contains(&method) {
        return Status::unimplemented(format!(
            "almadia: {service}/{method} is not served yet; it comes in a later release"
        ));
    }
    Status::unimplemented(format!("unknown method {method} for service {service}"))
}
