//! Where a peer is now: by the newest membership entry, not by the one that was newest when openraft first asked for it.
//!
//! openraft keeps its streams when what is known of a member changes, so without this a member that was given another
//! address would be looked for at the old one until the leader changes.

use crate::network::PeerAddress;
use crate::raft::{Raft, Types};
use almadia_command::MemberId;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use std::sync::{Arc, OnceLock};

type Metrics = openraft::type_config::alias::WatchReceiverOf<Types, RaftMetrics<Types>>;

/// The newest membership entry, as soon as there is consensus. It does not keep consensus alive.
#[derive(Clone, Default)]
pub struct Newest {
    metrics: Arc<OnceLock<Metrics>>,
}

impl Newest {
    /// From now on it is this one's.
    pub fn follow(&self, raft: &Raft) {
        let followed = self.metrics.set(raft.metrics());
        assert!(followed.is_ok(), "there is one consensus");
    }
}

/// A peer's address, looked up at each connection.
#[derive(Clone)]
pub struct Whereabouts {
    first: PeerAddress,
    newest: Newest,
}

impl Whereabouts {
    /// At first as `first` says.
    pub fn new(first: PeerAddress, newest: Newest) -> Self {
        Self { first, newest }
    }

    /// The address now. Of a member that has been removed, the last one known.
    pub fn now(&self) -> PeerAddress {
        let Some(metrics) = self.newest.metrics.get() else {
            return self.first.clone();
        };
        let MemberId(id) = self.first.member;
        let metrics = metrics.borrow_watched();
        match metrics.membership_config.get_node(&id) {
            Some(info) => PeerAddress {
                member: self.first.member,
                name: info.name.clone(),
                urls: info.peer_urls.clone(),
            },
            None => self.first.clone(),
        }
    }
}
