//! What the parts of the membership need of the member they belong to.

use super::reconcile::Reconciling;
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

    /// From now on this member brings the membership to what it is to be, while it leads; and lets empty members ask.
    ///
    /// # Panics
    /// When that was said before.
    pub fn reconcile(&self, reconciling: Reconciling) {
        self.inner.desk.open(reconciling);
    }

    /// Whether there are to be so few members that this one leaves for good.
    pub fn is_surplus(&self) -> bool {
        let Some(reconciling) = self.inner.desk.reconciling() else {
            return false;
        };
        let rank = reconciling.roll.rank(&self.inner.name, &[]);
        let wished = *reconciling.wished.borrow();
        rank.zip(wished)
            .is_some_and(|(rank, wished)| wished > 0 && rank >= wished)
    }

    /// How many members there are to be, as far as this member knows.
    pub fn wished_size(&self) -> Option<u32> {
        self.inner
            .desk
            .reconciling()
            .and_then(|reconciling| *reconciling.wished.borrow())
    }

    /// Whether empty members are let in by themselves.
    pub fn is_unattended(&self) -> bool {
        self.inner.desk.reconciling().is_some()
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
