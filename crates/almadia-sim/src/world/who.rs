//! What a member says of itself when it connects, and the door behind which it waits. The rules are the product's
//! (`almadia_member::hello`); `almadia-server` does the same over sockets.

use almadia_command::{ClusterId, MemberId};
use almadia_consensus::{Lane, Pipe};
use almadia_member::Member;
use almadia_member::founding::FoundingService;
use almadia_member::hello::{
    FirstFrame, Hello, HelloRefusal, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, check, decode,
};
use almadia_member::identity::Identity;
use almadia_member::membership::forlorn::look_around;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::runtime::Handle;

/// Pipes that wait for the member to start at most, as in the server.
const WAITING_MAX: usize = 64;

/// Who a life is. Clones share what changes.
#[derive(Clone, Debug)]
pub struct Who {
    identity: Identity,
    member: Arc<AtomicU64>,
    cluster: Arc<AtomicU64>,
    /// A peer has said that this member was removed.
    removed: Arc<AtomicBool>,
}

impl Who {
    /// As the identity file has it.
    pub fn new(identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            member: Arc::new(AtomicU64::new(identity.member.get())),
            cluster: Arc::new(AtomicU64::new(identity.cluster.get())),
            removed: Arc::default(),
        }
    }

    /// From now on it belongs to `cluster`, as `member`.
    pub fn belongs_to(&self, cluster: ClusterId, member: MemberId) {
        self.member.store(member.get(), Ordering::Relaxed);
        self.cluster.store(cluster.get(), Ordering::Relaxed);
    }

    /// A peer has said that this member was removed from the cluster.
    pub fn was_removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// Whether a peer has said so.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// Its cluster, 0 for none.
    pub fn cluster(&self) -> ClusterId {
        ClusterId(self.cluster.load(Ordering::Relaxed))
    }

    /// The first words to `to`, or to whoever comes.
    pub fn hello(&self, to: MemberId, to_name: &str, lane: u8) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            version_min: PROTOCOL_VERSION_MIN,
            group: self.identity.group,
            cluster: self.cluster(),
            from: MemberId(self.member.load(Ordering::Relaxed)),
            from_name: self.identity.name.clone(),
            to,
            to_name: to_name.to_owned(),
            lane,
        }
    }
}

/// Why nobody was let in.
pub enum Closed {
    /// In words.
    Refused(String),
    /// The caller was removed from the cluster.
    Removed,
}

/// A member's door. Clones are the same door.
#[derive(Clone)]
pub struct Door {
    who: Who,
    founding: FoundingService,
    handle: Handle,
    hall: Arc<Mutex<Hall>>,
}

enum Hall {
    Waiting(Vec<(Lane, MemberId, Pipe)>),
    Open(Member),
}

impl Door {
    /// A door behind which a member is being started.
    pub fn new(who: Who, founding: FoundingService) -> Self {
        Self {
            who,
            founding,
            handle: Handle::current(),
            hall: Arc::new(Mutex::new(Hall::Waiting(Vec::new()))),
        }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().expect("nobody panics while passing a pipe on")
    }

    /// From now on there is a member.
    pub fn open(&self, member: &Member) {
        let before = std::mem::replace(&mut *self.hall(), Hall::Open(member.clone()));
        self.founding.admit_by(Arc::new(member.clone()));
        self.handle
            .spawn(look_around(member.clone(), self.founding.clone()));
        if let Hall::Waiting(waiting) = before {
            for (lane, from, pipe) in waiting {
                member.accept(lane, from, pipe);
            }
        }
    }

    /// Both sides' part of the handshake; `theirs` are the bytes the caller sent.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn knock(&self, theirs: &[u8], caller: &Who) -> Result<(Lane, MemberId), Closed> {
        let refused = |refusal: HelloRefusal| Closed::Refused(refusal.to_string());
        let Ok(FirstFrame::Hello(theirs)) = decode(theirs) else {
            return Err(Closed::Refused("no hello".to_owned()));
        };
        let ours = self.who.hello(MemberId(0), "", theirs.lane);
        check(&ours, &theirs).map_err(refused)?;
        let is_gone = match &*self.hall() {
            Hall::Open(member) => member.is_removed(theirs.from),
            Hall::Waiting(_) => false,
        };
        if theirs.cluster == ours.cluster && is_gone {
            if caller.cluster() == ours.cluster {
                return Err(Closed::Removed);
            }
            return Err(Closed::Refused("removed".to_owned()));
        }
        check(&theirs, &ours).map_err(refused)?;
        let lane = theirs.known_lane().expect("the check refuses unknown lanes");
        Ok((lane, theirs.from))
    }

    /// Takes a pipe over.
    pub fn accept(&self, lane: Lane, from: MemberId, pipe: Pipe) {
        if lane == Lane::Founding {
            let founding = self.founding.clone();
            self.handle.spawn(async move { founding.serve(pipe).await });
            return;
        }
        let _inside = self.handle.enter();
        match &mut *self.hall() {
            Hall::Open(member) => member.accept(lane, from, pipe),
            Hall::Waiting(waiting) if waiting.len() < WAITING_MAX => waiting.push((lane, from, pipe)),
            Hall::Waiting(_) => {}
        }
    }
}
