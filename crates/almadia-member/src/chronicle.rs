//! What has happened to this member since it started, for people who look on: elections, leaders, membership, snapshots.
//!
//! A bounded ring that a task of its own fills from what consensus shows anyway. It is a pure observer: nothing waits for
//! it, nothing decides by it, and what comes and goes faster than a task is woken may be missing.

use crate::member::Member;
use almadia_command::{LogIndex, MemberId, Term};
use almadia_consensus::{Bearing, Membered, Role};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

/// Events kept; beyond it the oldest are forgotten.
pub const EVENTS_MAX: usize = 256;

/// Members named in the words about a membership; the rest are counted.
const NAMED_MAX: usize = 9;

/// Something that happened to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Its process started.
    Started,
    /// It became this in a term.
    Became(Role),
    /// It heard of a higher term and stayed what it was.
    HeardOfTerm,
    /// It heard from the leader of its term.
    Follows(MemberId),
    /// It knows of no leader any more.
    Leaderless,
    /// A membership entry entered its log; who belongs from then on, in words.
    Membership(String),
    /// It has sent a snapshot whole.
    SnapshotSent(MemberId),
    /// A snapshot took the place of its store.
    SnapshotInstalled,
    /// Its state differs from a majority's: it serves nobody.
    Differs,
    /// It has the right state again.
    SetRight,
    /// It was cut off from these peers on purpose; from all, if none is named.
    Isolated(Vec<MemberId>),
    /// It was let back to its peers.
    Healed,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counted from 1 since the start.
    pub number: u64,
    /// When it was seen.
    pub at: Instant,
    /// The member's term then.
    pub term: Term,
    /// How far it knew the log to be committed then.
    pub committed: LogIndex,
    /// What happened.
    pub what: Happening,
}

/// The ring. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Chronicle(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    written: u64,
    events: VecDeque<Event>,
}

impl Chronicle {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().expect("nobody panics while holding the chronicle")
    }

    /// Writes down what happened now.
    pub fn note(&self, what: Happening, term: Term, committed: LogIndex) {
        let mut ring = self.ring();
        ring.written += 1;
        if ring.events.len() == EVENTS_MAX {
            ring.events.pop_front();
        }
        let number = ring.written;
        ring.events.push_back(Event {
            number,
            at: Instant::now(),
            term,
            committed,
            what,
        });
    }

    /// The oldest events after the one with this number, no more than `count_max`.
    pub fn after(&self, number: u64, count_max: usize) -> Vec<Event> {
        let ring = self.ring();
        let later = ring.events.iter().filter(|event| event.number > number);
        later.take(count_max).cloned().collect()
    }
}

impl Member {
    /// Writes down for people that this member was cut off its peers on purpose, or that this is over. Changes nothing.
    pub fn note_isolation(&self, what: Isolation) {
        let consensus = &self.inner.consensus;
        let what = match what {
            Isolation::From(peers) => Happening::Isolated(peers),
            Isolation::Over => Happening::Healed,
        };
        let term = consensus.bearing().borrow().term;
        let committed = consensus.progress().committed;
        self.inner.overview.chronicle.note(what, term, committed);
    }
}

/// Whether a member is cut off on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// From these peers; from all, if none is named.
    From(Vec<MemberId>),
    /// Not any more.
    Over,
}

/// Writes down what happens to `member` until its consensus ends; `installed` counts snapshots that took the place of its
/// store.
pub(crate) async fn observe(member: Member, mut installed: watch::Receiver<u64>) {
    let consensus = member.inner.consensus.clone();
    let (mut bearing, mut sent) = (consensus.bearing(), consensus.snapshots_sent());
    let mut fence = member.inner.fence.watch();
    let note = |what| {
        let term = consensus.bearing().borrow().term;
        member
            .inner
            .overview
            .chronicle
            .note(what, term, consensus.progress().committed);
    };
    let mut seen = Bearing::default();
    note(Happening::Started);
    loop {
        let now = *bearing.borrow_and_update();
        for what in between(seen, now, member.id()) {
            note(what);
        }
        if now.membership != seen.membership {
            note(Happening::Membership(in_words(&consensus.members())));
        }
        seen = now;
        tokio::select! {
            changed = bearing.changed() => if changed.is_err() { return },
            Ok(()) = installed.changed() => note(Happening::SnapshotInstalled),
            Ok(()) = sent.changed() => {
                let last = sent.borrow_and_update().last;
                last.into_iter().map(Happening::SnapshotSent).for_each(&note);
            }
            Ok(()) = fence.changed() => {
                let is_up = *fence.borrow_and_update();
                note(if is_up { Happening::Differs } else { Happening::SetRight });
            }
        }
    }
}

