//! A machine: a disk, a clock, power, and at most one process at a time.
//!
//! Each life of a process has a runtime of its own with a clock of its own. The world lets it run up to a moment and goes on
//! to the next machine. So a process can be killed between two awaits, paused while the world goes on, and have a clock that
//! goes fast or slow. The log's writer is driven from here: a write and its sync are two events.

use super::life::{Ending, Flags, SharedSigns, live, look};
use super::net::{Net, VoteGiven};
use crate::chance::Chance;
use almadia_command::MemberId;
use almadia_disk::{Loss, MemDisk};
use almadia_member::Member;
use almadia_wal::{LogId, Vote, Wal, Writer};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::Instant;

/// A supervisor starts a process that has ended after this.
const RESTART_MS: u64 = 300;

/// A volume of this size is large enough for everything.
pub const PLENTY_BYTES: u64 = 1 << 40;

/// A pod that was told to stop is killed after this.
const GRACE_MS: u64 = 10_000;

/// How a disk behaves.
#[derive(Clone, Copy, Debug)]
pub struct DiskPace {
    /// A sync takes up to this long.
    pub sync_ms_max: u64,
    /// Of a thousand syncs so many take `stall_ms`.
    pub stall_per_mille: u64,
    /// How long a slow one takes.
    pub stall_ms: u64,
}

impl Default for DiskPace {
    fn default() -> Self {
        Self {
            sync_ms_max: 3,
            stall_per_mille: 2,
            stall_ms: 40,
        }
    }
}

/// A process that runs.
struct Life {
    runtime: Runtime,
    signs: SharedSigns,
    /// The runtime's clock when it began.
    base: Instant,
    /// When its clock's rate was set, in the world's time and in its own.
    since_ms: (u64, u64),
    /// How far its clock has come.
    clock_ms: u64,
    /// So much more at its next turn.
    leap_ms: u64,
    stopping: Option<tokio::task::JoinHandle<()>>,
    /// The signal that asks the process of a pod to stop.
    stop: watch::Sender<bool>,
    writer: Option<Writer>,
    /// A written group is being synced until then.
    sync_at_ms: Option<u64>,
    number: u64,
}

impl Life {
    /// What its clock is to show.
    fn local_ms(&self, now_ms: u64, ppm: i64) -> u64 {
        let (since_ms, local_ms) = self.since_ms;
        let passed_ms = i128::from(now_ms - since_ms);
        local_ms + (passed_ms + passed_ms * i128::from(ppm) / 1_000_000).max(0) as u64
    }
}

/// Whether and how a machine works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// A process runs, or will be started at that time.
    On {
        /// When it is started, if it is not running.
        start_ms: u64,
    },
    /// Its pod was told to stop and is not started again; at that time it is killed.
    Ending {
        /// When.
        kill_ms: u64,
    },
    /// Down until somebody turns it on again.
    Off,
}

/// A disk that can be moved from machine to machine.
#[derive(Clone)]
pub struct Volume {
    /// What is on it.
    pub disk: MemDisk,
    /// No other disk of the world is called so: the machine that had it first, and how many it had had until then.
    pub name: (usize, u64),
}

/// A machine.
pub struct Host {
    /// Which.
    pub index: usize,
    /// How its process is started.
    pub flags: Flags,
    /// Its disk; a wiped machine gets another one.
    pub disk: MemDisk,
    /// Whether it works.
    pub power: Power,
    /// It gets no processor before that time.
    pub paused_until_ms: u64,
    /// Its clock gains so many parts of a million.
    clock_ppm: i64,
    /// Its disk's speed.
    pub pace: DiskPace,
    /// The disk stops working after so many more calls, as if the power had gone there; then the power goes.
    pub dies_inside: Option<Loss>,
    life: Option<Life>,
    lives: u64,
    disks: u64,
    /// What its disk is called; see [`Volume`].
    volume: (usize, u64),
    /// What must be on the disk when the next process begins.
    owed: Owed,
    chance: Chance,
    seed: u64,
}

/// What a disk owes to whoever starts from it.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    /// The end of the log and the vote in it, where everything was synced when the last process ended.
    kept: Option<(Option<LogId>, Option<Vote>)>,
    /// The newest vote that a member has told others of.
    given: Option<VoteGiven>,
}

