//! One tower service for all gRPC services, etcd's and ours: finds the method, reads the request, answers. What is not
//! gRPC's is handed to [`crate::http`].
//!
//! It routes by the request's path alone and is served on any connection; [`crate::serve`] does that with
//! hyper's. What the methods of a service mean stands in the module of its name.

use crate::auth::Access;
use crate::backend::Backend;
use crate::budget::Budget;
use crate::caller::Caller;
use crate::coalesce::{UnderWay, Working};
use crate::config::Config;
use crate::connection::Register;
use crate::error::Fault;
use crate::http as web;
use crate::intake::{Intake, IntakeBounds};
use crate::metrics::{Method, Metrics};
use crate::pieces::{self, PIECE_BYTES};
use crate::position::{self, Position};
use crate::served::Served;
use crate::slots::Slots;
use crate::slow::{self, Answered, SlowLog};
use crate::stop::Stop;
use crate::stream::Messages;
use crate::wire::{self, Answer};
use crate::{admin, auth, cluster, election, health, kv, lease, lock, maintenance, reflection, watch};
use prost::Message;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};

/// All services with their methods.
pub(crate) const METHODS: [(&str, &[&str]); 12] = [
    (
        "almadia.v1.Admin",
        &["Log", "Cluster", "Slow", "Isolate", "Heal", "Faults", "Crash"],
    ),
    ("grpc.health.v1.Health", &["Check", "Watch"]),
    ("grpc.reflection.v1.ServerReflection", &["ServerReflectionInfo"]),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        &["ServerReflectionInfo"],
    ),
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
    served: Served,
}

/// What every request needs.
pub(crate) struct Shared<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) config: Config,
    pub(crate) access: Access,
    pub(crate) metrics: Metrics,
    /// Streams end when the server stops.
    pub(crate) stop: Stop,
    pub(crate) connections: Register,
    pub(crate) intake: Arc<IntakeBounds>,
    pub(crate) budget: Budget,
    pub(crate) watch_slots: Slots,
    pub(crate) stage: web::Stage,
    pub(crate) slow: SlowLog,
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
            served: self.served,
        }
    }
}

impl<B: Backend> Edge<B> {
    /// An edge over a member.
    pub fn new(backend: Arc<B>, config: Config) -> Self {
        let metrics = Metrics::default();
        let bounds = &metrics.bounds;
        let access = Access::new(&config.auth, config.request_timeout, bounds);
        let watch_slots = Slots::new(
            config.limits.watches_max,
            bounds.watches.clone(),
            bounds.watches_refused.clone(),
        );
        let connections = Register::new(&config.limits, metrics.bounds.clone());
        let budget = Budget::new(config.limits.answer_bytes_max, metrics.bounds.clone());
        let slow = SlowLog::new(config.slow_request_threshold, metrics.slow.clone());
        let intake = Arc::new(IntakeBounds {
            message_bytes_max: config.message_bytes_max(),
            body_timeout: config.limits.body_timeout,
            unfinished_bytes_max: config.limits.unfinished_bytes_max,
            unfinished_bytes: AtomicUsize::new(0),
            metrics: metrics.bounds.clone(),
        });
        Self {
            shared: Arc::new(Shared {
                backend,
                config,
                access,
                metrics,
                stop: Stop::default(),
                connections,
                intake,
                budget,
                watch_slots,
                stage: web::Stage::default(),
                slow,
            }),
            served: Served::Everything,
        }
    }

    /// The connections that are open.
    pub(crate) fn connections(&self) -> &Register {
        &self.shared.connections
    }

    /// The same edge for those who are served no more than this.
    #[must_use]
    pub fn serving(&self, served: Served) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            served,
        }
    }

    /// Ends the streams of all connections, which would go on for ever; what comes later is served as before.
    pub fn end_streams(&self) {
        self.shared.stop.begin();
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
        let served = self.served;
        if !(served.has_grpc() && web::is_grpc(&request)) {
            // In a future of its own, so that gRPC's is no larger for it.
            return Box::pin(async move {
                let response = web::serve(shared, served, request).await;
                drop(working);
                Ok(response)
            });
        }
        Box::pin(async move {
            let response = Self::answer_counted(shared, request).await;
            drop(working);
            Ok(response)
        })
    }
}

