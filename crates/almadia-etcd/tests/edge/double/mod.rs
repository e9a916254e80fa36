//! A member that is only a store: what is proposed is applied at once. With it the real edge is served on a loopback
//! socket. Never used by the product.

// Each test program uses its own part of this.
#![allow(dead_code)]

pub mod cluster;
mod lease;
mod maintenance;
pub mod overview;
mod watching;

use almadia_command::{ClusterId, Command, LogIndex, MemberId, Term};
use almadia_etcd::proto::etcdserverpb::cluster_client::ClusterClient;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::{
    Applied, Backend, Config, Identity, MemberInfo, Membered, ProposeError, ReadError, Status, serve,
};
use almadia_store::{Store, View, Views};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};

/// The cluster: above 2^63, as etcd's ids often are.
pub const CLUSTER: ClusterId = ClusterId(0xcdf8_18b6_2fa0_6a50);
/// The member: above 2^63 too.
pub const MEMBER: MemberId = MemberId(0x8e9e_05c5_2164_694d);
/// The term of every entry.
pub const TERM: Term = Term(3);

/// What the double is told to do wrong.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Refuse every proposal so.
    pub propose: Option<ProposeError>,
    /// Refuse every read barrier so.
    pub read: Option<ReadError>,
    /// Never decide anything.
    pub stuck: bool,
    /// Say that nobody leads.
    pub no_leader: bool,
    /// Say that what it has is not what it should be.
    pub fenced: bool,
    /// Say that there is no room.
    pub no_space: bool,
}

/// The store behind the edge.
pub struct Double {
    store: Mutex<(Store, LogIndex)>,
    views: Views,
    troubles: watch::Sender<Trouble>,
    leases: lease::Leases,
    /// What the cluster service needs.
    pub cluster: cluster::ClusterDouble,
    /// Read barriers asked for.
    pub barriers: AtomicU64,
    /// Commands proposed.
    pub proposals: AtomicU64,
    /// Who looks at the cluster.
    pub lookouts: Arc<overview::Lookouts>,
}

impl Double {
    /// An empty store, with the blank entry that a new leader writes.
    pub fn new() -> Arc<Self> {
        let mut store = Store::empty();
        store.note_applied(LogIndex(1), TERM);
        store.publish();
        let views = store.views();
        tokio::spawn(store.watches().run());
        Arc::new(Self {
            store: Mutex::new((store, LogIndex(1))),
            views,
            troubles: watch::Sender::new(Trouble::default()),
            leases: lease::Leases::default(),
            cluster: cluster::ClusterDouble::default(),
            barriers: AtomicU64::new(0),
            proposals: AtomicU64::new(0),
            lookouts: Arc::default(),
        })
    }

    /// From now on.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.troubles.send_replace(trouble);
    }

    fn trouble(&self) -> Trouble {
        self.troubles.borrow().clone()
    }

    fn apply(&self, command: &Command) -> Applied {
        let mut guard = self.store.lock().expect("applying does not panic");
        let (store, last) = &mut *guard;
        *last = last.next();
        let outcome = store.apply(*last, TERM, command);
        while store.compact_slice(1000) {}
        store.publish();
        Applied {
            outcome,
            index: *last,
            term: TERM,
        }
    }
}

impl Backend for Double {
    async fn log(
        &self,
        _from: almadia_command::LogIndex,
        _limit: usize,
    ) -> Result<almadia_member::log::LogPage, String> {
        Err("a double has no log".to_owned())
    }

    async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        self.proposals.fetch_add(1, Ordering::Relaxed);
        if self.trouble().stuck {
            std::future::pending::<()>().await;
        }
        match self.trouble().propose {
            Some(error) => Err(error),
            None => Ok(self.apply(&command)),
        }
    }

    async fn read_barrier(&self) -> Result<(), ReadError> {
        self.barriers.fetch_add(1, Ordering::Relaxed);
        if self.trouble().stuck {
            std::future::pending::<()>().await;
        }
        self.trouble().read.map_or(Ok(()), Err)
    }

    async fn recovered(&self) -> Result<(), ReadError> {
        Ok(())
    }

    fn view(&self) -> Arc<View> {
        self.views.load()
    }

    fn status(&self) -> Status {
        let trouble = self.trouble();
        let applied = self.view().applied().0;
        let member = |id, name: &str, port: u16| Membered {
            id,
            info: MemberInfo {
                name: name.to_owned(),
                peer_urls: vec![format!("http://127.0.0.1:{port}")],
                client_urls: vec![format!("http://127.0.0.1:{}", port - 1)],
                ..MemberInfo::default()
            },
            is_learner: id != MEMBER,
            votes: id == MEMBER,
        };
        Status {
            cluster: CLUSTER,
            member: MEMBER,
            name: "almadia-0".to_owned(),
            term: TERM,
            leader: (!trouble.no_leader).then_some(MEMBER),
            is_leader: !trouble.no_leader,
            is_learner: false,
            last_log: applied,
            committed: applied,
            applied,
            disk_bytes: 4096,
            live_bytes: 1024,
            no_space: trouble.no_space,
            corrupt: false,
            members: vec![
                member(MEMBER, "almadia-0", 2380),
                member(MemberId(7), "almadia-1", 12380),
            ],
        }
    }

    fn identity(&self) -> Identity {
        Identity {
            cluster: CLUSTER,
            member: MEMBER,
        }
    }
}

/// Connections as the server has them from its listener.
struct Incoming(TcpListener);

impl Stream for Incoming {
    type Item = std::io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = ready!(self.0.poll_accept(context));
        let connection =
            accepted.and_then(|(connection, _)| connection.set_nodelay(true).map(|()| connection));
        Poll::Ready(Some(connection))
    }
}

/// A served double with clients.
pub struct Scene {
    pub double: Arc<Double>,
    pub address: SocketAddr,
    pub kv: KvClient<Channel>,
    pub maintenance: MaintenanceClient<Channel>,
    pub cluster: ClusterClient<Channel>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Scene {
    /// With default settings.
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    /// With these settings.
    pub async fn with(config: Config) -> Self {
        let double = Double::new();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel();
        let backend = Arc::clone(&double);
        let server = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(backend, config, Incoming(listener), stopped).await;
        });
        let channel = connect(&format!("http://{address}")).await;
        Self {
            double,
            address,
            kv: kv_client(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            cluster: ClusterClient::new(channel),
            stop: Some(stop),
            server,
        }
    }

    /// Stops gracefully; returns when every connection is closed.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        drop((self.kv, self.maintenance, self.cluster));
        self.server.await.expect("the server ends without panic");
    }
}

/// One connection.
pub async fn connect(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("the address is a URL");
    endpoint.connect().await.expect("the server takes connections")
}

/// A client that takes and sends messages of up to 64 MiB.
pub fn kv_client(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel)
        .max_decoding_message_size(64 << 20)
        .max_encoding_message_size(64 << 20)
}
