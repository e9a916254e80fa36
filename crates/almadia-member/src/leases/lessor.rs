//! The leader's task: begins its books when it has applied everything of earlier terms, revokes what has expired, notes
//! what is left, and answers for the time that leases have.
//!
//! Nothing is revoked on the word of a clock alone: the leader confirms that it leads, and the entry says in which term
//! the lease was seen to expire. A leader that was paused or cut off can therefore end no lease that another leader keeps.
//! Renewing and telling what is left rely on the leader's lease of time as long as it has one.

use super::book::{Book, Renewal};
use crate::member::ProposeError;
use crate::proposer::Proposals;
use almadia_command::planted::{Bug, planted};
use almadia_command::{
    Actor, Command, Kind, LeaseCheckpoint, LeaseId, LeaseRemaining, LeaseRevoke, LogIndex, Term,
};
use almadia_consensus::{Consensus, Standing};
use almadia_store::Refusal;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Revocations on their way at the same time at most, so that many leases that expire together leave room for clients.
const REVOKING_MAX: usize = 512;

/// Leases of one note at most.
const NOTES_MAX: usize = 1000;

/// After something could not be revoked or noted.
const RETRY: Duration = Duration::from_millis(200);

/// What the task is made of.
pub(crate) struct LessorParts {
    /// Who leads, and the store's views.
    pub consensus: Consensus,
    /// The way into the log.
    pub proposals: Proposals,
    /// How far this member has applied; published before.
    pub applied: watch::Receiver<LogIndex>,
}

/// The leader's knowledge of leases. Cheap to clone; knows nothing while this member does not lead.
#[derive(Clone)]
pub(crate) struct Lessor {
    inner: Arc<Inner>,
}

struct Inner {
    consensus: Consensus,
    applied: watch::Receiver<LogIndex>,
    book: Mutex<Option<Book>>,
    /// There is something new to note.
    kick: Notify,
}

impl Lessor {
    /// Starts the task on the current runtime. It ends with consensus.
    pub(crate) fn start(parts: LessorParts) -> Self {
        let lessor = Self {
            inner: Arc::new(Inner {
                consensus: parts.consensus.clone(),
                applied: parts.applied.clone(),
                book: Mutex::new(None),
                kick: Notify::new(),
            }),
        };
        let task = Task {
            lessor: lessor.clone(),
            standing: parts.consensus.standing(),
            parts,
        };
        tokio::spawn(task.run());
        lessor
    }

    /// Renews leases: seconds granted, 0 for no such lease, -1 to be asked again. `None` when this member cannot confirm
    /// that it leads.
    pub(crate) async fn keep_alive(&self, leases: &[i64]) -> Option<Vec<i64>> {
        if !planted(Bug::KeepAliveUnconfirmed) {
            self.confirm().await?;
        }
        let (ttls, open) = self.with_book(|book, now| {
            let renewals = leases.iter().map(|lease| book.renew(LeaseId(*lease), now));
            let renewals: Vec<Renewal> = renewals.collect();
            let seconds = renewals.iter().map(|renewal| match renewal {
                Renewal::Renewed(ttl) => *ttl,
                Renewal::Unknown => 0,
                Renewal::Open => -1,
            });
            (seconds.collect(), renewals.contains(&Renewal::Open))
        })?;
        if open {
            self.inner.kick.notify_one();
        }
        Some(ttls)
    }

    /// Renews one lease on this member's own word: seconds granted, 0 for no such lease. `None` when that takes the longer way:
    /// it is not certain that this member leads, or the log has to say something first.
    pub(crate) fn renew_at_once(&self, lease: LeaseId) -> Option<i64> {
        let leads = self.inner.consensus.leader_lease()?;
        let mut guard = self.book();
        let book = guard.as_mut().filter(|book| book.term() == leads.term)?;
        // Loaded under the lock, so that no older view comes after a newer one.
        let view = self.inner.consensus.view();
        if view.applied().0 < leads.committed {
            return None;
        }
        let now = Instant::now();
        book.catch_up(view.leases(), now);
        match book.renew(lease, now) {
            Renewal::Renewed(ttl) => Some(ttl),
            Renewal::Unknown => Some(0),
            Renewal::Open => None,
        }
    }

