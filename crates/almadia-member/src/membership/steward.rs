//! The leader's side: answers questions about the membership, one change at a time.

use super::MembershipRefusal;
use super::question::{Change, ChangeAnswer};
use super::reconcile::Reconciler;
use super::rules::{Situation, Verdict};
use almadia_command::MemberId;
use almadia_consensus::{ChangeError, Consensus, MemberChange, Roster};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A question that is not settled by then has no answer; it is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks while another change is under way.
const PAUSE: Duration = Duration::from_millis(10);

/// A leader hears of its members within a few heartbeats: only who is silent for longer than this is told to be so.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks after the membership while this member leads. Cheap to clone.
#[derive(Clone)]
pub struct Steward {
    own: MemberId,
    consensus: Consensus,
    silent_max: Duration,
    reconciler: Reconciler,
}

impl Steward {
    /// For this member; who is silent for longer than `silent_max` is taken for down.
    pub fn new(own: MemberId, consensus: Consensus, silent_max: Duration) -> Self {
        Self {
            own,
            reconciler: Reconciler::new(own, consensus.clone(), silent_max),
            consensus,
            silent_max,
        }
    }

    /// What brings the membership to what it is to be.
    pub fn reconciler(&self) -> &Reconciler {
        &self.reconciler
    }

    /// Answers, if this member leads for as long as it takes.
    pub async fn answer(&self, change: &Change) -> Option<ChangeAnswer> {
        timeout(ANSWER_LIMIT, self.settle(change)).await.ok().flatten()
    }

    async fn settle(&self, change: &Change) -> Option<ChangeAnswer> {
        if let Change::Seek(seek) = change {
            return self.reconciler.seek(seek).map(ChangeAnswer::waits);
        }
        let began = Instant::now();
        loop {
            // A leader that has been replaced must not answer from what it remembers.
            self.consensus.read_index().await.ok()?;
            let roster = self.consensus.roster();
            if roster.index > self.consensus.progress().committed {
                sleep(PAUSE).await;
                continue;
            }
            match self.decide(&roster, change) {
                Verdict::Write(what, member) => match self.write(&roster, what).await {
                    Ok(index) => return Some(ChangeAnswer::done(index, member)),
                    Err(ChangeError::Again(_)) => sleep(PAUSE).await,
                    Err(ChangeError::NotLeader | ChangeError::Ended(_)) => return None,
                },
                Verdict::Already(member) => return Some(ChangeAnswer::done(roster.index, member)),
                Verdict::Refuse(MembershipRefusal::Unhealthy) if began.elapsed() < PATIENCE => {
                    sleep(PAUSE).await;
                }
                Verdict::Refuse(refusal) => return Some(ChangeAnswer::refused(refusal)),
                Verdict::HandOver => {
                    // Whoever leads then is asked again.
                    self.consensus.hand_over(self.own).await.ok()?;
                    return None;
                }
            }
        }
    }

    /// Gives a vote to who was added as a voter and has caught up, if there is one.
    pub async fn give_votes(&self) {
        if !self.consensus.standing().borrow().leading {
            return;
        }
        let roster = self.consensus.roster();
        let Some(ripe) = self.situation(&roster, |situation| situation.ripe()) else {
            return;
        };
        match self
            .consensus
            .change_members(&roster, MemberChange::GiveVote(ripe))
            .await
        {
            Ok(_) => tracing::info!(member = %ripe, "a new member has caught up and votes from now on"),
            // It is looked at again soon.
            Err(error) => tracing::debug!(member = %ripe, %error, "a new member waits for its vote"),
        }
    }

    async fn write(
        &self,
        roster: &Roster,
        what: MemberChange,
    ) -> Result<almadia_command::LogIndex, ChangeError> {
        let told = format!("{what:?}");
        let written = self.consensus.change_members(roster, what).await;
        if let Ok(index) = &written {
            tracing::info!(change = told, %index, "the membership was changed");
        }
        written
    }

    fn decide(&self, roster: &Roster, change: &Change) -> Verdict {
        self.situation(roster, |situation| situation.decide(change))
    }

    fn situation<T>(&self, roster: &Roster, look: impl FnOnce(&Situation<'_>) -> T) -> T {
        look(&Situation {
            own: self.own,
            members: &roster.members,
            last: roster.last,
            is_removed: &|id| self.consensus.is_removed(id),
            silent_max: self.silent_max,
        })
    }
}
