//! Who waits for the outcome of which proposal, and what can be said for certain when the leader changes.
//!
//! A proposal is meant for one term. Once this member has applied an entry of a later term, a proposal of an
//! earlier term that it has not applied will never be: the later leader's log does not hold it, and nobody else
//! may append it. So every proposal is settled without asking anyone: *applied*, or *lost* and safe to propose
//! again. The one exception is a snapshot, which brings effects without entries: then the answer is *unknown*.
//! Pure bookkeeping: it never sends anything.

use crate::tally::Tally;
use almadia_command::planted::{Bug, planted};
use almadia_command::{LogIndex, Proposal, Term, Ticket};
use almadia_consensus::{AppliedBatch, OwnOutcome};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// How a proposal ended.
#[derive(Debug)]
pub enum Settled {
    /// It was applied; here is what it answered.
    Applied(OwnOutcome),
    /// It was not appended, or will never be committed: it may be proposed again.
    Lost,
    /// Its leader's disk is nearly full.
    NoSpace,
    /// A snapshot covered its place in the log: nobody here can tell.
    Unknown,
}

/// The tickets in use and the callers behind them.
#[derive(Debug)]
pub struct Waiters {
    state: Mutex<State>,
    /// Something was settled. One task listens: the proposer.
    progress: Notify,
    /// What is counted on the way.
    pub tally: Tally,
}

#[derive(Debug)]
struct State {
    next: u64,
    applied_term: Term,
    waiting: BTreeMap<Ticket, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    term: Term,
    proposal: Proposal,
    give: oneshot::Sender<Settled>,
    /// On how many connections it was sent to a leader.
    sends: u32,
    entered: Instant,
}

