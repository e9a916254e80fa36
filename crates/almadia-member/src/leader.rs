//! What only the leader knows or does, and how the others ask it: one question, one answer, over the forward lane.
//!
//! Which questions there are stands here; what is answered stands with those who know. A question carries everything
//! it needs and may be heard twice.

use almadia_consensus::Consensus;
use bytes::Bytes;
use prost::Message;

/// What a member may ask the leader.
#[derive(Clone, PartialEq, Message)]
pub struct Question {
    #[prost(oneof = "QuestionKind", tags = "1")]
    pub kind: Option<QuestionKind>,
}

/// The kinds of questions.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum QuestionKind {
    /// Whether it leads and answers: for tests of the way.
    #[prost(bool, tag = "1")]
    AreYouThere(bool),
}

/// What the leader answers.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    #[prost(oneof = "AnswerKind", tags = "1")]
    pub kind: Option<AnswerKind>,
}

/// The kinds of answers, each to its question.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum AnswerKind {
    /// See [`QuestionKind::AreYouThere`].
    #[prost(bool, tag = "1")]
    Here(bool),
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
}

impl Duties {
    /// For this member.
    pub fn new(consensus: Consensus) -> Self {
        Self { consensus }
    }

    /// Answers, if this member leads and knows the question.
    pub async fn answer(&self, question: Question) -> Option<Answer> {
        if !self.consensus.standing().borrow().leading {
            return None;
        }
        let kind = match question.kind? {
            QuestionKind::AreYouThere(_) => AnswerKind::Here(true),
        };
        Some(Answer { kind: Some(kind) })
    }

    /// The same in bytes; empty when there is no answer.
    pub async fn answer_bytes(&self, question: Bytes) -> Bytes {
        let Ok(question) = Question::decode(question) else {
            return Bytes::new();
        };
        let answer = self.answer(question).await;
        answer.map_or_else(Bytes::new, |answer| answer.encode_to_vec().into())
    }
}
