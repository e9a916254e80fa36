//! The leader's side of the forward lane.
//!
//! A follower whose connection broke sends its unsettled proposals again. So that none is appended twice, the
//! leader remembers per follower the highest ticket it took in its term, and the few it refused. It never waits for an
//! outcome.

use super::wire::{self, Asked, Propose, ReadIndex, Reply, Request, Tickets, ToFollower, ToLeader};
use crate::gate::SpaceGate;
use crate::leader::{Duties, Question, QuestionKind};
use crate::member::Inner;
use crate::overview;
use almadia_command::{MemberId, Proposal, Term, Ticket};
use almadia_consensus::{Consensus, Pipe, Refusals};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{Notify, mpsc};

/// Refused tickets remembered per follower and term; beyond it the oldest are forgotten, and a proposal that is sent
/// again after that waits for its caller's time-out.
const REFUSED_MAX: usize = 64 * 1024;

/// What the leader took from each follower in its term.
///
/// Kept by life of the follower, too: tickets of a new life may be below those of the old one, and a late frame of
/// the old life must not be taken for the new one's.
#[derive(Debug, Default)]
pub struct Taken {
    state: Mutex<TakenState>,
}

#[derive(Debug, Default)]
struct TakenState {
    term: Term,
    lives: BTreeMap<(MemberId, u32), TakenFrom>,
}

#[derive(Debug, Default)]
struct TakenFrom {
    highest: Option<Ticket>,
    /// With whether it was for want of space.
    refused: BTreeMap<Ticket, bool>,
}

/// What is to be done with a batch of proposals.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sorted {
    append: Vec<Proposal>,
    refuse: Vec<(Ticket, bool)>,
}

impl Taken {
    /// Sorts what came. A term that is over takes nothing: its proposals are refused, which is certain, because nobody
    /// appends for it any more.
    fn sort(&self, from: MemberId, term: Term, proposals: Vec<Proposal>) -> Sorted {
        let mut state = self.state.lock().expect("nobody panics while holding the taken");
        let mut sorted = Sorted::default();
        if term < state.term {
            sorted.refuse = proposals
                .iter()
                .map(|proposal| (proposal.ticket(), false))
                .collect();
            return sorted;
        }
        if term > state.term {
            *state = TakenState {
                term,
                lives: BTreeMap::new(),
            };
        }
        for proposal in proposals {
            let ticket = proposal.ticket();
            let taken = state.lives.entry((from, ticket.life())).or_default();
            if taken.highest.is_none_or(|highest| ticket > highest) {
                taken.highest = Some(ticket);
                sorted.append.push(proposal);
            } else if let Some(no_space) = taken.refused.get(&ticket) {
                sorted.refuse.push((ticket, *no_space));
            }
        }
        sorted
    }

    fn note_refused(&self, from: MemberId, term: Term, ticket: Ticket, no_space: bool) {
        let mut state = self.state.lock().expect("nobody panics while holding the taken");
        if state.term == term {
            let taken = state.lives.entry((from, ticket.life())).or_default();
            taken.refused.insert(ticket, no_space);
            if taken.refused.len() > REFUSED_MAX {
                taken.refused.pop_first();
            }
        }
    }
}

/// Collects refusals of one pipe and one term until they are sent together.
struct PipeRefusals {
    from: MemberId,
    term: Term,
    taken: Arc<Taken>,
    outbox: Arc<Outbox>,
}

#[derive(Default)]
struct Outbox {
    refused: Mutex<Vec<u64>>,
    filled: Notify,
}

impl Refusals for PipeRefusals {
    fn refused(&self, ticket: Ticket) {
        self.taken.note_refused(self.from, self.term, ticket, false);
        self.outbox
            .refused
            .lock()
            .expect("nobody panics while holding the outbox")
            .push(ticket.0);
        self.outbox.filled.notify_one();
    }
}

/// What serving a follower takes. Cheap to clone.
#[derive(Clone)]
pub struct Serving {
    /// Where proposals go and reads are confirmed.
    pub consensus: Consensus,
    /// What was taken from whom.
    pub taken: Arc<Taken>,
    /// Whether there is room.
    pub gate: SpaceGate,
    /// What else a leader does.
    pub duties: Duties,
    /// Who is asked how it is.
    pub(crate) member: Weak<Inner>,
}

