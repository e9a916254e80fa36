//! A member that is just enough of etcd for the client's tests: a map with its history, a few faults, and counters.
//!
//! Not a test itself. The services beyond keys stand in files of their own.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    reason = "helpers of tests, of which each test uses a part"
)]

mod access;
mod care;
mod leases;
mod locks;
mod process;
mod watching;

pub use process::Running;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard};

use almadia_etcd::proto::etcdserverpb::auth_server::AuthServer;
use almadia_etcd::proto::etcdserverpb::cluster_server::ClusterServer;
use almadia_etcd::proto::etcdserverpb::kv_server::{Kv, KvServer};
use almadia_etcd::proto::etcdserverpb::lease_server::LeaseServer;
use almadia_etcd::proto::etcdserverpb::maintenance_server::MaintenanceServer;
use almadia_etcd::proto::etcdserverpb::watch_server::WatchServer;
use almadia_etcd::proto::etcdserverpb::*;
use almadia_etcd::proto::mvccpb::event::EventType;
use almadia_etcd::proto::mvccpb::{Event, KeyValue};
use almadia_etcd::proto::v3electionpb::election_server::ElectionServer;
use almadia_etcd::proto::v3lockpb::lock_server::LockServer;
use tokio::sync::watch;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = ReceiverStream<Result<T, Status>>;

/// Longest wait of a test for another process.
const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(20);

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

/// What a cluster of fakes has in common.
#[derive(Debug, Default)]
struct State {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    revision: i64,
    puts: usize,
    /// Every change, oldest first.
    events: Vec<Event>,
    /// Watches that begin below are refused.
    compacted: i64,
    /// Watches break after this many events, once.
    break_after: Option<usize>,
    leases: BTreeMap<i64, leases::Lease>,
    locks: locks::Locks,
    access: access::Access,
    care: care::Care,
}

/// Shared by the members of a cluster, with a bell for what happens.
#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    bell: watch::Sender<()>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn ring(&self) {
        self.bell.send_replace(());
    }
}

impl State {
    /// Makes a change, its revision and its event.
    fn change(&mut self, kind: EventType, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        self.revision += 1;
        let before = match kind {
            EventType::Put => self.pairs.insert(key.to_vec(), value.to_vec()),
            EventType::Delete => self.pairs.remove(key),
        };
        let kv = KeyValue {
            mod_revision: self.revision,
            ..pair(key, value)
        };
        self.events.push(Event {
            r#type: kind.into(),
            kv: Some(kv),
            prev_kv: before.as_ref().map(|before| pair(key, before)),
        });
        before
    }
}

