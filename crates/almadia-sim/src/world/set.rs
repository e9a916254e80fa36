//! The platform under a set of pods: what a StatefulSet's controller, its volumes and its names are to members.
//!
//! Each ordinal below the wished size has a pod, on some machine, with a volume that outlives it. All pods come and go at the
//! same time (`podManagementPolicy: Parallel`). It never looks at what members say to each other.

use super::host::{Host, Power};
use super::net::Net;
use super::pod::{Api, SetFlags};
use crate::chance::Chance;
use almadia_member::Member;
use almadia_member::naming::Naming;
use std::collections::BTreeMap;

/// Ordinals there can be.
pub const PODS_MAX: usize = 5;

/// Machines beside those on which pods begin.
pub const SPARE: usize = 3;

/// How long the first start of a pod may take, where pods do not start at once.
const START_MS_MAX: u64 = 6_000;

/// See the module.
pub struct Set {
    /// Names and addresses.
    pub naming: Naming,
    /// What members ask.
    pub api: Api,
    founders: u32,
    /// On which machine the pod of each ordinal is.
    places: Vec<usize>,
    /// Pods that the platform believes gone and that run on, and when they are ended.
    ghosts: BTreeMap<usize, u64>,
}

impl Set {
    /// A set whose pods are to start, in any order.
    pub fn new(hosts: &mut [Host], founders: usize, net: &Net, seed: u64) -> Self {
        let mut chance = Chance::new(seed, "set");
        let set = Self {
            naming: Naming::new("m-0", "sim://m-%d").expect("this name fits this pattern"),
            api: Api::new(founders as u32),
            founders: founders as u32,
            places: (0..PODS_MAX).collect(),
            ghosts: BTreeMap::new(),
        };
        let spread_ms = *chance.pick(&[0, 0, 500, START_MS_MAX]);
        for ordinal in 0..PODS_MAX {
            set.install(&mut hosts[ordinal], ordinal);
            hosts[ordinal].power = match ordinal < founders {
                true => Power::On {
                    start_ms: chance.between(0, spread_ms),
                },
                false => Power::Off,
            };
            set.tell_all(net, hosts.len(), ordinal);
        }
        for host in &mut hosts[PODS_MAX..] {
            host.power = Power::Off;
        }
        set
    }

    /// The machine on which an ordinal's pod is.
    pub fn place(&self, ordinal: usize) -> usize {
        self.places[ordinal]
    }

    /// The ordinal whose pod is on this machine.
    pub fn ordinal_at(&self, machine: usize) -> Option<usize> {
        self.places.iter().position(|place| *place == machine)
    }

    /// A machine without a pod.
    pub fn free(&self, hosts: &[Host]) -> Option<usize> {
        let is_free = |machine: &usize| {
            self.ordinal_at(*machine).is_none()
                && !self.ghosts.contains_key(machine)
                && hosts[*machine].power == Power::Off
        };
        (0..hosts.len()).find(is_free)
    }

    /// Makes a machine's process that of an ordinal's pod.
    fn install(&self, host: &mut Host, ordinal: usize) {
        let own = ordinal as u32;
        let flags = SetFlags {
            naming: self.naming.clone(),
            own,
            founders: self.founders,
            api: self.api.clone(),
        };
        host.flags.name = self.naming.peer(own).name;
        host.flags.initial = flags.initial();
        host.flags.state = flags.state();
        host.flags.set = Some(flags);
    }

    fn tell_all(&self, net: &Net, machines: usize, ordinal: usize) {
        for dialer in 0..machines {
            net.point(dialer, ordinal as u32, self.places[ordinal]);
        }
    }

    /// An ordinal's pod is on another machine from now on. Names are told by whoever moves it.
    pub fn put_on(&mut self, hosts: &mut [Host], ordinal: usize, machine: usize, start_ms: u64) {
        self.places[ordinal] = machine;
        self.install(&mut hosts[machine], ordinal);
        hosts[machine].power = Power::On { start_ms };
    }

    /// The pod on this machine is not known any more; it runs on until then.
    pub fn forget(&mut self, machine: usize, until_ms: u64) {
        self.ghosts.insert(machine, until_ms);
    }

    /// Whether pods run that are not known.
    pub fn has_ghosts(&self) -> bool {
        !self.ghosts.is_empty()
    }

    /// All pods that are not known are to end.
    pub fn end_ghosts(&mut self) {
        for until_ms in self.ghosts.values_mut() {
            *until_ms = 0;
        }
    }

    /// What the controller does: starts who is missing, ends who is too many.
    pub fn turn(&mut self, hosts: &mut [Host], now_ms: u64) {
        let size = self.api.size() as usize;
        for (ordinal, place) in self.places.iter().enumerate() {
            let host = &mut hosts[*place];
            match host.power {
                Power::Off if ordinal < size => host.power = Power::On { start_ms: now_ms },
                Power::On { .. } if ordinal >= size => host.end_pod(now_ms),
                _ => {}
            }
        }
        self.ghosts.retain(|machine, until_ms| {
            let host = &mut hosts[*machine];
            if *until_ms <= now_ms && matches!(host.power, Power::On { .. }) {
                host.end_pod(now_ms);
            }
            let is_gone = host.power == Power::Off;
            if is_gone {
                // Its volume goes with it.
                let fresh = host.fresh_volume();
                host.exchange(fresh);
            }
            !is_gone
        });
    }

    /// Nobody belongs but the ordinals below the wished size, each of them votes, by its own pod, and nobody else runs.
    pub fn is_whole(&self, hosts: &[Host]) -> bool {
        let size = self.api.size() as usize;
        let Some(leader) = leader(hosts) else { return false };
        let members = leader.members();
        let is_right = |ordinal: usize| {
            let name = self.naming.peer(ordinal as u32).name;
            let own = hosts[self.places[ordinal]].member().map(|member| member.id());
            let mut namesakes = members.iter().filter(|one| one.info.name == name);
            namesakes
                .next()
                .is_some_and(|one| one.votes && Some(one.id) == own)
        };
        let up = hosts.iter().filter(|host| host.power != Power::Off).count();
        members.len() == size && up == size && (0..size).all(is_right)
    }
}

/// Whoever leads the newest term that anybody leads.
pub fn leader(hosts: &[Host]) -> Option<Member> {
    let leading = hosts.iter().filter_map(|host| {
        let member = host.member()?;
        let standing = *member.standing().borrow();
        standing.leading.then_some((standing.term, member))
    });
    leading.max_by_key(|(term, _)| *term).map(|(_, member)| member)
}
