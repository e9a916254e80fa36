//! What the Watch service asks of a member: to be told of changes, and whether somebody leads.

use almadia_member::{Member, ReadError};
use almadia_store::WatchHub;
use std::time::Duration;

/// Being told of changes.
pub trait WatchBackend {
    /// Where watching begins, on the member's own store.
    fn watches(&self) -> WatchHub;

    /// Whether the member knows a leader.
    fn has_leader(&self) -> bool;

    /// Returns once the member has known no leader for this long, without interruption.
    fn leaderless(&self, limit: Duration) -> impl Future<Output = ()> + Send + 'static;
}

impl WatchBackend for Member {
    fn watches(&self) -> WatchHub {
        Self::watches(self)
    }

    fn has_leader(&self) -> bool {
        self.standing().borrow().leader.is_some()
    }

    fn leaderless(&self, limit: Duration) -> impl Future<Output = ()> + Send + 'static {
        let (member, mut standing) = (self.clone(), self.standing());
        async move {
            loop {
                let now = *standing.borrow_and_update();
                let goes_on = if now.leader.is_none() {
                    let returns = standing.wait_for(|standing| standing.leader.is_some());
                    let returned = tokio::time::timeout(limit, returns).await;
                    match returned.map(|returned| returned.is_ok()) {
                        Ok(goes_on) => goes_on,
                        Err(_) => return,
                    }
                } else if now.leading {
                    match tokio::time::timeout(limit, standing.changed()).await {
                        Ok(changed) => changed.is_ok(),
                        Err(_) if is_cut_off(&member, limit).await => return,
                        Err(_) => true,
                    }
                } else {
                    standing.changed().await.is_ok()
                };
                if !goes_on {
                    // The member stops, which is another reason to end.
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// Whether a leader cannot reach a majority: it does not step down by itself, so it is asked to prove that it leads.
async fn is_cut_off(member: &Member, limit: Duration) -> bool {
    let proof = tokio::time::timeout(limit, member.read_barrier()).await;
    matches!(proof, Err(_) | Ok(Err(ReadError::NoLeader | ReadError::TimedOut)))
}
