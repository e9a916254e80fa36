//! The world: machines, the network between them, the clients' side, and the time they share.
//!
//! Everything runs on the calling thread. Time goes in steps: in each, every machine runs up to the end of the step, in an
//! order drawn anew, then the network, then the clients. What one sends in a step the other can hear in the next at the earliest.

pub mod directory;
pub mod host;
pub mod life;
pub mod net;
pub mod pod;
pub mod set;
pub mod who;

use crate::chance::Chance;
use crate::trace::Trace;
use almadia_command::GroupId;
use almadia_member::Settings;
use almadia_member::founding::{InitialPeer, InitialState};
use directory::Directory;
use host::{Event, Host, seeded_runtime};
use life::Flags;
use net::Net;
use set::Set;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// One step of the world's time.
pub const STEP_MS: u64 = 2;

/// A machine's clock leaps when it is further behind than this.
const LEAP_MIN_MS: u64 = 4 * STEP_MS;

/// A runtime of the world's own, whose clock is the world's.
struct Side {
    runtime: Runtime,
    base: Instant,
}

impl Side {
    fn new(seed: u64) -> Self {
        let runtime = seeded_runtime(seed);
        let base = runtime.block_on(async { Instant::now() });
        Self { runtime, base }
    }

    fn turn(&self, now_ms: u64) {
        let until = self.base + Duration::from_millis(now_ms);
        self.runtime
            .block_on(async move { tokio::time::sleep_until(until).await });
    }
}

/// How a world begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Everything comes from it.
    pub seed: u64,
    /// Machines with members, from the beginning.
    pub size: usize,
    /// Machines whose members may join later.
    pub spare: usize,
    /// How long a member lets a request wait.
    pub request_limit: Duration,
    /// The members' timers.
    pub settings: Settings,
    /// Its members are the pods of a set, of which `size` found the cluster.
    pub is_set: bool,
}

/// A whole cluster.
pub struct World {
    /// The machines.
    pub hosts: Vec<Host>,
    /// The network.
    pub net: Net,
    /// Where clients find members.
    pub directory: Directory,
    /// What happened.
    pub trace: Trace,
    /// Machines whose members have told others of a vote in the last step.
    pub voted: Vec<usize>,
    /// Where the members are pods of a set: their platform.
    pub set: Option<Set>,
    roads: Side,
    clients: Side,
    now_ms: u64,
    chance: Chance,
    order: Vec<usize>,
}

impl World {
    /// A world with all its machines turned on, the spare ones off. What happens goes into `trace`.
    pub fn new(beginning: &Beginning, trace: Trace) -> Self {
        let Beginning { seed, size, .. } = *beginning;
        almadia_consensus::seed_chance(crate::chance::mix(seed));
        align_task_ids();
        let roads = Side::new(crate::chance::mix(seed ^ 1));
        let clients = Side::new(crate::chance::mix(seed ^ 2));
        let net = Net::new(
            roads.runtime.handle().clone(),
            Chance::new(seed, "net"),
            trace.clone(),
        );
        let initial: Vec<InitialPeer> = (0..size).map(peer).collect();
        let hosts = (0..size + beginning.spare).map(|index| {
            let flags = Flags {
                host: index,
                name: peer(index).name,
                group: GroupId([7; 16]),
                initial: initial.clone(),
                state: InitialState::New,
                settings: beginning.settings,
                request_limit: beginning.request_limit,
                set: None,
            };
            Host::new(flags, seed)
        });
        let mut hosts: Vec<Host> = hosts.collect();
        for host in &mut hosts[size..] {
            host.power = host::Power::Off;
        }
        let set = beginning.is_set.then(|| Set::new(&mut hosts, size, &net, seed));
        Self {
            set,
            voted: Vec::new(),
            order: (0..hosts.len()).collect(),
            hosts,
            net,
            directory: Directory::default(),
            trace,
            roads,
            clients,
            now_ms: 0,
            chance: Chance::new(seed, "world"),
        }
    }

    /// The world's time.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Where clients run: their clock is the world's.
    pub fn clients(&self) -> (&Runtime, Instant) {
        (&self.clients.runtime, self.clients.base)
    }

    /// Goes on by one step; what happened to machines.
    pub fn step(&mut self) -> Vec<(usize, Event)> {
        self.now_ms += STEP_MS;
        if let Some(set) = &mut self.set {
            set.turn(&mut self.hosts, self.now_ms);
        }
        let mut events = Vec::new();
        self.chance.shuffle(&mut self.order);
        for index in &self.order {
            let host = &mut self.hosts[*index];
            if let Some(event) = host.turn(self.now_ms, &self.net) {
                self.trace
                    .tell(self.now_ms, format!("m{index} {}", words(&event)));
                events.push((*index, event));
            }
            self.directory.set(*index, host, self.now_ms);
        }
        self.roads.turn(self.now_ms);
        self.voted.clear();
        for vote in self.net.take_given() {
            self.hosts[vote.host].has_given(vote);
            self.voted.push(vote.host);
        }
        self.clients.turn(self.now_ms);
        events
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Clients hold members; they go first.
        self.directory.clear();
    }
}

/// tokio counts tasks in one number for the whole process, and a runtime that is dropped ends its tasks in an order that follows
/// that number modulo 4: who is told first that a process has died. So each world begins at the same place of that count. Holds
/// as long as one thread at a time has a world.
fn align_task_ids() {
    const STRIDE: u64 = 64;
    let aside = seeded_runtime(0);
    let next = || aside.spawn(async {}).id().to_string().parse::<u64>();
    while !next()
        .expect("a task's id is shown as its number")
        .is_multiple_of(STRIDE)
    {}
}

/// A member of `--initial-cluster`.
pub fn peer(index: usize) -> InitialPeer {
    InitialPeer {
        name: format!("m{index}"),
        peer_urls: vec![Net::url(index)],
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Ended(ending) => format!("has ended: {ending:?}"),
        Event::LogFailed(error) => format!("has aborted: {error}"),
        Event::DiedInside => "lost power in the midst of a write".to_owned(),
        Event::Panicked(text) => format!("PANICKED: {text}"),
        Event::Forgot(text) => format!("FORGOT: {text}"),
        Event::Started => "starts".to_owned(),
    }
}
