//! One run: a world from a seed, its faults, its clients, its checks; and what came of it.
//!
//! In the end the faults stop and everything must become well again: a leader, everybody at the same place, every member
//! serving. That is liveness; it is checked as all other promises.

use crate::chance::{Chance, mix};
use crate::checks::cluster::{Failure, Observer};
use crate::checks::{LeaseBounds, check_all};
use crate::clients::{Clients, Manner};
use crate::faults::{self, Applier, Planned};
use crate::history::{History, Outcome, Range, Request, Span};
use crate::theme::Theme;
use crate::trace::Trace;
use crate::world::host::Event;
use crate::world::set::{PODS_MAX, SPARE};
use crate::world::{Beginning, World};
use almadia_member::Settings;
use std::collections::BTreeMap;
use std::time::Duration;

/// Until then a cluster founds itself undisturbed.
const QUIET_MS: u64 = 3_000;

/// After the faults have stopped, there is a leader within this: its lease, an election timeout, and another try.
const LEADER_MS: u64 = 2_400;

/// And everybody is well within this, members that have to be replaced included.
const WELL_MS: u64 = 60_000;

/// Whoever is asked for something when everything is well answers within this.
const ANSWER_MS: u64 = 5_000;

/// Seeds come in rounds of so many.
const ROUND: u64 = 20;

/// These of each round have members that come and go by themselves.
const SETS: std::ops::RangeInclusive<u64> = 12..=14;

/// Where there is a majority, a set is as large as is wished within this: for each ordinal there may be one to take out, one to
/// let in, and a new leader waits before it does anything.
const WHOLE_MS: u64 = 60_000;

/// What a run is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything comes from it.
    pub seed: u64,
    /// Members at the beginning.
    pub size: usize,
    /// They are pods of a set, which come and go by themselves.
    pub is_set: bool,
    /// What it is about, if anything.
    pub theme: Option<Theme>,
    /// Faults may happen until then.
    pub until_ms: u64,
    /// The faults, in the order of their times.
    pub faults: Vec<Planned>,
}

impl Plan {
    /// What a seed makes of it.
    pub fn draw(seed: u64, until_ms: u64) -> Self {
        if SETS.contains(&(seed % ROUND)) {
            return Self::draw_for_set(seed, until_ms);
        }
        if let Some(theme) = Theme::of(seed) {
            return Self::draw_for_theme(theme, seed, until_ms);
        }
        let mut chance = Chance::new(seed, "plan");
        let size = *chance.pick(&[1, 3, 3, 3, 3, 3, 5, 5, 7]);
        let faults = faults::draw(seed, size, machines(size), QUIET_MS, until_ms);
        Self {
            seed,
            size,
            is_set: false,
            theme: None,
            until_ms,
            faults,
        }
    }

    fn draw_for_theme(theme: Theme, seed: u64, until_ms: u64) -> Self {
        let mut chance = Chance::new(seed, "theme plan");
        let size = *chance.pick(&[3, 3, 3, 5]);
        Self {
            seed,
            size,
            is_set: false,
            theme: Some(theme),
            until_ms,
            faults: faults::draw_for_theme(theme, seed, size, QUIET_MS, until_ms),
        }
    }

    /// A set of pods, which is disturbed from the first moment on.
    fn draw_for_set(seed: u64, until_ms: u64) -> Self {
        let mut chance = Chance::new(seed, "set plan");
        let size = *chance.pick(&[1, 3, 3, 3, 5]);
        Self {
            seed,
            size,
            is_set: true,
            theme: None,
            until_ms,
            faults: faults::draw_for_set(seed, size, until_ms),
        }
    }

    /// Machines that may have a member besides those that have one at the beginning.
    fn spare(&self) -> usize {
        match self.is_set {
            true => PODS_MAX + SPARE - self.size,
            false => machines(self.size) - self.size,
        }
    }
}

/// Machines for so many members: some may grow.
fn machines(size: usize) -> usize {
    if size == 1 { 1 } else { size + 2 }
}

/// What came of a run.
pub struct Report {
    /// The hash over everything that happened.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// The world's time at the end.
    pub simulated_ms: u64,
    /// How often each kind of fault was done.
    pub faults: BTreeMap<&'static str, u64>,
    /// The most that was wrong at once.
    pub faults_at_once: usize,
    /// What clients saw.
    pub history: History,
    /// How many times something was checked.
    pub checked: u64,
    /// Terms that had a leader.
    pub terms: u64,
    /// Committed entries.
    pub entries: u64,
    /// What was not kept.
    pub failures: Vec<Failure>,
    /// What happened, for people.
    pub timeline: Vec<(u64, String)>,
}

