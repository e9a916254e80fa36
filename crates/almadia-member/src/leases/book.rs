//! What the leader of a term knows of every lease: when it ends, and when its remaining time is to be noted in the log.
//!
//! A plain structure that is told the time: it reads no clock, proposes nothing and asks nobody. Renewing costs one walk
//! down a map; timers are only moved when they fire.

use almadia_command::planted::{Bug, planted};
use almadia_command::{LeaseId, LeaseRemaining, Term};
use almadia_store::{Lease, LeaseChange, LeaseTable};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A lease's remaining time is noted no more often than this.
const NOTE_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Stands for a time that no clock reaches.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// All leases, as the leader of one term counts their time.
#[derive(Debug)]
pub struct Book {
    term: Term,
    /// What the books are kept for; always the newest view's.
    table: LeaseTable,
    running: BTreeMap<LeaseId, Running>,
    /// One timer for each lease that is not ending; never later than anything is due for it.
    timers: BTreeSet<(Instant, LeaseId)>,
    /// Expired, to be revoked.
    ending: VecDeque<LeaseId>,
    /// To be noted with what they have left.
    to_note: VecDeque<LeaseId>,
    /// To be noted as having their whole time again, because they were renewed.
    to_clear: BTreeSet<LeaseId>,
}

#[derive(Debug)]
struct Running {
    ttl: Duration,
    ttl_s: i64,
    /// It may be revoked from then on, and never before.
    deadline: Instant,
    /// When its remaining time is to be noted.
    note_at: Instant,
    /// Its place among the timers.
    timer: Instant,
    /// The log says that it has less than its whole time.
    reduced: bool,
    /// Among those to be noted, and not renewed since.
    queued: bool,
    /// An entry about it is on its way: what the log will say is open.
    noting: bool,
    /// Its end has been decided.
    ending: bool,
}

/// What came of renewing a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It has its whole time again, in seconds, and that stands fast.
    Renewed(i64),
    /// There is no such lease.
    Unknown,
    /// Not decided yet: the log has to say first that it has its whole time again, or that it has ended.
    Open,
}

impl Book {
    /// Begins a term: every lease has what the log says it has left.
    pub fn begin(term: Term, table: &LeaseTable, now: Instant) -> Self {
        let mut book = Self {
            term,
            table: table.without_keys(),
            running: BTreeMap::new(),
            timers: BTreeSet::new(),
            ending: VecDeque::new(),
            to_note: VecDeque::new(),
            to_clear: BTreeSet::new(),
        };
        for (id, lease) in table.iter() {
            let left = match lease.remaining_ms {
                0 => whole_time(&lease),
                left => Duration::from_millis(left.max(0).unsigned_abs()),
            };
            let note_at = after(now, pause_between_notes(whole_time(&lease)));
            book.insert(id, &lease, after(now, left), note_at);
        }
        book
    }

    /// The term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Takes over what has been applied: leases that were granted, noted, ended.
    pub fn catch_up(&mut self, table: &LeaseTable, now: Instant) {
        if table.is_same(&self.table) {
            return;
        }
        let changes: Vec<LeaseChange> = table.changes_since(&self.table).collect();
        self.table = table.without_keys();
        for change in changes {
            match change {
                LeaseChange::Granted(id, lease) => {
                    self.remove(id);
                    let ttl = whole_time(&lease);
                    self.insert(id, &lease, after(now, ttl), after(now, ttl / 2));
                }
                LeaseChange::Noted(id, lease) => {
                    if let Some(running) = self.running.get_mut(&id) {
                        running.reduced = lease.remaining_ms != 0;
                    }
                }
                LeaseChange::Ended(id) => self.remove(id),
            }
        }
    }

    /// Gives a lease its whole time again. One that has reached its deadline is never renewed.
    pub fn renew(&mut self, id: LeaseId, now: Instant) -> Renewal {
        let Some(running) = self.running.get_mut(&id) else {
            return Renewal::Unknown;
        };
        if running.ending || running.deadline <= now {
            return Renewal::Open;
        }
        // Both only move away, so the timer stays where it is.
        running.deadline = after(now, running.ttl);
        running.note_at = after(now, running.ttl / 2).max(running.timer);
        running.queued = false;
        if running.reduced || running.noting {
            self.to_clear.insert(id);
            return Renewal::Open;
        }
        Renewal::Renewed(running.ttl_s)
    }

    /// Seconds granted and time left of a lease that has not reached its deadline.
    pub fn time_left(&self, id: LeaseId, now: Instant) -> Option<(i64, Duration)> {
        let running = self.running.get(&id)?;
        let left = running.deadline.saturating_duration_since(now);
        (!running.ending && !left.is_zero()).then_some((running.ttl_s, left))
    }

