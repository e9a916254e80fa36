//! Does faults to a world, and takes back what takes time.

use super::operator::{Job, Operator, Wish};
use super::{Fault, Planned};
use crate::chance::Chance;
use crate::clients::recorder::Recorder;
use crate::history::Disturbance;
use crate::world::World;
use crate::world::host::{DiskPace, Event, PLENTY_BYTES, Power};
use crate::world::life::Ending;
use crate::world::net::{Net, Weather};
use almadia_command::MemberId;
use almadia_disk::{Disk, Failure, Fault as DiskFault, Loss, Operation};
use almadia_member::founding::InitialState;
use std::collections::{BTreeMap, BTreeSet};

/// No run lasts so long.
const FOR_EVER_US: u64 = 1 << 40;

/// A fault and what it leaves behind last no longer than this.
const DISTURBED_MS: u64 = 14_000;

/// What is to be taken back.
#[derive(Clone, Debug)]
pub(super) enum Undo {
    Cuts(Vec<(usize, usize)>),
    Weather,
    Pace(usize),
    Capacity(usize),
    Clock(usize),
    /// A machine learns where the pod of an ordinal is by now.
    Name {
        dialer: usize,
        ordinal: usize,
    },
    /// The platform's API answers again.
    Api,
    /// Two pods get their own volumes back.
    Volumes {
        one: usize,
        other: usize,
    },
    /// Somebody looks whether the machine's disk is still good, by starting its process anew.
    Inspection(usize),
}

/// The first blocks of a log file say what it is, and are left alone.
const ROT_AFTER_BYTES: u64 = 4096;

/// After a write went astray the machine's process goes on for so long.
const ASTRAY_MS: u64 = 4_000;

/// Works a list of faults off.
pub struct Applier {
    planned: Vec<Planned>,
    next: usize,
    /// Machines that lose power at their next vote, until when, and for how long.
    armed: Vec<(usize, u64, u64)>,
    undo: Vec<(u64, Undo)>,
    operator: Operator,
    pub(super) chance: Chance,
    /// How often each kind was done.
    pub done: BTreeMap<&'static str, u64>,
    /// How many cuts hold each direction.
    cuts: BTreeMap<(usize, usize), u64>,
    /// The most that was going on at once.
    pub at_once_max: usize,
    /// Machines whose disk cannot be trusted any more, until they are replaced.
    damaged: BTreeMap<usize, Option<MemberId>>,
    /// Those of them whose process was started anew: if it comes up, all is well.
    inspected: BTreeSet<usize>,
    /// The ordinal that has lost its volume, until all is well again: more than one is more than a majority can bear.
    pub(super) sick: Option<usize>,
    members_min: usize,
    /// Machines that had members at the beginning.
    size: usize,
    began_ms: Vec<(u64, &'static str)>,
    is_set: bool,
}

impl Applier {
    /// Does these faults; `seed` is for what has to be chosen on the spot.
    pub fn new(world: &World, planned: Vec<Planned>, seed: u64, recorder: Recorder) -> Self {
        let operator = Operator::new(world.directory.clone(), world.trace.clone());
        let (runtime, _) = world.clients();
        runtime.spawn(operator.clone().run(recorder));
        Self {
            planned,
            next: 0,
            armed: Vec::new(),
            undo: Vec::new(),
            operator,
            chance: Chance::new(seed, "apply"),
            done: BTreeMap::new(),
            cuts: BTreeMap::new(),
            at_once_max: 0,
            damaged: BTreeMap::new(),
            inspected: BTreeSet::new(),
            sick: None,
            members_min: 3,
            size: world.hosts.iter().filter(|host| host.power != Power::Off).count(),
            began_ms: Vec::new(),
            is_set: world.set.is_some(),
        }
    }

    /// Whether the operator has nothing left to do.
    pub fn is_idle(&self) -> bool {
        self.operator.is_idle() && self.damaged.is_empty()
    }

    /// When promises about lateness were suspended.
    pub fn disturbances(&self) -> Vec<Disturbance> {
        let each = self.began_ms.iter().map(|(at_ms, kind)| Disturbance {
            from_us: at_ms * 1000,
            // A set may be without a majority until its pods are wished for again.
            until_us: match self.is_set {
                true => FOR_EVER_US,
                false => (at_ms + DISTURBED_MS) * 1000,
            },
            what: (*kind).to_owned(),
        });
        each.collect()
    }

