//! What the parts of the membership need of the member they belong to.

use crate::identity::draw_id;
use crate::member::Member;
use almadia_command::{LogIndex, MemberId};
use almadia_consensus::Consensus;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Member {
    /// True while this member is a learner, by the newest membership applied here: it serves nothing but what
    /// learners serve. Cheap.
    pub fn is_learner(&self) -> bool {
        self.inner.is_learner.load(Ordering::Relaxed)
    }

    /// Returns once this member has learned from its log that it was removed from the cluster.
    pub async fn removed(&self) {
        let mut removed = self.inner.removed.subscribe();
        // The sender lives as long as this member.
        let _ = removed.wait_for(|removed| *removed).await;
    }

    pub(super) fn note_learner(&self, is_learner: bool) {
        self.inner.is_learner.store(is_learner, Ordering::Relaxed);
    }

    pub(super) fn note_removed(&self) {
        self.inner.removed.send_replace(true);
    }

    pub(super) fn consensus(&self) -> &Consensus {
        &self.inner.consensus
    }

    pub(super) fn request_limit(&self) -> Duration {
        self.inner.request_limit
    }

    /// An id for a new member.
    pub(super) fn draw_new_id(&self) -> MemberId {
        let mut random = self
            .inner
            .random
            .lock()
            .expect("nobody panics while drawing a number");
        MemberId(draw_id(&mut **random))
    }

    /// Waits until the log is applied here up to `index`; false when the member stops before.
    pub(super) async fn applied(&self, index: LogIndex) -> bool {
        let mut applied = self.inner.applied.clone();
        applied.wait_for(|applied| *applied >= index).await.is_ok()
    }
}