impl Owed {
    /// Compares it with a log that was just opened.
    fn check(&self, wal: &Wal) -> Result<(), String> {
        let (last, vote) = (wal.last(), wal.vote());
        if let Some(kept) = self.kept.filter(|kept| *kept != (last, vote)) {
            return Err(format!(
                "everything was synced up to {kept:?}, and now its log ends with {:?}",
                (last, vote)
            ));
        }
        let Some(given) = self.given else { return Ok(()) };
        let is_there = vote.is_some_and(|vote| {
            vote.term > given.term
                || vote.term == given.term && (vote.committed || vote.member == given.member)
        });
        match is_there {
            true => Ok(()),
            false => Err(format!("it had given its vote, {given:?}, and now has {vote:?}")),
        }
    }
}

/// What a machine's turn brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The process ended of its own accord.
    Ended(Ending),
    /// The log could not be written; the process aborted.
    LogFailed(String),
    /// The power went in the midst of the disk's work.
    DiedInside,
    /// A bug: the process has panicked.
    Panicked(String),
    /// What must be on its disk is not there.
    Forgot(String),
    /// It was started.
    Started,
}

impl Host {
    /// A machine with an empty disk that is started at once.
    pub fn new(flags: Flags, seed: u64) -> Self {
        let host = flags.host;
        Self {
            index: host,
            chance: Chance::new(seed, &format!("host {}", flags.host)),
            flags,
            disk: MemDisk::new(),
            power: Power::On { start_ms: 0 },
            paused_until_ms: 0,
            clock_ppm: 0,
            pace: DiskPace::default(),
            dies_inside: None,
            life: None,
            lives: 0,
            disks: 1,
            volume: (host, 1),
            owed: Owed::default(),
            seed,
        }
    }

    /// Whether a process runs.
    pub fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Whether it runs and has the processor.
    pub fn is_awake(&self, now_ms: u64) -> bool {
        self.is_up() && self.paused_until_ms <= now_ms
    }

    /// The member, when the process has come that far.
    pub fn member(&self) -> Option<Member> {
        self.life
            .as_ref()
            .and_then(|life| look(&life.signs).member.clone())
    }

    /// The log, when the process has come that far.
    pub fn wal(&self) -> Option<Wal> {
        self.life.as_ref().and_then(|life| look(&life.signs).wal.clone())
    }

    /// The member's id, when the process has come that far.
    pub fn member_id(&self) -> Option<MemberId> {
        let life = self.life.as_ref()?;
        let signs = look(&life.signs);
        signs
            .identity
            .as_ref()
            .filter(|identity| identity.is_founded())
            .map(|identity| identity.member)
    }

    /// Which life this is; 0 before the first.
    pub fn life_number(&self) -> u64 {
        self.life.as_ref().map_or(0, |life| life.number)
    }

    /// What its disk is called.
    pub fn volume_name(&self) -> (usize, u64) {
        self.volume
    }

    /// Takes its disk out and puts another one in. Nobody may be running.
    pub fn exchange(&mut self, volume: Volume) -> Volume {
        assert!(self.life.is_none(), "a disk is not taken from under a process");
        // What was wrong with this machine's disk stays with the machine.
        self.disk.clear_faults();
        self.disk.set_capacity(PLENTY_BYTES);
        self.dies_inside = None;
        self.owed = Owed::default();
        let name = std::mem::replace(&mut self.volume, volume.name);
        let disk = std::mem::replace(&mut self.disk, volume.disk);
        Volume { disk, name }
    }

    /// An empty disk.
    pub fn fresh_volume(&mut self) -> Volume {
        self.disks += 1;
        let name = (self.index, self.disks);
        let disk = MemDisk::new();
        Volume { disk, name }
    }

    /// Who its process is, once it knows; also one that belongs to no cluster.
    pub fn identity(&self) -> Option<almadia_member::identity::Identity> {
        let life = self.life.as_ref()?;
        look(&life.signs).identity.clone()
    }

    /// Whether everything that the log was told is on the disk, as far as the writer knows.
    pub fn is_log_settled(&self) -> bool {
        let Some(life) = &self.life else { return false };
        life.sync_at_ms.is_none() && life.writer.as_ref().is_some_and(|writer| !writer.has_work())
    }

    /// Its member has told another one whom it votes for.
    pub fn has_given(&mut self, vote: VoteGiven) {
        if self.flags.set.is_none() && self.owed.given.is_none_or(|given| given.term <= vote.term) {
            self.owed.given = Some(vote);
        }
    }