impl Waiters {
    /// Tickets start with 24 bits drawn for this start of the member, so that none of an earlier life is
    /// taken for one of this life.
    pub fn new(drawn: u32) -> Self {
        let drawn = if planted(Bug::TicketsRepeat) { 1 } else { drawn };
        let next = u64::from(drawn & 0x00ff_ffff) << 40;
        let state = State {
            next,
            applied_term: Term(0),
            waiting: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
            progress: Notify::new(),
            tally: Tally::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nobody panics while holding the waiters")
    }

    /// Gives each caller a ticket and remembers it as waiting in `term`. Callers who have given up are left out.
    /// When an entry of a later term has been applied already, all are told that they lost.
    pub fn register<C>(
        &self,
        term: Term,
        callers: impl IntoIterator<Item = (C, oneshot::Sender<Settled>)>,
        wrap: impl Fn(Ticket, &C) -> Proposal,
    ) -> Vec<Proposal> {
        let entered = Instant::now();
        let mut state = self.state();
        let mut proposals = Vec::new();
        for (command, give) in callers {
            if give.is_closed() {
                continue;
            }
            if term < state.applied_term {
                let _ = give.send(Settled::Lost);
                continue;
            }
            let ticket = Ticket(state.next);
            state.next += 1;
            let proposal = wrap(ticket, &command);
            state.waiting.insert(
                ticket,
                Waiting {
                    term,
                    proposal: proposal.clone(),
                    give,
                    sends: 0,
                    entered,
                },
            );
            proposals.push(proposal);
        }
        proposals
    }

    /// Settles what an applied batch decides. `skipped` says that entries were replaced by a snapshot.
    pub fn applied(&self, batch: AppliedBatch) {
        let mut state = self.state();
        let mut entered: Option<(LogIndex, Instant)> = None;
        let mut told = Vec::with_capacity(batch.outcomes.len());
        for outcome in batch.outcomes {
            let Some(waiting) = state.waiting.remove(&outcome.ticket) else {
                continue;
            };
            if waiting.proposal.checksum() != outcome.checksum {
                // An entry of an earlier life of this member that happens to have the same ticket.
                state.waiting.insert(outcome.ticket, waiting);
                continue;
            }
            // The batch's oldest, at the place of its last: mostly they have entered together.
            let since = entered.map_or(waiting.entered, |(_, since)| since.min(waiting.entered));
            entered = Some((outcome.index, since));
            told.push((waiting.give, outcome));
        }
        // Noted before the callers hear of it, who may ask for it at once.
        if let Some((last, since)) = entered {
            self.tally.entered.note(last, since);
        }
        for (give, outcome) in told {
            let _ = give.send(Settled::Applied(outcome));
        }
        if batch.skipped {
            for (_, waiting) in std::mem::take(&mut state.waiting) {
                let _ = waiting.give.send(Settled::Unknown);
            }
        }
        if batch.term > state.applied_term {
            state.applied_term = batch.term;
            let lost = state
                .waiting
                .extract_if(.., |_, waiting| waiting.term < batch.term);
            for (_, waiting) in lost {
                let _ = waiting.give.send(Settled::Lost);
            }
        }
        drop(state);
        self.progress.notify_one();
    }

    /// How many have no outcome yet.
    pub fn undecided(&self) -> usize {
        self.state().waiting.len()
    }

    /// Waits until nothing up to and with this ticket waits any more. For one caller at a time.
    pub async fn settled_up_to(&self, ticket: Ticket) {
        loop {
            let oldest = self.state().waiting.first_key_value().map(|(oldest, _)| *oldest);
            if oldest.is_none_or(|oldest| oldest > ticket) {
                return;
            }
            self.progress.notified().await;
        }
    }

    /// These go out on one more connection.
    pub fn sent(&self, tickets: impl IntoIterator<Item = Ticket>) {
        let mut state = self.state();
        for ticket in tickets {
            if let Some(waiting) = state.waiting.get_mut(&ticket) {
                waiting.sends += 1;
            }
        }
    }

    /// Somebody said that it did not append this one. For what was sent once that is certain. Of an earlier copy the one who
    /// refuses may know nothing: a leader that died with the copy in its log, came back before another was elected, and is
    /// still taken for the leader. Then the first entry of a later term decides, as it does without any word.
    pub fn refused(&self, ticket: Ticket, no_space: bool) {
        let mut state = self.state();
        if state
            .waiting
            .get(&ticket)
            .is_some_and(|waiting| waiting.sends > 1)
        {
            return;
        }
        if let Some(waiting) = state.waiting.remove(&ticket) {
            let settled = if no_space { Settled::NoSpace } else { Settled::Lost };
            let _ = waiting.give.send(settled);
            self.progress.notify_one();
        }
    }

    /// What waits in `term`, in the order of the tickets, for sending again on a new connection. Callers who
    /// have given up are forgotten on the way.
    pub fn unsettled(&self, term: Term) -> Vec<Proposal> {
        self.sweep();
        let state = self.state();
        let mine = state.waiting.values().filter(|waiting| waiting.term == term);
        mine.map(|waiting| waiting.proposal.clone()).collect()
    }

    /// Forgets callers who have given up.
    pub fn sweep(&self) {
        self.state()
            .waiting
            .retain(|_, waiting| !waiting.give.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_command::{LogIndex, MemberId, Revision};
    use almadia_store::{Answer, Outcome};

    const OWN: MemberId = MemberId(7);

    fn register(waiters: &Waiters, term: u64) -> (Option<Proposal>, oneshot::Receiver<Settled>) {
        let (give, take) = oneshot::channel();
        let wrap = |ticket, command: &&[u8]| Proposal::new(OWN, ticket, command);
        let mut proposals = waiters.register(Term(term), [(b"command".as_slice(), give)], wrap);
        (proposals.pop(), take)
    }

    fn batch(term: u64, own: &[&Proposal]) -> AppliedBatch {
        let outcome = |proposal: &&Proposal| OwnOutcome {
            ticket: proposal.ticket(),
            checksum: proposal.checksum(),
            index: LogIndex(1),
            term: Term(term),
            outcome: Outcome {
                revision: Revision(2),
                result: Ok(Answer::Compact),
            },
        };
        let outcomes = own.iter().map(outcome).collect();
        AppliedBatch {
            index: LogIndex(1),
            term: Term(term),
            outcomes,
            skipped: false,
        }
    }

    #[test]
    fn the_applied_one_is_told_and_the_other_waits() {
        let waiters = Waiters::new(1);
        let (first, mut hears) = register(&waiters, 3);
        let (_, mut waits) = register(&waiters, 3);
        waiters.applied(batch(3, &[&first.unwrap()]));
        assert!(matches!(hears.try_recv(), Ok(Settled::Applied(_))));
        assert!(waits.try_recv().is_err());
        assert_eq!(waiters.unsettled(Term(3)).len(), 1);
    }

    /// etcd answers "request timed out, possibly due to previous leader failure" here; we know better.
    #[test]
    fn an_entry_of_a_later_term_settles_what_it_left_out() {
        let waiters = Waiters::new(1);
        let (_, mut old) = register(&waiters, 3);
        let (_, mut new) = register(&waiters, 4);
        waiters.applied(batch(4, &[]));
        assert!(matches!(old.try_recv(), Ok(Settled::Lost)));
        assert!(new.try_recv().is_err());
    }

    #[test]
    fn an_outcome_in_the_same_batch_as_the_later_term_is_not_lost() {
        let waiters = Waiters::new(1);
        let (first, mut hears) = register(&waiters, 3);
        waiters.applied(batch(4, &[&first.unwrap()]));
        assert!(matches!(hears.try_recv(), Ok(Settled::Applied(_))));
    }

    #[test]
    fn a_registration_that_comes_too_late_is_lost_at_once() {
        let waiters = Waiters::new(1);
        waiters.applied(batch(4, &[]));
        let (proposal, mut hears) = register(&waiters, 3);
        assert!(proposal.is_none());
        assert!(matches!(hears.try_recv(), Ok(Settled::Lost)));
    }

    /// A snapshot may hold the effect of the proposal: proposing it again could do it twice.
    #[test]
    fn after_a_snapshot_nothing_is_certain() {
        let waiters = Waiters::new(1);
        let (_, mut hears) = register(&waiters, 3);
        waiters.applied(AppliedBatch {
            skipped: true,
            ..batch(5, &[])
        });
        assert!(matches!(hears.try_recv(), Ok(Settled::Unknown)));
    }

    #[test]
    fn a_ticket_of_an_earlier_life_is_not_taken_for_ours() {
        let waiters = Waiters::new(1);
        let (first, mut hears) = register(&waiters, 3);
        let stranger = Proposal::new(OWN, first.unwrap().ticket(), b"another command");
        waiters.applied(batch(3, &[&stranger]));
        assert!(hears.try_recv().is_err());
    }

    /// Found by the soak: the leader was killed with the command in its log and on a majority, started again, and refused the
    /// copy that was sent again; proposed once more, the command was carried out twice.
    #[test]
    fn a_refusal_of_what_was_sent_twice_decides_nothing() {
        let waiters = Waiters::new(1);
        let (first, mut hears) = register(&waiters, 3);
        let first = first.unwrap();
        waiters.sent([first.ticket()]);
        waiters.sent([first.ticket()]);
        waiters.refused(first.ticket(), false);
        waiters.refused(first.ticket(), true);
        assert!(hears.try_recv().is_err(), "nobody knows yet");
        waiters.applied(batch(3, &[&first]));
        assert!(matches!(hears.try_recv(), Ok(Settled::Applied(_))));
        let (second, mut hears) = register(&waiters, 3);
        waiters.sent([second.as_ref().unwrap().ticket()]);
        waiters.sent([second.as_ref().unwrap().ticket()]);
        waiters.refused(second.unwrap().ticket(), false);
        waiters.applied(batch(4, &[]));
        assert!(
            matches!(hears.try_recv(), Ok(Settled::Lost)),
            "the later term decides"
        );
    }

    #[test]
    fn refusals_and_resends() {
        let waiters = Waiters::new(1);
        let (first, mut hears) = register(&waiters, 3);
        let (second, _waits) = register(&waiters, 3);
        let (_, gone) = register(&waiters, 3);
        drop(gone);
        waiters.refused(first.unwrap().ticket(), false);
        assert!(matches!(hears.try_recv(), Ok(Settled::Lost)));
        assert_eq!(waiters.unsettled(Term(3)), vec![second.unwrap()]);
        assert!(waiters.unsettled(Term(4)).is_empty());
    }
}