    /// Seconds granted and time left; `Some(None)` for no such lease.
    pub(crate) async fn time_left(&self, lease: LeaseId) -> Option<Option<(i64, Duration)>> {
        self.confirm().await?;
        self.with_book(|book, now| book.time_left(lease, now))
    }

    /// All leases, soonest to end first.
    pub(crate) async fn by_expiry(&self) -> Option<Vec<LeaseId>> {
        self.confirm().await?;
        let mut deadlines = self.with_book(|book, _| book.deadlines())?;
        deadlines.sort_unstable();
        Some(deadlines.into_iter().map(|(_, lease)| lease).collect())
    }

    /// Returns when this member has confirmed that it leads and has applied everything that was acknowledged before the
    /// call: a lease that a client was just granted through another member is known then. By the leader's lease of time if
    /// that is enough, else by a round to a majority.
    async fn confirm(&self) -> Option<()> {
        let inner = &self.inner;
        if let Some(leads) = inner.consensus.leader_lease()
            && *inner.applied.borrow() >= leads.committed
        {
            return Some(());
        }
        let mut standing = inner.consensus.standing();
        standing.borrow_and_update();
        let index = inner.consensus.read_index().await.ok()?;
        let mut applied = inner.applied.clone();
        if *applied.borrow() >= index {
            return Some(());
        }
        tokio::select! {
            applied = applied.wait_for(|applied| *applied >= index) => applied.ok().map(|_| ()),
            _ = standing.changed() => None,
        }
    }

    /// Works with the books of the present term, up to date with the newest view; `None` when there are none.
    fn with_book<T>(&self, work: impl FnOnce(&mut Book, Instant) -> T) -> Option<T> {
        let mut guard = self.book();
        let standing = *self.inner.consensus.standing().borrow();
        let book = guard
            .as_mut()
            .filter(|book| standing.leading && book.term() == standing.term)?;
        // Loaded under the lock, so that no older view comes after a newer one.
        let view = self.inner.consensus.view();
        let now = Instant::now();
        book.catch_up(view.leases(), now);
        Some(work(book, now))
    }

    fn book(&self) -> MutexGuard<'_, Option<Book>> {
        let book = self.inner.book.lock();
        book.expect("nobody panics while holding the books")
    }
}

struct Task {
    lessor: Lessor,
    parts: LessorParts,
    standing: watch::Receiver<Standing>,
}

/// What there is to do.
struct Due {
    revoke: Vec<LeaseId>,
    note: Vec<LeaseRemaining>,
    next: Option<Instant>,
}

impl Task {
    async fn run(mut self) {
        // A term has one leader and one set of books: what an earlier one of the same term wrote may still be applied.
        let mut last = Term(0);
        loop {
            let begins = |standing: &Standing| standing.leading && standing.term > last;
            // Ends with an error when consensus has ended.
            let Ok(term) = self.standing.wait_for(begins).await.map(|standing| standing.term) else {
                return;
            };
            if self.reach(term).await {
                last = term;
                let view = self.parts.consensus.view();
                *self.lessor.book() = Some(Book::begin(term, view.leases(), Instant::now()));
                self.lead(term).await;
                *self.lessor.book() = None;
            }
        }
    }

    /// Waits until this member has applied an entry of its own term, and with it all of earlier terms: what the log says of
    /// leases is then known. False when it does not lead that term any more.
    async fn reach(&mut self, term: Term) -> bool {
        loop {
            if !self.leads(term) {
                return false;
            }
            if self.parts.consensus.view().applied().1 >= term {
                return true;
            }
            let goes_on = tokio::select! {
                changed = self.standing.changed() => changed.is_ok(),
                changed = self.parts.applied.changed() => changed.is_ok(),
            };
            if !goes_on {
                return false;
            }
        }
    }

    fn leads(&self, term: Term) -> bool {
        let standing = *self.standing.borrow();
        standing.leading && standing.term == term
    }