    /// Where its tasks run.
    pub fn runtime(&self) -> Option<tokio::runtime::Handle> {
        self.life.as_ref().map(|life| life.runtime.handle().clone())
    }

    fn start(&mut self, now_ms: u64, net: &Net) {
        self.lives += 1;
        let seed = crate::chance::mix(self.seed ^ (self.index as u64) << 32 ^ self.lives);
        let runtime = seeded_runtime(seed);
        let signs = SharedSigns::default();
        let chance = Chance::new(seed, "life");
        let base = runtime.block_on(async { Instant::now() });
        let stop = watch::Sender::new(false);
        runtime.spawn(live(
            self.flags.clone(),
            self.disk.clone(),
            net.clone(),
            chance,
            Arc::clone(&signs),
            stop.subscribe(),
        ));
        self.life = Some(Life {
            runtime,
            signs,
            base,
            since_ms: (now_ms, 0),
            clock_ms: 0,
            leap_ms: 0,
            stopping: None,
            stop,
            writer: None,
            sync_at_ms: None,
            number: self.lives,
        });
    }

    /// From now on its clock gains so many parts of a million.
    pub fn set_clock(&mut self, now_ms: u64, ppm: i64) {
        let before = std::mem::replace(&mut self.clock_ppm, ppm);
        if let Some(life) = &mut self.life {
            life.since_ms = (now_ms, life.local_ms(now_ms, before));
        }
    }

    /// Its clock leaps ahead; false when nobody is there to notice.
    pub fn leap(&mut self, by_ms: u64) -> bool {
        let Some(life) = &mut self.life else { return false };
        life.leap_ms += by_ms;
        true
    }

    /// Asks the process to stop in good order; it is started again some time later.
    pub fn stop_gracefully(&mut self, now_ms: u64, down_ms: u64) -> bool {
        if self.flags.set.is_some() {
            let Some(life) = &self.life else { return false };
            life.stop.send_replace(true);
            return true;
        }
        let Some(member) = self.member() else { return false };
        let Some(life) = &mut self.life else { return false };
        life.stopping = Some(life.runtime.spawn(async move { member.shutdown().await }));
        self.power = Power::On {
            start_ms: now_ms + down_ms,
        };
        true
    }

    /// Its pod is to go: it is asked to stop, and killed when it takes too long. It is not started again.
    pub fn end_pod(&mut self, now_ms: u64) {
        match &self.life {
            Some(life) => {
                life.stop.send_replace(true);
                self.power = Power::Ending {
                    kill_ms: now_ms + GRACE_MS,
                };
            }
            None => self.power = Power::Off,
        }
    }

    /// What ended is started again at that time, unless it is to go.
    pub fn start_again(&mut self, start_ms: u64) {
        if let Power::On { .. } = self.power {
            self.power = Power::On { start_ms };
        }
    }

    /// Ends the process at once, wherever it is. Its disk's cache survives.
    pub fn kill(&mut self, net: &Net) {
        self.end_life(net, false);
    }

    fn end_life(&mut self, net: &Net, is_silent: bool) {
        // A dead disk took nothing of what it was told, and pods that leave for good empty theirs.
        let is_settled = self.is_log_settled() && !self.disk.is_dead() && self.flags.set.is_none();
        self.owed.kept = self
            .wal()
            .filter(|_| is_settled)
            .map(|wal| (wal.last(), wal.vote()));
        self.drop_life(net, is_silent);
    }

    fn drop_life(&mut self, net: &Net, is_silent: bool) {
        let Some(life) = self.life.take() else { return };
        net.leave(self.index, is_silent);
        // What the world holds of the member must not outlive its runtime's clock.
        let signs = std::mem::take(&mut *look(&life.signs));
        drop(life.writer);
        drop(signs);
        drop(life.runtime);
    }

    /// Takes the power away: unsynced bytes go as `loss` says.
    pub fn lose_power(&mut self, net: &Net, loss: Loss) {
        self.end_life(net, true);
        self.disk.power_loss(loss);
        self.dies_inside = None;
    }

    /// An empty disk takes the place of the old one.
    pub fn wipe(&mut self, net: &Net) {
        self.end_life(net, false);
        let fresh = self.fresh_volume();
        self.exchange(fresh);
    }