/// A run under way.
struct Run {
    world: World,
    clients: Clients,
    applier: Applier,
    observer: Observer,
    /// How many pods a set is to have in the end.
    last_size: u32,
    failures: Vec<Failure>,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Report {
    run_into(plan, Trace::default())
}

/// Runs a plan again; where that takes another course than `report`, a third and a fourth run tell where.
pub fn is_same_again(plan: &Plan, report: &Report) -> Result<(), String> {
    let again = run(plan);
    if again.hash == report.hash {
        return Ok(());
    }
    let traces = [Trace::keeping_all(), Trace::keeping_all()];
    for trace in &traces {
        run_into(plan, trace.clone());
    }
    let [one, other] = traces;
    let parting = one
        .parting(&other)
        .unwrap_or_else(|| "but not at the third and fourth".to_owned());
    Err(format!(
        "hash {:016x}, and again {:016x}: {parting}",
        report.hash, again.hash
    ))
}

fn run_into(plan: &Plan, trace: Trace) -> Report {
    let mut chance = Chance::new(plan.seed, "manner");
    let beginning = Beginning {
        seed: plan.seed,
        size: plan.size,
        spare: plan.spare(),
        is_set: plan.is_set,
        request_limit: Duration::from_millis(*chance.pick(&[1_500, 3_000, 7_000])),
        settings: Settings::default(),
    };
    let world = World::new(&beginning, trace);
    let manner = Manner::draw(&mut chance);
    let manner = plan.theme.map_or(manner, |theme| manner.for_theme(theme));
    let clients = Clients::start(&world, plan.seed, manner);
    let applier = Applier::new(
        &world,
        plan.faults.clone(),
        mix(plan.seed),
        clients.recorder().clone(),
    );
    let mut run = Run {
        world,
        clients,
        applier,
        observer: Observer::new(plan.is_set),
        last_size: *chance.pick(&[1, 3, 5]),
        failures: Vec::new(),
    };
    run.until(plan.until_ms);
    run.become_well();
    run.report()
}

impl Run {
    /// One step of everything.
    fn step(&mut self) {
        self.applier.turn(&mut self.world);
        let events = self.world.step();
        self.applier.hear(&mut self.world, &events);
        for (machine, event) in &events {
            match event {
                Event::Panicked(text) => self.fail("no panic", format!("m{machine}: {text}")),
                Event::Forgot(text) => self.fail("kept", format!("m{machine}: {text}")),
                _ => {}
            }
        }
        for text in crate::panics::take() {
            self.fail("no panic", text);
        }
        self.observer.observe(&self.world);
    }

    fn has_failed(&self) -> bool {
        !self.failures.is_empty() || !self.observer.failures().is_empty()
    }

    fn fail(&mut self, check: &'static str, text: String) {
        let at_ms = self.world.now_ms();
        self.failures.push(Failure { check, at_ms, text });
    }

    fn until(&mut self, end_ms: u64) {
        while self.world.now_ms() < end_ms && !self.has_failed() {
            self.step();
        }
    }

    /// Steps until something holds; false when the time is over.
    fn until_holds(&mut self, limit_ms: u64, holds: impl Fn(&Run) -> bool) -> bool {
        let end_ms = self.world.now_ms() + limit_ms;
        while !self.has_failed() {
            if holds(self) {
                return true;
            }
            if self.world.now_ms() >= end_ms {
                return false;
            }
            self.step();
        }
        true
    }

    fn become_well(&mut self) {
        self.applier.stop(&mut self.world);
        let now_ms = self.world.now_ms();
        self.world.trace.tell(now_ms, "the faults stop".to_owned());
        if self.world.set.is_some() {
            self.become_whole();
        }
        if !self.until_holds(WELL_MS, |run| run.applier.is_idle() && run.is_everybody_up()) {
            return self.fail("liveness", format!("not everybody is up: {}", self.standings()));
        }
        if !self.until_holds(LEADER_MS, Self::has_leader) {
            return self.fail("liveness", format!("no leader in time: {}", self.standings()));
        }
        self.clients.stop();
        if !self.until_holds(WELL_MS, |run| run.clients.have_finished() && run.is_together()) {
            return self.fail("liveness", format!("not together: {}", self.standings()));
        }
        self.ask_everybody();
        self.observer.compare_all(&self.world);
        let now_ms = self.world.now_ms();
        if !self.has_failed() {
            let recorder = self.clients.recorder().clone();
            let mut recorded = recorder.lock();
            self.observer.finish(&recorded, now_ms);
            recorded.history.changes = self.observer.reference().changes().to_vec();
            let bounds = LeaseBounds {
                early_us: self.clock_error_us(),
                ..LeaseBounds::default()
            };
            // Times of faults: promises about lateness are suspended there, all others hold.
            recorded.history.disturbances = self.applier.disturbances();
            for finding in check_all(&recorded.history, bounds) {
                self.fail(finding.promise.name(), finding.what);
            }
        }
    }

