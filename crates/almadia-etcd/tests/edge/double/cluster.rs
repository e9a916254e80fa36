//! The double as the cluster service sees it: what was asked for is noted, and answered as a test wants it.

use super::{Double, MEMBER};
use almadia_command::MemberId;
use almadia_etcd::{Backend, ClusterBackend, MemberInfo, Membered};
use almadia_member::{Changed, MemberChangeError, MoveLeaderError};
use std::sync::Mutex;

/// The id of whoever is added.
pub const ADDED: MemberId = MemberId(0xfeed_0000_0000_0001);

/// What the service has asked the member for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Add(Vec<String>, bool),
    Remove(MemberId),
    Update(MemberId, Vec<String>),
    Promote(MemberId),
    MoveLeader(MemberId),
}

/// The double's part in the cluster service.
#[derive(Default)]
pub struct ClusterDouble {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    refusal: Option<MemberChangeError>,
    move_refusal: Option<MoveLeaderError>,
    is_learner: bool,
}

impl ClusterDouble {
    /// From now on every change is refused so.
    pub fn refuse(&self, refusal: MemberChangeError) {
        self.state.lock().expect("no test panics holding it").refusal = Some(refusal);
    }

    /// From now on leadership is not moved.
    pub fn refuse_to_move(&self, refusal: MoveLeaderError) {
        self.state.lock().expect("no test panics holding it").move_refusal = Some(refusal);
    }

    /// From now on the double is a learner, or not any more.
    pub fn be_learner(&self, is_learner: bool) {
        self.state.lock().expect("no test panics holding it").is_learner = is_learner;
    }

    /// What was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        self.state
            .lock()
            .expect("no test panics holding it")
            .asked
            .clone()
    }
}

impl Double {
    fn changed(&self, member: MemberId, asked: Asked) -> Result<Changed, MemberChangeError> {
        let mut state = self.cluster.state.lock().expect("no test panics holding it");
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        let mut members = self.status().members;
        if let Asked::Add(urls, is_learner) = &asked {
            members.push(Membered {
                id: member,
                info: MemberInfo {
                    peer_urls: urls.clone(),
                    ..MemberInfo::default()
                },
                is_learner: *is_learner,
                votes: false,
            });
        }
        state.asked.push(asked);
        Ok(Changed { member, members })
    }
}

impl ClusterBackend for Double {
    async fn add_member(
        &self,
        peer_urls: Vec<String>,
        is_learner: bool,
    ) -> Result<Changed, MemberChangeError> {
        self.changed(ADDED, Asked::Add(peer_urls, is_learner))
    }

    async fn remove_member(&self, id: MemberId) -> Result<Changed, MemberChangeError> {
        self.changed(id, Asked::Remove(id))
    }

    async fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Result<Changed, MemberChangeError> {
        self.changed(id, Asked::Update(id, peer_urls))
    }

    async fn promote_member(&self, id: MemberId) -> Result<Changed, MemberChangeError> {
        self.changed(id, Asked::Promote(id))
    }

    async fn move_leader(&self, to: MemberId) -> Result<(), MoveLeaderError> {
        let mut state = self.cluster.state.lock().expect("no test panics holding it");
        state.asked.push(Asked::MoveLeader(to));
        match state.move_refusal {
            Some(refusal) => Err(refusal),
            None if to == MEMBER => Ok(()),
            None => Err(MoveLeaderError::BadTransferee),
        }
    }

    fn is_learner(&self) -> bool {
        self.cluster
            .state
            .lock()
            .expect("no test panics holding it")
            .is_learner
    }
}