    /// Lets the machine run up to `now_ms` of the world's time.
    pub fn turn(&mut self, now_ms: u64, net: &Net) -> Option<Event> {
        if let Power::On { start_ms } = self.power
            && self.life.is_none()
            && start_ms <= now_ms
        {
            self.start(now_ms, net);
            return Some(Event::Started);
        }
        if let Power::Ending { kill_ms } = self.power
            && (self.life.is_none() || kill_ms <= now_ms)
        {
            self.kill(net);
            self.power = Power::Off;
            return None;
        }
        if !self.is_awake(now_ms) {
            return None;
        }
        let ran = catch_unwind(AssertUnwindSafe(|| self.run(now_ms)));
        let event = match ran {
            Ok(event) => event,
            Err(panic) => Some(Event::Panicked(panic_words(&*panic))),
        };
        match &event {
            Some(Event::DiedInside) => {
                let loss = self.dies_inside.unwrap_or(Loss::DropUnsynced);
                self.lose_power(net, loss);
                self.restart_after(now_ms + RESTART_MS);
            }
            Some(Event::Ended(Ending::Removed)) if self.flags.set.is_none() => {
                self.end_life(net, false);
                self.power = Power::Off;
            }
            Some(Event::Ended(_)) => {
                self.end_life(net, false);
                self.restart_after(now_ms + RESTART_MS);
            }
            Some(Event::LogFailed(_) | Event::Panicked(_) | Event::Forgot(_)) => {
                // Nobody knows what became of the last write.
                self.owed.kept = None;
                self.drop_life(net, false);
                self.restart_after(now_ms + RESTART_MS);
            }
            Some(Event::Started) | None => {}
        }
        event
    }

    fn restart_after(&mut self, start_ms: u64) {
        self.start_again(start_ms);
    }

    fn run(&mut self, now_ms: u64) -> Option<Event> {
        let ppm = self.clock_ppm;
        let life = self.life.as_mut()?;
        life.since_ms.1 += std::mem::take(&mut life.leap_ms);
        let wanted_ms = life.local_ms(now_ms, ppm);
        if wanted_ms > life.clock_ms {
            // Whoever had no processor finds that time has passed, all at once.
            let leap_ms = (wanted_ms - life.clock_ms).saturating_sub(super::LEAP_MIN_MS);
            let until = life.base + Duration::from_millis(wanted_ms);
            life.runtime.block_on(async {
                if leap_ms > 0 {
                    tokio::time::advance(Duration::from_millis(leap_ms)).await;
                }
                tokio::time::sleep_until(until).await;
            });
            life.clock_ms = wanted_ms;
        }
        let mut signs = look(&life.signs);
        let mut forgot = None;
        if life.writer.is_none() {
            life.writer = signs.writer.take();
            if life.writer.is_some()
                && let Some(wal) = &signs.wal
            {
                forgot = self.owed.check(wal).err();
                self.owed.kept = None;
            }
        }
        let ended = signs.ended.clone();
        drop(signs);
        if let Some(text) = forgot {
            return Some(Event::Forgot(text));
        }
        if self.dies_inside.is_some() && self.disk.is_dead() {
            return Some(Event::DiedInside);
        }
        if let Some(ending) = ended {
            return Some(Event::Ended(ending));
        }
        let failed = self.drive_log(now_ms);
        if self.dies_inside.is_some() && self.disk.is_dead() {
            return Some(Event::DiedInside);
        }
        failed.map(Event::LogFailed)
    }

    /// The log's thread: what is written is synced a while later.
    fn drive_log(&mut self, now_ms: u64) -> Option<String> {
        let pace = self.pace;
        let life = self.life.as_mut()?;
        let writer = life.writer.as_mut()?;
        loop {
            if let Some(at_ms) = life.sync_at_ms {
                if at_ms > now_ms {
                    return None;
                }
                life.sync_at_ms = None;
                if let Err(error) = writer.step_sync() {
                    return Some(error.to_string());
                }
            }
            if !writer.has_work() {
                return None;
            }
            match writer.step_write() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(error.to_string()),
            }
            let mut wait_ms = self.chance.between(0, pace.sync_ms_max);
            if self.chance.per_mille(pace.stall_per_mille) {
                wait_ms += pace.stall_ms;
            }
            life.sync_at_ms = Some(now_ms + wait_ms);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            drop(std::mem::take(&mut *look(&life.signs)));
        }
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}

/// A runtime whose clock stands still unless it is told to go, and whose own chance comes from `seed`.
pub fn seeded_runtime(seed: u64) -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    #[cfg(not(tokio_unstable))]
    let _ = seed;
    builder
        .build()
        .expect("a runtime without IO needs nothing of the system")
}