    /// Does what is due.
    pub fn turn(&mut self, world: &mut World) {
        let now_ms = world.now_ms();
        self.look_at_votes(world);
        while let Some(planned) = self.planned.get(self.next).filter(|one| one.at_ms <= now_ms) {
            let fault = planned.fault.clone().settled(leader_of(world), self.size);
            self.next += 1;
            if self.apply(&fault, world) {
                world.trace.tell(now_ms, format!("FAULT {fault:?}"));
                *self.done.entry(fault.kind()).or_default() += 1;
                self.began_ms.push((now_ms, fault.kind()));
            }
        }
        let (due, later) = std::mem::take(&mut self.undo)
            .into_iter()
            .partition(|(at_ms, _)| *at_ms <= now_ms);
        self.undo = later;
        let due: Vec<(u64, Undo)> = due;
        for (_, undo) in due {
            self.take_back(undo, world);
        }
        for Wish::Start(machine) in self.operator.wishes() {
            let host = &mut world.hosts[machine];
            host.power = Power::On { start_ms: now_ms };
            self.damaged.remove(&machine);
        }
        self.look_at_set(world);
        let damaged = &mut self.damaged;
        self.inspected.retain(|machine| {
            let is_well = world.hosts[*machine].member().is_some();
            if is_well {
                damaged.remove(machine);
            }
            !is_well
        });
        let down = world.hosts.iter().filter(|host| !host.is_awake(now_ms)).count();
        self.at_once_max = self.at_once_max.max(self.undo.len() + down);
    }

    /// Whoever has just voted and was waited for loses its power.
    fn look_at_votes(&mut self, world: &mut World) {
        let (now_ms, net) = (world.now_ms(), world.net.clone());
        self.armed.retain(|(machine, until_ms, down_ms)| {
            let has_voted = world.voted.contains(machine);
            if has_voted {
                world
                    .trace
                    .tell(now_ms, format!("m{machine} has voted and loses power"));
                lose_power(world, &net, *machine, Loss::DropUnsynced, *down_ms);
            }
            !has_voted && now_ms < *until_ms
        });
    }

    /// Machines have told of themselves.
    pub fn hear(&mut self, world: &mut World, events: &[(usize, Event)]) {
        for (machine, event) in events {
            // What it says to its operator: nothing but an empty disk helps.
            let is_refusal = matches!(event, Event::Ended(Ending::Refused(_)));
            if is_refusal && self.damaged.contains_key(machine) && self.operator.is_idle() {
                self.replace(*machine, world);
            }
        }
    }

    /// Ends everything that is going on.
    pub fn stop(&mut self, world: &mut World) {
        self.next = self.planned.len();
        self.armed.clear();
        for (_, undo) in std::mem::take(&mut self.undo) {
            self.take_back(undo, world);
        }
        world.net.heal();
        if let Some(set) = &mut world.set {
            set.end_ghosts();
        }
        let now_ms = world.now_ms();
        for index in 0..world.hosts.len() {
            let host = &mut world.hosts[index];
            host.paused_until_ms = host.paused_until_ms.min(now_ms);
            host.disk.clear_faults();
            host.dies_inside = None;
            if let Power::On { start_ms } = &mut host.power {
                *start_ms = (*start_ms).min(now_ms);
            }
        }
    }

    fn take_back(&mut self, undo: Undo, world: &mut World) {
        match undo {
            Undo::Cuts(cuts) => {
                for cut in cuts {
                    let held = self.cuts.entry(cut).or_default();
                    *held = held.saturating_sub(1);
                    if *held == 0 {
                        world.net.cut(cut.0, cut.1, false);
                    }
                }
            }
            Undo::Weather => world.net.set_weather(Weather::default()),
            Undo::Pace(host) => world.hosts[host].pace = DiskPace::default(),
            Undo::Inspection(machine) => self.inspect(machine, world),
            Undo::Name { dialer, ordinal } => super::platform::point(world, dialer, ordinal),
            Undo::Api => super::platform::api_answers(world),
            Undo::Volumes { one, other } => super::platform::swap(world, one, other),
            Undo::Capacity(host) => world.hosts[host].disk.set_capacity(PLENTY_BYTES),
            Undo::Clock(host) => {
                let now_ms = world.now_ms();
                world.hosts[host].set_clock(now_ms, 0);
            }
        }
    }

