//! One life of a member: from the start of its process to its end, in the order of `almadia-server`'s `assemble.rs`.
//!
//! The real code runs: identity, founding, handshake, log, store, member. Only sockets, threads and clocks are the world's.

use super::net::{HostIndex, Net, Wire};
use super::pod::{self, SetFlags, Wished};
use super::who::{Door, Who};
use crate::chance::Chance;
use almadia_command::{GroupId, MemberId};
use almadia_consensus::{KeeperHandle, MemberInfo};
use almadia_disk::{Disk, MemDisk};
use almadia_member::founding::{FoundingContext, FoundingService, InitialPeer, InitialState};
use almadia_member::identity::Identity;
use almadia_member::{Ingredients, Limits, Member, Settings};
use almadia_store::disk::{Keeper, Options};
use almadia_wal::{Wal, Writer};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

/// Small log files, so that short runs have many.
const LOG_FILE_BYTES: (u64, u64) = (64 * 1024, 256 * 1024);

/// Between two looks at whether a peer has said that this member was removed.
const LOOK: Duration = Duration::from_millis(100);

/// How a member is started: its flags.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Its machine.
    pub host: HostIndex,
    /// Its name.
    pub name: String,
    /// The deployment.
    pub group: GroupId,
    /// `--initial-cluster`.
    pub initial: Vec<InitialPeer>,
    /// `--initial-cluster-state`.
    pub state: InitialState,
    /// Timers.
    pub settings: Settings,
    /// How long a request waits for its outcome.
    pub request_limit: Duration,
    /// For a member of a set: then members come and go by themselves.
    pub set: Option<SetFlags>,
}

/// What the world sees of a life. Shared with the tasks inside.
#[derive(Default)]
pub struct Signs {
    /// Once it is known.
    pub identity: Option<Identity>,
    /// The log, for looking.
    pub wal: Option<Wal>,
    /// The log's writer, until the machine takes it to drive it.
    pub writer: Option<Writer>,
    /// The member, once it has started.
    pub member: Option<Member>,
    /// Why the process has ended.
    pub ended: Option<Ending>,
}

/// How a process ends of its own accord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was removed from the cluster.
    Removed,
    /// It was asked to stop, and has.
    Stopped,
    /// It says that its disk or its state does not allow it to go on.
    Refused(String),
    /// Consensus ended.
    Consensus(String),
}

/// Shared [`Signs`].
pub type SharedSigns = Arc<Mutex<Signs>>;

pub(super) fn look(signs: &SharedSigns) -> MutexGuard<'_, Signs> {
    signs
        .lock()
        .expect("nobody panics while holding the signs of a life")
}

/// Lives until the process ends of its own accord, and says why. Runs on the machine's runtime.
pub async fn live(
    flags: Flags,
    disk: MemDisk,
    net: Net,
    chance: Chance,
    signs: SharedSigns,
    stop: watch::Receiver<bool>,
) {
    let wished = flags.set.as_ref().map(|set| Wished::follow(&set.api));
    let ending = match (&flags.set, &wished) {
        (Some(_), Some(wished)) => {
            let mut stopped = stop.clone();
            let begun = tokio::select! {
                biased;
                begun = begin(&flags, disk.clone(), &net, chance, &signs, Some(wished)) => begun,
                _ = stopped.wait_for(|stops| *stops) => return look(&signs).ended = Some(Ending::Stopped),
            };
            match begun {
                Ok((member, who)) => pod::serve(&member, &who, wished, stop, &disk).await,
                Err(reason) => Ending::Refused(reason),
            }
        }
        _ => match begin(&flags, disk, &net, chance, &signs, None).await {
            Ok((member, who)) => end(&member, &who).await,
            Err(reason) => Ending::Refused(reason),
        },
    };
    look(&signs).ended = Some(ending);
}

