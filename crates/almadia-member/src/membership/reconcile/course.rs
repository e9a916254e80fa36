//! What is to be done next about who belongs: one pure function of what the leader sees.
//!
//! At most one change is under way at a time, no member that is heard of is replaced, and a vote comes or goes only if a
//! majority is heard of both by the old count and by the new one. It never says who a member is: that is told by names and
//! instances, which come in.

use almadia_command::MemberId;
use almadia_command::planted::{Bug, planted};
use std::collections::BTreeSet;
use std::fmt;

/// What the leader sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The leader itself.
    pub own: MemberId,
    /// Everyone, by the newest membership.
    pub members: Vec<Seen>,
    /// The newest membership is committed; else a change is under way.
    pub is_committed: bool,
    /// Two sets of voters decide together: a replacement was begun and not ended.
    pub is_joint: bool,
    /// The newest membership stands since so short a time that a new member need not have been heard of yet.
    pub is_fresh: bool,
    /// How many members there are to be; `None` where nobody says, and then none comes or goes but to replace a dead one.
    /// 0 means that all of them rest: nobody leaves for good.
    pub wished: Option<u32>,
    /// Empty data directories that ask to be let in.
    pub applicants: Vec<Applicant>,
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: MemberId,
    /// What it is called, also before it has started.
    pub name: String,
    /// Its place in the set; `None` for who is no part of it: such a member is left alone.
    pub rank: Option<u32>,
    /// The data directory that has this id; 0 for a founder's, or while none has it.
    pub instance: u64,
    /// It counts in majorities.
    pub votes: bool,
    /// It was let in by us and is to get a vote.
    pub is_unattended: bool,
    /// It has told its name.
    pub is_started: bool,
    /// It answers the leader.
    pub is_heard: bool,
    /// It lacks so little of the log that it acknowledges new entries at once.
    pub is_caught_up: bool,
}

/// An empty data directory that asks to be let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applicant {
    /// What it is called.
    pub name: String,
    /// Its place in the set.
    pub rank: Option<u32>,
    /// The number drawn for it.
    pub instance: u64,
    /// It has asked long after the newest change of the membership, so that this is no late question of one that is gone.
    pub has_asked_since: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All is as it should be.
    Rest,
    /// Nothing can be done now.
    Wait(Reason),
    /// End the replacement that was begun.
    Settle,
    /// Let this data directory in, without a vote.
    Admit(Applicant),
    /// Give it a vote.
    Promote(MemberId),
    /// Give a vote to `new` and take `dead` out, in one change.
    Swap {
        /// Who has caught up.
        new: MemberId,
        /// Its namesake.
        dead: MemberId,
    },
    /// Take it out.
    Remove(MemberId, Why),
    /// The leader is to leave: this one is to lead first.
    HandOver(MemberId),
}

/// Why a member is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are to be no more than this.
    Surplus(u32),
    /// It never got a vote, and another data directory of its name is there instead.
    Superseded,
}

/// Why nothing can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The change before this one is not committed.
    UnderWay,
    /// A new member takes the log.
    CatchingUp(String),
    /// A new member has been let in and has not come yet.
    Coming(String),
    /// The member of that name is heard of: it is not dead.
    NamesakeLives(String),
    /// There are to be fewer members.
    NotWished(String, u32),
    /// Nobody has said how many members there are to be.
    SizeUnknown(String),
    /// It is no name of this cluster.
    Stranger(String),
    /// There would be no majority that is heard of; for whom that is so.
    Unhealthy(String),
}

/// What to do next. The first of these that applies: end what was begun, give votes, clear away, replace the dead, shrink, grow.
pub fn next(observed: &Observed) -> Step {
    if !observed.is_committed {
        return Step::Wait(Reason::UnderWay);
    }
    if observed.is_joint {
        return Step::Settle;
    }
    let steps = [
        observed.give_vote(),
        observed.supersede(),
        observed.shrink(),
        observed.admit(),
    ];
    let mut waits = None;
    for step in steps.into_iter().flatten() {
        match step {
            Step::Wait(reason) => waits = waits.or(Some(reason)),
            step => return step,
        }
    }
    waits.map_or(Step::Rest, Step::Wait)
}

