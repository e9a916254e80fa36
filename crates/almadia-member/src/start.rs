//! How a member comes to life: consensus, the ways to the leader, what the leader does, and the care for itself, in that
//! order. Nothing here runs on when [`Member::start`] has returned but the tasks it has started.

use crate::chronicle;
use crate::comparison::{Comparer, Fence, Judge};
use crate::forward::client;
use crate::gate::SpaceGate;
use crate::hearing::{self, Heard};
use crate::leader::{Asker, Duties};
use crate::leases::{LeaseDesk, Lessor, LessorParts};
use crate::limits::Limits;
use crate::member::{Inner, Member};
use crate::membership::steward::Steward;
use crate::membership::upkeep as membership_upkeep;
use crate::overview;
use crate::proposer::{self, Proposals};
use crate::reads;
use crate::upkeep::{Sizes, Upkeep};
use almadia_command::planted::{Bug, planted};
use almadia_command::{ClusterId, LogIndex, MemberId};
use almadia_consensus::{Consensus, Ended, KeeperHandle, MemberInfo, Parts, PeerNetwork, Settings};
use almadia_disk::Disk;
use almadia_store::Store;
use almadia_wal::{LogId, Wal};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

/// What a member is made of.
pub struct Ingredients {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its id.
    pub own: MemberId,
    /// Its name.
    pub name: String,
    /// The members that founded the cluster.
    pub founders: Vec<(MemberId, MemberInfo)>,
    /// Timers of consensus.
    pub settings: Settings,
    /// How long a request waits for its outcome before the answer is "unknown".
    pub request_limit: Duration,
    /// What it may hold.
    pub limits: Limits,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Evenly distributed numbers, for the ids of new members.
    pub random: Box<dyn FnMut() -> u64 + Send>,
    /// A number drawn for this start of the process.
    pub drawn: u32,
    /// The disk under log and store.
    pub disk: Arc<dyn Disk>,
    /// The log.
    pub wal: Wal,
    /// The store as its manifest had it.
    pub store: Store,
    /// Where file work is done.
    pub keeper: KeeperHandle,
    /// The way to the peers.
    pub network: Arc<dyn PeerNetwork>,
    /// Where consensus and its tasks run: apart from the clients, so that no load delays a heartbeat.
    pub consensus_runtime: Handle,
}

/// What a member does while it leads, and how it asks whoever does.
struct Leading {
    judge: Judge,
    steward: Steward,
    asker: Asker,
}

impl Leading {
    fn start(
        manner: &Manner,
        consensus: &Consensus,
        forward: &mpsc::Sender<client::Outgoing>,
        proposals: &Proposals,
        heard: &Heard,
    ) -> Self {
        let lessor = Lessor::start(LessorParts {
            consensus: consensus.clone(),
            proposals: proposals.clone(),
            applied: heard.applied.clone(),
        });
        let judge = Judge::new(manner.own, consensus.clone());
        // A few heartbeats may be lost before a member counts as down.
        let silent_max = Duration::from_millis(2 * manner.election_max_ms).max(Duration::from_secs(1));
        let steward = Steward::new(manner.own, consensus.clone(), silent_max);
        let duties = Duties::new(consensus.clone(), lessor, judge.clone(), steward.clone());
        let asker = Asker {
            consensus: consensus.clone(),
            forward: forward.clone(),
            duties,
            limit: manner.request_limit,
        };
        Self {
            judge,
            steward,
            asker,
        }
    }
}

/// What of the ingredients is needed again and again.
#[derive(Clone, Copy)]
struct Manner {
    own: MemberId,
    election_max_ms: u64,
    request_limit: Duration,
}

impl Manner {
    fn of(parts: &Ingredients) -> Self {
        Self {
            own: parts.own,
            election_max_ms: parts.settings.election_max_ms,
            request_limit: parts.request_limit,
        }
    }
}

/// A member's care for itself: its signs to the others.
struct Care {
    fence: Fence,
    gate: SpaceGate,
    sizes: Arc<Sizes>,
}

/// Starts the tasks that look after log, store and disk.
fn take_care(
    own: MemberId,
    runtime: &Handle,
    (keeper, wal, disk, limits): (&KeeperHandle, &Wal, Arc<dyn Disk>, Limits),
    leading: &Leading,
    heard: &Heard,
) -> Care {
    let consensus = &leading.asker.consensus;
    let care = Care {
        fence: Fence::default(),
        gate: SpaceGate::default(),
        sizes: Arc::default(),
    };
    let comparer = Comparer {
        own,
        consensus: consensus.clone(),
        keeper: keeper.clone(),
        asker: leading.asker.clone(),
        judge: leading.judge.clone(),
        fence: care.fence.clone(),
        installed: heard.installed.clone(),
    };
    let ended = consensus.clone();
    runtime.spawn(async move {
        tokio::select! {
            () = comparer.run() => {}
            _ = ended.ended() => {}
        }
    });
    let upkeep = Upkeep {
        consensus: consensus.clone(),
        keeper: keeper.clone(),
        wal: wal.clone(),
        disk,
        gate: care.gate.clone(),
        limits,
        sizes: care.sizes.clone(),
        waiters: heard.waiters.clone(),
    };
    runtime.spawn(upkeep.run());
    care
}

