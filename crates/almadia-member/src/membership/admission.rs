//! Lets an empty data directory in: the id that was allotted to its address becomes its own, once and for all; and where none
//! was, the leader is told that it asks.

use super::question::{Change, ChangeQuestion, Claim, Outcome, Seek};
use super::rules::may_claim;
use crate::founding::{Admission, Admittance, Admitting, Ask};
use crate::leader::{AnswerKind, Question, QuestionKind};
use crate::member::Member;
use std::time::Duration;
use tokio::time::timeout;

/// A conversation with an empty member is short: without a leader it is told so.
const LEADER_MAX: Duration = Duration::from_secs(2);

/// Said where nobody is let in by itself.
const BY_HAND: &str =
    "'member add' with its peer URL lets it in, after 'member remove' of the member that had this URL";

impl Admission for Member {
    fn admit(&self, ask: Ask) -> Admitting<'_> {
        Box::pin(async move {
            let claim = Claim {
                instance: ask.member.0,
                peer_urls: ask.peer_urls.clone(),
            };
            // Most who ask are not meant, and ask again and again: the leader need not hear of it.
            let mut members = self.members().into_iter();
            let answered = if members.any(|member| may_claim(&member.info, &claim)) {
                timeout(LEADER_MAX, self.claim(claim)).await
            } else if self.is_unattended() {
                timeout(LEADER_MAX, self.seek(ask)).await
            } else {
                return Admittance::Waits(BY_HAND.to_owned());
            };
            answered
                .unwrap_or_else(|_| Admittance::Waits("the cluster has no leader that answers".to_owned()))
        })
    }
}

impl Member {
    async fn claim(&self, claim: Claim) -> Admittance {
        match self.change(Change::Claim(claim)).await {
            Ok(changed) => Admittance::Given(changed.member),
            Err(error) => Admittance::Waits(error.to_string()),
        }
    }

    async fn seek(&self, ask: Ask) -> Admittance {
        let seek = Seek {
            instance: ask.member.0,
            name: ask.name,
            peer_urls: ask.peer_urls,
        };
        let question = ChangeQuestion {
            change: Some(Change::Seek(seek)),
        };
        let question = Question::from(QuestionKind::Membership(question));
        Admittance::Waits(match self.ask_leader(question).await {
            Ok(answer) => match answer.kind {
                Some(AnswerKind::Membership(answer)) => match answer.outcome {
                    Some(Outcome::Waits(reason)) => reason,
                    _ => "the leader lets nobody in by itself".to_owned(),
                },
                _ => "the leader is of another release".to_owned(),
            },
            Err(error) => error.to_string(),
        })
    }
}