    /// Every lease with its deadline, by id.
    pub fn deadlines(&self) -> Vec<(Instant, LeaseId)> {
        let each = self.running.iter().map(|(id, running)| (running.deadline, *id));
        each.collect()
    }

    /// Finds what is due: leases that have expired, leases to be noted.
    pub fn advance(&mut self, now: Instant) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(timer, _)| *timer <= now) {
            self.timers.pop_first();
            let running = self.running.get_mut(&id).expect("each timer is for a lease");
            if running.deadline <= now {
                running.ending = true;
                self.ending.push_back(id);
                continue;
            }
            if running.note_at <= now {
                running.queued = true;
                self.to_note.push_back(id);
                running.note_at = after(now, pause_between_notes(running.ttl));
            }
            running.timer = running.deadline.min(running.note_at);
            self.timers.insert((running.timer, id));
        }
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(timer, _)| *timer)
    }

    /// Up to `count_max` leases that have expired, in the order in which they did.
    pub fn take_ending(&mut self, count_max: usize) -> Vec<LeaseId> {
        let mut taken = Vec::new();
        while taken.len() < count_max
            && let Some(id) = self.ending.pop_front()
        {
            if self.running.get(&id).is_some_and(|running| running.ending) {
                taken.push(id);
            }
        }
        taken
    }

    /// Takes back what could not be revoked.
    pub fn end_again(&mut self, ids: impl IntoIterator<Item = LeaseId>) {
        self.ending.extend(ids);
    }

    /// What the log is to say of up to `count_max` leases. Until [`Book::settle_notes`] it is open what it says of them.
    pub fn take_notes(&mut self, count_max: usize, now: Instant) -> Vec<LeaseRemaining> {
        let mut notes = Vec::new();
        while notes.len() < count_max
            && let Some(id) = self.to_clear.pop_first()
        {
            if let Some(running) = self.running.get_mut(&id).filter(|running| !running.ending) {
                running.noting = true;
                notes.push(LeaseRemaining {
                    id: id.0,
                    remaining_ms: 0,
                });
            }
        }
        while notes.len() < count_max
            && let Some(id) = self.to_note.pop_front()
        {
            let wanted = |running: &&mut Running| running.queued && !running.ending && !running.noting;
            if let Some(running) = self.running.get_mut(&id).filter(wanted) {
                running.queued = false;
                running.noting = true;
                let left = running.deadline.saturating_duration_since(now).as_millis();
                notes.push(LeaseRemaining {
                    id: id.0,
                    // 0 would say that it has its whole time.
                    remaining_ms: i64::try_from(left).unwrap_or(i64::MAX).max(1),
                });
            }
        }
        notes
    }

    /// The entry with these notes has been applied.
    pub fn settle_notes(&mut self, notes: &[LeaseRemaining]) {
        for noted in notes {
            if let Some(running) = self.running.get_mut(&LeaseId(noted.id)) {
                running.noting = false;
            }
        }
    }

    fn insert(&mut self, id: LeaseId, lease: &Lease, deadline: Instant, note_at: Instant) {
        let timer = deadline.min(note_at);
        let running = Running {
            ttl: whole_time(lease),
            ttl_s: lease.ttl,
            deadline,
            note_at,
            timer,
            reduced: lease.remaining_ms != 0,
            queued: false,
            noting: false,
            ending: false,
        };
        self.timers.insert((timer, id));
        let before = self.running.insert(id, running);
        assert!(before.is_none(), "a lease is removed before its id is used again");
    }

    fn remove(&mut self, id: LeaseId) {
        if let Some(running) = self.running.remove(&id) {
            self.timers.remove(&(running.timer, id));
            self.to_clear.remove(&id);
        }
    }

    /// Everything this structure relies on; costs a walk over all of it.
    #[cfg(test)]
    pub fn check(&self) {
        assert_eq!(self.running.len(), self.table.len());
        for (id, lease) in self.table.iter() {
            let running = &self.running[&id];
            assert_eq!(running.ttl_s, lease.ttl);
            assert_eq!(running.reduced, lease.remaining_ms != 0);
            assert!(running.timer <= running.deadline.min(running.note_at));
            assert_ne!(self.timers.contains(&(running.timer, id)), running.ending);
        }
        assert!(self.timers.len() <= self.running.len());
    }
}

fn whole_time(lease: &Lease) -> Duration {
    let ttl = Duration::from_secs(lease.ttl.max(0).unsigned_abs());
    if planted(Bug::LeaseTooShort) {
        return ttl / 2;
    }
    if planted(Bug::LeaseTooLong) {
        return ttl * 3;
    }
    ttl
}

/// A lease that is not renewed is noted each tenth of its time: what a change of leader can add to its life at most.
fn pause_between_notes(ttl: Duration) -> Duration {
    (ttl / 10).max(NOTE_PAUSE_MIN)
}

fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or_else(|| now + FAR)
}
