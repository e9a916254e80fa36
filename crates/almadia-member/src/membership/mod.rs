//! Who belongs to the cluster: adding, removing, promoting, moving members, and letting them in.
//!
//! The membership entry in the log is the only truth; whatever is shown or checked is read from it. What is allowed is
//! decided by the leader ([`rules`], pure), one change at a time ([`steward`]); any member takes the request and carries
//! it there. A member looks after its own entry, and a leader after those that wait for their vote ([`upkeep`]). The
//! whole of it is told in `docs/internals/membership.md`.

mod admission;
pub mod forlorn;
mod own;
pub(crate) mod question;
pub mod reconcile;
mod rules;
pub(crate) mod steward;
pub(crate) mod upkeep;

use crate::leader::{AnswerKind, AskError, Question, QuestionKind};
use crate::member::{Member, ReadError};
use almadia_command::{LogIndex, MemberId};
use almadia_consensus::Membered;
use question::{Add, Change, ChangeQuestion, Done, Outcome, Update};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How often an id is drawn at most for a new member, should the drawn ones be known already.
const DRAWS_MAX: usize = 16;

/// After this long without a new leader, a transfer of leadership is asked for again.
const TRANSFER_AGAIN: Duration = Duration::from_millis(500);

/// Why the membership stays as it is. The numbers are on the wire between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u32)]
pub enum MembershipRefusal {
    /// There is no such member, or not any more.
    #[error("there is no such member")]
    MemberNotFound = 1,
    /// The id drawn for a new member is or was somebody's.
    #[error("the id is taken")]
    IdTaken = 2,
    /// Another member is reached at one of the addresses.
    #[error("another member is reached at one of the addresses")]
    PeerUrlTaken = 3,
    /// There would be no majority of members that have ever started.
    #[error("there would be no majority of started members")]
    NotEnoughStarted = 4,
    /// Members that vote are not heard of, and the majority would be in danger.
    #[error("not all members are heard of")]
    Unhealthy = 5,
    /// There is a learner already.
    #[error("there are as many learners as there may be")]
    TooManyLearners = 6,
    /// Only a learner can be promoted.
    #[error("it is no learner")]
    NotLearner = 7,
    /// The learner has not caught up.
    #[error("the learner has not caught up")]
    LearnerNotReady = 8,
}

impl MembershipRefusal {
    const ALL: [Self; 8] = [
        Self::MemberNotFound,
        Self::IdTaken,
        Self::PeerUrlTaken,
        Self::NotEnoughStarted,
        Self::Unhealthy,
        Self::TooManyLearners,
        Self::NotLearner,
        Self::LearnerNotReady,
    ];

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u32 == number)
    }
}

/// Why a change has no outcome that is known to be a success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberChangeError {
    /// Nothing was changed.
    #[error(transparent)]
    Refused(#[from] MembershipRefusal),
    /// There was no leader in time; nothing is known.
    #[error("there is no leader")]
    NoLeader,
    /// No outcome in time; nothing is known.
    #[error("no outcome in time")]
    TimedOut,
    /// The member stops.
    #[error("the member is stopping")]
    Stopped,
    /// Too much waits at this member; nothing was changed.
    #[error("too many requests are waiting")]
    Busy,
    /// This member's state differs from the others'; nothing was changed.
    #[error("this member's state is not what it should be")]
    Corrupt,
}

/// Why leadership was not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveLeaderError {
    /// Only the leader can give leadership away.
    #[error("this member does not lead")]
    NotLeader,
    /// It is no member, or has no vote.
    #[error("there is no such voter")]
    BadTransferee,
    /// It did not take over in time.
    #[error("it did not take over in time")]
    TimedOut,
    /// The member stops.
    #[error("the member is stopping")]
    Stopped,
}

/// What a change led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whom it was about.
    pub member: MemberId,
    /// Everyone afterwards.
    pub members: Vec<Membered>,
}

impl Member {
    /// Adds a member that is reached at `peer_urls`, with a new id. It is shown at once; it gets its vote, if it is to
    /// have one, when it has started and caught up.
    ///
    /// # Errors
    /// [`MemberChangeError`].
    pub async fn add_member(
        &self,
        peer_urls: Vec<String>,
        is_learner: bool,
    ) -> Result<Changed, MemberChangeError> {
        for _ in 0..DRAWS_MAX {
            let add = Add {
                member: self.draw_new_id().0,
                peer_urls: peer_urls.clone(),
                is_learner,
            };
            match self.change(Change::Add(add)).await {
                Err(MemberChangeError::Refused(MembershipRefusal::IdTaken)) => {}
                answer => return answer,
            }
        }
        Err(MembershipRefusal::IdTaken.into())
    }

    /// Removes a member; its id is never used again.
    ///
    /// # Errors
    /// [`MemberChangeError`].
    pub async fn remove_member(&self, id: MemberId) -> Result<Changed, MemberChangeError> {
        self.seen(id).await?;
        if id != self.id() {
            return self.change(Change::Remove(id.0)).await;
        }
        // Who has left hears nothing any more, not even that it has.
        self.ask_for(Change::Remove(id.0)).await?;
        let members = self.members().into_iter().filter(|one| one.id != id).collect();
        self.note_removed();
        Ok(Changed { member: id, members })
    }