/// Serves one follower's pipe until it closes.
pub async fn serve(serving: Serving, from: MemberId, pipe: Pipe) {
    let Pipe { send, mut receive } = pipe;
    let outbox = Arc::new(Outbox::default());
    let mut session = Session {
        consensus: serving.consensus,
        taken: serving.taken,
        gate: serving.gate,
        duties: serving.duties,
        member: serving.member,
        from,
        send,
        outbox: outbox.clone(),
        refusals: None,
    };
    loop {
        tokio::select! {
            frame = receive.recv() => {
                let Some(frame) = frame else { return };
                if session.take(frame).await.is_none() {
                    return;
                }
            }
            () = outbox.filled.notified() => {
                let tickets =
                    std::mem::take(&mut *outbox.refused.lock().expect("nobody panics while holding the outbox"));
                let refused = Reply::Refused(Tickets { tickets, no_space: false });
                if say(&session.send, refused).await.is_none() {
                    return;
                }
            }
        }
    }
}

struct Session {
    consensus: Consensus,
    taken: Arc<Taken>,
    gate: SpaceGate,
    duties: Duties,
    member: Weak<Inner>,
    from: MemberId,
    send: mpsc::Sender<Bytes>,
    outbox: Arc<Outbox>,
    refusals: Option<(Term, Arc<dyn Refusals>)>,
}

impl Session {
    /// `None` ends the connection.
    async fn take(&mut self, frame: Bytes) -> Option<()> {
        match wire::decode::<ToLeader>(frame) {
            Ok(ToLeader {
                request: Some(Request::Propose(propose)),
            }) => self.propose(propose).await,
            Ok(ToLeader {
                request: Some(Request::ReadIndex(number)),
            }) => {
                let (consensus, send) = (self.consensus.clone(), self.send.clone());
                // Confirming takes a round to a majority; proposals behind it must not wait.
                tokio::spawn(async move {
                    let reply = match consensus.read_index().await {
                        Ok(index) => Reply::ReadIndex(ReadIndex {
                            number,
                            index: index.0,
                        }),
                        Err(_) => Reply::ReadRefused(number),
                    };
                    say(&send, reply).await
                });
                Some(())
            }
            Ok(ToLeader {
                request: Some(Request::Ask(Asked { number, bytes })),
            }) => {
                if self.consensus.is_removed(self.from) {
                    tracing::info!(peer = %self.from, "a member that was removed has a question; closing its connection");
                    return None;
                }
                let (duties, member, send) = (self.duties.clone(), self.member.clone(), self.send.clone());
                tokio::spawn(async move {
                    let answer = match Question::decode(bytes) {
                        Ok(Question {
                            kind: Some(QuestionKind::HowAreYou(curiosity)),
                        }) => overview::answer(&member, curiosity),
                        Ok(question) => duties.answer(question).await,
                        Err(_) => None,
                    };
                    // Empty where there is no answer: the question may be of a newer release.
                    let bytes = answer.map_or_else(Bytes::new, |answer| answer.encode_to_vec().into());
                    say(&send, Reply::Answer(Asked { number, bytes })).await
                });
                Some(())
            }
            Ok(ToLeader { request: None }) | Err(_) => {
                tracing::warn!(peer = %self.from, "a forwarded frame cannot be read; closing the connection");
                None
            }
        }
    }

    async fn propose(&mut self, propose: Propose) -> Option<()> {
        let term = Term(propose.term);
        let mut proposals = Vec::with_capacity(propose.proposals.len());
        for wire in propose.proposals {
            // A copy, because a proposal lives long in the log and must not keep the frame's buffer alive.
            match Proposal::from_parts(Bytes::copy_from_slice(&wire.bytes), wire.checksum) {
                Ok(proposal) => proposals.push(proposal),
                Err(error) => {
                    tracing::warn!(peer = %self.from, %error, "closing the forward connection");
                    return None;
                }
            }
        }
        let sorted = self.taken.sort(self.from, term, proposals);
        let mut refused = sorted.refuse;
        let (append, full): (Vec<_>, Vec<_>) = sorted
            .append
            .into_iter()
            .partition(|proposal| self.gate.admits(proposal));
        for proposal in full {
            self.taken.note_refused(self.from, term, proposal.ticket(), true);
            refused.push((proposal.ticket(), true));
        }
        // First into the log, then the words: when the connection breaks in between, what was taken is in.
        let refusals = self.refusals(term);
        self.consensus.submit(append, term, &refusals).await.ok()?;
        for no_space in [false, true] {
            let tickets = refused
                .iter()
                .filter(|refused| refused.1 == no_space)
                .map(|refused| refused.0.0);
            let tickets: Vec<u64> = tickets.collect();
            if !tickets.is_empty() {
                say(&self.send, Reply::Refused(Tickets { tickets, no_space })).await?;
            }
        }
        Some(())
    }

