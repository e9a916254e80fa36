//! Puts a member together: disk, identity, founding, log, store, sockets; and takes it apart again.
//!
//! It decides nothing: the order is fixed, and every failure ends the start with one clear error. The program puts
//! the clients' protocol on top of what [`run`] gives it.

mod founding;
mod storage;

use crate::chance::Chance;
use crate::clients::{ClientListener, Entrance};
use crate::config::{ConfigError, Ordinals, ServerConfig};
use crate::listen::ListenError;
use crate::memory;
use crate::peers::{PeerDialer, PeerListener, Who};
use crate::signals::Stop;
use crate::tls::{Acceptor, Certificates, TlsError};
use crate::vitals::BodyVitals;
use crate::waiting::{self, Start};
use crate::wished::WishedSize;
use almadia_disk::{Disk, DiskError, RealDisk};
use almadia_member::founding::{FoundingError, InitialPeer};
use almadia_member::identity::{Identity, IdentityError};
use almadia_member::membership::reconcile::{Reconciling, Roll};
use almadia_member::{Ingredients, Limits, Member, MemberInfo};
use founding::Doorman;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::Storage;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

/// Threads of the runtime for peers and consensus: heartbeats never wait for clients. On a small machine one thread does
/// it, because handing work from thread to thread costs more there than it brings.
fn peer_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores > 4 { 2 } else { 1 }
}

/// Connections of supervisors and collectors of metrics at the same time at most.
const METRICS_CONNECTIONS_MAX: usize = 256;

/// After a stop is requested, whoever serves clients is given this long to finish what they have asked for.
const SERVE_STOP_MAX: Duration = Duration::from_secs(3);

/// A member that is to leave for good is given this long to be taken out before it stops all the same.
const LEAVE_MAX: Duration = Duration::from_secs(4);

/// After this member was removed, answers that are under way are given this long.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The data directory is somebody else's, or damaged.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No cluster can be founded.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The log cannot be read.
    #[error("cannot open the log: {0}")]
    Wal(#[from] almadia_wal::WalError),
    /// The store is there and the log is not.
    #[error(
        "the log in wal/ is gone, but the store is there ({store}): this member could vote without what it had \
         acknowledged. Restore wal/, or empty the whole data directory so that it joins as a new member"
    )]
    LogMissing {
        /// What shows that there was a log.
        store: String,
    },
    /// The store cannot be read.
    #[error("cannot open the store: {0}")]
    Store(#[from] almadia_store::disk::KeeperError),
    /// Consensus did not start.
    #[error("cannot start consensus: {0}")]
    Consensus(#[from] almadia_consensus::Ended),
    /// Others have decided that it does not belong any more.
    #[error(
        "member {member} was removed from cluster {cluster}: it takes part in nothing any more, and its id is never \
         used again. To bring this machine back, add a member with its peer URL and start it with an empty data directory"
    )]
    Removed {
        /// Who.
        member: almadia_command::MemberId,
        /// From which cluster.
        cluster: almadia_command::ClusterId,
    },
    /// Consensus ended unasked.
    #[error("{0}; this member takes part in nothing any more, and its process ends")]
    Ended(almadia_consensus::Ended),
    /// The system has no threads, no randomness, no signals.
    #[error("the system refuses {what}: {cause}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its words.
        cause: io::Error,
    },
}

/// A member that runs, for whoever serves clients with it.
pub struct Serving {
    /// The member.
    pub member: Member,
    /// Where clients come in; accepting already.
    pub clients: ClientListener,
    /// The switch that cuts the member off its peers.
    pub who: Who,
    /// What is counted below the member.
    pub vitals: BodyVitals,
    /// Asks to stop serving.
    pub stop: Stop,
}

/// A member with everything below it.
pub struct Server {
    member: Member,
    who: Who,
    storage: Storage,
    disk: Arc<dyn Disk>,
    peers: JoinHandle<()>,
    /// How many members there are to be.
    wished: WishedSize,
    /// Reads certificates again while the member lives.
    _certificates: Certificates,
}