impl Member {
    /// Starts a member on the current tokio runtime (that of the clients) and `consensus_runtime`.
    ///
    /// # Errors
    /// When the log or the store cannot be taken over.
    pub async fn start(parts: Ingredients) -> Result<Self, Ended> {
        almadia_consensus::stir_chance(parts.own.0 ^ u64::from(parts.drawn) << 32);
        let (sink, heard) = hearing::listen(&parts.store, parts.drawn);
        let watches = parts.store.watches();
        tokio::spawn(watches.clone().run());
        let manner = Manner::of(&parts);
        let runtime = parts.consensus_runtime;
        let (own, wal, keeper) = (parts.own, parts.wal.clone(), parts.keeper.clone());
        let consensus = Parts {
            own,
            settings: parts.settings,
            wal: parts.wal,
            store: parts.store,
            keeper: parts.keeper,
            network: parts.network.clone(),
            sink,
        };
        let consensus = start_consensus(&runtime, consensus, parts.founders).await?;
        let (network, waiters) = (parts.network, heard.waiters.clone());
        let forward = client::start(own, consensus.clone(), network.clone(), waiters);
        let queue = proposer::start(
            &runtime,
            own,
            consensus.clone(),
            heard.waiters.clone(),
            forward.clone(),
        );
        let proposals = Proposals::new(queue, parts.request_limit, heard.waiters.clone());
        let leading = Leading::start(&manner, &consensus, &forward, &proposals, &heard);
        let held = (&keeper, &wal, parts.disk, parts.limits);
        let care = take_care(own, &runtime, held, &leading, &heard);
        let card = membership_upkeep::Card {
            name: parts.name.clone(),
            client_urls: parts.client_urls,
        };
        let reads = reads::start(consensus.clone(), &heard, forward);
        let inner = Inner {
            cluster: parts.cluster,
            own,
            name: parts.name,
            request_limit: parts.request_limit,
            recovered: watch_recovery(reads.clone(), wal.last(), heard.applied.clone()),
            reads,
            duties: leading.asker.duties.clone(),
            leases: LeaseDesk::new(own, parts.drawn, leading.asker, parts.request_limit),
            random: Mutex::new(parts.random),
            applied: heard.applied,
            waiters: heard.waiters,
            is_learner: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            removed: watch::Sender::new(false),
            watches,
            consensus,
            proposals,
            wal,
            keeper,
            gate: care.gate,
            fence: care.fence,
            sizes: care.sizes,
            taken: Arc::default(),
            desk: leading.steward.reconciler().desk().clone(),
            consensus_runtime: runtime.clone(),
            overview: overview::Means::new(network, parts.drawn),
        };
        let inner = Arc::new(inner);
        let member = Self { inner };
        runtime.spawn(chronicle::observe(member.clone(), heard.installed));
        runtime.spawn(membership_upkeep::run(member.clone(), leading.steward, card));
        Ok(member)
    }
}

async fn start_consensus(
    runtime: &Handle,
    parts: Parts,
    founders: Vec<(MemberId, MemberInfo)>,
) -> Result<Consensus, almadia_consensus::Ended> {
    let started = runtime.spawn(async move {
        let consensus = Consensus::start(parts).await?;
        consensus.found(&founders).await?;
        Ok(consensus)
    });
    started.await.expect("starting consensus does not panic")
}

/// Becomes true when this member has applied everything that was committed at a moment after its start, as a majority has
/// confirmed: before that, it might show an older state than it showed before it stopped. Its own log is not enough, since it may
/// have applied and shown entries that its disk had not synced; nor is what a leader says unasked, since that may have been said
/// before the stop.
fn watch_recovery(
    reads: mpsc::Sender<reads::Queued>,
    own_log: Option<LogId>,
    mut applied: watch::Receiver<LogIndex>,
) -> watch::Receiver<bool> {
    let (tell, recovered) = watch::channel(false);
    tokio::spawn(async move {
        if let Some(last) = own_log.filter(|_| planted(Bug::RecoveredByOwnLog)) {
            let _ = applied.wait_for(|applied| *applied >= last.index).await;
        } else {
            let (give, take) = oneshot::channel();
            let is_asked = reads.send(give).await.is_ok();
            // The queue ends with the member, not with this.
            drop(reads);
            if !is_asked || take.await.is_err() {
                return;
            }
        }
        tell.send_replace(true);
    });
    recovered
}
