//! Where empty data directories ask to be let in, and what is remembered of the course for people. All of it is of this run of
//! the process; what counts is in the log.

use super::course::{Applicant, Step};
use super::{Reconciling, Since, is_worth_telling};
use almadia_command::{LogIndex, Term};
use almadia_consensus::Roster;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// Names that can ask at the same time at most; a set has fewer members. Others ask again.
const APPLICANTS_MAX: usize = 32;

/// Who has not asked for so long may have gone: it would ask every two seconds. Where others keep it waiting it asks less often,
/// and is let in at one of those times.
const APPLICANT_FRESH: Duration = Duration::from_secs(3);

/// A question is under way no longer than this: whoever was asked gives up before.
const LATE_MAX: Duration = Duration::from_secs(3);

/// A member that was let in needs this long at most before it is heard of.
const COMING_MAX: Duration = Duration::from_secs(10);

/// A reason for waiting is logged when it changes, and again after this time.
const REPEAT_LOG: Duration = Duration::from_secs(30);

/// How old a list of members is that the planted bug acts on.
const STALE: Duration = Duration::from_secs(3);

/// Events that are remembered for people; the oldest is forgotten first.
const EVENTS_MAX: usize = 16;

/// How members come and go by themselves, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CourseNumbers {
    /// How many members there are to be, where that is known.
    pub wished: Option<u32>,
    /// Whether the leader waits for something before it can go on; `None` where this member does not lead.
    pub is_waiting: Option<bool>,
    /// Changes that this member made as a leader.
    pub changes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    reconciling: OnceLock<Reconciling>,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    asking: BTreeMap<String, Asking>,
    /// Where the newest membership entry stands, and since when.
    membership: Since<LogIndex>,
    leads: Since<Term>,
    logged: Since<String>,
    doing: Option<String>,
    is_waiting: Option<bool>,
    changes: u64,
    events: VecDeque<String>,
    roster: Since<Roster>,
}

#[derive(Debug)]
struct Asking {
    applicant: Applicant,
    peer_urls: Vec<String>,
    at: Instant,
}

impl Desk {
    /// From now on this member reconciles while it leads. Said once.
    pub(crate) fn open(&self, reconciling: Reconciling) {
        let is_new = self.reconciling.set(reconciling).is_ok();
        assert!(is_new, "a member is told once what to bring the membership to");
    }

    pub(crate) fn reconciling(&self) -> Option<&Reconciling> {
        self.reconciling.get()
    }

    /// What is being done, as the leader told it; `None` where this member does not lead.
    pub(crate) fn doing(&self) -> Option<String> {
        self.notes().doing.clone()
    }

    /// What was done lately, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        self.notes().events.iter().cloned().collect()
    }

    pub(super) fn ask(&self, applicant: &Applicant, peer_urls: &[String]) {
        let mut notes = self.notes();
        notes.drop_the_gone();
        if notes.asking.len() >= APPLICANTS_MAX && !notes.asking.contains_key(&applicant.name) {
            return;
        }
        let asking = Asking {
            applicant: applicant.clone(),
            peer_urls: peer_urls.to_vec(),
            at: Instant::now(),
        };
        notes.asking.insert(applicant.name.clone(), asking);
    }

    /// Who asks, while the newest membership entry stands at `index`.
    pub(super) fn applicants(&self, index: LogIndex) -> Vec<Applicant> {
        let mut notes = self.notes();
        notes.drop_the_gone();
        let stood_for = since(&mut notes.membership, index);
        let asking = notes.asking.values();
        asking
            .map(|asking| Applicant {
                has_asked_since: asking.at.elapsed() + LATE_MAX <= stood_for,
                ..asking.applicant.clone()
            })
            .collect()
    }

    pub(super) fn urls(&self, applicant: &Applicant) -> Option<Vec<String>> {
        let notes = self.notes();
        let asking = notes.asking.get(&applicant.name);
        let asking = asking.filter(|asking| asking.applicant.instance == applicant.instance)?;
        Some(asking.peer_urls.clone())
    }

    /// True while the membership stands for so short a time that who was let in may still come.
    pub(super) fn is_fresh(&self, index: LogIndex) -> bool {
        since(&mut self.notes().membership, index) < COMING_MAX
    }

    /// How long this member has led in this term.
    pub(super) fn led_for(&self, term: Term) -> Duration {
        since(&mut self.notes().leads, term)
    }

    /// This member does not lead.
    pub(super) fn rest(&self) {
        let mut notes = self.notes();
        notes.leads = None;
        notes.doing = None;
        notes.is_waiting = None;
    }

    /// What the leader does now; a reason for waiting that lasts is logged.
    pub(super) fn note(&self, step: &Step, told: &str) {
        let mut notes = self.notes();
        notes.doing = Some(told.to_owned());
        notes.is_waiting = Some(matches!(step, Step::Wait(_)));
        if !is_worth_telling(step) {
            return;
        }
        let is_known = notes
            .logged
            .as_ref()
            .is_some_and(|(last, at)| last == told && at.elapsed() < REPEAT_LOG);
        if !is_known {
            tracing::warn!("{told}");
            notes.logged = Some((told.to_owned(), Instant::now()));
        }
    }

    /// What the leader has done.
    pub(super) fn done(&self, told: &str) {
        let mut notes = self.notes();
        if notes.events.len() == EVENTS_MAX {
            notes.events.pop_front();
        }
        notes.events.push_back(told.to_owned());
        notes.changes += 1;
    }

    /// The same in numbers.
    pub(crate) fn numbers(&self) -> CourseNumbers {
        let wished = self
            .reconciling()
            .and_then(|reconciling| *reconciling.wished.borrow());
        let notes = self.notes();
        CourseNumbers {
            wished,
            is_waiting: notes.is_waiting,
            changes: notes.changes,
        }
    }

    /// The planted bug: what was seen a while ago, again.
    pub(super) fn remembered(&self, now: Roster) -> Roster {
        let mut notes = self.notes();
        match &notes.roster {
            Some((before, at)) if at.elapsed() < STALE && before.is_of_term_of(&now) => before.clone(),
            _ => {
                notes.roster = Some((now.clone(), Instant::now()));
                now
            }
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nobody panics while taking a note")
    }
}

impl Notes {
    fn drop_the_gone(&mut self) {
        self.asking
            .retain(|_, asking| asking.at.elapsed() < APPLICANT_FRESH);
    }
}

/// How long this has been so.
fn since<T: PartialEq>(noted: &mut Since<T>, now: T) -> Duration {
    match noted {
        Some((before, at)) if *before == now => at.elapsed(),
        _ => {
            *noted = Some((now, Instant::now()));
            Duration::ZERO
        }
    }
}