/// Runs a server until a signal asks it to stop: starts the member, lets `serve` serve clients until [`Serving::stop`]
/// (and 3 s longer at most), then hands leadership over and closes the log. Waits for its cluster as long as it takes.
///
/// # Errors
/// [`ServerError`]; the process should then end with a failure.
pub fn run<S, F>(config: &ServerConfig, serve: S) -> Result<(), ServerError>
where
    S: FnOnce(Serving) -> F,
    F: Future<Output = ()>,
{
    config.validate()?;
    let peers = runtime("raft", peer_threads())?;
    let clients = runtime("client", config.client_threads_count)?;
    let end = clients.block_on(run_until_stopped(config, peers.handle(), serve));
    // What still runs waits for timers or peers; nothing of it may keep a process that has closed its log.
    peers.shutdown_background();
    clients.shutdown_background();
    end
}

async fn run_until_stopped<S, F>(config: &ServerConfig, peers: &Handle, serve: S) -> Result<(), ServerError>
where
    S: FnOnce(Serving) -> F,
    F: Future<Output = ()>,
{
    let stop = Stop::by_signal().map_err(|cause| ServerError::System {
        what: "signal handlers",
        cause,
    })?;
    let certificates = Certificates::open(config)?;
    let clients = ClientListener::bind(
        &config.listen_client_urls,
        config.client_connections_max,
        certificates.clients.clone(),
    );
    let mut clients = clients.await?;
    for (entrance, urls, connections_max) in [
        (
            Entrance::Http,
            &config.listen_client_http_urls,
            config.client_connections_max,
        ),
        (
            Entrance::Metrics,
            &config.listen_metrics_urls,
            METRICS_CONNECTIONS_MAX,
        ),
    ] {
        clients
            .open(entrance, urls, connections_max, certificates.clients.clone())
            .await?;
    }
    let start = Start::default();
    let started = Server::start_with(config, peers, certificates, &start);
    let server = tokio::select! {
        server = waiting::answer_probes_until(&mut clients, &start, started) => server?,
        () = stop.requested() => return Ok(()),
    };
    let (close, closing) = Stop::by_hand();
    let serving = Serving {
        member: server.member.clone(),
        clients,
        who: server.who.clone(),
        vitals: BodyVitals::new(config, server.storage.syncs.clone(), server.who.traffic().clone()),
        stop: closing,
    };
    // Clients are served on while leadership moves, so that their requests go where it goes.
    let overdue = async {
        stop.requested().await;
        server.resigns().await;
        close.request();
        tokio::time::sleep(SERVE_STOP_MAX).await;
    };
    let member = server.member.clone();
    tokio::select! {
        () = serve(serving) => {}
        () = overdue => warn!("clients still hold requests; stopping all the same"),
        // Nobody asked for it: this member takes part in nothing any more, and a supervisor must see that.
        error = async move { member.ended().await } => return Err(ServerError::Ended(error)),
        () = told_to_leave(&server) => return server.leave().await,
    }
    server.shutdown().await
}

/// Returns once this member has been removed, and whoever asked for that had time to hear that it is so.
async fn told_to_leave(server: &Server) {
    server.removed().await;
    tokio::time::sleep(LAST_ANSWERS).await;
}