    /// A set becomes as large as was wished last; and, now that all is quiet, as large as is wished then.
    fn become_whole(&mut self) {
        let is_whole = |run: &Run| {
            let set = run.world.set.as_ref();
            set.is_some_and(|set| set.is_whole(&run.world.hosts))
        };
        if !self.until_holds(WHOLE_MS, is_whole) {
            // Pods that could not leave in time are voters and are not there: without a majority their set stands still until
            // they are wished for again, as the manual says.
            if self.has_leader() {
                return self.fail("whole", format!("it has a leader: {}", self.standings()));
            }
            faults::scale(&mut self.world, PODS_MAX as u32);
            if !self.until_holds(WHOLE_MS, is_whole) {
                return self.fail("whole", format!("all are there: {}", self.standings()));
            }
        }
        faults::scale(&mut self.world, self.last_size);
        if !self.until_holds(WHOLE_MS, is_whole) {
            self.fail(
                "whole",
                format!("{} are wished: {}", self.last_size, self.standings()),
            );
        }
    }

    /// By how much the clocks of this run were wrong: a lease may seem that much shorter.
    fn clock_error_us(&self) -> u64 {
        let is_clock = |kind: &&str| kind.starts_with("clock");
        if self.applier.done.keys().any(is_clock) {
            return u64::MAX / 4;
        }
        // The clients' clock and the members' go in steps.
        4 * crate::world::STEP_MS * 1000
    }

    fn is_everybody_up(&self) -> bool {
        let on = |host: &&crate::world::host::Host| host.power != crate::world::host::Power::Off;
        let mut hosts = self.world.hosts.iter().filter(on);
        hosts.all(|host| host.member().is_some())
    }

    fn members(&self) -> impl Iterator<Item = almadia_member::Member> {
        self.world.hosts.iter().filter_map(|host| host.member())
    }

    fn has_leader(&self) -> bool {
        let standings: Vec<_> = self.members().map(|member| *member.standing().borrow()).collect();
        let newest = standings.iter().map(|standing| standing.term).max();
        let leads = standings
            .iter()
            .any(|standing| standing.leading && Some(standing.term) == newest);
        let known = standings
            .iter()
            .filter(|standing| standing.leader.is_some() && Some(standing.term) == newest)
            .count();
        leads && known * 2 > standings.len()
    }

    /// Everybody has applied everything that is committed, and is of the same mind about who belongs.
    fn is_together(&self) -> bool {
        let end = self.observer.committed_len();
        let members: Vec<_> = self.members().collect();
        let ids: Vec<_> = members
            .first()
            .map(|member| member.members().iter().map(|one| (one.id, one.votes)).collect())
            .unwrap_or_default();
        self.has_leader()
            && members.len() == ids.len()
            && members.iter().all(|member| {
                let (view, status) = (member.view(), member.status());
                // A member looks at its disk now and then: until then it may refuse what there is room for.
                let takes_writes = !status.no_space;
                view.applied().0.0 == end
                    && !view.compaction_pending()
                    && status.last_log.0 == end
                    && takes_writes
            })
    }

    fn standings(&self) -> String {
        let words = self.world.hosts.iter().map(|host| match host.member() {
            None => format!("m{} {:?}", host.index, host.power),
            Some(member) => {
                let status = member.status();
                format!(
                    "m{} id {} term {} leader {:?} log {} committed {} applied {} members {:?}",
                    host.index,
                    status.member,
                    status.term,
                    status.leader.map(|id| id.to_string()),
                    status.last_log,
                    status.committed,
                    status.applied,
                    status
                        .members
                        .iter()
                        .map(|one| (one.id.to_string(), one.votes))
                        .collect::<Vec<_>>()
                )
            }
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// Every member writes and reads.
    fn ask_everybody(&mut self) {
        let up: Vec<usize> = (0..self.world.hosts.len())
            .filter(|index| self.world.hosts[*index].member().is_some())
            .collect();
        for machine in up {
            let put = Request::Put {
                key: "end".into(),
                value: format!("m{machine}").into(),
                lease: 0,
                prev_kv: false,
            };
            for request in [put, Request::Range(Range::of(Span::all()))] {
                if self.has_failed() {
                    return;
                }
                let asked = self.clients.ask(&self.world, machine, request.clone());
                self.until_holds(ANSWER_MS, |_| asked.is_finished());
                let recorded = self.clients.recorder().lock();
                let outcome = recorded.history.calls.last().map(|call| call.outcome.clone());
                drop(recorded);
                if !asked.is_finished() || !matches!(outcome, Some(Outcome::Done(_))) {
                    self.fail(
                        "liveness",
                        format!("m{machine} answers {request:?} with {outcome:?}"),
                    );
                }
            }
        }
    }

    fn report(mut self) -> Report {
        let mut failures = std::mem::take(&mut self.failures);
        failures.extend_from_slice(self.observer.failures());
        let mut history = std::mem::take(&mut self.clients.recorder().lock().history);
        history.changes = self.observer.reference().changes().to_vec();
        let trace = self.world.trace.clone();
        Report {
            hash: trace.hash(),
            events: trace.events(),
            simulated_ms: self.world.now_ms(),
            faults: std::mem::take(&mut self.applier.done),
            faults_at_once: self.applier.at_once_max,
            history,
            checked: self.observer.asked,
            terms: self.observer.terms_with_leader(),
            entries: self.observer.committed_len(),
            failures,
            timeline: trace.lines(),
        }
    }
}