    /// Kills a process that will be started again at once.
    fn inspect(&mut self, machine: usize, world: &mut World) {
        let (start_ms, net) = (world.now_ms() + 500, world.net.clone());
        let host = &mut world.hosts[machine];
        host.kill(&net);
        host.power = Power::On { start_ms };
        self.inspected.insert(machine);
    }

    pub(super) fn later(&mut self, world: &World, for_ms: u64, undo: Undo) {
        self.undo.push((world.now_ms() + for_ms, undo));
    }

    pub(super) fn cut(&mut self, world: &World, cuts: Vec<(usize, usize)>, for_ms: u64) {
        for cut in &cuts {
            *self.cuts.entry(*cut).or_default() += 1;
            world.net.cut(cut.0, cut.1, true);
        }
        self.later(world, for_ms, Undo::Cuts(cuts));
    }

    /// False when it does not fit the moment.
    fn apply(&mut self, fault: &Fault, world: &mut World) -> bool {
        let (now_ms, net) = (world.now_ms(), world.net.clone());
        let machines = world.hosts.len();
        match *fault {
            Fault::Kill { host, down_ms } => {
                let host = &mut world.hosts[host];
                if !host.is_up() {
                    return false;
                }
                host.kill(&net);
                host.start_again(now_ms + down_ms);
            }
            Fault::PowerLoss { host, loss, down_ms } => return lose_power(world, &net, host, loss, down_ms),
            Fault::PowerLossAll { loss, down_ms } => {
                for host in 0..machines {
                    let loss = match loss {
                        Loss::Seeded(seed) => Loss::Seeded(seed ^ host as u64),
                        other => other,
                    };
                    lose_power(world, &net, host, loss, down_ms);
                }
            }
            Fault::PowerLossInside { host, calls, loss } => {
                let host = &mut world.hosts[host];
                if !host.is_up() {
                    return false;
                }
                host.disk.die_after(calls);
                host.dies_inside = Some(loss);
            }
            Fault::PowerLossAtVote {
                host,
                within_ms,
                down_ms,
            } => self.armed.push((host, now_ms + within_ms, down_ms)),
            Fault::Pause { host, for_ms } => world.hosts[host].paused_until_ms = now_ms + for_ms,
            Fault::Partition {
                group,
                resets,
                for_ms,
            } => {
                let inside = |machine: usize| group >> machine & 1 == 1;
                let pairs = (0..machines).flat_map(|from| (0..machines).map(move |to| (from, to)));
                let cuts = pairs.filter(|(from, to)| inside(*from) != inside(*to)).collect();
                self.cut(world, cuts, for_ms);
                if resets {
                    net.break_connections(|from, to| inside(from) != inside(to));
                }
            }
            Fault::OneWay {
                host,
                is_deaf,
                for_ms,
            } => {
                let others = (0..machines).filter(|other| *other != host);
                let cuts = others
                    .map(|other| if is_deaf { (other, host) } else { (host, other) })
                    .collect();
                self.cut(world, cuts, for_ms);
            }
            Fault::Link { one, other, for_ms } => self.cut(world, vec![(one, other), (other, one)], for_ms),
            Fault::Reset { host } => net.break_connections(|from, _| from == host),
            _ => return self.apply_more(fault, world, &net),
        }
        true
    }

