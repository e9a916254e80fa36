//! The leader brings the membership to what it is to be: it lets empty members in, gives votes, replaces the dead, grows and
//! shrinks. What comes next is decided by [`course`] alone; this file looks and acts, one step at a time.
//!
//! Every member has a [`Desk`], where empty data directories ask; only the leader's counts. It opens no socket and knows
//! nothing of where the wished size comes from.

pub(crate) mod course;
mod desk;
mod roll;
mod survey;

pub use desk::CourseNumbers;
pub(crate) use desk::Desk;
pub use roll::{Reconciling, Roll};
pub use survey::{Survey, Surveyed};

use super::question::Seek;
use almadia_command::planted::{Bug, planted};
use almadia_command::{LogIndex, MemberId};
use almadia_consensus::{ChangeError, Consensus, MemberChange, MemberInfo, Roster, Rostered};
use course::{Applicant, Observed, Reason, Seen, Step, Why};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A member that lacks no more entries than this acknowledges new ones at once.
const LAG_MAX: u64 = 1000;

/// Steps that follow each other without a pause at most: each is an entry of the log.
const STEPS_MAX: usize = 8;

/// Looks and acts while this member leads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reconciler {
    own: MemberId,
    consensus: Consensus,
    silent_max: Duration,
    desk: Arc<Desk>,
}

impl Reconciler {
    /// For this member; who is silent for longer than `silent_max` is taken for down.
    pub(crate) fn new(own: MemberId, consensus: Consensus, silent_max: Duration) -> Self {
        Self {
            own,
            consensus,
            silent_max,
            desk: Arc::default(),
        }
    }

    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Does what is to be done now, if this member leads. `draw` yields ids that nobody has had.
    pub(crate) async fn work(&self, draw: impl Fn() -> MemberId) {
        for _ in 0..STEPS_MAX {
            let standing = *self.consensus.standing().borrow();
            if !standing.leading {
                self.desk.rest();
                return;
            }
            let roster = match planted(Bug::StaleRoster) {
                true => self.desk.remembered(self.consensus.roster()),
                false => self.consensus.roster(),
            };
            let led_for = self.desk.led_for(standing.term);
            let Some(reconciling) = self.desk.reconciling() else {
                // A replacement may have been begun by a leader that was told to; it is ended by any.
                if self.is_committed(&roster) && roster.is_joint() {
                    let _ = self.write(&roster, MemberChange::Settle).await;
                }
                return;
            };
            let observed = self.observe(reconciling, &roster);
            let mut step = course::next(&observed);
            // Silence means nothing before those that live had time to answer this leader.
            if led_for < self.silent_max && step != Step::Settle {
                step = Step::Rest;
            }
            let told = tell(&step, &observed);
            self.desk.note(&step, &told);
            if !self.act(&roster, &step, &told, &draw).await {
                return;
            }
        }
    }

    /// An empty data directory asks: it is noted, and told why it waits.
    pub(crate) fn seek(&self, seek: &Seek) -> Option<String> {
        let reconciling = self.desk.reconciling()?;
        let applicant = Applicant {
            name: seek.name.clone(),
            rank: reconciling.roll.rank(&seek.name, &seek.peer_urls),
            instance: seek.instance,
            has_asked_since: false,
        };
        if applicant.rank.is_some() {
            self.desk.ask(&applicant, &seek.peer_urls);
        }
        let roster = self.consensus.roster();
        let reason = course::obstacle(&self.observe(reconciling, &roster), &applicant);
        Some(reason.map_or_else(|| "it is being let in".to_owned(), |reason| reason.to_string()))
    }

    fn is_committed(&self, roster: &Roster) -> bool {
        roster.index <= self.consensus.progress().committed
    }

    fn observe(&self, reconciling: &Reconciling, roster: &Roster) -> Observed {
        let roll = &reconciling.roll;
        let seen = |one: &Rostered| self.see(roll, roster.last, one);
        let applicants = self.desk.applicants(roster.index);
        Observed {
            own: self.own,
            members: roster.members.iter().map(seen).collect(),
            is_committed: self.is_committed(roster),
            is_joint: roster.is_joint(),
            is_fresh: self.desk.is_fresh(roster.index),
            wished: *reconciling.wished.borrow(),
            applicants,
        }
    }

