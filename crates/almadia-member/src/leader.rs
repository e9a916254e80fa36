//! What only the leader knows or does, and how the others ask it: one question, one answer, over the forward lane.
//!
//! Which questions there are stands here; what is answered stands with those who know. A question carries everything
//! it needs and may be heard twice.

use crate::comparison::{self, Judge};
use crate::forward::client;
use crate::leases::Lessor;
use crate::membership::question::{ChangeAnswer, ChangeQuestion};
use crate::membership::reconcile::Survey;
use crate::membership::steward::Steward;
use crate::overview::{Curiosity, Report};
use almadia_command::{LeaseId, MemberId};
use almadia_consensus::Consensus;
use bytes::Bytes;
use prost::Message;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Before a question is asked again: a new leader needs a moment before it answers.
const RETRY: Duration = Duration::from_millis(10);

/// What a member may ask the leader.
#[derive(Clone, PartialEq, Message)]
pub struct Question {
    #[prost(oneof = "QuestionKind", tags = "1, 2, 3, 4, 10, 11, 20, 21, 30")]
    pub kind: Option<QuestionKind>,
}

/// The kinds of questions.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum QuestionKind {
    /// Whether it leads and answers: for whoever wants to know that its words get there.
    #[prost(bool, tag = "1")]
    AreYouThere(bool),
    /// Renew these leases.
    #[prost(message, tag = "2")]
    KeepAlive(LeaseIds),
    /// What this lease has left.
    #[prost(int64, tag = "3")]
    LeaseTimeLeft(i64),
    /// All leases, soonest to end first.
    #[prost(bool, tag = "4")]
    LeasesByExpiry(bool),
    /// A change of the membership.
    #[prost(message, tag = "10")]
    Membership(ChangeQuestion),
    /// How the cluster is, for people.
    #[prost(bool, tag = "11")]
    Survey(bool),
    /// Whether this member's state is what it should be.
    #[prost(message, tag = "20")]
    CompareState(StateHash),
    /// Send the whole state to this member.
    #[prost(uint64, tag = "21")]
    SendState(u64),
    /// How the asked member is: any member answers it for itself, not the leader for all.
    #[prost(message, tag = "30")]
    HowAreYou(Curiosity),
}

/// The hash of a member's state at a compaction.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct StateHash {
    /// Whose.
    #[prost(uint64, tag = "1")]
    pub member: u64,
    /// The compaction's entry.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// The hash.
    #[prost(fixed64, tag = "3")]
    pub hash: u64,
}

/// Several leases.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseIds {
    #[prost(int64, repeated, tag = "1")]
    pub leases: Vec<i64>,
}

/// What came of renewing several leases, in their order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KeptAlive {
    /// Seconds granted; 0 for no such lease, -1 when that is still open and is to be asked again.
    #[prost(int64, repeated, tag = "1")]
    pub ttls: Vec<i64>,
}

/// What a lease has left.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseLeft {
    /// Seconds.
    #[prost(int64, tag = "1")]
    pub granted: i64,
    /// Milliseconds; 0 when there is no such lease or it has reached its end.
    #[prost(int64, tag = "2")]
    pub remaining_ms: i64,
}

/// What the leader answers.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    #[prost(oneof = "AnswerKind", tags = "1, 2, 3, 4, 10, 11, 20, 21, 30")]
    pub kind: Option<AnswerKind>,
}

/// The kinds of answers, each to its question.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum AnswerKind {
    /// See [`QuestionKind::AreYouThere`].
    #[prost(bool, tag = "1")]
    Here(bool),
    /// See [`QuestionKind::Membership`].
    #[prost(message, tag = "10")]
    Membership(ChangeAnswer),
    /// See [`QuestionKind::Survey`].
    #[prost(message, tag = "11")]
    Survey(Survey),
    /// See [`QuestionKind::KeepAlive`].
    #[prost(message, tag = "2")]
    KeptAlive(KeptAlive),
    /// See [`QuestionKind::LeaseTimeLeft`].
    #[prost(message, tag = "3")]
    LeaseTimeLeft(LeaseLeft),
    /// See [`QuestionKind::LeasesByExpiry`].
    #[prost(message, tag = "4")]
    Leases(LeaseIds),
    /// See [`QuestionKind::CompareState`]: a verdict's number.
    #[prost(uint32, tag = "20")]
    StateCompared(u32),
    /// See [`QuestionKind::SendState`]: it is on its way.
    #[prost(bool, tag = "21")]
    StateComes(bool),
    /// See [`QuestionKind::HowAreYou`].
    #[prost(message, tag = "30")]
    IAm(Box<Report>),
}

