//! What a frame of the control lane says of votes, for whoever carries frames and holds members to their word. Nothing in a
//! member uses it.

use super::control::{self, Answer, Ask, Question, Say};
use almadia_command::{MemberId, Term};
use bytes::Bytes;

/// The number of a question that asks for a vote; none for all other questions, "would you" included.
pub fn vote_question(frame: &Bytes) -> Option<u64> {
    let question: Question = control::decode(frame.clone()).ok()?;
    matches!(question.ask, Some(Ask::Vote(_))).then_some(question.number)
}

/// A vote that is given: the number of the question, the term, and who gets it.
pub fn vote_given(frame: &Bytes) -> Option<(u64, Term, MemberId)> {
    let answer: Answer = control::decode(frame.clone()).ok()?;
    match answer.say {
        Some(Say::Vote(vote)) if vote.granted => {
            Some((answer.number, Term(vote.vote.term), MemberId(vote.vote.member)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{WirePosition, WireVote};
    use super::*;
    use control::{AskVote, SayVote};

    const VOTE: WireVote = WireVote {
        term: 3,
        member: 7,
        committed: false,
    };

    fn last() -> WirePosition {
        WirePosition { index: 9, term: 2 }
    }

    #[test]
    fn only_a_real_question_for_a_vote_is_one() {
        let ask = AskVote {
            vote: VOTE,
            last: last(),
            leadership_transfer: false,
        };
        let number = |ask| {
            vote_question(&control::encode(&Question {
                number: 5,
                ask: Some(ask),
            }))
        };
        assert_eq!(number(Ask::Vote(ask)), Some(5));
        assert_eq!(number(Ask::PreVote(ask)), None);
        assert_eq!(vote_question(&Bytes::from_static(&[0xff; 9])), None);
    }

    #[test]
    fn only_a_granted_vote_is_given() {
        let given = |granted| {
            let say = Say::Vote(SayVote {
                vote: VOTE,
                granted,
                last: last(),
            });
            vote_given(&control::encode(&Answer {
                number: 5,
                say: Some(say),
            }))
        };
        assert_eq!(given(true), Some((5, Term(3), MemberId(7))));
        assert_eq!(given(false), None);
    }
}
