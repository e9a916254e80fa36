//! What must hold inside a cluster at every moment, whoever looks: one file for each promise, and the observer that asks all
//! of them after every step of the world. It sees what no client can: every log, every vote, every state.

mod acknowledged;
mod commit;
mod election;
mod identity;
mod log_matching;
mod membership;
mod reachable;
mod state;

pub use state::Reference;

use crate::clients::recorder::Recorded;
use crate::trace::Trace;
use crate::world::World;
use crate::world::host::Host;
use almadia_command::{ClusterId, MemberId};
use almadia_consensus::Standing;
use almadia_member::Member;
use almadia_store::View;
use almadia_wal::Wal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub check: &'static str,
    /// When it showed, in the world's time.
    pub at_ms: u64,
    /// What was seen.
    pub text: String,
}

/// What an observer sees of one member at one moment.
pub struct Glimpse {
    /// Its machine.
    pub host: usize,
    /// Which life of its process.
    pub life: u64,
    /// Which disk it is on: the machine that had it first, and its number there.
    pub volume: (usize, u64),
    /// Its id.
    pub id: MemberId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Who leads, as it sees it.
    pub standing: Standing,
    /// Its log.
    pub wal: Wal,
    /// Everything that the log was told is durable, as far as the member knows.
    pub is_log_settled: bool,
    /// What it knows to be committed.
    pub committed: u64,
    /// Its state.
    pub view: Arc<View>,
    /// Whether its own comparison has found its state wrong.
    pub is_fenced: bool,
}

impl Glimpse {
    /// Nothing when no member has started there.
    fn of(host: &Host) -> Option<Self> {
        let member: Member = host.member()?;
        let standing = *member.standing().borrow();
        let view = member.view();
        Some(Self {
            host: host.index,
            life: host.life_number(),
            volume: host.volume_name(),
            id: member.id(),
            cluster: member.cluster(),
            standing,
            wal: host.wal()?,
            is_log_settled: host.is_log_settled(),
            // What is applied is committed, even if that has not got round yet.
            committed: member.committed().0.max(view.applied().0.0),
            view,
            is_fenced: member.is_fenced(),
        })
    }
}

/// What was seen of a machine before.
#[derive(Default)]
struct Seen {
    life: u64,
    log: log_matching::Followed,
    /// Checked up to here.
    committed: u64,
    applied: u64,
    revision: i64,
    /// All of its state was compared once in this life.
    is_compared: bool,
    standing: Standing,
}

/// Looks at everything after every step.
#[derive(Default)]
pub struct Observer {
    seen: BTreeMap<usize, Seen>,
    slots: log_matching::Slots,
    committed: commit::Committed,
    leaders: election::Leaders,
    votes: election::Votes,
    identities: identity::Identities,
    memberships: membership::Memberships,
    reachable: reachable::Reachable,
    /// Pods may lose what they had founded before anybody else knew of it: what counts is the cluster that has committed
    /// something, and until then there is nothing to look at.
    awaits_cluster: bool,
    cluster: Option<ClusterId>,
    reference: Reference,
    failures: Vec<Failure>,
    /// How many times each check was asked, for the summary.
    pub asked: u64,
}

/// Failures kept at most: the first is what matters.
const FAILURES_MAX: usize = 20;

impl Observer {
    /// Looks at the members of a set, or at others.
    pub fn new(is_set: bool) -> Self {
        Self {
            awaits_cluster: is_set,
            ..Self::default()
        }
    }

    /// Whether this member is one of the cluster that is looked at.
    fn is_of_cluster(&mut self, glimpse: &Glimpse, now_ms: u64) -> bool {
        if !self.awaits_cluster {
            return true;
        }
        let has_committed = glimpse.committed > 0;
        if self.cluster.is_none() && has_committed {
            self.cluster = Some(glimpse.cluster);
        }
        let is_it = self.cluster == Some(glimpse.cluster);
        if has_committed && !is_it {
            let text = format!(
                "m{}: two clusters, another one is {}",
                glimpse.host, glimpse.cluster
            );
            self.fail("identity", now_ms, text);
        }
        is_it
    }

    /// Looks at a world.
    pub fn observe(&mut self, world: &World) {
        let now_ms = world.now_ms();
        let glimpses: Vec<Glimpse> = world
            .hosts
            .iter()
            .filter(|host| host.is_awake(now_ms))
            .filter_map(Glimpse::of)
            .filter(|glimpse| self.is_of_cluster(glimpse, now_ms))
            .collect();
        for glimpse in &glimpses {
            self.look(glimpse, now_ms, &world.trace);
        }
        self.reachable.look(world);
        for glimpse in &glimpses {
            self.look_at_state(glimpse, now_ms);
        }
        if world.set.is_some()
            && let Some(text) = self.memberships.news()
        {
            world.trace.tell(now_ms, format!("there belong: {text}"));
        }
    }