    /// Tells where a member is reached from now on. Nothing else about it changes.
    ///
    /// # Errors
    /// [`MemberChangeError`].
    pub async fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Result<Changed, MemberChangeError> {
        let member = id.0;
        self.change(Change::Update(Update { member, peer_urls })).await
    }

    /// Gives a learner that has caught up a vote.
    ///
    /// # Errors
    /// [`MemberChangeError`].
    pub async fn promote_member(&self, id: MemberId) -> Result<Changed, MemberChangeError> {
        if !self.seen(id).await?.is_learner {
            return Err(MembershipRefusal::NotLearner.into());
        }
        self.change(Change::Promote(id.0)).await
    }

    /// Hands leadership to `to` and returns when it leads. Only the leader can do that.
    ///
    /// # Errors
    /// [`MoveLeaderError`].
    pub async fn move_leader(&self, to: MemberId) -> Result<(), MoveLeaderError> {
        let consensus = self.consensus();
        let mut standing = consensus.standing();
        if !standing.borrow_and_update().leading {
            return Err(MoveLeaderError::NotLeader);
        }
        let heirs = consensus.applied_members();
        if !heirs.iter().any(|member| member.id == to && member.votes) {
            return Err(MoveLeaderError::BadTransferee);
        }
        let moved = async {
            loop {
                let now = *standing.borrow_and_update();
                if now.leader == Some(to) {
                    return Ok(());
                }
                if now.leading {
                    let asked = consensus.transfer_to(to).await;
                    asked.map_err(|_| MoveLeaderError::Stopped)?;
                }
                if let Ok(Err(_)) = timeout(TRANSFER_AGAIN, standing.changed()).await {
                    return Err(MoveLeaderError::Stopped);
                }
            }
        };
        let moved = timeout(self.request_limit(), moved).await;
        moved.unwrap_or(Err(MoveLeaderError::TimedOut))
    }

    /// Everyone, by what is applied here.
    pub fn members(&self) -> Vec<Membered> {
        self.consensus().applied_members()
    }

    /// Whether this id belonged to the cluster once and does not any more.
    pub fn is_removed(&self, id: MemberId) -> bool {
        self.consensus().is_removed(id)
    }

    /// The question of [`Member::is_removed`], for whoever must not keep the member alive by asking: its connections do.
    pub fn knows_removed(&self) -> impl Fn(MemberId) -> bool + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move |id| {
            inner
                .upgrade()
                .is_some_and(|inner| inner.consensus.is_removed(id))
        }
    }

    /// The member as it is listed after this call began.
    async fn seen(&self, id: MemberId) -> Result<Membered, MemberChangeError> {
        self.read_barrier().await?;
        let seen = self.members().into_iter().find(|member| member.id == id);
        seen.ok_or(MembershipRefusal::MemberNotFound.into())
    }

    /// Asks the leader for a change, and waits until it is seen here.
    async fn change(&self, change: Change) -> Result<Changed, MemberChangeError> {
        let done = self.ask_for(change).await?;
        let applied = timeout(self.request_limit(), self.applied(LogIndex(done.index))).await;
        match applied {
            Ok(true) => Ok(Changed {
                member: MemberId(done.member),
                members: self.members(),
            }),
            Ok(false) => Err(MemberChangeError::Stopped),
            Err(_) => Err(MemberChangeError::TimedOut),
        }
    }

    /// Asks the leader for a change.
    async fn ask_for(&self, change: Change) -> Result<Done, MemberChangeError> {
        let question = Question {
            kind: Some(QuestionKind::Membership(ChangeQuestion { change: Some(change) })),
        };
        let answer = self.ask_leader(question).await?;
        let outcome = match answer.kind {
            Some(AnswerKind::Membership(answer)) => answer.outcome,
            _ => None,
        };
        match outcome {
            Some(Outcome::Done(done)) => Ok(done),
            // Only who asks for that is told so.
            Some(Outcome::Waits(_)) => Err(MemberChangeError::TimedOut),
            Some(Outcome::Refused(number)) => match MembershipRefusal::from_number(number) {
                Some(refusal) => Err(refusal.into()),
                // A newer release has refused it for a reason that this one does not know.
                None => Err(MemberChangeError::TimedOut),
            },
            None => Err(MemberChangeError::TimedOut),
        }
    }
}

impl From<AskError> for MemberChangeError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoLeader => Self::NoLeader,
            AskError::TimedOut => Self::TimedOut,
            AskError::Stopped => Self::Stopped,
        }
    }
}

impl From<ReadError> for MemberChangeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Busy => Self::Busy,
            ReadError::NoLeader => Self::NoLeader,
            ReadError::TimedOut => Self::TimedOut,
            ReadError::Stopped => Self::Stopped,
            ReadError::Corrupt => Self::Corrupt,
        }
    }
}
