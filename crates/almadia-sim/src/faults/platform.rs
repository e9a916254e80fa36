//! What happens to a set of pods: it is scaled, pods move, lose their volumes, are given up while they still run. At most one
//! ordinal is without what it had at a time, and the set does not shrink meanwhile: more is more than any majority can bear.

use super::Fault;
use super::apply::{Applier, Undo};
use crate::world::World;
use crate::world::host::Power;
use crate::world::set::leader;

/// Between two looks whether all is well again.
const LOOK_MS: u64 = 100;

/// The last machine to learn of a namesake's address learns it this late at most.
const STALE_MS: u64 = 2_000;

impl Applier {
    /// False when it does not fit the moment.
    pub(super) fn apply_to_set(&mut self, fault: &Fault, world: &mut World) -> bool {
        if world.set.is_none() {
            return false;
        }
        match *fault {
            Fault::Scale { size } => self.scale(world, size),
            Fault::LosePod { ordinal, down_ms } => self.lose_pod(world, ordinal, down_ms),
            Fault::MovePod {
                ordinal,
                down_ms,
                stale_ms,
            } => self.move_pod(world, ordinal, down_ms, stale_ms),
            Fault::Namesake {
                ordinal,
                is_cut,
                for_ms,
            } => self.namesake(world, ordinal, is_cut, for_ms),
            Fault::SwapVolumes { one, other, for_ms } => self.swap_volumes(world, one, other, for_ms),
            Fault::ApiDown { for_ms } => {
                if let Some(set) = &world.set {
                    set.api.set_down(true);
                }
                self.later(world, for_ms, Undo::Api);
                true
            }
            _ => false,
        }
    }

    /// Notices that whoever had lost its volume has been replaced.
    pub(super) fn look_at_set(&mut self, world: &World) {
        if self.sick.is_some()
            && world.now_ms().is_multiple_of(LOOK_MS)
            && let Some(set) = &world.set
            && set.is_whole(&world.hosts)
        {
            self.sick = None;
        }
    }

    fn scale(&mut self, world: &mut World, size: u32) -> bool {
        let Some(set) = &mut world.set else { return false };
        let before = set.api.size();
        if size == before || (size < before && self.sick.is_some()) {
            return false;
        }
        set.api.scale(size);
        true
    }

    /// Whether this ordinal may lose what it has.
    fn may_lose(&self, world: &World, ordinal: usize) -> bool {
        let Some(set) = &world.set else { return false };
        if set.has_ghosts() || set.api.size() < 3 || set.api.size() as usize <= ordinal {
            return false;
        }
        // While a cluster is being founded nothing has been acknowledged yet.
        let is_unfounded = || {
            let mut members = world.hosts.iter().filter_map(|host| host.member());
            members.all(|member| member.committed().0 == 0)
        };
        match self.sick {
            Some(sick) => sick == ordinal,
            None => set.is_whole(&world.hosts) || is_unfounded(),
        }
    }

    fn lose_pod(&mut self, world: &mut World, ordinal: usize, down_ms: u64) -> bool {
        if !self.may_lose(world, ordinal) {
            return false;
        }
        let (start_ms, net) = (world.now_ms() + down_ms, world.net.clone());
        let Some(place) = place(world, ordinal) else {
            return false;
        };
        self.sick = Some(ordinal);
        let host = &mut world.hosts[place];
        host.wipe(&net);
        host.start_again(start_ms);
        true
    }

    /// Everybody learns of an ordinal's new place, sooner or later.
    fn announce(&mut self, world: &World, ordinal: usize, stale_ms: u64) {
        for dialer in 0..world.hosts.len() {
            let for_ms = self.chance.between(0, stale_ms);
            self.later(world, for_ms, Undo::Name { dialer, ordinal });
        }
    }

