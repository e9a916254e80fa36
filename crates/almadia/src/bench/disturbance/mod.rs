//! Writes before something disturbs them, and while it does: how much later are they answered?
//!
//! A `Disturber` prepares, then clients write all the time; after a while of quiet it disturbs until it is done. The calls
//! are split into those before and those during it. Only the clients' puts are judged here; what the disturber itself
//! finds wrong is told beside them.

mod compaction;
mod lease_expiry;
mod slow_watcher;
pub mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::Runtime;

use super::engine::load::{self, Load, Plan, Window};
use super::flags::SingleFlags;
use super::slice::{Sample, complete, sample_at};
use super::target::Target;
use super::workload::Spec;
use super::workload::plain::Plain;
use super::workload::preload::{Limited, UntilStopped};
use crate::commands::error::CommandError;
use crate::commands::global::Address;

/// The longest course: bounds the writes when something hangs. Longer than any wait that `--done-max` allows.
const COURSE_MAX: Duration = Duration::from_secs(1200);
/// The shortest time that is counted as disturbed: what follows at once belongs to it.
const DISTURBED_MIN: Duration = Duration::from_secs(1);
/// Clients that write history.
const HISTORY_CLIENTS: usize = 256;

/// What disturbs the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Disturbance {
    /// Writes while history is compacted: how much later are they answered?
    Compaction,
    /// Writes while many leases expire together.
    LeaseExpiry,
    /// Writes while a watcher that is far behind catches up.
    SlowWatcher,
}

impl Disturbance {
    /// As it is called in tables.
    pub fn name(self, flags: &SingleFlags) -> String {
        match self {
            Self::Compaction => format!("compaction of {} revisions", flags.revisions),
            Self::LeaseExpiry => format!("{} of {} leases expire", flags.leases_due, flags.leases),
            Self::SlowWatcher => format!("watcher {} revisions behind", flags.behind),
        }
    }

    /// The disturber of one cluster, for all rounds. `seed` differs from run to run.
    pub fn of(self, flags: &SingleFlags, seed: u64) -> Box<dyn Disturber> {
        match self {
            Self::Compaction => Box::new(compaction::Compaction::new(flags.revisions)),
            Self::LeaseExpiry => {
                let due = flags.leases_due.min(flags.leases);
                Box::new(lease_expiry::LeaseExpiry::new(flags.leases, due, seed))
            }
            Self::SlowWatcher => Box::new(slow_watcher::SlowWatcher::new(flags.behind)),
        }
    }
}

