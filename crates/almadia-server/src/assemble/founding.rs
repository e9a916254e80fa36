//! The door of a member: founding conversations go to the founding service, everything else to the member, once
//! there is one.

use super::ServerError;
use crate::config::ServerConfig;
use crate::peers::{Accept, Accepted};
use almadia_consensus::{Lane, PeerNetwork};
use almadia_disk::Disk;
use almadia_member::Member;
use almadia_member::founding::{FoundingContext, FoundingService};
use almadia_member::identity::Identity;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use tracing::debug;

/// Passes accepted pipes on. Clones are the same door.
#[derive(Clone)]
pub(super) struct Doorman {
    founding: FoundingService,
    member: Arc<OnceLock<Member>>,
}

impl Doorman {
    pub(super) fn new(
        config: &ServerConfig,
        identity: Identity,
        disk: &Arc<dyn Disk>,
        network: Arc<dyn PeerNetwork>,
        random: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<Self, ServerError> {
        let founding = FoundingService::new(FoundingContext {
            disk: disk.clone(),
            network,
            identity,
            state: config.initial_state,
            initial: config.initial_cluster.clone(),
            client_urls: config.advertise_client_urls.clone(),
            random: Box::new(random),
        })?;
        Ok(Self {
            founding,
            member: Arc::default(),
        })
    }

    /// What takes accepted pipes over.
    pub(super) fn accept(&self) -> Accept {
        let door = self.clone();
        Arc::new(move |accepted| door.pass(accepted))
    }

    /// Waits until the member belongs to a cluster; the questions are asked on the peer runtime.
    pub(super) async fn establish(&self, peers: &Handle) -> Result<Identity, ServerError> {
        let founding = self.founding.clone();
        let established = peers.spawn(async move { founding.establish().await });
        Ok(established
            .await
            .expect("founding neither panics nor is cancelled")?)
    }

    /// From now on there is a member.
    pub(super) fn hand_over(&self, member: Member) {
        let first = self.member.set(member);
        assert!(first.is_ok(), "a process has one member");
    }

    fn pass(&self, accepted: Accepted) {
        if accepted.lane == Lane::Founding {
            let founding = self.founding.clone();
            tokio::spawn(async move { founding.serve(accepted.pipe).await });
        } else if let Some(member) = self.member.get() {
            member.accept(accepted.lane, accepted.from, accepted.pipe);
        } else {
            debug!(peer = %accepted.name, "a peer came before the member had started; closed");
        }
    }
}