impl Server {
    /// Starts a member on the current runtime (for what waits for clients) and on `peers` (for consensus and its
    /// connections). Returns when it belongs to a cluster and takes part in it.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start(config: &ServerConfig, peers: &Handle) -> Result<Self, ServerError> {
        Self::start_with(config, peers, Certificates::open(config)?, &Start::default()).await
    }

    async fn start_with(
        config: &ServerConfig,
        peers: &Handle,
        certificates: Certificates,
        start: &Start,
    ) -> Result<Self, ServerError> {
        let mut chance = Chance::open().map_err(|cause| ServerError::System {
            what: "random numbers",
            cause,
        })?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&config.data_dir)?);
        let identity = Identity::open(&*disk, config.group, &config.name, &mut || chance.draw())?;
        info!(member = %identity.member, name = %identity.name, group = %identity.group, "starting");
        let who = Who::new(&identity);
        let dialer = Arc::new(PeerDialer::new(who.clone()).with_tls(certificates.dialer.clone()));
        let listener = bind_peers(config, &who, certificates.peers.clone(), peers).await?;
        let chance = Arc::new(Mutex::new(chance));
        let doorman = Doorman::new(
            config,
            identity.clone(),
            &disk,
            dialer.clone(),
            draw_from(&chance),
        )?;
        start.asks(doorman.founding().clone());
        let serving = AbortOnDrop(peers.spawn(listener.serve(doorman.accept())));
        let (roll, wished) = wished(config);
        let identity = belong(config, &identity, &wished, &doorman, peers).await?;

        start.belongs();
        who.belongs_to(identity.cluster, identity.member);

        let storage = Storage::open(&disk, draw_from(&chance))?;
        let drawn = u32::try_from(draw_from(&chance)() >> 32).expect("the upper half of 64 bits");
        let member = Member::start(Ingredients {
            cluster: identity.cluster,
            own: identity.member,
            name: identity.name.clone(),
            founders: founders(&identity),
            settings: config.settings(),
            request_limit: config.request_limit,
            limits: Limits {
                live_bytes_max: config.quota_bytes,
                memory: memory::budget(config.memory_bytes_max),
            },
            drawn,
            client_urls: config.advertise_client_urls.clone(),
            random: Box::new(draw_from(&chance)),
            disk: disk.clone(),
            wal: storage.wal.clone(),
            store: storage.store(),
            keeper: storage.keeper.clone(),
            network: dialer,
            consensus_runtime: peers.clone(),
        });
        let member = member.await?;
        bring_to(&member, config, roll, &wished);
        doorman.hand_over(&member);
        who.refuse_removed(member.knows_removed());
        info!(cluster = %identity.cluster, member = %identity.member, "takes part in the cluster");
        Ok(Self {
            member,
            who,
            storage,
            disk,
            peers: serving.keep(),
            wished,
            _certificates: certificates,
        })
    }

    /// The member.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The switch that cuts the member off its peers.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Returns once this member has heard, from its log or from a peer, that it was removed from the cluster.
    async fn removed(&self) {
        tokio::select! {
            () = self.member.removed() => {}
            () = self.who.removed() => {}
        }
    }

    /// A stop was asked for: is not ready any more, hands leadership over; and where there are to be fewer members, waits until
    /// it is none any more. What then remains is to stop, or, in the last case, to leave, which comes by itself.
    async fn resigns(&self) {
        self.member.begin_to_stop();
        self.wished.refresh().await;
        let wished = self.member.wished_size();
        if !self.member.is_surplus() {
            self.member.resign().await;
            return;
        }
        info!(wished, "this member is to leave for good before it stops");
        tokio::time::sleep(LEAVE_MAX).await;
        warn!(
            wished,
            "this member could not leave safely in time; it stops, and the others count it until it is taken out"
        );
    }

    /// Stops because this member belongs to the cluster no more. Its data stays for whoever wants to look, unless members come
    /// and go by themselves: then the directory is emptied, so that whoever is started on it next joins as a new member.
    async fn leave(self) -> Result<(), ServerError> {
        let removed = ServerError::Removed {
            member: self.member.id(),
            cluster: self.member.cluster(),
        };
        // The leader may have heard of a new size before this member.
        self.wished.refresh().await;
        let (is_surplus, is_unattended) = (self.member.is_surplus(), self.member.is_unattended());
        let (wished, disk) = (self.member.wished_size(), self.disk.clone());
        if is_surplus {
            info!(member = %self.member.id(), wished, "this member has left the cluster for good");
        } else {
            error!(error = %removed, "this member was removed");
        }
        self.shutdown().await?;
        if !is_unattended {
            return Err(removed);
        }
        Identity::retire(&*disk)?;
        info!(
            "the data directory was emptied: whoever starts on it joins as a new member, if there is to be one"
        );
        if is_surplus { Ok(()) } else { Err(removed) }
    }

    /// Hands leadership over, ends consensus, closes connections and log.
    ///
    /// # Errors
    /// The error that had stopped the log, if any.
    pub async fn shutdown(self) -> Result<(), ServerError> {
        self.member.shutdown().await;
        self.peers.abort();
        let closed = tokio::task::spawn_blocking(|| self.storage.close());
        closed
            .await
            .expect("closing the log neither panics nor is cancelled")?;
        info!("stopped");
        Ok(())
    }
}

