//! The transport between members: one TCP connection for each lane and peer, a handshake, then frames.
//!
//! It carries bytes and knows who is at the other end; it never looks inside a frame after the handshake. What it
//! promises is in `docs/internals/peers.md`.

mod dialer;
mod frame;
mod handshake;
mod listener;
mod pump;
mod resolver;
mod socket;

pub use dialer::PeerDialer;
pub use listener::{Accept, Accepted, PeerListener};
pub use resolver::{Resolve, Resolving, SystemResolver};
pub(crate) use socket::configure as configure_socket;

use crate::vitals::Traffic;
use almadia_command::{ClusterId, GroupId, MemberId};
use almadia_consensus::Lane;
use almadia_member::hello::{Hello, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use almadia_member::identity::Identity;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// Connecting to one address takes this long at most.
pub const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Resolving a name takes this long at most.
pub const RESOLVE_MAX: Duration = Duration::from_secs(2);

/// A handshake takes this long at most; then the connection is closed.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// A peer that takes no byte for this long is cut off.
pub const STALL_MAX: Duration = Duration::from_secs(30);

/// Accepted connections in the handshake at the same time; more wait in the kernel's queue.
pub const HANDSHAKES_MAX: usize = 64;

/// Accepted connections at the same time: far above lanes times members; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1024;

/// From whom a member is cut off: an exercise for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// From nobody.
    #[default]
    None,
    /// From these. While founding, when members do not know each other's ids yet, it is from nobody.
    Peers(BTreeSet<MemberId>),
    /// From all.
    All,
}

impl Cut {
    /// Whether it is between this member and that peer.
    pub fn is_from(&self, peer: MemberId) -> bool {
        match self {
            Self::None => false,
            Self::Peers(peers) => peers.contains(&peer),
            Self::All => true,
        }
    }
}

/// What a member tells its peers of itself. Clones share the cluster and the cut.
#[derive(Clone)]
pub struct Who {
    group: GroupId,
    /// Changes once at most, when a member is admitted to a cluster under the id that was allotted to it.
    member: Arc<AtomicU64>,
    name: Arc<str>,
    /// 0 until the member belongs to one. Set once.
    cluster: Arc<AtomicU64>,
    cut: watch::Sender<Cut>,
    /// A peer has said that this member was removed from the cluster.
    removed: watch::Sender<bool>,
    traffic: Traffic,
    /// Who was removed, once there is somebody to ask.
    gone: Arc<OnceLock<Gone>>,
}

/// Whether an id belonged to the cluster once and does not any more.
type Gone = Box<dyn Fn(MemberId) -> bool + Send + Sync>;

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Who")
            .field("member", &self.member)
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Who {
    /// The member as its identity file has it.
    pub fn new(identity: &Identity) -> Self {
        Self {
            group: identity.group,
            member: Arc::new(AtomicU64::new(identity.member.get())),
            name: identity.name.as_str().into(),
            cluster: Arc::new(AtomicU64::new(identity.cluster.get())),
            cut: watch::Sender::new(Cut::None),
            removed: watch::Sender::new(false),
            traffic: Traffic::default(),
            gone: Arc::default(),
        }
    }

    /// From now on the member belongs to `cluster`, as `member`.
    ///
    /// # Panics
    /// When it belonged to another one.
    pub fn belongs_to(&self, cluster: ClusterId, member: MemberId) {
        self.member.store(member.get(), Ordering::Relaxed);
        let before = self.cluster.swap(cluster.get(), Ordering::Relaxed);
        assert!(
            before == 0 || before == cluster.get(),
            "a member belongs to one cluster"
        );
    }

    /// Cuts the member off peers, or heals that: open connections end, new ones are refused in both directions.
    /// An exercise for people; the process lives on and serves its clients. What was switched before is replaced.
    pub fn cut_off(&self, cut: Cut) {
        if self.cut.send_replace(cut.clone()) == cut {
            return;
        }
        match cut {
            Cut::None => tracing::warn!("fault injection: connections to peers are allowed again"),
            Cut::Peers(peers) => tracing::warn!(?peers, "fault injection: cut off from these peers"),
            Cut::All => tracing::warn!("fault injection: cut off from all peers"),
        }
    }

    /// From now on those of whom `gone` says that they were removed are told so and not let in.
    ///
    /// # Panics
    /// When that was said before.
    pub fn refuse_removed(&self, gone: impl Fn(MemberId) -> bool + Send + Sync + 'static) {
        let is_new = self.gone.set(Box::new(gone)).is_ok();
        assert!(is_new, "a process has one member");
    }

    /// Returns once a peer has said that this member was removed from the cluster.
    pub async fn removed(&self) {
        // The sender lives as long as this.
        let _ = self.removed.subscribe().wait_for(|removed| *removed).await;
    }

    fn knows_removed(&self, id: MemberId) -> bool {
        self.gone.get().is_some_and(|gone| gone(id))
    }

    fn was_removed(&self) {
        self.removed.send_replace(true);
    }

    /// From whom the member is cut off.
    pub fn cut(&self) -> Cut {
        self.cut.borrow().clone()
    }

    /// Bytes to and from each peer.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// From whom the member is cut off, as it changes.
    pub fn cuts(&self) -> watch::Receiver<Cut> {
        self.cut.subscribe()
    }

    fn hello(&self, to: MemberId, to_name: &str, lane: u8) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            version_min: PROTOCOL_VERSION_MIN,
            group: self.group,
            cluster: ClusterId(self.cluster.load(Ordering::Relaxed)),
            from: MemberId(self.member.load(Ordering::Relaxed)),
            from_name: self.name.to_string(),
            to,
            to_name: to_name.to_owned(),
            lane,
        }
    }

    /// The first words to a peer we look for.
    fn hello_to(&self, to: MemberId, to_name: &str, lane: Lane) -> Hello {
        self.hello(to, to_name, lane as u8)
    }

    /// The answer to whoever has found us.
    fn hello_back(&self, theirs: &Hello) -> Hello {
        self.hello(MemberId(0), "", theirs.lane)
    }
}

#[cfg(test)]
mod resolver_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