    fn fail(&mut self, check: &'static str, at_ms: u64, text: String) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(Failure { check, at_ms, text });
        }
    }

    fn note<T>(&mut self, check: &'static str, at_ms: u64, host: usize, result: Result<T, String>) {
        self.asked += 1;
        if let Err(text) = result {
            self.fail(check, at_ms, format!("m{host}: {text}"));
        }
    }

    fn look(&mut self, glimpse: &Glimpse, now_ms: u64, trace: &Trace) {
        let host = glimpse.host;
        let mut seen = self.seen.remove(&host).unwrap_or_default();
        if seen.life != glimpse.life {
            seen = Seen {
                life: glimpse.life,
                ..Seen::default()
            };
            let result = self.identities.check(glimpse);
            self.note("identity", now_ms, host, result);
        }
        let result = self.slots.follow(&mut seen.log, &glimpse.wal);
        self.note("log matching", now_ms, host, result);
        let result = self
            .committed
            .check(&mut seen.committed, glimpse, &seen.log, &self.slots);
        self.note("commit", now_ms, host, result);
        if glimpse.standing != seen.standing {
            tell_standing(glimpse, &seen.standing, now_ms, trace, self.committed.len());
            seen.standing = glimpse.standing;
            let result = self.leaders.check(glimpse, &seen.log, &self.committed);
            self.note("election safety", now_ms, host, result);
        }
        if glimpse.is_log_settled {
            let result = self.votes.check(glimpse);
            if let Ok(Some((term, candidate))) = &result {
                let whom = match *candidate == glimpse.id {
                    true => "itself".to_owned(),
                    false => format!("member {candidate}"),
                };
                trace.tell(now_ms, format!("m{host} votes for {whom} in term {term}"));
            }
            self.note("vote", now_ms, host, result);
        }
        self.seen.insert(host, seen);
    }

    fn look_at_state(&mut self, glimpse: &Glimpse, now_ms: u64) {
        let (reference, committed, slots) = (&mut self.reference, &self.committed, &self.slots);
        let result = almadia_command::planted::without_bugs(|| reference.catch_up(committed, slots));
        self.note("state machine", now_ms, glimpse.host, result);
        let result = self.memberships.follow(self.reference.membership_entries());
        self.note("membership", now_ms, glimpse.host, result);
        for dead in self.memberships.replaced() {
            let result = self.reachable.is_dead(dead, now_ms);
            self.note("replaced", now_ms, glimpse.host, result);
        }
        let host = glimpse.host;
        let Some(seen) = self.seen.get_mut(&host) else {
            return;
        };
        let applied = glimpse.view.applied().0.0;
        let revision = glimpse.view.revision().0;
        let went_back = applied < seen.applied || revision < seen.revision;
        let before = (seen.applied, seen.revision);
        let is_new = applied != seen.applied;
        let is_first = is_new && !seen.is_compared;
        seen.is_compared |= is_new;
        (seen.applied, seen.revision) = (applied, revision);
        if went_back {
            let text = format!("m{host}: from {before:?} back to {:?}", (applied, revision));
            self.fail("applied goes on", now_ms, text);
        }
        if is_new {
            let result = self.reference.check(glimpse);
            self.note("state machine", now_ms, host, result);
        }
        if is_first {
            let result = self.reference.check_whole(&glimpse.view);
            self.note("whole state", now_ms, host, result);
        }
    }

    /// Compares all of everybody's state.
    pub fn compare_all(&mut self, world: &World) {
        for host in &world.hosts {
            if let Some(member) = host.member() {
                let result = self.reference.check_whole(&member.view());
                self.note("whole state", world.now_ms(), host.index, result);
            }
        }
    }

    /// What is known to be committed.
    pub fn committed_len(&self) -> u64 {
        self.committed.len()
    }

    /// The replica that applied every committed entry, one by one.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The highest term that had a leader, and how many had.
    pub fn terms_with_leader(&self) -> u64 {
        self.leaders.count()
    }

    /// The last look: what clients were promised.
    pub fn finish(&mut self, recorded: &Recorded, now_ms: u64) {
        let result = acknowledged::check(recorded, &self.committed, &self.slots, &self.reference);
        if let Err(text) = result {
            self.fail("acknowledged", now_ms, text);
        }
        if let Err(text) = acknowledged::once(&self.committed, &self.slots) {
            self.fail("exactly once", now_ms, text);
        }
    }

    /// What was not kept.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

fn tell_standing(glimpse: &Glimpse, before: &Standing, now_ms: u64, trace: &Trace, committed_len: u64) {
    let (host, now) = (glimpse.host, glimpse.standing);
    let text = match (before.leading, now.leading) {
        (false, true) => format!(
            "m{host}, member {}, leads term {}; {committed_len} entries are committed",
            glimpse.id, now.term
        ),
        (true, false) => format!("m{host} leads no more, it sees term {}", now.term),
        _ if now.term > before.term => format!("m{host} sees term {}", now.term),
        _ => {
            trace.note(&[now_ms, host as u64, now.term.0, now.leader.map_or(0, |id| id.0)]);
            return;
        }
    };
    trace.tell(now_ms, text);
}