    fn move_pod(&mut self, world: &mut World, ordinal: usize, down_ms: u64, stale_ms: u64) -> bool {
        let (start_ms, net) = (world.now_ms() + down_ms, world.net.clone());
        let Some(from) = place(world, ordinal) else {
            return false;
        };
        let Some(set) = &mut world.set else { return false };
        let is_on = matches!(world.hosts[from].power, Power::On { .. });
        let Some(to) = set.free(&world.hosts).filter(|_| is_on) else {
            return false;
        };
        world.hosts[from].kill(&net);
        world.hosts[from].power = Power::Off;
        let fresh = world.hosts[from].fresh_volume();
        let volume = world.hosts[from].exchange(fresh);
        world.hosts[to].exchange(volume);
        set.put_on(&mut world.hosts, ordinal, to, start_ms);
        self.announce(world, ordinal, stale_ms);
        true
    }

    fn namesake(&mut self, world: &mut World, ordinal: usize, is_cut: bool, for_ms: u64) -> bool {
        let now_ms = world.now_ms();
        let Some(from) = place(world, ordinal) else {
            return false;
        };
        let is_member = world.hosts[from].member_id().is_some();
        let is_whole = world.set.as_ref().is_some_and(|set| set.is_whole(&world.hosts));
        if !is_member || !is_whole || !self.may_lose(world, ordinal) {
            return false;
        }
        let Some(set) = &mut world.set else { return false };
        let Some(to) = set.free(&world.hosts) else {
            return false;
        };
        self.sick = Some(ordinal);
        set.forget(from, now_ms + for_ms + self.chance.between(0, 8_000));
        let fresh = world.hosts[to].fresh_volume();
        world.hosts[to].exchange(fresh);
        set.put_on(
            &mut world.hosts,
            ordinal,
            to,
            now_ms + self.chance.between(100, 3_000),
        );
        if is_cut {
            let others = (0..world.hosts.len()).filter(|other| *other != from);
            let cuts = others.flat_map(|other| [(from, other), (other, from)]).collect();
            self.cut(world, cuts, for_ms);
        }
        self.announce(world, ordinal, STALE_MS);
        true
    }

    fn swap_volumes(&mut self, world: &mut World, one: usize, other: usize, for_ms: u64) -> bool {
        let knows = |ordinal| {
            let identity = place(world, ordinal).and_then(|place| world.hosts[place].identity());
            identity.is_some()
        };
        if one == other || self.sick.is_some() || !knows(one) || !knows(other) {
            return false;
        }
        swap(world, one, other);
        self.later(world, for_ms, Undo::Volumes { one, other });
        true
    }
}

fn place(world: &World, ordinal: usize) -> Option<usize> {
    world.set.as_ref().map(|set| set.place(ordinal))
}

/// A machine learns where an ordinal's pod is.
pub(super) fn point(world: &World, dialer: usize, ordinal: usize) {
    if let Some(place) = place(world, ordinal) {
        world.net.point(dialer, ordinal as u32, place);
    }
}

pub(super) fn api_answers(world: &World) {
    if let Some(set) = &world.set {
        set.api.set_down(false);
    }
}

/// Ends two pods and starts them with each other's volumes.
pub(super) fn swap(world: &mut World, one: usize, other: usize) {
    let Some((one, other)) = place(world, one).zip(place(world, other)) else {
        return;
    };
    let (net, start_ms) = (world.net.clone(), world.now_ms() + 200);
    for place in [one, other] {
        world.hosts[place].kill(&net);
        world.hosts[place].start_again(start_ms);
    }
    let fresh = world.hosts[one].fresh_volume();
    let first = world.hosts[one].exchange(fresh);
    let second = world.hosts[other].exchange(first);
    world.hosts[one].exchange(second);
}

/// Whoever is asked for a set's size when the faults have stopped.
pub fn scale(world: &mut World, size: u32) {
    let now_ms = world.now_ms();
    if let Some(set) = &world.set {
        set.api.scale(size);
        let leads = leader(&world.hosts).map(|leader| leader.id().to_string());
        let leads = leads.unwrap_or_else(|| "nobody".to_owned());
        world
            .trace
            .tell(now_ms, format!("there are to be {size}; {leads} leads"));
    }
}
