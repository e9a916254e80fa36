//! Nobody that lives and can be heard loses its vote to an empty namesake.

use crate::world::World;
use crate::world::set::leader;
use almadia_command::MemberId;
use std::collections::BTreeMap;

/// Whoever could be heard by one leader for so long is not dead: twice as long as silence has to last to mean anything.
const HEARD_MS: u64 = 3_000;

/// Since when each member runs, undisturbed, with an open way to one leader.
#[derive(Default)]
pub struct Reachable {
    since_ms: BTreeMap<MemberId, u64>,
    leader: Option<MemberId>,
}

impl Reachable {
    /// Looks at a set of pods; others are replaced by hand.
    pub fn look(&mut self, world: &World) {
        if world.set.is_none() {
            return;
        }
        let now_ms = world.now_ms();
        let leads = leader(&world.hosts).map(|leader| leader.id());
        if leads != self.leader {
            self.leader = leads;
            self.since_ms.clear();
        }
        let is_leader = |host: &&crate::world::host::Host| leads.is_some() && host.member_id() == leads;
        let Some(at) = world.hosts.iter().find(is_leader) else {
            self.since_ms.clear();
            return;
        };
        if !at.is_awake(now_ms) {
            self.since_ms.clear();
            return;
        }
        let is_open =
            |one: usize, other: usize| !world.net.is_cut(one, other) && !world.net.is_cut(other, one);
        let running = world
            .hosts
            .iter()
            .filter(|host| host.is_awake(now_ms) && is_open(at.index, host.index));
        let running: Vec<MemberId> = running.filter_map(|host| Some(host.member()?.id())).collect();
        self.since_ms.retain(|id, _| running.contains(id));
        for id in running {
            self.since_ms.entry(id).or_insert(now_ms);
        }
    }

    /// Whether whoever has lost its vote could not be heard.
    pub fn is_dead(&self, id: MemberId, now_ms: u64) -> Result<(), String> {
        match self.since_ms.get(&id) {
            Some(since_ms) if since_ms + HEARD_MS <= now_ms => Err(format!(
                "member {id} lost its vote to another one, though it could be heard since {since_ms} ms"
            )),
            _ => Ok(()),
        }
    }
}
