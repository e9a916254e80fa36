//! What is different in the life of a pod of a set: how many members there are to be comes from the platform, a stop may be for good,
//! and whoever has left empties its disk. In the order of `almadia-server`'s `assemble.rs`, with the product's code; the
//! platform's answers are the world's.

use super::life::{Ending, told};
use super::who::Who;
use almadia_disk::{Disk, MemDisk};
use almadia_member::Member;
use almadia_member::founding::{InitialPeer, InitialState};
use almadia_member::identity::Identity;
use almadia_member::membership::reconcile::{Reconciling, Roll};
use almadia_member::naming::Naming;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Between two looks at the wished size.
const POLL: Duration = Duration::from_millis(1_000);

/// As in the server: a member that is to leave for good is given this long to be taken out.
const LEAVE_MAX: Duration = Duration::from_secs(4);

/// As in the server: after a removal, answers under way are given this long.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// The platform's API, as members see it: one number, when it answers. Clones are the same API.
#[derive(Clone, Debug)]
pub struct Api {
    size: Arc<AtomicU32>,
    is_down: Arc<AtomicBool>,
}

impl Api {
    /// A set of so many.
    pub fn new(size: u32) -> Self {
        Self {
            size: Arc::new(AtomicU32::new(size)),
            is_down: Arc::default(),
        }
    }

    /// How many there are to be.
    pub fn size(&self) -> u32 {
        self.size.load(Ordering::Relaxed)
    }

    /// From now on there are to be so many.
    pub fn scale(&self, size: u32) {
        self.size.store(size, Ordering::Relaxed);
    }

    /// Whether it answers.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    fn ask(&self) -> Option<u32> {
        (!self.is_down.load(Ordering::Relaxed)).then(|| self.size())
    }
}

/// What a member of a set is told instead of a list.
#[derive(Clone, Debug)]
pub struct SetFlags {
    /// Names and addresses.
    pub naming: Naming,
    /// Its ordinal.
    pub own: u32,
    /// How many found the cluster.
    pub founders: u32,
    /// Where it asks how many there are to be.
    pub api: Api,
}

impl SetFlags {
    /// A founder may found, any other only ever joins.
    pub fn state(&self) -> InitialState {
        match self.own < self.founders {
            true => InitialState::New,
            false => InitialState::Existing,
        }
    }

    /// The founders, and this member besides where it is none of them.
    pub fn initial(&self) -> Vec<InitialPeer> {
        let mut peers = self.naming.first(self.founders);
        if self.own >= self.founders {
            peers.push(self.naming.peer(self.own));
        }
        peers
    }

    /// Nothing is founded before it is known how many there are to be.
    pub(super) async fn witnesses(&self, wished: &Wished) -> Vec<InitialPeer> {
        let mut size = wished.size();
        let known = size.wait_for(Option::is_some).await.ok().and_then(|known| *known);
        self.naming.first(known.unwrap_or(0))
    }

    pub(super) fn reconciling(&self, wished: &Wished) -> Reconciling {
        Reconciling {
            roll: Roll::Set(self.naming.clone()),
            wished: wished.size(),
        }
    }
}

/// How many there are to be, as one process knows it.
pub struct Wished {
    api: Api,
    tell: Arc<watch::Sender<Option<u32>>>,
}

impl Wished {
    /// Looks again and again, as long as the process lives. On the process's runtime.
    pub fn follow(api: &Api) -> Self {
        let wished = Self {
            api: api.clone(),
            tell: Arc::new(watch::Sender::new(None)),
        };
        let (api, tell) = (wished.api.clone(), wished.tell.clone());
        tokio::spawn(async move {
            loop {
                look(&api, &tell);
                sleep(POLL).await;
            }
        });
        wished
    }

    fn size(&self) -> watch::Receiver<Option<u32>> {
        self.tell.subscribe()
    }

    fn refresh(&self) {
        look(&self.api, &self.tell);
    }
}

fn look(api: &Api, tell: &watch::Sender<Option<u32>>) {
    let Some(now) = api.ask() else { return };
    tell.send_if_modified(|known| {
        let is_new = *known != Some(now);
        *known = Some(now);
        is_new
    });
}

/// Lives until it is asked to stop, is told that it has left, or consensus ends.
pub(super) async fn serve(
    member: &Member,
    who: &Who,
    wished: &Wished,
    mut stop: watch::Receiver<bool>,
    disk: &MemDisk,
) -> Ending {
    let stopped = async {
        // The sender lives as long as the process.
        let _ = stop.wait_for(|stops| *stops).await;
        resigns(member, wished).await;
    };
    let left = async {
        tokio::select! {
            biased;
            () = member.removed() => {}
            () = told(who) => {}
        }
        sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        biased;
        ended = member.ended() => Ending::Consensus(ended.to_string()),
        () = left => leave(member, wished, disk).await,
        () = stopped => {
            member.shutdown().await;
            Ending::Stopped
        }
    }
}

async fn resigns(member: &Member, wished: &Wished) {
    member.begin_to_stop();
    wished.refresh();
    if member.is_surplus() {
        sleep(LEAVE_MAX).await;
    } else {
        member.resign().await;
    }
}

/// It belongs to the cluster no more: whoever starts on its disk next is a new member.
async fn leave(member: &Member, wished: &Wished, disk: &MemDisk) -> Ending {
    wished.refresh();
    member.shutdown().await;
    match Identity::retire(disk as &dyn Disk) {
        Ok(()) => Ending::Removed,
        Err(error) => Ending::Refused(error.to_string()),
    }
}