    fn refusals(&mut self, term: Term) -> Arc<dyn Refusals> {
        match &self.refusals {
            Some((at, refusals)) if *at == term => refusals.clone(),
            _ => {
                let (taken, outbox) = (self.taken.clone(), self.outbox.clone());
                let refusals: Arc<dyn Refusals> = Arc::new(PipeRefusals {
                    from: self.from,
                    term,
                    taken,
                    outbox,
                });
                self.refusals = Some((term, refusals.clone()));
                refusals
            }
        }
    }
}

async fn say(send: &mpsc::Sender<Bytes>, reply: Reply) -> Option<()> {
    send.send(wire::encode(&ToFollower { reply: Some(reply) }))
        .await
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposals(tickets: &[u64]) -> Vec<Proposal> {
        tickets
            .iter()
            .map(|ticket| Proposal::new(MemberId(2), Ticket(*ticket), b"c"))
            .collect()
    }

    /// A command that is sent twice must not be carried out twice.
    #[test]
    fn what_is_sent_again_is_appended_once() {
        let taken = Taken::default();
        let first = taken.sort(MemberId(2), Term(1), proposals(&[5, 6]));
        assert_eq!(first.append.len(), 2);
        let again = taken.sort(MemberId(2), Term(1), proposals(&[5, 6, 7]));
        assert_eq!(again.append, proposals(&[7]));
    }

    #[test]
    fn a_refusal_that_was_not_heard_is_said_again() {
        let taken = Taken::default();
        taken.sort(MemberId(2), Term(1), proposals(&[5, 6]));
        taken.note_refused(MemberId(2), Term(1), Ticket(5), false);
        let again = taken.sort(MemberId(2), Term(1), proposals(&[5, 6]));
        assert_eq!(again.refuse, vec![(Ticket(5), false)]);
        assert!(again.append.is_empty());
    }

    #[test]
    fn followers_and_terms_are_kept_apart() {
        let taken = Taken::default();
        taken.sort(MemberId(2), Term(1), proposals(&[9]));
        assert_eq!(taken.sort(MemberId(3), Term(1), proposals(&[5])).append.len(), 1);
        assert_eq!(taken.sort(MemberId(2), Term(2), proposals(&[5])).append.len(), 1);
    }

    /// A follower that restarts within a term may draw lower tickets than before: they are new all the same.
    #[test]
    fn a_new_life_of_a_follower_is_taken_whatever_it_draws() {
        let (old, new) = (0xc0_u64 << 40, 0x30_u64 << 40);
        let taken = Taken::default();
        assert_eq!(
            taken
                .sort(MemberId(2), Term(1), proposals(&[old, old + 1]))
                .append
                .len(),
            2
        );
        assert_eq!(
            taken.sort(MemberId(2), Term(1), proposals(&[new])).append.len(),
            1
        );
        // A late frame of the old life is still known.
        assert!(
            taken
                .sort(MemberId(2), Term(1), proposals(&[old + 1]))
                .append
                .is_empty()
        );
        assert!(
            taken
                .sort(MemberId(2), Term(1), proposals(&[new]))
                .append
                .is_empty()
        );
    }

    /// A late frame of a term that is over neither enters the log nor makes the leader forget.
    #[test]
    fn a_term_that_is_over_is_refused_and_changes_nothing() {
        let taken = Taken::default();
        taken.sort(MemberId(2), Term(4), proposals(&[7]));
        let late = taken.sort(MemberId(2), Term(3), proposals(&[6]));
        assert_eq!(
            late,
            Sorted {
                append: vec![],
                refuse: vec![(Ticket(6), false)]
            }
        );
        assert!(
            taken
                .sort(MemberId(2), Term(4), proposals(&[7]))
                .append
                .is_empty()
        );
    }
}
