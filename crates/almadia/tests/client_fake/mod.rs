//! A member that is just enough of etcd for the client's tests: a map, a few faults, and counters.
//!
//! Not a test itself.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests, of which each test uses a part"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use almadia_etcd::proto::etcdserverpb::cluster_server::{Cluster, ClusterServer};
use almadia_etcd::proto::etcdserverpb::kv_server::{Kv, KvServer};
use almadia_etcd::proto::etcdserverpb::maintenance_server::{Maintenance, MaintenanceServer};
use almadia_etcd::proto::etcdserverpb::*;
use almadia_etcd::proto::mvccpb::KeyValue;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Nothing<T> = tokio_stream_free::Empty<T>;

/// A stream that ends at once: the fake has no streaming calls.
pub mod tokio_stream_free {
    /// The stream.
    pub struct Empty<T>(std::marker::PhantomData<fn() -> T>);

    impl<T> tonic::codegen::tokio_stream::Stream for Empty<T> {
        type Item = Result<T, tonic::Status>;

        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(None)
        }
    }
}

/// What the member does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Serves them and tells positions, as Almadia does.
    Serving,
    /// Has no leader and says so.
    NoLeader,
    /// Takes its time for each write.
    Slow,
    /// Takes a write and then says that the leader changed.
    Forgetful,
}

#[derive(Debug, Default)]
struct State {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    revision: i64,
    puts: usize,
}

/// A running member; ends with the test.
pub struct Fake {
    /// Where it listens: host:port.
    pub address: String,
    state: Arc<Mutex<State>>,
    _runtime: tokio::runtime::Runtime,
}

impl Fake {
    /// Starts a member on a free port.
    pub fn start(mood: Mood) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let state = Arc::new(Mutex::new(State {
            revision: 1,
            ..State::default()
        }));
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let service = Service {
            state: Arc::clone(&state),
            mood,
        };
        let incoming = runtime.block_on(async { TcpIncoming::bind(any).unwrap().with_nodelay(Some(true)) });
        let address = incoming.local_addr().unwrap().to_string();
        runtime.spawn(
            Server::builder()
                .add_service(KvServer::new(service.clone()))
                .add_service(ClusterServer::new(service.clone()))
                .add_service(MaintenanceServer::new(service))
                .serve_with_incoming(incoming),
        );
        Self {
            address,
            state,
            _runtime: runtime,
        }
    }

    /// How many puts arrived.
    pub fn puts(&self) -> usize {
        self.state.lock().unwrap().puts
    }
}

/// An address at which nobody listens.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Runs the program to its end.
pub fn almadia(endpoints: &[&str], words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_almadia"))
        .args(words)
        .args(["--endpoints", &endpoints.join(",")])
        .env_remove("ALMADIA_ENDPOINTS")
        .output()
        .unwrap()
}

/// Standard output and exit code.
pub fn outcome(output: &Output) -> (String, i32) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.code().unwrap(),
    )
}

#[derive(Clone)]
struct Service {
    state: Arc<Mutex<State>>,
    mood: Mood,
}

impl Service {
    fn check(&self) -> Result<(), Status> {
        match self.mood {
            Mood::NoLeader => Err(Status::unavailable("etcdserver: no leader")),
            Mood::Serving | Mood::Slow | Mood::Forgetful => Ok(()),
        }
    }

    fn header(state: &State) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: 1,
            member_id: 2,
            revision: state.revision,
            raft_term: 94,
        })
    }
}

fn pair(key: &[u8], value: &[u8]) -> KeyValue {
    KeyValue {
        key: key.to_vec().into(),
        value: value.to_vec().into(),
        version: 1,
        ..KeyValue::default()
    }
}

#[tonic::async_trait]
impl Kv for Service {
    type RangeStreamStream = Nothing<RangeStreamResponse>;

    async fn range(&self, request: Request<RangeRequest>) -> Answer<RangeResponse> {
        self.check()?;
        let (request, state) = (request.into_inner(), self.state.lock().unwrap());
        let is_inside = |key: &[u8]| match &request.range_end[..] {
            b"" => key == &request.key[..],
            b"\0" => key >= &request.key[..],
            end => key >= &request.key[..] && key < end,
        };
        let kvs: Vec<KeyValue> = state
            .pairs
            .iter()
            .filter(|(key, _)| is_inside(key))
            .map(|(key, value)| pair(key, value))
            .collect();
        let count = kvs.len() as i64;
        Ok(Response::new(RangeResponse {
            header: Self::header(&state),
            kvs,
            count,
            ..Default::default()
        }))
    }

