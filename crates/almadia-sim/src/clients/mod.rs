//! The clients of a run: they read, write, compare, watch, hold leases, compact, time out and try elsewhere.
//!
//! Few keys and busy compaction are what make bugs show (what etcd's robustness tests found); so there are ten keys.

mod holder;
mod reader;
pub mod recorder;
pub mod serve;
mod traffic;
mod watcher;

use crate::chance::{Chance, mix};
use crate::history::{Call, Outcome, Refusal, Request};
use crate::theme::Theme;
use crate::trace::Trace;
use crate::world::World;
use crate::world::directory::Directory;
use crate::world::net::Net;
use recorder::Recorder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// What the clients of a run are like; drawn from the seed.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Clients that call.
    pub callers: u64,
    /// Clients that watch.
    pub watchers: u64,
    /// Between two calls of one client, at most.
    pub think_ms_max: u64,
    /// A client waits so long for an answer.
    pub patience: Duration,
    /// Clients that hold a lease each and keep it alive.
    pub holders: u64,
    /// Clients that read what their machine has, all the time.
    pub readers: u64,
    /// Watchers ask for progress at any time and like to begin where history does.
    pub watchers_ask: bool,
}

impl Manner {
    /// What a seed makes of it.
    pub fn draw(chance: &mut Chance) -> Self {
        Self {
            callers: chance.between(3, 8),
            watchers: chance.between(2, 5),
            think_ms_max: *chance.pick(&[100, 300, 600, 1_200]),
            patience: Duration::from_millis(*chance.pick(&[500, 2_000, 6_000])),
            holders: 0,
            readers: 0,
            watchers_ask: false,
        }
    }

    /// What a theme needs beside that.
    pub fn for_theme(mut self, theme: Theme) -> Self {
        match theme {
            Theme::Votes | Theme::SegmentRot => {}
            Theme::LogRot => self.think_ms_max = 100,
            Theme::Leases => self.holders = 6,
            Theme::Watches => {
                self.think_ms_max = 200;
                self.watchers = 6;
                self.watchers_ask = true;
            }
            Theme::Restarts => {
                self.think_ms_max = 200;
                self.readers = 3;
            }
        }
        self
    }
}

/// What all clients of a run share.
#[derive(Clone)]
struct Common {
    directory: Directory,
    net: Net,
    recorder: Recorder,
    trace: Trace,
    base: Instant,
    machines: usize,
    manner: Manner,
    stops: Arc<AtomicBool>,
    /// The newest revision anybody has seen.
    newest: Arc<AtomicI64>,
    /// The newest revision that is compacted, as somebody was told.
    compacted: Arc<AtomicI64>,
    ids: Arc<AtomicU64>,
}

/// The clients of a run.
pub struct Clients {
    common: Common,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Starts them.
    pub fn start(world: &World, seed: u64, manner: Manner) -> Self {
        let (runtime, base) = world.clients();
        let common = Common {
            directory: world.directory.clone(),
            net: world.net.clone(),
            recorder: Recorder::default(),
            trace: world.trace.clone(),
            base,
            machines: world.hosts.len(),
            manner,
            stops: Arc::default(),
            newest: Arc::new(AtomicI64::new(1)),
            compacted: Arc::default(),
            ids: Arc::new(AtomicU64::new(1)),
        };
        let callers = (0..manner.callers).map(|number| {
            let chance = Chance::new(seed, &format!("caller {number}"));
            runtime.spawn(traffic::call_on(common.clone(), number, chance))
        });
        let watchers = (0..manner.watchers).map(|number| {
            let chance = Chance::new(seed, &format!("watcher {number}"));
            runtime.spawn(watcher::watch_on(common.clone(), chance))
        });
        let holders = (0..manner.holders).map(|number| {
            let chance = Chance::new(seed, &format!("holder {number}"));
            runtime.spawn(holder::hold_on(common.clone(), number, chance))
        });
        let readers = (0..manner.readers).map(|number| {
            let chance = Chance::new(seed, &format!("reader {number}"));
            runtime.spawn(reader::read_on(common.clone(), number, chance))
        });
        let tasks = callers.chain(watchers).chain(holders).chain(readers).collect();
        Self { common, tasks }
    }

    /// They finish what they have begun and begin nothing more.
    pub fn stop(&self) {
        self.common.stops.store(true, Ordering::Relaxed);
    }

    /// Whether all have finished.
    pub fn have_finished(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }

    /// What they wrote down.
    pub fn recorder(&self) -> &Recorder {
        &self.common.recorder
    }

    /// Asks for one thing more, at one machine; the call is written down like all others.
    pub fn ask(&self, world: &World, machine: usize, request: Request) -> JoinHandle<Outcome> {
        let common = self.common.clone();
        let (runtime, _) = world.clients();
        runtime.spawn(async move { common.call(u64::MAX >> 12, machine, request).await })
    }
}

impl Common {
    fn now_us(&self) -> u64 {
        self.base.elapsed().as_micros() as u64
    }

    fn stops(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }

    fn saw(&self, revision: i64) {
        self.newest.fetch_max(revision, Ordering::Relaxed);
    }

    fn newest(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }

    fn compacted(&self) -> i64 {
        self.compacted.load(Ordering::Relaxed)
    }

    /// One call from its request to its end, over a connection to one machine.
    async fn call(&self, client: u64, machine: usize, request: Request) -> Outcome {
        let invoked_us = self.now_us();
        sleep(self.net.client_delay()).await;
        let (outcome, applied) = match self.directory.get(machine) {
            None => (
                Outcome::Refused(Refusal::Other("connection refused".to_owned())),
                None,
            ),
            Some(entry) => {
                let served = entry.process.spawn(serve::serve(entry.member, request.clone()));
                match timeout(self.manner.patience, served).await {
                    Ok(Ok(answer)) => answer,
                    // Out of patience, or the process has died.
                    Err(_) | Ok(Err(_)) => (Outcome::Unknown, None),
                }
            }
        };
        sleep(self.net.client_delay()).await;
        if let Outcome::Done(answer) = &outcome {
            self.saw(answer.revision);
            if let Request::Compact { revision } = &request {
                self.compacted.fetch_max(*revision, Ordering::Relaxed);
            }
        }
        let returned_us = self.now_us();
        let (kind, revision) = match &outcome {
            Outcome::Done(answer) => (0, answer.revision),
            Outcome::Refused(_) => (1, 0),
            Outcome::Unknown => (2, 0),
        };
        self.trace
            .note(&[client, invoked_us, returned_us, kind, mix(revision as u64)]);
        let call = Call {
            client,
            member: Some(machine as u64),
            invoked_us,
            returned_us,
            request,
            outcome: outcome.clone(),
        };
        self.recorder.call(call, applied);
        outcome
    }
}