/// Why this data directory is not let in now; `None` when it is, or is about to be.
pub fn obstacle(observed: &Observed, applicant: &Applicant) -> Option<Reason> {
    observed.refusal(applicant)
}

impl Observed {
    /// Who was let in and has caught up gets a vote, and with it takes the place of a dead namesake.
    fn give_vote(&self) -> Option<Step> {
        let ripe = |one: &&Seen| one.is_started && one.is_heard && one.is_caught_up && !self.is_surplus(one);
        let mut ripe: Vec<&Seen> = self.learners().filter(ripe).collect();
        ripe.sort_by_key(|one| (one.rank, one.id));
        let new = ripe.first()?;
        let namesake = self.members.iter().find(|one| one.votes && one.rank == new.rank);
        let Some(namesake) = namesake else {
            return Some(if self.is_healthy_with(Some(new.id), None) {
                Step::Promote(new.id)
            } else {
                Step::Wait(Reason::Unhealthy(new.name.clone()))
            });
        };
        if namesake.is_heard && !planted(Bug::NamesakeNotAwaited) {
            return Some(Step::Wait(Reason::NamesakeLives(new.name.clone())));
        }
        Some(if self.is_healthy_with(Some(new.id), Some(namesake.id)) {
            Step::Swap {
                new: new.id,
                dead: namesake.id,
            }
        } else {
            Step::Wait(Reason::Unhealthy(new.name.clone()))
        })
    }

    /// Who was let in, never got a vote, and has lost its disk since, makes room for whoever is there instead.
    ///
    /// A question of a data directory that is gone may arrive late, after its successor was let in: it must not count, or the
    /// two would take each other's place in turn.
    fn supersede(&self) -> Option<Step> {
        let replaced = |one: &&Seen| {
            let is_there_instead = |applicant: &Applicant| {
                applicant.rank.is_some()
                    && applicant.rank == one.rank
                    && applicant.has_asked_since
                    && !self.is_let_in(applicant)
            };
            !one.is_heard && self.applicants.iter().any(is_there_instead)
        };
        let replaced = self.learners().find(replaced)?;
        Some(Step::Remove(replaced.id, Why::Superseded))
    }

    /// Who is beyond the wished size leaves: first who is dead, then from the highest rank. The leader never removes itself.
    fn shrink(&self) -> Option<Step> {
        let wished = self.wished?;
        let mut surplus: Vec<&Seen> = self.members.iter().filter(|one| self.is_surplus(one)).collect();
        surplus.sort_by_key(|one| (one.votes, one.is_heard, std::cmp::Reverse(one.rank), one.id));
        let first = surplus.first()?;
        if surplus.iter().any(|one| one.id == self.own) {
            let heir = |one: &&Seen| one.votes && one.is_heard && one.is_caught_up && !self.is_surplus(one);
            let heir = self
                .members
                .iter()
                .filter(heir)
                .min_by_key(|one| (one.rank, one.id));
            if let Some(heir) = heir {
                return Some(Step::HandOver(heir.id));
            }
        }
        let safe = surplus.iter().find(|one| one.id != self.own && self.may_go(one));
        Some(match safe {
            Some(one) => Step::Remove(one.id, Why::Surplus(wished)),
            None => Step::Wait(Reason::Unhealthy(first.name.clone())),
        })
    }

    /// Empty data directories come in one at a time, from the lowest rank; dead namesakes are replaced before anybody new comes.
    fn admit(&self) -> Option<Step> {
        let mut asking: Vec<&Applicant> = self.applicants.iter().collect();
        asking.sort_by_key(|applicant| {
            (
                !self.is_replacement(applicant),
                applicant.rank,
                applicant.instance,
            )
        });
        let mut waits = None;
        for applicant in asking {
            if self.is_let_in(applicant) {
                continue;
            }
            match self.refusal(applicant) {
                None => return Some(Step::Admit(applicant.clone())),
                // A stranger's question is answered to it alone.
                Some(Reason::Stranger(_) | Reason::NotWished(..)) => {}
                Some(reason) => waits = waits.or(Some(reason)),
            }
        }
        waits.or_else(|| self.coming()).map(Step::Wait)
    }

