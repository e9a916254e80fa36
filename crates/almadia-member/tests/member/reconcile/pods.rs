//! A set of pods in one process: each has a name, a volume and an address, is started, killed, wiped, cut off and started
//! twice as Kubernetes may do it. Founding, admission and consensus are the product's own; only sockets, disks and time are not.

use almadia_command::{ClusterId, Command, GroupId, Kind, MemberId, Put, Range};
use almadia_consensus::{DialError, Dialing, KeeperHandle, Lane, PeerAddress, PeerNetwork, Pipe};
use almadia_disk::{Disk, MemDisk};
use almadia_member::founding::{FoundingContext, FoundingService, InitialPeer, InitialState};
use almadia_member::identity::Identity;
use almadia_member::membership::forlorn::look_around;
use almadia_member::membership::reconcile::{Reconciling, Roll};
use almadia_member::naming::Naming;
use almadia_member::{Ingredients, Limits, Member, MemberInfo, Settings};
use almadia_store::disk::Keeper;
use almadia_wal::Wal;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// What anything may take, in the world's own time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Counts processes: a pod that is started again is another one.
pub type Run = u64;

#[derive(Default)]
struct Net {
    runs: BTreeMap<Run, Running>,
    /// Which process a name leads to.
    dns: BTreeMap<String, Run>,
    cut: BTreeSet<Run>,
    pumps: Vec<(Run, Run, JoinHandle<()>)>,
    next: Run,
    drawn: u64,
}

struct Running {
    ordinal: u32,
    founding: FoundingService,
    member: Option<Member>,
    /// A peer has told it that it does not belong any more.
    was_told_to_leave: bool,
    tasks: Vec<JoinHandle<()>>,
}

type Shared = Arc<Mutex<Net>>;

fn look(net: &Shared) -> MutexGuard<'_, Net> {
    net.lock().unwrap()
}

struct Wire {
    run: Run,
    net: Shared,
}

impl PeerNetwork for Wire {
    fn dial(&self, to: PeerAddress, lane: Lane) -> Dialing {
        let (run, net) = (self.run, self.net.clone());
        Box::pin(async move { connect(&net, run, &to, lane).ok_or_else(|| unreachable(&to)) })
    }
}

fn unreachable(to: &PeerAddress) -> DialError {
    DialError::Unreachable {
        name: to.name.clone(),
        url: to.urls.join(","),
        reason: "nobody there".to_owned(),
    }
}

/// What the handshake decides, and a pipe that can be cut.
fn connect(net: &Shared, run: Run, to: &PeerAddress, lane: Lane) -> Option<Pipe> {
    let mut shared = look(net);
    let target = *to.urls.iter().find_map(|url| shared.dns.get(url))?;
    if shared.cut.contains(&run) || shared.cut.contains(&target) || target == run {
        return None;
    }
    let from = shared.runs.get(&run)?.founding.identity();
    let there = shared.runs.get(&target)?;
    let (founding, member) = (there.founding.clone(), there.member.clone());
    let is_meant = match (&member, lane) {
        (_, Lane::Founding) => founding.identity().name == to.name,
        (member, _) => member.as_ref()?.id() == to.member,
    };
    if !is_meant {
        return None;
    }
    if member
        .as_ref()
        .is_some_and(|member| member.is_removed(from.member))
    {
        shared.runs.get_mut(&run)?.was_told_to_leave = true;
        return None;
    }
    let (near, near_end) = Pipe::pair();
    let (far, far_end) = Pipe::pair();
    for (one, other, mut receive, send) in [
        (run, target, near_end.receive, far.send),
        (target, run, far.receive, near_end.send),
    ] {
        let pump = tokio::spawn(async move {
            while let Some(frame) = receive.recv().await {
                if send.send(frame).await.is_err() {
                    return;
                }
            }
        });
        shared.pumps.push((one, other, pump));
    }
    drop(shared);
    match lane {
        Lane::Founding => drop(tokio::spawn(async move { founding.serve(far_end).await })),
        _ => member?.accept(lane, from.member, far_end),
    }
    Some(near)
}

/// The pods of one set.
pub struct Pods {
    net: Shared,
    pub disks: BTreeMap<u32, MemDisk>,
    naming: Naming,
    founders: u32,
    wished: watch::Sender<Option<u32>>,
}

impl Pods {
    /// A set of which this many found the cluster; none has been started.
    pub fn new(founders: u32) -> Self {
        Self {
            net: Shared::default(),
            disks: BTreeMap::new(),
            naming: Naming::new("m-0", "http://m-%d.pods:2380").unwrap(),
            founders,
            wished: watch::channel(Some(founders)).0,
        }
    }

    /// A set that runs, with a leader.
    pub async fn of(founders: u32) -> Self {
        let mut pods = Self::new(founders);
        for ordinal in 0..founders {
            pods.start(ordinal);
        }
        pods.size_is(founders).await;
        pods
    }