    fn apply_more(&mut self, fault: &Fault, world: &mut World, net: &Net) -> bool {
        let now_ms = world.now_ms();
        match *fault {
            Fault::LossyNetwork { per_mille, for_ms } => {
                net.set_weather(Weather {
                    loss_per_mille: per_mille,
                    break_per_mille: 50,
                    ..Weather::default()
                });
                self.later(world, for_ms, Undo::Weather);
            }
            Fault::SlowNetwork { spread_ms, for_ms } => {
                net.set_weather(Weather {
                    spread_ms,
                    ..Weather::default()
                });
                self.later(world, for_ms, Undo::Weather);
            }
            Fault::SlowDisk {
                host,
                sync_ms,
                for_ms,
            } => {
                world.hosts[host].pace = DiskPace {
                    sync_ms_max: sync_ms,
                    ..DiskPace::default()
                };
                self.later(world, for_ms, Undo::Pace(host));
            }
            Fault::FullDisk { host, for_ms } => {
                let disk = &world.hosts[host].disk;
                let Ok(space) = disk.space() else { return false };
                disk.set_capacity(space.total_bytes - space.free_bytes + self.chance.below(64 * 1024));
                self.later(world, for_ms, Undo::Capacity(host));
            }
            Fault::WriteError { host, skip } => return fail(world, host, Operation::Write, skip),
            Fault::SyncError { host, skip } => return fail(world, host, Operation::Sync, skip),
            Fault::ReadError { host, skip } => return fail(world, host, Operation::Read, skip),
            Fault::MisdirectedWrite { .. } | Fault::BitFlip { .. } | Fault::Rot { .. } => {
                return self.damage(fault, world, net);
            }
            Fault::ClockRate { host, ppm, for_ms } => {
                world.hosts[host].set_clock(now_ms, ppm);
                self.later(world, for_ms, Undo::Clock(host));
            }
            Fault::ClockLeap { host, by_ms } => return world.hosts[host].leap(by_ms),
            Fault::Purge { host } => return purge(world, host),
            Fault::Transfer { to } => return transfer(world, to),
            Fault::Restart { host, down_ms } => return world.hosts[host].stop_gracefully(now_ms, down_ms),
            Fault::Replace { host } => {
                if !self.may_damage(world, host) {
                    return false;
                }
                self.damaged.insert(host, world.hosts[host].member_id());
                self.replace(host, world);
            }
            Fault::Scale { .. }
            | Fault::LosePod { .. }
            | Fault::MovePod { .. }
            | Fault::Namesake { .. }
            | Fault::SwapVolumes { .. }
            | Fault::ApiDown { .. } => return self.apply_to_set(fault, world),
            Fault::Grow => return self.grow(world),
            Fault::Shrink { host } => return self.shrink(world, host),
            _ => unreachable!("the others are done above"),
        }
        true
    }

    /// Whether all others are well and have a vote, and this machine's member is known, so that losing it is bearable.
    fn may_damage(&self, world: &World, machine: usize) -> bool {
        world.set.is_none()
            && self.damaged.is_empty()
            && self.operator.is_idle()
            && world.hosts[machine].member_id().is_some()
            && !is_somebody_joining(world)
    }

    fn damage(&mut self, fault: &Fault, world: &mut World, net: &Net) -> bool {
        let (Fault::MisdirectedWrite { host: machine }
        | Fault::BitFlip { host: machine, .. }
        | Fault::Rot { host: machine, .. }) = *fault
        else {
            return false;
        };
        if !self.may_damage(world, machine) {
            return false;
        }
        let id = world.hosts[machine].member_id();
        let disk = &world.hosts[machine].disk;
        let bit = match *fault {
            // In what has been there for a while: the end of the log may be torn by right.
            Fault::BitFlip { choice, .. } => Some(choose_bit(disk, choice)),
            Fault::Rot { in_log, choice, .. } => Some(choose_rot(disk, in_log, choice)),
            _ => None,
        };
        if let Some(bit) = bit {
            let Some((name, offset, bit)) = bit else {
                return false;
            };
            let text = format!("a bit of {name} at {offset} turns over");
            world.trace.tell(world.now_ms(), text);
            world.hosts[machine].kill(net);
            world.hosts[machine].disk.flip_bit(&name, offset, bit);
            self.inspect(machine, world);
        } else {
            let by_bytes = 512 * self.chance.between(1, 64);
            disk.inject(DiskFault {
                operation: Operation::Write,
                prefix: "seg/".to_owned(),
                skip: 0,
                failure: Failure::Misdirected { by_bytes },
                forever: false,
            });
            self.later(world, ASTRAY_MS, Undo::Inspection(machine));
            purge(world, machine);
        }
        self.damaged.insert(machine, id);
        true
    }

    /// The machine is emptied and its member replaced.
    fn replace(&mut self, machine: usize, world: &mut World) {
        self.inspected.remove(&machine);
        let old = self.damaged.get(&machine).copied().flatten();
        let net = world.net.clone();
        let everybody = (0..world.hosts.len()).map(crate::world::peer).collect();
        let host = &mut world.hosts[machine];
        host.wipe(&net);
        host.power = Power::Off;
        host.flags.state = InitialState::Existing;
        host.flags.initial = everybody;
        self.operator.wants(Job::Replace(machine, old));
    }

    fn grow(&mut self, world: &mut World) -> bool {
        let Some(machine) = (0..world.hosts.len()).find(|index| world.hosts[*index].power == Power::Off)
        else {
            return false;
        };
        if world.set.is_some() || !self.operator.is_idle() || !self.damaged.is_empty() {
            return false;
        }
        self.damaged.insert(machine, None);
        self.replace(machine, world);
        true
    }