impl From<QuestionKind> for Question {
    fn from(kind: QuestionKind) -> Self {
        Self { kind: Some(kind) }
    }
}

impl Question {
    /// The bytes on the wire.
    pub fn encode_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

impl Answer {
    /// `None` when the bytes are no answer: the one who was asked does not lead, or is of another release.
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        Self::decode(bytes).ok().filter(|answer| answer.kind.is_some())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There was no leader in time.
    #[error("there is no leader")]
    NoLeader,
    /// No answer in time.
    #[error("no answer from the leader in time")]
    TimedOut,
    /// The member stops.
    #[error("the member is stopping")]
    Stopped,
}

/// The leader's side. Cheap to clone.
#[derive(Clone)]
pub struct Duties {
    consensus: Consensus,
    lessor: Lessor,
    judge: Judge,
    steward: Steward,
}

impl Duties {
    /// For this member.
    pub fn new(consensus: Consensus, lessor: Lessor, judge: Judge, steward: Steward) -> Self {
        Self {
            consensus,
            lessor,
            judge,
            steward,
        }
    }

    /// Renews a lease without waiting, if this member surely leads.
    pub fn renew_at_once(&self, lease: LeaseId) -> Option<i64> {
        self.lessor.renew_at_once(lease)
    }

    /// Answers, if this member leads and knows the question.
    pub async fn answer(&self, question: Question) -> Option<Answer> {
        if !self.consensus.standing().borrow().leading {
            return None;
        }
        let kind = match question.kind? {
            QuestionKind::CompareState(said) => {
                AnswerKind::StateCompared(comparison::number_of(self.judge.judge(said).await))
            }
            QuestionKind::SendState(member) => {
                self.judge.send_state(MemberId(member));
                AnswerKind::StateComes(true)
            }
            QuestionKind::Survey(_) => AnswerKind::Survey(self.steward.reconciler().survey()),
            QuestionKind::AreYouThere(_) => AnswerKind::Here(true),
            // Answered before the leader's duties are asked, by the member itself.
            QuestionKind::HowAreYou(_) => return None,
            QuestionKind::Membership(question) => {
                AnswerKind::Membership(self.steward.answer(&question.change?).await?)
            }
            QuestionKind::KeepAlive(LeaseIds { leases }) => {
                let ttls = self.lessor.keep_alive(&leases).await?;
                AnswerKind::KeptAlive(KeptAlive { ttls })
            }
            QuestionKind::LeaseTimeLeft(lease) => {
                let left = self.lessor.time_left(LeaseId(lease)).await?;
                let (granted, left) = left.unwrap_or_default();
                let remaining_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
                AnswerKind::LeaseTimeLeft(LeaseLeft {
                    granted,
                    remaining_ms,
                })
            }
            QuestionKind::LeasesByExpiry(_) => {
                let leases = self.lessor.by_expiry().await?;
                let leases = leases.into_iter().map(|lease| lease.0).collect();
                AnswerKind::Leases(LeaseIds { leases })
            }
        };
        Some(Answer { kind: Some(kind) })
    }
}

/// A member's side: asks whoever leads. Cheap to clone.
#[derive(Clone)]
pub struct Asker {
    /// Who leads.
    pub consensus: Consensus,
    /// The way to another leader.
    pub forward: mpsc::Sender<client::Outgoing>,
    /// What this member answers while it leads itself.
    pub duties: Duties,
    /// How long an answer is waited for.
    pub limit: Duration,
}

impl Asker {
    /// Asks whoever leads, this member included, and asks again when there was no answer: a question must be such that
    /// hearing it twice does no harm.
    ///
    /// # Errors
    /// [`AskError`] when nobody answered in time.
    pub async fn ask(&self, question: Question) -> Result<Answer, AskError> {
        match tokio::time::timeout(self.limit, self.ask_until_answered(question)).await {
            Ok(answer) => answer,
            Err(_) if self.consensus.standing().borrow().leader.is_none() => Err(AskError::NoLeader),
            Err(_) => Err(AskError::TimedOut),
        }
    }

    async fn ask_until_answered(&self, question: Question) -> Result<Answer, AskError> {
        let mut standing = self.consensus.standing();
        let bytes = question.encode_bytes();
        loop {
            let leads = standing
                .wait_for(|standing| standing.leader.is_some())
                .await
                .map_err(|_| AskError::Stopped)?
                .leading;
            let answer = if leads {
                self.duties.answer(question.clone()).await
            } else {
                let (give, take) = oneshot::channel();
                let asked = self.forward.send(client::Outgoing::Ask(bytes.clone(), give));
                asked.await.map_err(|_| AskError::Stopped)?;
                take.await.ok().and_then(Answer::from_bytes)
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
