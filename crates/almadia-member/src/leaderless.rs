//! Noticing that nobody leads, for those who would rather ask another member then. Decides nothing.

use crate::member::{Member, ReadError};
use std::time::Duration;

impl Member {
    /// Whether somebody leads, by proof and not by belief. Cheap; right about a second late.
    pub fn has_leader(&self) -> bool {
        self.inner.consensus.has_leader()
    }

    /// Returns once this member has known no leader for `limit`, without interruption. Who is cut off may go on
    /// believing in a leader, itself or another: it is asked now and then whether a read can be confirmed.
    pub fn leaderless(&self, limit: Duration) -> impl Future<Output = ()> + Send + 'static {
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
                } else {
                    match tokio::time::timeout(limit, standing.changed()).await {
                        Ok(changed) => changed.is_ok(),
                        Err(_) if member.is_cut_off(limit).await => return,
                        Err(_) => true,
                    }
                };
                if !goes_on {
                    // The member stops, which is another reason to end.
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Whether no leader with a majority can be reached.
    async fn is_cut_off(&self, limit: Duration) -> bool {
        let proof = tokio::time::timeout(limit, self.read_barrier()).await;
        matches!(proof, Err(_) | Ok(Err(ReadError::NoLeader | ReadError::TimedOut)))
    }
}
