//! What may be changed: pure functions of the members and of what the leader knows of them.
//!
//! etcd's rules ("strict reconfiguration"), in etcd's order, and two more that only matter here: a change must leave a
//! majority of those that vote *now* within reach, because a member that was added as a voter votes only after it has
//! caught up; and an id belongs to the first data directory that claims it.

use super::MembershipRefusal;
use super::question::{Add, Change, Claim, Publish, Update};
use almadia_command::planted::{Bug, planted};
use almadia_command::{LogIndex, MemberId};
use almadia_consensus::{MemberChange, MemberInfo, Rostered};
use std::time::Duration;

/// Learners at the same time at most (etcd's `--max-learners`).
const LEARNERS_MAX: usize = 1;

/// A member that is to vote gets its vote when it lacks no more entries than this: then it acknowledges new ones at once.
const LAG_MAX: u64 = 1000;

/// What is decided on.
pub struct Situation<'a> {
    /// The leader, which decides.
    pub own: MemberId,
    /// Everyone.
    pub members: &'a [Rostered],
    /// The last entry of the leader's log.
    pub last: LogIndex,
    /// Who belonged once.
    pub is_removed: &'a dyn Fn(MemberId) -> bool,
    /// A member that has not answered for longer is taken for down.
    pub silent_max: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write this; it is about this member.
    Write(MemberChange, MemberId),
    /// It is so already: the question was heard before.
    Already(MemberId),
    /// Leave it.
    Refuse(MembershipRefusal),
    /// The leader cannot remove itself: another one has to lead first, and be asked.
    HandOver,
}