    /// Says how many there are to be.
    pub fn wish(&self, size: u32) {
        self.wished.send_replace(Some(size));
    }

    /// Starts a pod on its volume, under its name.
    pub fn start(&mut self, ordinal: u32) -> Run {
        let disk = self.disks.entry(ordinal).or_default().clone();
        self.start_on(ordinal, disk).expect("its volume is its own")
    }

    /// Starts a pod with some volume.
    pub fn start_on(&mut self, ordinal: u32, disk: MemDisk) -> Result<Run, String> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let own = self.naming.peer(ordinal);
        let run = {
            let mut net = look(&self.net);
            net.next += 1;
            net.next
        };
        let mut random = self.random();
        let opened = Identity::open(&*disk, GroupId([7; 16]), &own.name, &mut *random);
        let identity = opened.map_err(|error| error.to_string())?;
        let mut initial: Vec<InitialPeer> = self.naming.first(self.founders);
        let is_founder = ordinal < self.founders;
        if !is_founder {
            initial.push(own.clone());
        }
        let network = Arc::new(Wire {
            run,
            net: self.net.clone(),
        });
        let founding = FoundingService::new(FoundingContext {
            disk: disk.clone(),
            network: network.clone(),
            identity,
            state: if is_founder {
                InitialState::New
            } else {
                InitialState::Existing
            },
            initial,
            client_urls: Vec::new(),
            random: self.random(),
        });
        let founding = founding.map_err(|error| error.to_string())?;
        let life = Life {
            run,
            net: self.net.clone(),
            disk,
            network,
            founding: founding.clone(),
            roll: Roll::Set(self.naming.clone()),
            wished: self.wished.subscribe(),
            random: self.random(),
        };
        let running = Running {
            ordinal,
            founding,
            member: None,
            was_told_to_leave: false,
            tasks: vec![tokio::spawn(life.begin())],
        };
        let mut net = look(&self.net);
        net.runs.insert(run, running);
        net.dns.insert(own.peer_urls[0].clone(), run);
        Ok(run)
    }

    /// Ends all processes of a pod at once.
    pub async fn kill(&self, ordinal: u32) {
        let runs: Vec<Run> = {
            let net = look(&self.net);
            net.runs
                .iter()
                .filter(|(_, one)| one.ordinal == ordinal)
                .map(|(run, _)| *run)
                .collect()
        };
        for run in runs {
            self.end(run).await;
        }
    }

    /// Ends a process at once.
    pub async fn end(&self, run: Run) {
        let running = look(&self.net).runs.remove(&run);
        self.break_pumps(run);
        let Some(running) = running else { return };
        for task in &running.tasks {
            task.abort();
        }
        if let Some(member) = running.member {
            member.abandon().await;
        }
    }

    /// Replaces a pod's volume by an empty one.
    pub fn wipe(&mut self, ordinal: u32) {
        self.disks.insert(ordinal, MemDisk::new());
    }

    /// Cuts a process off, or heals it.
    pub fn isolate(&self, run: Run, cut: bool) {
        if cut {
            look(&self.net).cut.insert(run);
            self.break_pumps(run);
        } else {
            look(&self.net).cut.remove(&run);
        }
    }

    /// Whether a process has been told by a peer that it does not belong any more.
    pub fn was_told_to_leave(&self, run: Run) -> bool {
        look(&self.net)
            .runs
            .get(&run)
            .is_some_and(|one| one.was_told_to_leave)
    }

    /// The member of a pod's newest process, if it belongs to a cluster.
    pub fn member(&self, ordinal: u32) -> Option<Member> {
        let net = look(&self.net);
        let mut runs = net.runs.values().rev();
        runs.find(|one| one.ordinal == ordinal)?.member.clone()
    }

    /// Whoever leads, by all that run and are not cut off.
    pub fn leader(&self) -> Option<Member> {
        let net = look(&self.net);
        let up = net.runs.iter().filter(|(run, _)| !net.cut.contains(run));
        let members: Vec<Member> = up.filter_map(|(_, one)| one.member.clone()).collect();
        let newest = members
            .iter()
            .map(|member| member.standing().borrow().term)
            .max()?;
        let leads = |member: &&Member| {
            let standing = *member.standing().borrow();
            standing.leading && standing.term == newest
        };
        members.iter().find(leads).cloned()
    }

    /// The clusters that anybody belongs to, on all volumes.
    pub fn clusters(&self) -> BTreeSet<ClusterId> {
        let identities = self
            .disks
            .values()
            .filter_map(|disk| Identity::load(disk).unwrap());
        identities
            .map(|one| one.cluster)
            .filter(|cluster| cluster.get() != 0)
            .collect()
    }

    /// Waits until exactly the first ordinals vote, each by a living member, and all agree.
    pub async fn size_is(&self, size: u32) {
        self.until(&format!("{size} voters"), |pods| {
            let Some(leader) = pods.leader() else { return false };
            let members = leader.members();
            let votes = |ordinal: u32| {
                let name = pods.naming.peer(ordinal).name;
                let mut namesakes = members.iter().filter(|one| one.info.name == name);
                let own = pods.member(ordinal).map(|member| member.id());
                let first = namesakes.next();
                namesakes.next().is_none() && first.is_some_and(|one| one.votes && Some(one.id) == own)
            };
            members.len() == size as usize && (0..size).all(votes)
        })
        .await;
    }

    /// Waits until it is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let so = async {
            while !is_so(self) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PATIENCE, so).await.is_err() {
            let members = self.leader().map(|leader| leader.members());
            panic!("waited in vain: {what}; the leader has {members:#?}");
        }
    }

    /// Puts through whoever leads, until it is acknowledged.
    pub async fn put(&self, key: &str, value: &str) {
        let acknowledged = async {
            loop {
                if let Some(leader) = self.leader()
                    && leader.propose(put(key, value)).await.is_ok()
                {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, acknowledged).await.expect("the majority is up");
    }

    /// Numbers for ids, the same in each run of a test.
    fn random(&self) -> Box<dyn FnMut() -> u64 + Send> {
        let net = self.net.clone();
        Box::new(move || {
            let mut net = look(&net);
            net.drawn += 1;
            net.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    }

    fn break_pumps(&self, run: Run) {
        let mut net = look(&self.net);
        net.pumps.retain(|(one, other, pump)| {
            let is_hit = *one == run || *other == run;
            if is_hit {
                pump.abort();
            }
            !is_hit && !pump.is_finished()
        });
    }
}

/// What a process does from its start on.
struct Life {
    run: Run,
    net: Shared,
    disk: Arc<dyn Disk>,
    network: Arc<Wire>,
    founding: FoundingService,
    roll: Roll,
    wished: watch::Receiver<Option<u32>>,
    random: Box<dyn FnMut() -> u64 + Send>,
}

impl Life {
    async fn begin(self) {
        let identity = self.founding.establish().await.unwrap();
        let run = self.run;
        let life = move || run;
        let options = almadia_wal::Options::new(
            Box::new(life),
            Box::new(|error| panic!("the log failed: {error}")),
        );
        let (wal, mut writer, _) = Wal::open(self.disk.clone(), options).unwrap();
        let written = tokio::spawn(async move {
            loop {
                let is_idle = !writer.step().expect("the disk of this world does not fail");
                let pause = if is_idle {
                    Duration::from_micros(500)
                } else {
                    Duration::ZERO
                };
                sleep(pause).await;
            }
        });
        {
            let mut net = look(&self.net);
            match net.runs.get_mut(&run) {
                Some(running) => running.tasks.push(written),
                None => return written.abort(),
            }
        }
        let (keeper, store) =
            Keeper::open(self.disk.clone(), almadia_store::disk::Options::deterministic()).unwrap();
        let member = Member::start(Ingredients {
            cluster: identity.cluster,
            own: identity.member,
            name: identity.name.clone(),
            founders: founders(&identity),
            settings: Settings::default(),
            request_limit: Duration::from_secs(7),
            limits: Limits::default(),
            drawn: 1_000_000 - u32::try_from(run).unwrap(),
            client_urls: Vec::new(),
            random: self.random,
            disk: self.disk,
            wal,
            store,
            keeper: KeeperHandle::spawn_inline(keeper),
            network: self.network,
            consensus_runtime: Handle::current(),
        });
        let member = member.await.unwrap();
        member.reconcile(Reconciling {
            roll: self.roll,
            wished: self.wished,
        });
        self.founding.admit_by(Arc::new(member.clone()));
        tokio::spawn(look_around(member.clone(), self.founding.clone()));
        if let Some(running) = look(&self.net).runs.get_mut(&run) {
            running.member = Some(member);
        }
    }
}

fn founders(identity: &Identity) -> Vec<(MemberId, MemberInfo)> {
    let info = |member: &almadia_member::identity::InitialMember| MemberInfo {
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        ..MemberInfo::default()
    };
    identity
        .initial
        .iter()
        .map(|member| (member.id, info(member)))
        .collect()
}

/// A put.
pub fn put(key: &str, value: &str) -> Command {
    Kind::Put(Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..Put::default()
    })
    .into()
}

/// What a member has under a key, after a read barrier.
pub async fn get(member: &Member, key: &str) -> Option<Vec<u8>> {
    member.read_barrier().await.expect("a read is confirmed");
    let range = Range {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Range::default()
    };
    let answer = member.view().range(&range).expect("the present is readable");
    answer.records.first().map(|record| record.value().to_vec())
}