/// A request on its way to its method.
pub(crate) struct Call {
    headers: http::HeaderMap,
    extensions: http::Extensions,
    body: Body,
}

impl Call {
    /// Counts a stream among what is under way on its connection, for as long as the guard is held.
    pub(crate) fn begin_stream(&self) -> Option<Working> {
        self.extensions.get::<UnderWay>().map(UnderWay::begin)
    }

    /// Whether the client wants no answer from a member without a leader.
    pub(crate) fn wants_leader(&self) -> bool {
        self.headers.get("hasleader").is_some_and(|value| value == "true")
    }

    /// Who asks.
    pub(crate) fn caller(&self) -> Caller {
        Caller::of(&self.headers, &self.extensions)
    }

    /// Carries out a method that takes one message and answers one.
    pub(crate) async fn unary<B, M, A, R>(
        self,
        shared: &Shared<B>,
        carry_out: impl FnOnce(Caller, M) -> R,
    ) -> http::Response<Body>
    where
        B: Backend,
        M: Message + Default,
        A: Answer,
        R: Future<Output = Result<Replied<A>, Status>>,
    {
        let caller = self.caller();
        let mut intake = Intake::new(
            &self.headers,
            self.body,
            shared.intake.clone(),
            self.extensions.get().cloned(),
            true,
        );
        let read = wire::read_one(&mut intake, || shared.is_stranger(&caller)).await;
        drop(intake);
        let replied = match read {
            Ok(message) => carry_out(caller, message).await,
            Err(status) => Err(status),
        };
        match replied {
            Ok(replied) => {
                let mut response = shared.respond(replied.answer);
                if let Some(position) = replied.position
                    && position::is_asked_for(&self.headers)
                {
                    position.write(&shared.backend.status(), response.headers_mut());
                }
                response
            }
            Err(status) => status.into_http(),
        }
    }

    /// The one message of a method that takes one and answers a stream.
    pub(crate) async fn message<B: Backend, M: Message + Default>(
        self,
        shared: &Shared<B>,
    ) -> Result<M, Status> {
        let caller = self.caller();
        let mut intake = self.intake(shared, true);
        wire::read_one(&mut intake, || shared.is_stranger(&caller)).await
    }

    /// The messages of a method that takes a stream.
    pub(crate) fn messages<B: Backend, M: Message + Default>(self, shared: &Arc<Shared<B>>) -> Messages<M> {
        let caller = self.caller();
        let asked = shared.clone();
        Messages::new(
            self.intake(shared, false),
            Box::new(move || asked.is_stranger(&caller)),
        )
    }

    fn intake<B>(self, shared: &Shared<B>, is_awaited: bool) -> Intake {
        let connection = self.extensions.get().cloned();
        Intake::new(
            &self.headers,
            self.body,
            shared.intake.clone(),
            connection,
            is_awaited,
        )
    }
}

impl<B: Backend> Shared<B> {
    /// The HTTP response for an answer: whole, or in pieces if it is a large one.
    fn respond<A: Answer>(&self, mut answer: A) -> http::Response<Body> {
        let len = answer.encoded_len();
        if len <= PIECE_BYTES {
            return wire::respond(answer);
        }
        slow::trail::is_large();
        let share = answer.take_share();
        pieces::respond(
            len,
            answer.into_segments(),
            share,
            self.config.limits.body_timeout,
        )
    }

    /// Returns when a stream must end although nothing is wrong with it: the server stops, or, for those who want one,
    /// there has been no leader for too long.
    pub(crate) fn cut(&self, wants_leader: bool) -> Pin<Box<dyn Future<Output = Fault> + Send>> {
        let (stop, fenced) = (self.stop.begun(), self.backend.fenced());
        if !wants_leader {
            return Box::pin(async {
                tokio::select! {
                    () = stop => Fault::Stopped,
                    () = fenced => Fault::Unhealthy,
                }
            });
        }
        let leaderless = self.backend.leaderless(self.config.leaderless_max);
        Box::pin(async {
            tokio::select! {
                () = stop => Fault::Stopped,
                () = fenced => Fault::Unhealthy,
                () = leaderless => Fault::NoLeader,
            }
        })
    }

    /// Why a stream cannot even begin.
    pub(crate) fn refuses_streams(&self, wants_leader: bool) -> Option<Fault> {
        if self.backend.is_fenced() {
            return Some(Fault::Unhealthy);
        }
        (wants_leader && !self.backend.has_leader()).then_some(Fault::NoLeader)
    }
}

