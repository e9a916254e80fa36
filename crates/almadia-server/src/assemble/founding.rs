//! The door of a member: founding conversations go to the founding service, everything else to the member, once
//! there is one.

use super::ServerError;
use crate::config::ServerConfig;
use crate::peers::{Accept, Accepted};
use almadia_consensus::{Lane, PeerNetwork};
use almadia_disk::Disk;
use almadia_member::Member;
use almadia_member::founding::{FoundingContext, FoundingService, InitialPeer};
use almadia_member::identity::Identity;
use almadia_member::membership::forlorn::look_around;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::runtime::Handle;
use tracing::debug;

/// Pipes that wait for the member to start at most: each lane of each peer, twice. More are closed, and come again.
const WAITING_MAX: usize = 64;

/// Passes accepted pipes on. Clones are the same door.
#[derive(Clone)]
pub(super) struct Doorman {
    founding: FoundingService,
    hall: Arc<Mutex<Hall>>,
}

/// Who is behind the door.
enum Hall {
    /// The member is being started. Its peers are let in already, because they may be voting just now.
    Waiting(Vec<Accepted>),
    /// The member has started.
    Open(Member),
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
        let hall = Arc::new(Mutex::new(Hall::Waiting(Vec::new())));
        Ok(Self { founding, hall })
    }

    /// What answers and asks while there is no member.
    pub(super) fn founding(&self) -> &FoundingService {
        &self.founding
    }

    /// What takes accepted pipes over.
    pub(super) fn accept(&self) -> Accept {
        let door = self.clone();
        Arc::new(move |accepted| door.pass(accepted))
    }

    /// Has these members asked, too, before anything is founded.
    pub(super) fn ask_also(&self, witnesses: Vec<InitialPeer>) {
        self.founding.ask_also(witnesses);
    }

    /// Waits until the member belongs to a cluster; the questions are asked on the peer runtime.
    pub(super) async fn establish(&self, peers: &Handle) -> Result<Identity, ServerError> {
        let founding = self.founding.clone();
        let established = peers.spawn(async move { founding.establish().await });
        Ok(established
            .await
            .expect("founding neither panics nor is cancelled")?)
    }

    /// From now on there is a member: it gets the pipes that wait, and all that come.
    pub(super) fn hand_over(&self, member: &Member) {
        let before = std::mem::replace(&mut *self.hall(), Hall::Open(member.clone()));
        let Hall::Waiting(waiting) = before else {
            panic!("a process has one member")
        };
        self.founding.admit_by(Arc::new(member.clone()));
        tokio::spawn(look_around(member.clone(), self.founding.clone()));
        for accepted in waiting {
            member.accept(accepted.lane, accepted.from, accepted.pipe);
        }
    }

    fn pass(&self, accepted: Accepted) {
        if accepted.lane == Lane::Founding {
            let founding = self.founding.clone();
            tokio::spawn(async move { founding.serve(accepted.pipe).await });
            return;
        }
        match &mut *self.hall() {
            Hall::Open(member) => member.accept(accepted.lane, accepted.from, accepted.pipe),
            Hall::Waiting(waiting) if waiting.len() < WAITING_MAX => waiting.push(accepted),
            Hall::Waiting(_) => {
                debug!(peer = %accepted.name, "too many peers before the member has started; closed")
            }
        }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().expect("nobody panics while passing a pipe on")
    }
}