    async fn put(&self, request: Request<PutRequest>) -> Answer<PutResponse> {
        self.check()?;
        if self.mood == Mood::Slow {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let wants_position = request.metadata().contains_key("almadia-position");
        let (request, mut state) = (request.into_inner(), self.state.lock().unwrap());
        state.puts += 1;
        state.revision += 1;
        let before = state.pairs.insert(request.key.to_vec(), request.value.to_vec());
        if self.mood == Mood::Forgetful {
            return Err(Status::unavailable("etcdserver: leader changed"));
        }
        let prev_kv = before
            .filter(|_| request.prev_kv)
            .map(|value| pair(&request.key, &value));
        let mut answer = Response::new(PutResponse {
            header: Self::header(&state),
            prev_kv,
        });
        if wants_position {
            let index = (state.revision + 15).to_string();
            for (name, value) in [
                ("almadia-log-index", index.as_str()),
                ("almadia-term", "94"),
                ("almadia-leader", "2"),
                ("almadia-leader-name", "almadia-1"),
            ] {
                answer.metadata_mut().insert(name, value.parse().unwrap());
            }
        }
        Ok(answer)
    }

    async fn delete_range(&self, request: Request<DeleteRangeRequest>) -> Answer<DeleteRangeResponse> {
        self.check()?;
        let (request, mut state) = (request.into_inner(), self.state.lock().unwrap());
        let deleted = i64::from(state.pairs.remove(&request.key[..]).is_some());
        Ok(Response::new(DeleteRangeResponse {
            header: Self::header(&state),
            deleted,
            prev_kvs: Vec::new(),
        }))
    }

    async fn txn(&self, _: Request<TxnRequest>) -> Answer<TxnResponse> {
        self.check()?;
        let state = self.state.lock().unwrap();
        Ok(Response::new(TxnResponse {
            header: Self::header(&state),
            succeeded: true,
            responses: Vec::new(),
        }))
    }

    async fn compact(&self, _: Request<CompactionRequest>) -> Answer<CompactionResponse> {
        Err(Status::out_of_range(
            "etcdserver: mvcc: required revision is a future revision",
        ))
    }

    async fn range_stream(&self, _: Request<RangeRequest>) -> Answer<Self::RangeStreamStream> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_list(&self, _: Request<MemberListRequest>) -> Answer<MemberListResponse> {
        let members = vec![Member {
            id: 2,
            name: "almadia-1".to_owned(),
            ..Member::default()
        }];
        Ok(Response::new(MemberListResponse {
            header: None,
            members,
        }))
    }

    async fn member_add(&self, _: Request<MemberAddRequest>) -> Answer<MemberAddResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn member_remove(&self, _: Request<MemberRemoveRequest>) -> Answer<MemberRemoveResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn member_update(&self, _: Request<MemberUpdateRequest>) -> Answer<MemberUpdateResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn member_promote(&self, _: Request<MemberPromoteRequest>) -> Answer<MemberPromoteResponse> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl Maintenance for Service {
    type SnapshotStream = Nothing<SnapshotResponse>;

    async fn status(&self, _: Request<StatusRequest>) -> Answer<StatusResponse> {
        let state = self.state.lock().unwrap();
        let (leader, raft_term) = (2, 94);
        Ok(Response::new(StatusResponse {
            header: Self::header(&state),
            leader,
            raft_term,
            ..Default::default()
        }))
    }

    async fn alarm(&self, _: Request<AlarmRequest>) -> Answer<AlarmResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn defragment(&self, _: Request<DefragmentRequest>) -> Answer<DefragmentResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Answer<HashResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn hash_kv(&self, _: Request<HashKvRequest>) -> Answer<HashKvResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Answer<Self::SnapshotStream> {
        Err(Status::unimplemented("not here"))
    }

    async fn move_leader(&self, _: Request<MoveLeaderRequest>) -> Answer<MoveLeaderResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn downgrade(&self, _: Request<DowngradeRequest>) -> Answer<DowngradeResponse> {
        Err(Status::unimplemented("not here"))
    }
}