    fn shrink(&mut self, world: &mut World, machine: usize) -> bool {
        let on = world.hosts.iter().filter(|host| host.power != Power::Off).count();
        let Some(id) = world.hosts[machine].member_id() else {
            return false;
        };
        if world.set.is_some()
            || on <= self.members_min
            || !self.operator.is_idle()
            || !self.damaged.is_empty()
        {
            return false;
        }
        self.operator.wants(Job::Remove(machine, id));
        true
    }
}

/// Whether anybody who runs knows of a member without a vote: one that was added gets it when it has caught up, and until then
/// the majority is one of those that were there before.
fn is_somebody_joining(world: &World) -> bool {
    let running = world.hosts.iter().filter_map(|host| host.member());
    running.flat_map(|member| member.members()).any(|one| !one.votes)
}

/// The machine whose member leads the newest term, 0 when nobody leads.
fn leader_of(world: &World) -> usize {
    let leading = world.hosts.iter().filter_map(|host| {
        let standing = *host.member()?.standing().borrow();
        standing.leading.then_some((standing.term, host.index))
    });
    leading.max().map_or(0, |(_, machine)| machine)
}

fn lose_power(world: &mut World, net: &Net, machine: usize, loss: Loss, down_ms: u64) -> bool {
    let start_ms = world.now_ms() + down_ms;
    let host = &mut world.hosts[machine];
    if host.power == Power::Off {
        return false;
    }
    host.lose_power(net, loss);
    host.start_again(start_ms);
    true
}

fn fail(world: &World, machine: usize, operation: Operation, skip: u64) -> bool {
    let host = &world.hosts[machine];
    host.disk.inject(DiskFault::once(operation, skip, Failure::Io));
    host.is_up()
}

fn purge(world: &World, machine: usize) -> bool {
    let Some(entry) = world.directory.get(machine) else {
        return false;
    };
    drop(
        entry
            .process
            .spawn(async move { entry.member.checkpoint_and_purge_all().await }),
    );
    true
}

fn transfer(world: &World, to: usize) -> bool {
    let Some(heir) = world.directory.get(to).map(|entry| entry.member.id()) else {
        return false;
    };
    for machine in world.directory.up() {
        let Some(entry) = world.directory.get(machine) else {
            continue;
        };
        drop(
            entry
                .process
                .spawn(async move { entry.member.move_leader(heir).await }),
        );
    }
    true
}

/// A bit in a file, not in the newest three quarters of the newest log file: its end may be torn by right.
fn choose_bit(disk: &almadia_disk::MemDisk, choice: u64) -> Option<(String, u64, u8)> {
    let mut files: Vec<(String, u64)> = Vec::new();
    for directory in ["wal", "seg"] {
        let mut names = disk.list(directory).ok()?;
        names.retain(|name| !name.starts_with("spare"));
        let newest = names.len();
        for (position, name) in names.into_iter().enumerate() {
            let name = format!("{directory}/{name}");
            let bytes = disk.contents(&name)?;
            let used = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
            let is_end = directory == "wal" && position + 1 == newest;
            let part = if is_end { used / 4 } else { used };
            if part >= 4096 {
                files.push((name, part));
            }
        }
    }
    if files.is_empty() {
        return None;
    }
    let (name, used) = files[(choice % files.len() as u64) as usize].clone();
    Some((name, (choice >> 16) % used, (choice >> 8 & 7) as u8))
}

/// A bit in the older half of the newest log file, where frames have followed; or anywhere in a segment.
fn choose_rot(disk: &almadia_disk::MemDisk, in_log: bool, choice: u64) -> Option<(String, u64, u8)> {
    let directory = if in_log { "wal" } else { "seg" };
    let mut names = disk.list(directory).ok()?;
    names.retain(|name| !name.starts_with("spare"));
    let name = match in_log {
        true => names.pop()?,
        false if names.is_empty() => return None,
        false => names.swap_remove(choice as usize % names.len()),
    };
    let name = format!("{directory}/{name}");
    let bytes = disk.contents(&name)?;
    let used = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
    let (from, part) = match in_log {
        true => (ROT_AFTER_BYTES, used / 2),
        false => (0, used),
    };
    (from < part).then(|| {
        let offset = from + (choice >> 16) % (part - from);
        (name, offset, (choice >> 8 & 7) as u8)
    })
}