impl<B: Backend> Edge<B> {
    /// Answers a gRPC request and counts it; the gateway's as well as those from a connection.
    pub(crate) async fn answer_counted(
        shared: Arc<Shared<B>>,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let method = shared.metrics.begin(request.uri().path());
        let is_stream = method.is_some_and(Method::is_stream);
        let connection = request.extensions().get::<UnderWay>().filter(|_| is_stream);
        let open = connection.map(UnderWay::open);
        if let Err(status) = shared.metrics.note_version(request.headers(), is_stream) {
            let response = status.into_http();
            return match method {
                Some(method) => method.note(response, open),
                None => response,
            };
        }
        match method {
            None => Self::answer(Arc::clone(&shared), request).await,
            Some(method) if is_stream => method.note(Self::answer(Arc::clone(&shared), request).await, open),
            Some(method) => {
                let response = Self::answer_timed(Arc::clone(&shared), method, request).await;
                method.note(response, open)
            }
        }
    }

    /// Answers a request that is no stream, and notes how long that takes.
    async fn answer_timed(
        shared: Arc<Shared<B>>,
        method: &Method,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let begun = Instant::now();
        let client = request
            .extensions()
            .get::<crate::connection::From>()
            .map(|from| from.0);
        let answer = Self::answer(Arc::clone(&shared), request);
        let (response, trail) = slow::trail::followed(answer).await;
        let answered = Instant::now();
        method.note_time(answered.duration_since(begun));
        let answered = Answered {
            shared,
            method: method.name(),
            client,
            trail,
            begun,
            answered,
        };
        slow::follow(answered, response)
    }

    async fn answer(shared: Arc<Shared<B>>, request: http::Request<Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            return Status::unimplemented(format!("malformed method name: {path:?}")).into_http();
        };
        let call = Call {
            headers: parts.headers,
            extensions: parts.extensions,
            body,
        };
        if !is_for_learners(service, method)
            && let Err(fault) = shared.refuse_as_learner(false)
        {
            return Status::from(fault).into_http();
        }
        let answered = match service {
            "etcdserverpb.KV" => kv::serve(&shared, method, call).await,
            "etcdserverpb.Watch" => watch::serve(&shared, method, call).await,
            "etcdserverpb.Lease" => lease::serve(&shared, method, call).await,
            "etcdserverpb.Cluster" => cluster::serve(&shared, method, call).await,
            "etcdserverpb.Maintenance" => maintenance::serve(&shared, method, call).await,
            "etcdserverpb.Auth" => auth::serve(&shared, method, call).await,
            "v3lockpb.Lock" => lock::serve(&shared, method, call).await,
            "v3electionpb.Election" => election::serve(&shared, method, call).await,
            "almadia.v1.Admin" => admin::serve(&shared, method, call).await,
            "grpc.health.v1.Health" => health::serve(&shared, method, call).await,
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
                reflection::serve(&shared, method, call).await
            }
            _ => None,
        };
        answered.unwrap_or_else(|| unserved(service, method).into_http())
    }
}

impl<B: Backend> Shared<B> {
    /// Refuses while this member is a learner, unless that is something learners do: they may be far behind, and nobody
    /// counts on them.
    pub(crate) fn refuse_as_learner(&self, is_for_learners: bool) -> Result<(), Fault> {
        if !is_for_learners && self.backend.is_learner() {
            return Err(Fault::NotForLearner);
        }
        Ok(())
    }
}

/// Methods that a learner serves, too. Of `Range` only the serializable ones, which its own code tells apart. What is not
/// etcd's is not restricted.
fn is_for_learners(service: &str, method: &str) -> bool {
    match service {
        "etcdserverpb.KV" => method == "Range",
        "etcdserverpb.Maintenance" => matches!(method, "Status" | "Snapshot"),
        _ => !(service.starts_with("etcdserverpb.") || service.starts_with("v3")),
    }
}

/// What nobody serves is answered as etcd does.
fn unserved(service: &str, method: &str) -> Status {
    if METHODS.iter().any(|(name, _)| *name == service) {
        Status::unimplemented(format!("unknown method {method} for service {service}"))
    } else {
        Status::unimplemented(format!("unknown service {service}"))
    }
}