impl Situation<'_> {
    /// Decides on one question.
    pub fn decide(&self, change: &Change) -> Verdict {
        let decided = match change {
            Change::Add(add) => self.add(add),
            Change::Remove(id) => self.remove(MemberId(*id)),
            Change::Update(update) => self.update(update),
            Change::Promote(id) => self.promote(MemberId(*id)),
            Change::Claim(claim) => self.claim(claim),
            Change::Publish(publish) => self.publish(publish),
            // It changes nothing; whoever asks is noted elsewhere.
            Change::Seek(_) => Err(MembershipRefusal::MemberNotFound),
        };
        decided.unwrap_or_else(Verdict::Refuse)
    }

    /// Who was added as a voter and has caught up.
    pub fn ripe(&self) -> Option<MemberId> {
        let ripe = |one: &&Rostered| {
            let waits = one.member.info.voter_to_be && !one.member.votes;
            let lag = one.matched.map(|matched| self.last.0.saturating_sub(matched.0));
            waits && is_started(one) && self.is_active(one) && lag.is_some_and(|lag| lag <= LAG_MAX)
        };
        self.members.iter().find(ripe).map(|one| one.member.id)
    }

    fn add(&self, add: &Add) -> Result<Verdict, MembershipRefusal> {
        let id = MemberId(add.member);
        if let Some(known) = self.find(id) {
            let is_same = known.member.info.peer_urls == add.peer_urls;
            return if is_same {
                Ok(Verdict::Already(id))
            } else {
                Err(MembershipRefusal::IdTaken)
            };
        }
        if id.0 == 0 || (self.is_removed)(id) {
            return Err(MembershipRefusal::IdTaken);
        }
        if !add.is_learner && !self.can_take_a_voter() {
            return Err(MembershipRefusal::NotEnoughStarted);
        }
        if !self.voting().all(|one| self.is_active(one)) {
            return Err(MembershipRefusal::Unhealthy);
        }
        self.check_urls(id, &add.peer_urls)?;
        let stays_one = |one: &&Rostered| one.member.is_learner && !one.member.info.is_unattended;
        let learners = self.members.iter().filter(stays_one).count();
        if add.is_learner && learners >= LEARNERS_MAX {
            return Err(MembershipRefusal::TooManyLearners);
        }
        let info = MemberInfo {
            peer_urls: add.peer_urls.clone(),
            voter_to_be: !add.is_learner,
            ..MemberInfo::default()
        };
        Ok(Verdict::Write(MemberChange::Add(id, info), id))
    }

    fn remove(&self, id: MemberId) -> Result<Verdict, MembershipRefusal> {
        let Some(leaving) = self.find(id) else {
            // The one who asks has seen it belong, so it left meanwhile.
            let was_there = (self.is_removed)(id);
            return if was_there {
                Ok(Verdict::Already(id))
            } else {
                Err(MembershipRefusal::MemberNotFound)
            };
        };
        if !leaving.member.is_learner {
            self.check_leaving(leaving)?;
        }
        if id == self.own {
            return Ok(Verdict::HandOver);
        }
        Ok(Verdict::Write(MemberChange::Remove(id), id))
    }

    /// A majority must be left that has started and is heard of.
    fn check_leaving(&self, leaving: &Rostered) -> Result<(), MembershipRefusal> {
        let stays = |one: &&Rostered| one.member.id != leaving.member.id;
        let staying: Vec<&Rostered> = self.voting().filter(stays).collect();
        let started = staying.iter().filter(|one| is_started(one)).count();
        if started < majority(staying.len()) {
            return Err(MembershipRefusal::NotEnoughStarted);
        }
        let votes: Vec<&Rostered> = staying.iter().copied().filter(|one| one.member.votes).collect();
        if votes.is_empty() {
            return Err(MembershipRefusal::NotEnoughStarted);
        }
        // Whoever is down is no part of the majority that works; taking it out can only help.
        if !self.is_active(leaving) {
            return Ok(());
        }
        for rest in [&staying, &votes] {
            let active = rest.iter().filter(|one| self.is_active(one)).count();
            if active < majority(rest.len()) {
                return Err(MembershipRefusal::Unhealthy);
            }
        }
        Ok(())
    }

    fn update(&self, update: &Update) -> Result<Verdict, MembershipRefusal> {
        let id = MemberId(update.member);
        let known = self.find(id).ok_or(MembershipRefusal::MemberNotFound)?;
        self.check_urls(id, &update.peer_urls)?;
        let info = MemberInfo {
            peer_urls: update.peer_urls.clone(),
            ..known.member.info.clone()
        };
        Ok(known_as(known, info))
    }

    fn promote(&self, id: MemberId) -> Result<Verdict, MembershipRefusal> {
        let learner = self.find(id).ok_or(MembershipRefusal::MemberNotFound)?;
        if !learner.member.is_learner {
            // The one who asks has seen it without a vote, so it got one meanwhile.
            return Ok(Verdict::Already(id));
        }
        let matched = learner.matched.map_or(0, |matched| u128::from(matched.0));
        // etcd's: nine tenths of the leader's log. One that is down would only endanger the majority.
        if matched * 10 < u128::from(self.last.0) * 9 || !self.is_active(learner) {
            return Err(MembershipRefusal::LearnerNotReady);
        }
        let started = 1 + self.voting().filter(|one| is_started(one)).count();
        if started < majority(1 + self.voting().count()) {
            return Err(MembershipRefusal::NotEnoughStarted);
        }
        Ok(Verdict::Write(MemberChange::GiveVote(id), id))
    }

    fn claim(&self, claim: &Claim) -> Result<Verdict, MembershipRefusal> {
        let is_meant = |one: &&Rostered| may_claim(&one.member.info, claim);
        let meant = self.members.iter().find(is_meant);
        let meant = meant.ok_or(MembershipRefusal::MemberNotFound)?;
        let info = MemberInfo {
            instance: claim.instance,
            ..meant.member.info.clone()
        };
        Ok(known_as(meant, info))
    }

    fn publish(&self, publish: &Publish) -> Result<Verdict, MembershipRefusal> {
        let known = self.find(MemberId(publish.member));
        let known = known.ok_or(MembershipRefusal::MemberNotFound)?;
        let info = MemberInfo {
            name: publish.name.clone(),
            client_urls: publish.client_urls.clone(),
            ..known.member.info.clone()
        };
        Ok(known_as(known, info))
    }

    fn find(&self, id: MemberId) -> Option<&Rostered> {
        self.members.iter().find(|one| one.member.id == id)
    }

    /// Those that vote or are to vote: etcd's voting members.
    fn voting(&self) -> impl Iterator<Item = &Rostered> {
        self.members.iter().filter(|one| !one.member.is_learner)
    }

    fn is_active(&self, one: &Rostered) -> bool {
        one.member.id == self.own || one.silent_for.is_some_and(|silent| silent <= self.silent_max)
    }

    fn can_take_a_voter(&self) -> bool {
        let voting = self.voting().count();
        let started = self.voting().filter(|one| is_started(one)).count();
        // From one to two members there is no other way.
        (started, voting) == (1, 1) || started >= majority(voting + 1)
    }

    fn check_urls(&self, id: MemberId, urls: &[String]) -> Result<(), MembershipRefusal> {
        let mut others = self.members.iter().filter(|one| one.member.id != id);
        if others.any(|one| share_one(&one.member.info.peer_urls, urls)) {
            return Err(MembershipRefusal::PeerUrlTaken);
        }
        Ok(())
    }
}

/// Whether the data directory that claims is or may become the one of this member: the id was allotted to its address,
/// and to no other directory.
pub fn may_claim(info: &MemberInfo, claim: &Claim) -> bool {
    let is_free = info.instance == 0 && info.name.is_empty() || planted(Bug::IdGivenByAddress);
    (is_free || info.instance == claim.instance)
        && claim.instance != 0
        && share_one(&info.peer_urls, &claim.peer_urls)
}

fn known_as(member: &Rostered, info: MemberInfo) -> Verdict {
    let id = member.member.id;
    if member.member.info == info {
        Verdict::Already(id)
    } else {
        Verdict::Write(MemberChange::SetInfo(id, info), id)
    }
}

fn is_started(one: &Rostered) -> bool {
    !one.member.info.name.is_empty()
}

fn majority(count: usize) -> usize {
    count / 2 + 1
}

/// A slash at the end makes no other address.
fn share_one(left: &[String], right: &[String]) -> bool {
    let bare = |url: &String| url.trim_end_matches('/').to_owned();
    left.iter()
        .any(|one| right.iter().any(|other| bare(one) == bare(other)))
}

#[cfg(test)]
mod tests;