    fn see(&self, roll: &Roll, last: LogIndex, one: &Rostered) -> Seen {
        let info = &one.member.info;
        let rank = roll.rank(&info.name, &info.peer_urls);
        let name = match rank {
            Some(rank) if info.name.is_empty() => roll.name(rank),
            _ => info.name.clone(),
        };
        let lag = one.matched.map(|matched| last.0.saturating_sub(matched.0));
        Seen {
            id: one.member.id,
            name,
            rank,
            instance: info.instance,
            votes: one.member.votes,
            is_unattended: info.is_unattended,
            is_started: !info.name.is_empty(),
            is_heard: one.member.id == self.own
                || one.silent_for.is_some_and(|silent| silent <= self.silent_max),
            is_caught_up: lag.is_some_and(|lag| lag <= LAG_MAX),
        }
    }

    /// Carries a step out; true when there may be another one to do at once.
    async fn act(&self, roster: &Roster, step: &Step, told: &str, draw: impl Fn() -> MemberId) -> bool {
        let change = match step {
            Step::Rest | Step::Wait(_) => return false,
            Step::HandOver(to) => {
                tracing::info!(reason = told, "leadership goes to another member");
                let _ = self.consensus.transfer_to(*to).await;
                return false;
            }
            Step::Settle => MemberChange::Settle,
            Step::Promote(id) => MemberChange::GiveVote(*id),
            Step::Swap { new, dead } => MemberChange::Swap {
                new: *new,
                dead: *dead,
            },
            Step::Remove(id, _) => MemberChange::Remove(*id),
            Step::Admit(applicant) => {
                let Some(peer_urls) = self.desk.urls(applicant) else {
                    return false;
                };
                let info = MemberInfo {
                    peer_urls,
                    instance: applicant.instance,
                    is_unattended: true,
                    ..MemberInfo::default()
                };
                MemberChange::Add(draw(), info)
            }
        };
        match self.write(roster, change).await {
            Ok(index) => {
                tracing::info!(%index, "{told}");
                self.desk.done(told);
                true
            }
            Err(error) => {
                // It is looked at again soon.
                tracing::debug!(%error, "{told}: not yet");
                false
            }
        }
    }

    async fn write(&self, roster: &Roster, change: MemberChange) -> Result<LogIndex, ChangeError> {
        self.consensus.change_members(roster, change).await
    }
}

/// A step in words for people.
fn tell(step: &Step, observed: &Observed) -> String {
    let find = |id: &MemberId| observed.members.iter().find(|one| one.id == *id);
    let name = |id: &MemberId| find(id).map_or_else(|| id.to_string(), |one| one.name.clone());
    match step {
        Step::Rest => "nothing: all members are as they should be".to_owned(),
        Step::Wait(reason) => format!("waiting: {reason}"),
        Step::Settle => "a replacement is ended: the members that were taken out have left".to_owned(),
        Step::Admit(applicant) => {
            let namesake = observed
                .members
                .iter()
                .find(|one| one.rank == applicant.rank && applicant.rank.is_some());
            match namesake {
                Some(dead) => format!(
                    "{} was let in with an empty disk, without a vote; it will take the place of member {}, which is not heard of",
                    applicant.name, dead.id
                ),
                None => format!(
                    "{} was let in as a new member, without a vote until it has caught up",
                    applicant.name
                ),
            }
        }
        Step::Promote(id) => format!("{} (member {id}) has caught up and votes from now on", name(id)),
        Step::Swap { new, dead } => format!(
            "{} (member {new}) has caught up, votes from now on and takes the place of member {dead}, which is gone for good",
            name(new)
        ),
        Step::Remove(id, Why::Surplus(wished)) => {
            format!(
                "{} (member {id}) has left the cluster: the wished size is {wished}",
                name(id)
            )
        }
        Step::Remove(id, Why::Superseded) => format!(
            "{} (member {id}) was taken out: it never voted, and another data directory is there under its name",
            name(id)
        ),
        Step::HandOver(to) => format!("this member is to leave, so {} is to lead", name(to)),
    }
}

/// Whether a reason is worth a line for people: what passes within moments is not.
fn is_worth_telling(step: &Step) -> bool {
    matches!(step, Step::Wait(reason) if !matches!(reason, Reason::UnderWay | Reason::Coming(_)))
}

/// What is noted with the time it was noted.
type Since<T> = Option<(T, Instant)>;
