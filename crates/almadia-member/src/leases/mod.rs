//! The time that leases have left. Only the leader of the term counts it; what it counted reaches the log as notes
//! (`LeaseCheckpoint`), and what has expired leaves through the log (`LeaseRevoke`).
//!
//! [`book`] decides, told the time; [`lessor`] is the leader's task that acts on it; [`renewals`] is every member's way to
//! the leader for those who keep leases alive. Which leases there are is read from the store's views and from nothing else.
//! `docs/internals/leases.md` has the bounds.

mod book;
#[cfg(test)]
mod book_tests;
mod lessor;
mod renewals;

use crate::leader::{AnswerKind, AskError, Asker, Question, QuestionKind};
use crate::member::Member;
use almadia_command::{LeaseId, MemberId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub(crate) use lessor::{Lessor, LessorParts};

/// Before a renewal that was left open is asked for again: an entry has to be applied meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// What a lease has left, as the leader counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLeft {
    /// Seconds it was granted.
    pub granted: i64,
    /// What is left of them.
    pub left: Duration,
}

/// Where a member's own requests about leases go. The ids it draws are unlike those of other members and other lives.
pub(crate) struct LeaseDesk {
    asker: Asker,
    renewals: mpsc::Sender<renewals::Queued>,
    request_limit: Duration,
    ids: AtomicU64,
}

impl LeaseDesk {
    /// `drawn` is this life's own number.
    pub(crate) fn new(own: MemberId, drawn: u32, asker: Asker, request_limit: Duration) -> Self {
        let seed = own.0 ^ u64::from(drawn).rotate_left(32);
        Self {
            renewals: renewals::start(asker.clone()),
            asker,
            request_limit,
            ids: AtomicU64::new(mixed(seed)),
        }
    }

    /// The way to whoever leads.
    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    fn renew_at_once(&self, lease: LeaseId) -> Option<i64> {
        self.asker.duties.renew_at_once(lease)
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<i64, AskError> {
        loop {
            let (give, take) = oneshot::channel();
            let queued = self.renewals.send((lease, give)).await;
            queued.map_err(|_| AskError::Stopped)?;
            match take.await.map_err(|_| AskError::Stopped)?? {
                Some(ttl) => return Ok(ttl),
                None => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }
}

impl Member {
    /// Gives a lease its whole time again, wherever the leader is. Answers that time in seconds, 0 when there is no such
    /// lease. When it returns, no change of leader can make the lease end before that time is over.
    ///
    /// # Errors
    /// [`AskError`]; whether the lease was renewed is then unknown.
    pub async fn keep_lease_alive(&self, lease: LeaseId) -> Result<i64, AskError> {
        if let Some(ttl) = self.renew_lease_at_once(lease) {
            return Ok(ttl);
        }
        let desk = self.lease_desk();
        let kept = tokio::time::timeout(desk.request_limit, desk.keep_alive(lease)).await;
        let kept = kept.unwrap_or(Err(AskError::TimedOut))?;
        self.shows_what_it_has_shown().await?;
        Ok(kept)
    }

    /// The same without waiting, by the member that leads; `None` when it takes the longer way.
    pub fn renew_lease_at_once(&self, lease: LeaseId) -> Option<i64> {
        if !self.has_recovered() {
            return None;
        }
        self.lease_desk().renew_at_once(lease)
    }

    /// What a lease has left; `None` when there is no such lease, or it has reached its end.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn lease_time_left(&self, lease: LeaseId) -> Result<Option<TimeLeft>, AskError> {
        let question = Question::from(QuestionKind::LeaseTimeLeft(lease.0));
        let answer = self.ask_leader(question).await?;
        self.shows_what_it_has_shown().await?;
        let Some(AnswerKind::LeaseTimeLeft(left)) = answer.kind else {
            return Err(AskError::TimedOut);
        };
        Ok((left.remaining_ms > 0).then(|| TimeLeft {
            granted: left.granted,
            left: Duration::from_millis(left.remaining_ms.unsigned_abs()),
        }))
    }

    /// All leases, soonest to end first.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn leases_by_expiry(&self) -> Result<Vec<LeaseId>, AskError> {
        let question = Question::from(QuestionKind::LeasesByExpiry(true));
        let answer = self.ask_leader(question).await?;
        self.shows_what_it_has_shown().await?;
        match answer.kind {
            Some(AnswerKind::Leases(leases)) => Ok(leases.leases.into_iter().map(LeaseId).collect()),
            _ => Err(AskError::TimedOut),
        }
    }

    /// The leader has the answers about leases, but the revision in a header is this member's own: right after a start it
    /// would be older than what it showed before. Asked after the leader has answered, so that whoever has no leader is told so
    /// as soon as before.
    async fn shows_what_it_has_shown(&self) -> Result<(), AskError> {
        // A member that is fenced is told so by whatever asks for its state.
        let _ = self.recovered().await;
        if self.has_recovered() {
            Ok(())
        } else {
            Err(AskError::TimedOut)
        }
    }

    /// A positive id that no lease has had, as far as chance goes: whoever uses it must be ready to draw again.
    pub fn draw_lease_id(&self) -> LeaseId {
        // A step that no power of two divides visits every number before one comes again.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let drawn = mixed(self.lease_desk().ids.fetch_add(STEP, Ordering::Relaxed));
        LeaseId((drawn >> 1).max(1) as i64)
    }
}

/// splitmix64's finisher (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