/// After this long without a wished size it is said that it is waited for.
const WISHED_QUIET: Duration = Duration::from_secs(3);

/// Ends the process: after a failed write or sync of the log nothing can be promised any more, and what is
/// durable is found again at the next start.
fn abort(error: &almadia_wal::WalError) {
    error!(%error, "the log cannot be written; the process ends");
    std::process::abort();
}

fn founders(identity: &Identity) -> Vec<(almadia_command::MemberId, MemberInfo)> {
    let info = |member: &almadia_member::identity::InitialMember| MemberInfo {
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
        ..MemberInfo::default()
    };
    identity
        .initial
        .iter()
        .map(|member| (member.id, info(member)))
        .collect()
}

/// Who can belong, and how many of them are to.
fn wished(config: &ServerConfig) -> (Roll, WishedSize) {
    match &config.ordinals {
        Some(ordinals) => (Roll::Set(ordinals.naming.clone()), WishedSize::follow(ordinals)),
        None => {
            let list = config.initial_cluster.clone();
            let size = u32::try_from(list.len()).expect("a handful of members");
            (Roll::List(list), WishedSize::fixed(size))
        }
    }
}

/// Where members come and go by themselves, tells the member whom there are to be.
fn bring_to(member: &Member, config: &ServerConfig, roll: Roll, wished: &WishedSize) {
    if config.is_unattended {
        let wished = wished.size();
        member.reconcile(Reconciling { roll, wished });
    }
}

/// Waits until the member belongs to a cluster.
async fn belong(
    config: &ServerConfig,
    identity: &Identity,
    wished: &WishedSize,
    doorman: &Doorman,
    peers: &Handle,
) -> Result<Identity, ServerError> {
    if let Some(ordinals) = config.ordinals.as_ref().filter(|_| !identity.is_founded()) {
        doorman.ask_also(witnesses(ordinals, wished).await);
    }
    doorman.establish(peers).await
}

/// Who may know of a cluster beside the founders. Nothing is founded before it is known how many there are to be.
async fn witnesses(ordinals: &Ordinals, wished: &WishedSize) -> Vec<InitialPeer> {
    let known = wished.known();
    tokio::pin!(known);
    let size = tokio::select! {
        size = &mut known => size,
        () = tokio::time::sleep(WISHED_QUIET) => {
            warn!("waiting: how many members there are to be is not known yet (--wished-size)");
            known.await
        }
    };
    ordinals.naming.first(size.unwrap_or(0))
}

/// A source of numbers that shares the one that is open.
fn draw_from(chance: &Arc<Mutex<Chance>>) -> impl FnMut() -> u64 + Send + use<> {
    let chance = chance.clone();
    move || chance.lock().expect("drawing a number does not panic").draw()
}

async fn bind_peers(
    config: &ServerConfig,
    who: &Who,
    tls: Option<Arc<Acceptor>>,
    peers: &Handle,
) -> Result<PeerListener, ServerError> {
    let (urls, who) = (config.listen_peer_urls.clone(), who.clone());
    let bound = peers.spawn(async move { PeerListener::bind(&urls, who, tls).await });
    Ok(bound.await.expect("binding neither panics nor is cancelled")?)
}

/// A runtime with named threads; 0 threads means one for each core.
fn runtime(name: &'static str, threads_count: usize) -> Result<Runtime, ServerError> {
    let mut builder = Builder::new_multi_thread();
    if threads_count > 0 {
        builder.worker_threads(threads_count);
    }
    let built = builder.thread_name(name).enable_all().build();
    built.map_err(|cause| ServerError::System {
        what: "threads",
        cause,
    })
}

/// A task that ends with the start that began it, unless the start succeeds.
struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    fn keep(mut self) -> JoinHandle<()> {
        let finished = tokio::spawn(async {});
        std::mem::replace(&mut self.0, finished)
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