/// What disturbs one cluster.
pub trait Disturber {
    /// Makes ready, before the writes begin.
    fn prepare(&mut self, course: &Course<'_>) -> Result<(), CommandError>;
    /// When it begins, if that was fixed by `prepare`.
    fn begins_at(&self) -> Option<Instant> {
        None
    }
    /// Disturbs, and returns when that is over.
    fn disturb(&mut self, course: &Course<'_>) -> Result<Done, CommandError>;
    /// Takes away what it left, after the last round.
    fn clean_up(&mut self, _places: &[Address]) -> Result<(), CommandError> {
        Ok(())
    }
}

/// A disturbance is over.
#[derive(Debug)]
pub struct Done {
    /// Since when.
    pub at: Instant,
    /// It came to its end; otherwise it was given up.
    pub is_complete: bool,
    /// What was not as it should be.
    pub failures: BTreeMap<String, u64>,
}

impl Done {
    /// It came to its end now, and nothing was wrong.
    fn now() -> Self {
        Self {
            at: Instant::now(),
            is_complete: true,
            failures: BTreeMap::new(),
        }
    }

    /// It is given up now.
    fn given_up() -> Self {
        Self {
            is_complete: false,
            ..Self::now()
        }
    }
}

/// One disturbance of one cluster.
pub struct Course<'a> {
    /// The cluster.
    pub target: &'a Target,
    /// For questions to it.
    pub runtime: &'a Runtime,
    /// The address of each connection of the writing clients.
    pub places: Vec<Address>,
    /// What they write.
    pub spec: Spec,
    /// How many they are.
    pub clients: usize,
    /// Writes per second; `None` is the closed loop.
    pub rate: Option<f64>,
    /// Writes before counting begins.
    pub warm_up: Duration,
    /// Time that is counted before the disturbance.
    pub duration: Duration,
    /// Where random numbers begin.
    pub seed: u64,
    /// Longest wait for the disturbance to be done.
    pub done_max: Duration,
}

/// Between what moments which processor time was used, and how the disturbance went.
struct Marks {
    quiet: Sample,
    disturbed: Sample,
    end: Sample,
    done: Done,
}

impl Course<'_> {
    /// Runs the course: prepare, quiet, disturbance.
    pub fn run(&self, disturber: &mut dyn Disturber) -> Result<Outcome, CommandError> {
        disturber.prepare(self)?;
        let from = Instant::now();
        let plan = Plan {
            connections: self.places.clone(),
            clients: self.clients,
            rate: self.rate,
            window: Window {
                from,
                until: Some(from + COURSE_MAX),
            },
            keep_calls: true,
        };
        let stop = AtomicBool::new(false);
        let mut calls = UntilStopped::new(self.puts(self.clients), &stop);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| load::run(&plan, &mut calls));
            let marks = self.observe(disturber);
            stop.store(true, Ordering::Relaxed);
            let load = running
                .join()
                .map_err(|_| CommandError::failed("the generator panicked"))?;
            Ok(Outcome::of(&load, &marks?))
        })
    }

    fn observe(&self, disturber: &mut dyn Disturber) -> Result<Marks, CommandError> {
        let from = Instant::now() + self.warm_up;
        let quiet = sample_at(from, self.target)?;
        let begin = disturber.begins_at().unwrap_or(from + self.duration);
        let disturbed = sample_at(begin, self.target)?;
        let done = disturber.disturb(self)?;
        let end = sample_at(done.at.max(disturbed.at + DISTURBED_MIN), self.target)?;
        Ok(Marks {
            quiet,
            disturbed,
            end,
            done,
        })
    }

    /// Writes revisions of the benchmark's keys, for there to be some.
    fn write_history(&self, revisions: u64) -> Result<(), CommandError> {
        eprintln!("{}: writing {revisions} revisions", self.target.name);
        let mut puts = Limited::new(self.puts(HISTORY_CLIENTS), revisions);
        let load = complete(&mut puts, &self.places, HISTORY_CLIENTS);
        match load.failures.iter().next() {
            None => Ok(()),
            Some((reason, count)) => Err(CommandError::failed(format!(
                "cannot write history on {}: {count} × {reason}",
                self.target.name
            ))),
        }
    }

    fn puts(&self, clients: usize) -> Plain {
        Plain::new(self.spec.clone(), 0, clients, self.seed)
    }
}

/// The writes of a part of the course.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Writes answered in it.
    pub operations: u64,
    /// Latencies of the writes that belong to it, in nanoseconds.
    pub latencies_ns: Histogram<u64>,
    /// How long it was.
    pub seconds: f64,
    /// Processor time of the members, if their processes are known.
    pub server_cpu: Option<Duration>,
}

/// What came of a course.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Before the disturbance.
    pub before: Phase,
    /// During it.
    pub during: Phase,
    /// How long the disturbance took; `None`: it was given up.
    pub done_after: Option<Duration>,
    /// Processor time of the generator for each write, in microseconds.
    pub generator_us: f64,
    /// Failed writes, and what the disturber found wrong.
    pub failures: BTreeMap<String, u64>,
    /// The disturber found something wrong.
    pub is_wrong: bool,
}