/// What must have happened for one bearing to become the next; the membership apart.
fn between(seen: Bearing, now: Bearing, own: MemberId) -> Vec<Happening> {
    let mut happened = Vec::new();
    if now.role != seen.role || (now.term != seen.term && matches!(now.role, Role::Candidate | Role::Leader))
    {
        happened.push(Happening::Became(now.role));
    } else if now.term != seen.term {
        happened.push(Happening::HeardOfTerm);
    }
    match now.leader {
        Some(leader) if leader != own && (now.leader, now.term) != (seen.leader, seen.term) => {
            happened.push(Happening::Follows(leader));
        }
        None if seen.leader.is_some() => happened.push(Happening::Leaderless),
        _ => {}
    }
    happened
}

fn in_words(members: &[Membered]) -> String {
    let names = |wanted: &dyn Fn(&Membered) -> bool| {
        let mut names: Vec<&str> = members
            .iter()
            .filter(|member| wanted(member))
            .map(|member| member.info.name.as_str())
            .collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        let mut text = names.join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    let (voters, others) = (names(&|member| member.votes), names(&|member| !member.votes));
    if others.is_empty() {
        format!("voters: {voters}")
    } else {
        format!("voters: {voters}; without a vote: {others}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MemberId = MemberId(1);

    fn bearing(role: Role, term: u64, leader: u64) -> Bearing {
        Bearing {
            role,
            term: Term(term),
            leader: (leader > 0).then_some(MemberId(leader)),
            membership: LogIndex(1),
        }
    }

    #[track_caller]
    fn check(seen: Bearing, now: Bearing, expected: &[Happening]) {
        assert_eq!(between(seen, now, OWN), expected, "{seen:?} {now:?}");
    }

    #[test]
    fn an_election_step_by_step() {
        use Happening::{Became, Follows, HeardOfTerm, Leaderless};
        let start = Bearing::default();
        check(start, start, &[]);
        let follows = bearing(Role::Follower, 4, 2);
        check(start, follows, &[HeardOfTerm, Follows(MemberId(2))]);
        let alone = bearing(Role::Follower, 4, 0);
        check(follows, alone, &[Leaderless]);
        let stands = bearing(Role::Candidate, 5, 0);
        check(alone, stands, &[Became(Role::Candidate)]);
        check(follows, stands, &[Became(Role::Candidate), Leaderless]);
        // A second attempt is one too, although the role stays.
        check(stands, bearing(Role::Candidate, 6, 0), &[Became(Role::Candidate)]);
        let leads = bearing(Role::Leader, 6, 1);
        check(stands, leads, &[Became(Role::Leader)]);
        check(
            leads,
            bearing(Role::Follower, 7, 3),
            &[Became(Role::Follower), Follows(MemberId(3))],
        );
        check(
            follows,
            bearing(Role::Follower, 5, 2),
            &[HeardOfTerm, Follows(MemberId(2))],
        );
    }

    /// Bound: the ring keeps the newest, and what is asked for comes in order and in pieces.
    #[tokio::test]
    async fn the_ring_is_bounded() {
        let chronicle = Chronicle::default();
        for term in 0..EVENTS_MAX as u64 + 10 {
            chronicle.note(Happening::HeardOfTerm, Term(term), LogIndex(0));
        }
        let numbers = |after, max| -> Vec<u64> {
            let events = chronicle.after(after, max);
            events.iter().map(|event| event.number).collect()
        };
        assert_eq!(numbers(0, 2), [11, 12]);
        assert_eq!(numbers(12, 2), [13, 14]);
        assert_eq!(numbers(0, usize::MAX).len(), EVENTS_MAX);
        assert!(numbers(EVENTS_MAX as u64 + 10, 1).is_empty());
    }
}