/// A running member; ends with the test.
pub struct Fake {
    /// Where it listens: host:port.
    pub address: String,
    shared: Shared,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Fake {
    /// Starts a member on a free port.
    pub fn start(mood: Mood) -> Self {
        let state = Arc::new(Mutex::new(State {
            revision: 1,
            ..State::default()
        }));
        let bell = watch::channel(()).0;
        Self::with(mood, Shared { state, bell })
    }

    /// Starts another member of the same cluster.
    pub fn beside(&self) -> Self {
        Self::with(Mood::Serving, self.shared.clone())
    }

    fn with(mood: Mood, shared: Shared) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let incoming = runtime.block_on(async { TcpIncoming::bind(any).unwrap().with_nodelay(Some(true)) });
        let address = incoming.local_addr().unwrap().to_string();
        let service = Service {
            shared: shared.clone(),
            mood,
            address: address.clone(),
        };
        runtime.spawn(
            Server::builder()
                .add_service(KvServer::new(service.clone()))
                .add_service(ClusterServer::new(service.clone()))
                .add_service(WatchServer::new(service.clone()))
                .add_service(LeaseServer::new(service.clone()))
                .add_service(LockServer::new(service.clone()))
                .add_service(ElectionServer::new(service.clone()))
                .add_service(AuthServer::new(service.clone()))
                .add_service(MaintenanceServer::new(service))
                .serve_with_incoming(incoming),
        );
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    /// Ends it: connections break, nobody listens any more.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Writes a key, as another client would.
    pub fn put(&self, key: &str, value: &str) {
        self.shared
            .lock()
            .change(EventType::Put, key.as_bytes(), value.as_bytes());
        self.shared.ring();
    }

    /// Deletes a key, as another client would.
    pub fn delete(&self, key: &str) {
        self.shared.lock().change(EventType::Delete, key.as_bytes(), b"");
        self.shared.ring();
    }

    /// Whether there is a key that begins so.
    pub fn has(&self, prefix: &str) -> bool {
        let state = self.shared.lock();
        state.pairs.keys().any(|key| key.starts_with(prefix.as_bytes()))
    }

    /// Waits for what another process brings about.
    #[track_caller]
    pub fn wait_until(&self, is_so: impl Fn(&Self) -> bool) {
        let runtime = self.runtime.as_ref().expect("it runs");
        let mut bell = self.shared.bell.subscribe();
        loop {
            bell.mark_unchanged();
            if is_so(self) {
                return;
            }
            let rung = runtime.block_on(async { tokio::time::timeout(WAIT_MAX, bell.changed()).await });
            assert!(rung.is_ok(), "what was waited for never came");
        }
    }

    /// How many puts arrived.
    pub fn puts(&self) -> usize {
        self.shared.lock().puts
    }
}

/// An address at which nobody listens.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Runs the program to its end.
pub fn almadia(endpoints: &[&str], words: &[&str]) -> Output {
    command(endpoints, words).output().unwrap()
}

/// The program, not started yet. Flags stand in front: behind `--` they would belong to somebody else.
pub fn command(endpoints: &[&str], words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almadia"));
    command
        .args(["--endpoints", &endpoints.join(",")])
        .args(words)
        .stdin(std::process::Stdio::null());
    for name in ["ALMADIA_ENDPOINTS", "ALMADIA_USER", "ALMADIA_PASSWORD"] {
        command.env_remove(name);
    }
    command
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
    shared: Shared,
    mood: Mood,
    address: String,
}

impl Service {
    fn check(&self) -> Result<(), Status> {
        match self.mood {
            Mood::NoLeader => Err(Status::unavailable("etcdserver: no leader")),
            Mood::Serving | Mood::Slow | Mood::Forgetful => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
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
    type RangeStreamStream = Stream<RangeStreamResponse>;

    async fn range(&self, request: Request<RangeRequest>) -> Answer<RangeResponse> {
        self.check()?;
        self.check_token(request.metadata())?;
        let (request, state) = (request.into_inner(), self.state());
        let is_inside = |key: &[u8]| match &request.range_end[..] {
            b"" => key == &request.key[..],
            b"\0" => key >= &request.key[..],
            end => key >= &request.key[..] && key < end,
        };
        let mut kvs: Vec<KeyValue> = state
            .pairs
            .iter()
            .filter(|(key, _)| is_inside(key))
            .map(|(key, value)| pair(key, value))
            .collect();
        let count = kvs.len() as i64;
        if request.limit > 0 {
            kvs.truncate(request.limit as usize);
        }
        Ok(Response::new(RangeResponse {
            header: Self::header(&state),
            more: count > kvs.len() as i64,
            kvs,
            count,
        }))
    }

    async fn put(&self, request: Request<PutRequest>) -> Answer<PutResponse> {
        self.check()?;
        if self.mood == Mood::Slow {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        self.check_token(request.metadata())?;
        let wants_position = request.metadata().contains_key("almadia-position");
        let (request, mut state) = (request.into_inner(), self.state());
        state.puts += 1;
        let before = state.change(EventType::Put, &request.key, &request.value);
        self.shared.ring();
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
        let (request, mut state) = (request.into_inner(), self.state());
        let deleted = i64::from(state.pairs.remove(&request.key[..]).is_some());
        Ok(Response::new(DeleteRangeResponse {
            header: Self::header(&state),
            deleted,
            prev_kvs: Vec::new(),
        }))
    }

    async fn txn(&self, _: Request<TxnRequest>) -> Answer<TxnResponse> {
        self.check()?;
        let state = self.state();
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

    async fn range_stream(&self, request: Request<RangeRequest>) -> Answer<Self::RangeStreamStream> {
        if !self.state().care.streams_ranges {
            return Err(Status::unimplemented("unknown method RangeStream"));
        }
        let answer = self.range(request).await?.into_inner();
        let pieces = answer.kvs.iter().map(|pair| RangeResponse {
            header: answer.header,
            kvs: vec![pair.clone()],
            ..RangeResponse::default()
        });
        let pieces = pieces.map(|piece| RangeStreamResponse {
            range_response: Some(piece),
        });
        Ok(Response::new(stream(pieces.map(Ok).collect())))
    }
}

/// A stream of what is known already.
fn stream<T: Send + 'static>(items: Vec<Result<T, Status>>) -> Stream<T> {
    let (sender, receiver) = tokio::sync::mpsc::channel(items.len().max(1));
    for item in items {
        sender.try_send(item).expect("there is room for all");
    }
    ReceiverStream::new(receiver)
}
