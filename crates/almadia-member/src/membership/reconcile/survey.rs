//! What the leader tells people of the cluster: who belongs, how far everyone is, how many there are to be, and what is being done.

use super::Reconciler;
use super::roll::Roll;
use crate::leader::{AnswerKind, AskError, QuestionKind};
use crate::member::Member;
use prost::Message;

/// The cluster as its leader sees it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Survey {
    /// Everyone, in the order of their ranks; those without one last.
    #[prost(message, repeated, tag = "1")]
    pub members: Vec<Surveyed>,
    /// Members come and go by themselves.
    #[prost(bool, tag = "2")]
    pub is_unattended: bool,
    /// How many there are to be, where that is known.
    #[prost(uint32, optional, tag = "3")]
    pub wished: Option<u32>,
    /// What is being done about it, in words.
    #[prost(string, tag = "4")]
    pub doing: String,
    /// What was done lately, oldest first, since this member leads.
    #[prost(string, repeated, tag = "5")]
    pub events: Vec<String>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Surveyed {
    /// Its id.
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    /// Its name; empty until it has started.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its ordinal, or its place in the list.
    #[prost(uint32, optional, tag = "3")]
    pub rank: Option<u32>,
    /// It counts in majorities.
    #[prost(bool, tag = "4")]
    pub votes: bool,
    /// Entries of the leader's log that it is not known to have.
    #[prost(uint64, tag = "5")]
    pub lag: u64,
    /// It answers the leader.
    #[prost(bool, tag = "6")]
    pub is_heard: bool,
}

impl Member {
    /// Asks the leader how the cluster is.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn survey(&self) -> Result<Survey, AskError> {
        match self.ask_leader(QuestionKind::Survey(true).into()).await?.kind {
            Some(AnswerKind::Survey(survey)) => Ok(survey),
            _ => Err(AskError::NoLeader),
        }
    }
}

impl Reconciler {
    /// The leader's view.
    pub(crate) fn survey(&self) -> Survey {
        let roster = self.consensus.roster();
        let nobody = Roll::List(Vec::new());
        let reconciling = self.desk.reconciling();
        let roll = reconciling.map_or(&nobody, |reconciling| &reconciling.roll);
        let mut members: Vec<Surveyed> = roster
            .members
            .iter()
            .map(|one| {
                let seen = self.see(roll, roster.last, one);
                Surveyed {
                    member: seen.id.0,
                    name: seen.name,
                    rank: seen.rank,
                    votes: seen.votes,
                    lag: roster
                        .last
                        .0
                        .saturating_sub(one.matched.map_or(0, |matched| matched.0)),
                    is_heard: seen.is_heard,
                }
            })
            .collect();
        members.sort_by_key(|one| (one.rank.is_none(), one.rank, one.member));
        Survey {
            members,
            is_unattended: reconciling.is_some(),
            wished: reconciling.and_then(|reconciling| *reconciling.wished.borrow()),
            doing: self.desk.doing().unwrap_or_default(),
            events: self.desk.events(),
        }
    }
}
