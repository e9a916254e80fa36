//! A small world for tests: members on in-memory disks, connected by pipes that can be cut.
//!
//! Everything runs on one thread with tokio's paused clock, so a test's seconds take no time and a busy machine changes
//! nothing. The log's writer and the keeper are tasks here, not threads.

use almadia_command::{ClusterId, Command, Kind, MemberId, Put, Range};
use almadia_consensus::{DialError, Dialing, KeeperHandle, Lane, PeerAddress, PeerNetwork, Pipe};
use almadia_disk::{Disk, MemDisk};
use almadia_member::{Ingredients, Limits, Member, MemberInfo, Settings, Standing};
use almadia_store::disk::Keeper;
use almadia_wal::{Wal, Writer};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Who is up, and which links are cut.
#[derive(Default)]
pub struct Links {
    up: BTreeMap<MemberId, Member>,
    cut: BTreeSet<(MemberId, MemberId)>,
    pumps: Vec<(MemberId, MemberId, JoinHandle<()>)>,
    starts: u32,
    /// Where members are reached that do not take any address.
    addresses: BTreeMap<MemberId, String>,
    drawn: u64,
}

type Shared = Arc<Mutex<Links>>;

/// One member's way to the others.
struct Wire {
    own: MemberId,
    links: Shared,
}

impl PeerNetwork for Wire {
    fn dial(&self, to: PeerAddress, lane: Lane) -> Dialing {
        let (own, links) = (self.own, self.links.clone());
        Box::pin(async move {
            let mut shared = links.lock().unwrap();
            let unreachable = || DialError::Unreachable {
                name: to.name.clone(),
                url: "pipe".to_owned(),
                reason: "down or cut".to_owned(),
            };
            let is_cut = shared.cut.contains(&(own, to.member)) || shared.cut.contains(&(to.member, own));
            let target = shared
                .up
                .get(&to.member)
                .filter(|_| !is_cut)
                .ok_or_else(unreachable)?
                .clone();
            let address = shared.addresses.get(&to.member);
            if target.is_removed(own) || address.is_some_and(|address| !to.urls.contains(address)) {
                return Err(unreachable());
            }
            let (near, near_end) = Pipe::pair();
            let (far, far_end) = Pipe::pair();
            for (from, to, mut receive, send) in [
                (own, to.member, near_end.receive, far.send),
                (to.member, own, far.receive, near_end.send),
            ] {
                // Frames cross by a task that is stopped when the link is cut.
                let pump = tokio::spawn(async move {
                    while let Some(frame) = receive.recv().await {
                        if send.send(frame).await.is_err() {
                            return;
                        }
                    }
                });
                shared.pumps.push((from, to, pump));
            }
            drop(shared);
            target.accept(lane, own, far_end);
            Ok(near)
        })
    }
}

/// A cluster in one process.
pub struct World {
    links: Shared,
    disks: BTreeMap<MemberId, MemDisk>,
    founders: Vec<(MemberId, MemberInfo)>,
    /// Who came later.
    joined: BTreeSet<MemberId>,
    /// What a member that is started next may hold.
    limits: Mutex<BTreeMap<MemberId, Limits>>,
}

impl World {
    /// A world with this many members, none of them started.
    pub fn new(size: u64) -> Self {
        let ids: Vec<MemberId> = (1..=size).map(|number| MemberId(number * 11)).collect();
        let info = |id: &MemberId| MemberInfo {
            name: format!("m{id}"),
            ..MemberInfo::default()
        };
        Self {
            links: Shared::default(),
            disks: ids.iter().map(|id| (*id, MemDisk::new())).collect(),
            founders: ids.iter().map(|id| (*id, info(id))).collect(),
            joined: BTreeSet::new(),
            limits: Mutex::default(),
        }
    }

    /// The same members on these disks, none of them started.
    pub fn on_disks(&self, disks: BTreeMap<MemberId, MemDisk>) -> Self {
        Self {
            links: Shared::default(),
            disks,
            founders: self.founders.clone(),
            joined: self.joined.clone(),
            limits: Mutex::default(),
        }
    }

    /// Bounds what a member may hold, at its next start only.
    pub fn limit(&self, id: MemberId, limits: Limits) {
        self.limits.lock().unwrap().insert(id, limits);
    }

    /// An empty disk for a member that was admitted under this id; it is started like the others.
    pub fn admit(&mut self, id: MemberId) {
        self.disks.insert(id, MemDisk::new());
        self.joined.insert(id);
    }

    /// From now on a member is found only by those who know this address.
    pub fn move_to(&self, id: MemberId, url: &str) {
        self.links.lock().unwrap().addresses.insert(id, url.to_owned());
        self.break_pumps(|from, to| from == id || to == id);
    }