    fn refusal(&self, applicant: &Applicant) -> Option<Reason> {
        let name = || applicant.name.clone();
        let Some(rank) = applicant.rank else {
            return Some(Reason::Stranger(name()));
        };
        if self.is_let_in(applicant) {
            return None;
        }
        match self.wished {
            None if !self.is_replacement(applicant) => return Some(Reason::SizeUnknown(name())),
            Some(wished) if rank >= wished => return Some(Reason::NotWished(name(), wished)),
            _ => {}
        }
        let mut namesakes = self.members.iter().filter(|one| one.rank == Some(rank));
        if namesakes.any(|one| one.is_heard) && !planted(Bug::NamesakeNotAwaited) {
            return Some(Reason::NamesakeLives(name()));
        }
        if self.learners().any(|one| one.rank == Some(rank)) {
            // It is cleared away first.
            return Some(Reason::UnderWay);
        }
        self.coming()
    }

    /// Whoever was let in and is on its way: others wait until it is there.
    fn coming(&self) -> Option<Reason> {
        let fresh = self.learners().find(|one| one.is_heard || self.is_fresh)?;
        Some(if fresh.is_heard {
            Reason::CatchingUp(fresh.name.clone())
        } else {
            Reason::Coming(fresh.name.clone())
        })
    }

    fn is_let_in(&self, applicant: &Applicant) -> bool {
        // Who has just been given its id may ask once more, by that.
        let same = |one: &Seen| {
            (one.instance != 0 && one.instance == applicant.instance) || one.id.0 == applicant.instance
        };
        self.members.iter().any(same)
    }

    fn is_replacement(&self, applicant: &Applicant) -> bool {
        let is_namesake = |one: &Seen| one.rank.is_some() && one.rank == applicant.rank;
        self.members.iter().any(is_namesake)
    }

    /// Those that were let in and have no vote yet.
    fn learners(&self) -> impl Iterator<Item = &Seen> {
        self.members
            .iter()
            .filter(|one| one.is_unattended && !one.votes && one.rank.is_some())
    }

    fn is_surplus(&self, one: &Seen) -> bool {
        match (one.rank, self.wished) {
            (Some(rank), Some(wished)) => wished > 0 && rank >= wished,
            _ => false,
        }
    }

    fn may_go(&self, one: &Seen) -> bool {
        !one.votes || self.is_healthy_with(None, Some(one.id))
    }

    /// Whether a majority of the voters is heard of, now and with this one more and this one less.
    fn is_healthy_with(&self, more: Option<MemberId>, less: Option<MemberId>) -> bool {
        let now: BTreeSet<MemberId> = self
            .members
            .iter()
            .filter(|one| one.votes)
            .map(|one| one.id)
            .collect();
        let mut then = now.clone();
        then.extend(more);
        if let Some(less) = less {
            then.remove(&less);
        }
        let is_healthy = |voters: &BTreeSet<MemberId>| {
            let heard = self
                .members
                .iter()
                .filter(|one| one.is_heard && voters.contains(&one.id));
            heard.count() > voters.len() / 2
        };
        is_healthy(&now) && is_healthy(&then)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay => f.write_str("a change of the membership is under way"),
            Self::CatchingUp(name) => write!(f, "{name} is catching up"),
            Self::Coming(name) => write!(f, "{name} was let in and is expected"),
            Self::NamesakeLives(name) => {
                write!(
                    f,
                    "the member called {name} is still heard of, so nobody takes its place"
                )
            }
            Self::NotWished(name, wished) => write!(f, "{name} is not wanted: the wished size is {wished}"),
            Self::SizeUnknown(name) => {
                write!(
                    f,
                    "{name} would be a new member, and the wished size is not known yet"
                )
            }
            Self::Stranger(name) => write!(f, "{name} is no name of a member of this cluster"),
            Self::Unhealthy(name) => {
                write!(f, "too few members are heard of to change {name}'s vote safely")
            }
        }
    }
}

#[cfg(test)]
mod tests;