    /// One term's work, until it is over. What is still on its way then is forgotten: the log refuses it.
    async fn lead(&mut self, term: Term) {
        let mut revoking: JoinSet<Vec<LeaseId>> = JoinSet::new();
        let mut noting: JoinSet<Vec<LeaseRemaining>> = JoinSet::new();
        let mut not_before = Instant::now();
        while let Some(due) = self.due(
            revoking.is_empty() && not_before <= Instant::now(),
            noting.is_empty(),
        ) {
            if !due.revoke.is_empty() {
                let (consensus, proposals) = (self.parts.consensus.clone(), self.parts.proposals.clone());
                revoking.spawn(revoke(consensus, proposals, term, due.revoke));
            }
            if !due.note.is_empty() {
                noting.spawn(note(self.parts.proposals.clone(), term, due.note));
            }
            let pause = (not_before > Instant::now()).then_some(not_before);
            let next = due.next.into_iter().chain(pause).min();
            let goes_on = tokio::select! {
                changed = self.standing.changed() => changed.is_ok(),
                // A lease may have been granted that ends before all others.
                changed = self.parts.applied.changed() => changed.is_ok(),
                () = self.lessor.inner.kick.notified() => true,
                () = sleep_until(next) => true,
                Some(left) = revoking.join_next() => {
                    let left = left.expect("revoking does not panic");
                    if !left.is_empty() {
                        not_before = Instant::now() + RETRY;
                        self.lessor.with_book(|book, _| book.end_again(left));
                    }
                    true
                }
                Some(noted) = noting.join_next() => {
                    let noted = noted.expect("noting does not panic");
                    self.lessor.with_book(|book, _| book.settle_notes(&noted));
                    true
                }
            };
            if !goes_on || !self.leads(term) {
                return;
            }
        }
    }

    /// What is due now, as far as there is room for it; `None` when the term is over.
    fn due(&self, may_revoke: bool, may_note: bool) -> Option<Due> {
        self.lessor.with_book(|book, now| {
            book.advance(now);
            let revoke = if may_revoke {
                book.take_ending(REVOKING_MAX)
            } else {
                Vec::new()
            };
            let note = if may_note {
                book.take_notes(NOTES_MAX, now)
            } else {
                Vec::new()
            };
            let next = book.next_due();
            Due { revoke, note, next }
        })
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Revokes expired leases side by side; gives those for which it did not work.
async fn revoke(
    consensus: Consensus,
    proposals: Proposals,
    term: Term,
    leases: Vec<LeaseId>,
) -> Vec<LeaseId> {
    let expired_in_term = if planted(Bug::RevokeUnconfirmed) {
        0
    } else {
        if consensus.read_index().await.is_err() {
            return leases;
        }
        term.0
    };
    let mut under_way = JoinSet::new();
    for lease in leases {
        let revoke = LeaseRevoke {
            id: lease.0,
            expired_in_term,
        };
        let (proposals, command) = (proposals.clone(), internal(Kind::LeaseRevoke(revoke)));
        under_way.spawn(async move { (!propose(&proposals, &command).await).then_some(lease) });
    }
    under_way.join_all().await.into_iter().flatten().collect()
}

/// Notes what leases have left, and tries again until the log has it: as long as it may still come, nothing can be said
/// of what the log says.
async fn note(proposals: Proposals, term: Term, leases: Vec<LeaseRemaining>) -> Vec<LeaseRemaining> {
    let checkpoint = LeaseCheckpoint {
        leases: leases.clone(),
        term: term.0,
    };
    let command = internal(Kind::LeaseCheckpoint(checkpoint));
    while !propose(&proposals, &command).await {
        tokio::time::sleep(RETRY).await;
    }
    leases
}

fn internal(kind: Kind) -> Command {
    Command {
        kind: Some(kind),
        actor: Some(Actor::internal()),
    }
}

/// False when it is to be tried again. What is refused because the lease or the term is over is done with.
async fn propose(proposals: &Proposals, command: &Command) -> bool {
    match proposals.propose(command).await {
        Ok(applied) => match applied.outcome.result {
            Ok(_) | Err(Refusal::LeaseNotFound | Refusal::StaleTerm) => true,
            Err(refusal) => {
                tracing::warn!(%refusal, "what a lease has left was not written down; will try again");
                false
            }
        },
        Err(ProposeError::Stopped) => true,
        Err(_) => false,
    }
}