    /// Numbers for new ids, the same in each run.
    fn random(&self) -> Box<dyn FnMut() -> u64 + Send> {
        let links = self.links.clone();
        Box::new(move || {
            let mut links = links.lock().unwrap();
            links.drawn += 1;
            links.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    }

    /// A member's disk.
    pub fn disk(&self, id: MemberId) -> &MemDisk {
        &self.disks[&id]
    }

    /// All members' ids.
    pub fn ids(&self) -> Vec<MemberId> {
        self.disks.keys().copied().collect()
    }

    /// Starts all members.
    pub async fn start_all(&self) {
        for id in self.ids() {
            self.start(id).await;
        }
    }

    /// Each start draws a lower number than the one before: the harder case for whoever compares tickets.
    fn draw(&self) -> u32 {
        let mut links = self.links.lock().unwrap();
        links.starts += 1;
        1_000 - links.starts
    }

    /// Starts a member on whatever its disk holds.
    pub async fn start(&self, id: MemberId) -> Member {
        let disk: Arc<dyn Disk> = Arc::new(self.disks[&id].clone());
        let mut life = 0;
        let options = almadia_wal::Options::new(
            Box::new(move || {
                life += 1;
                life
            }),
            Box::new(|error| panic!("the log failed: {error}")),
        );
        let (wal, writer, _) = Wal::open(disk.clone(), options).unwrap();
        tokio::spawn(drive(writer));
        let (keeper, store) =
            Keeper::open(disk.clone(), almadia_store::disk::Options::deterministic()).unwrap();
        let member = Member::start(Ingredients {
            cluster: ClusterId(1),
            own: id,
            name: format!("m{id}"),
            founders: if self.joined.contains(&id) {
                Vec::new()
            } else {
                self.founders.clone()
            },
            settings: Settings::default(),
            request_limit: Duration::from_secs(7),
            limits: self.limits.lock().unwrap().remove(&id).unwrap_or_default(),
            drawn: self.draw(),
            client_urls: Vec::new(),
            random: self.random(),
            disk,
            wal,
            store,
            keeper: KeeperHandle::spawn_inline(keeper),
            network: Arc::new(Wire {
                own: id,
                links: self.links.clone(),
            }),
            consensus_runtime: Handle::current(),
        });
        let member = member.await.unwrap();
        self.links.lock().unwrap().up.insert(id, member.clone());
        member
    }

    /// A member that is up.
    pub fn member(&self, id: MemberId) -> Member {
        self.links.lock().unwrap().up[&id].clone()
    }

    /// Stops a member as a crash would: its peers see every connection break.
    pub async fn crash(&self, id: MemberId) {
        let member = self.links.lock().unwrap().up.remove(&id);
        self.break_pumps(|from, to| from == id || to == id);
        if let Some(member) = member {
            member.abandon().await;
        }
    }

    /// Cuts or heals both directions between a member and all others.
    pub fn isolate(&self, id: MemberId, cut: bool) {
        {
            let mut links = self.links.lock().unwrap();
            for other in self.disks.keys().filter(|other| **other != id) {
                if cut {
                    links.cut.insert((id, *other));
                } else {
                    links.cut.remove(&(id, *other));
                }
            }
        }
        if cut {
            self.break_pumps(|from, to| from == id || to == id);
        }
    }

    /// Cuts or heals both directions between two members.
    pub fn part(&self, one: MemberId, other: MemberId, cut: bool) {
        {
            let mut links = self.links.lock().unwrap();
            for pair in [(one, other), (other, one)] {
                if cut {
                    links.cut.insert(pair);
                } else {
                    links.cut.remove(&pair);
                }
            }
        }
        if cut {
            self.break_pumps(|from, to| [(one, other), (other, one)].contains(&(from, to)));
        }
    }

    fn break_pumps(&self, hit: impl Fn(MemberId, MemberId) -> bool) {
        let mut links = self.links.lock().unwrap();
        links.pumps.retain(|(from, to, pump)| {
            if hit(*from, *to) {
                pump.abort();
            }
            !pump.is_finished() && !hit(*from, *to)
        });
    }

    /// Waits until somebody leads, as all members that are up and not cut off see it.
    pub async fn leader(&self) -> MemberId {
        let limit = Duration::from_secs(20);
        let search = async {
            loop {
                let up: Vec<Member> = self.links.lock().unwrap().up.values().cloned().collect();
                let standings: Vec<_> = up.iter().map(|member| *member.standing().borrow()).collect();
                let newest = standings.iter().map(|standing| standing.term).max();
                let leads = |standing: &&Standing| standing.leading && Some(standing.term) == newest;
                if let Some(leader) = standings.iter().find(leads).and_then(|standing| standing.leader) {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(limit, search)
            .await
            .expect("a leader within 20 s")
    }
}

/// The log's writer as a task: a group is written and synced whenever there is something to write.
async fn drive(mut writer: Writer) {
    loop {
        let idle = !writer.step().expect("the disk of this world does not fail");
        let pause = if idle {
            Duration::from_micros(500)
        } else {
            Duration::ZERO
        };
        tokio::time::sleep(pause).await;
    }
}

/// A put.
pub fn put(key: &str, value: &str) -> Command {
    let (key, value) = (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value.as_bytes()),
    );
    Kind::Put(Put {
        key,
        value,
        ..Put::default()
    })
    .into()
}

/// A linearizable get through one member.
pub async fn get(member: &Member, key: &str) -> Option<Vec<u8>> {
    member.read_barrier().await.expect("a read is confirmed");
    let range = Range {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Range::default()
    };
    let answer = member
        .view()
        .range(&range)
        .expect("a range of the present is readable");
    answer.records.first().map(|record| record.value().to_vec())
}