impl Outcome {
    fn of(load: &Load, marks: &Marks) -> Self {
        let moments = [marks.quiet.at, marks.disturbed.at, marks.end.at];
        let [mut before, mut during] = split(&load.calls, moments);
        before.server_cpu = used(&marks.quiet, &marks.disturbed);
        during.server_cpu = used(&marks.disturbed, &marks.end);
        let generator = marks.end.generator.cpu.saturating_sub(marks.quiet.generator.cpu);
        let done_after = marks.done.at.saturating_duration_since(marks.disturbed.at);
        let mut failures = load.failures.clone();
        if !marks.done.is_complete {
            failures.insert("not done in time".to_owned(), 1);
        }
        for (reason, count) in &marks.done.failures {
            *failures.entry(reason.clone()).or_default() += count;
        }
        Self {
            done_after: marks.done.is_complete.then_some(done_after),
            generator_us: generator.as_secs_f64() * 1e6 / (before.operations + during.operations) as f64,
            failures,
            is_wrong: !marks.done.failures.is_empty(),
            before,
            during,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p99_ms = |phase: &Phase| phase.latencies_ns.value_at_quantile(0.99) as f64 / 1e6;
        write!(
            f,
            "p99 {:.2} ms before, {:.2} ms during, ",
            p99_ms(&self.before),
            p99_ms(&self.during)
        )?;
        match self.done_after {
            Some(time) => write!(f, "done after {:.2} s", time.as_secs_f64()),
            None => f.write_str("not done in time"),
        }
    }
}

/// Splits calls (begin and end of each) into those before and those during the disturbance. A call under way when the
/// disturbance begins belongs to it: it may be the one that suffers.
fn split(calls: &[(Instant, Instant)], [from, begin, end]: [Instant; 3]) -> [Phase; 2] {
    let phase = |from: Instant, until: Instant, belongs: &dyn Fn(Instant, Instant) -> bool| {
        let mut latencies_ns = Load::empty().latencies_ns;
        let mut operations = 0;
        for (began, ended) in calls {
            operations += u64::from((from..until).contains(ended));
            if belongs(*began, *ended) {
                latencies_ns.saturating_record((*ended - *began).as_nanos() as u64);
            }
        }
        Phase {
            operations,
            latencies_ns,
            seconds: until.saturating_duration_since(from).as_secs_f64(),
            server_cpu: None,
        }
    };
    [
        phase(from, begin, &|began, ended| began >= from && ended < begin),
        phase(begin, end, &|began, ended| began < end && ended >= begin),
    ]
}

fn used(before: &Sample, after: &Sample) -> Option<Duration> {
    let (before, after) = before.servers.zip(after.servers)?;
    Some(after.cpu.saturating_sub(before.cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: what the disturbance delays counts as disturbed, also when it was under way before; what ended in peace, or
    /// began before counting or after the end, does not.
    #[test]
    fn calls_are_split_at_the_disturbance() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let calls = [
            (at(0), at(15)),
            (at(20), at(22)),
            (at(90), at(95)),
            (at(95), at(180)),
            (at(100), at(101)),
            (at(190), at(260)),
            (at(200), at(201)),
        ];
        let [before, during] = split(&calls, [at(10), at(100), at(200)]);
        assert_eq!((before.operations, before.latencies_ns.len()), (3, 2));
        assert_eq!((during.operations, during.latencies_ns.len()), (2, 3));
        let ms = |value: u64| (value as f64 / 1e6).round();
        assert_eq!(
            (ms(before.latencies_ns.max()), ms(during.latencies_ns.max())),
            (5.0, 85.0)
        );
        assert_eq!(ms(during.latencies_ns.value_at_quantile(0.5)), 70.0);
        assert!((before.seconds - 0.09).abs() < 1e-9 && (during.seconds - 0.1).abs() < 1e-9);
    }

    /// Promise: a disturbance that was given up has no time at which it was done, and says so.
    #[test]
    fn what_was_given_up_is_told() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let outcome = |is_complete| {
            let marks = Marks {
                quiet: Sample::idle(at(0)),
                disturbed: Sample::idle(at(10)),
                end: Sample::idle(at(50)),
                done: Done {
                    at: at(30),
                    is_complete,
                    failures: BTreeMap::new(),
                },
            };
            Outcome::of(&Load::empty(), &marks)
        };
        let (done, given_up) = (outcome(true), outcome(false));
        assert_eq!(done.done_after, Some(Duration::from_millis(20)));
        assert!(done.failures.is_empty() && !done.is_wrong);
        assert_eq!(given_up.done_after, None);
        assert_eq!(given_up.failures.len(), 1);
        assert!(!given_up.is_wrong && given_up.to_string().ends_with("not done in time"));
    }
}