/// Returns once a peer has said that this member was removed.
pub(super) async fn told(who: &Who) {
    while !who.is_removed() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn end(member: &Member, who: &Who) -> Ending {
    tokio::select! {
        biased;
        () = member.removed() => Ending::Removed,
        () = told(who) => Ending::Removed,
        ended = member.ended() => Ending::Consensus(ended.to_string()),
    }
}

/// What the founding has made of the member, and what is needed to go on.
struct Settled {
    identity: Identity,
    who: Who,
    door: Door,
    network: Arc<Wire>,
}

/// Asks the others until the member belongs to a cluster.
async fn settle(
    flags: &Flags,
    disk: &Arc<dyn Disk>,
    net: &Net,
    chance: &Arc<Mutex<Chance>>,
    signs: &SharedSigns,
    wished: Option<&Wished>,
) -> Result<Settled, String> {
    let mut draw = draw_from(chance);
    let identity = Identity::open(&**disk, flags.group, &flags.name, &mut draw).map_err(words)?;
    let (who, is_founded) = (Who::new(&identity), identity.is_founded());
    look(signs).identity = Some(identity.clone());
    let network = Arc::new(Wire {
        host: flags.host,
        who: who.clone(),
        net: net.clone(),
    });
    let founding = FoundingService::new(FoundingContext {
        disk: disk.clone(),
        network: network.clone(),
        identity,
        state: flags.state,
        initial: flags.initial.clone(),
        client_urls: Vec::new(),
        random: Box::new(draw_from(chance)),
    })
    .map_err(words)?;
    let door = Door::new(who.clone(), founding.clone());
    net.listen(flags.host, door.clone());
    if let Some((set, wished)) = flags.set.as_ref().zip(wished).filter(|_| !is_founded) {
        founding.ask_also(set.witnesses(wished).await);
    }
    let identity = founding.establish().await.map_err(words)?;
    who.belongs_to(identity.cluster, identity.member);
    look(signs).identity = Some(identity.clone());
    Ok(Settled {
        identity,
        who,
        door,
        network,
    })
}

async fn begin(
    flags: &Flags,
    disk: MemDisk,
    net: &Net,
    chance: Chance,
    signs: &SharedSigns,
    wished: Option<&Wished>,
) -> Result<(Member, Who), String> {
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let chance = Arc::new(Mutex::new(chance));
    let settled = settle(flags, &disk, net, &chance, signs, wished).await?;
    let identity = settled.identity;
    let mut options = almadia_wal::Options::new(Box::new(draw_from(&chance)), Box::new(|_| {}));
    (options.segment_bytes_min, options.segment_bytes_max) = LOG_FILE_BYTES;
    let (wal, writer, recovered) = Wal::open(disk.clone(), options).map_err(words)?;
    {
        let mut signs = look(signs);
        (signs.wal, signs.writer) = (Some(wal.clone()), Some(writer));
    }
    let (keeper, store) = Keeper::open(disk.clone(), Options::deterministic()).map_err(words)?;
    if recovered.last.is_none() && store.views().load().applied().0.get() > 0 {
        return Err("the log is gone".to_owned());
    }
    let drawn = (draw_from(&chance)() >> 32) as u32;
    let member = Member::start(Ingredients {
        cluster: identity.cluster,
        own: identity.member,
        name: identity.name.clone(),
        founders: founders(&identity),
        settings: flags.settings,
        request_limit: flags.request_limit,
        limits: Limits::default(),
        client_urls: Vec::new(),
        random: Box::new(draw_from(&chance)),
        drawn,
        disk,
        wal,
        store,
        keeper: KeeperHandle::spawn_inline(keeper),
        network: settled.network,
        consensus_runtime: tokio::runtime::Handle::current(),
    });
    let member = member.await.map_err(words)?;
    if let Some((set, wished)) = flags.set.as_ref().zip(wished) {
        member.reconcile(set.reconciling(wished));
    }
    settled.door.open(&member);
    look(signs).member = Some(member.clone());
    Ok((member, settled.who))
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn draw_from(chance: &Arc<Mutex<Chance>>) -> impl FnMut() -> u64 + Send + use<> {
    let chance = chance.clone();
    move || chance.lock().expect("drawing a number does not panic").draw()
}

fn founders(identity: &Identity) -> Vec<(MemberId, MemberInfo)> {
    let members = identity.initial.iter();
    members
        .map(|member| {
            let info = MemberInfo {
                name: member.name.clone(),
                peer_urls: member.peer_urls.clone(),
                client_urls: member.client_urls.clone(),
                ..MemberInfo::default()
            };
            (member.id, info)
        })
        .collect()
}
