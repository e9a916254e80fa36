//! Proof that the checks bite: planted bugs are caught, by seeds that are on record.
//!
//! The record is `mutants.txt`: a bug, and the seed or the scenario that catches it. A replay runs just these; where a recorded
//! one no longer catches its bug, another one is searched for, first among the scenarios. A bug that nothing catches means
//! that a fault or a check is missing.

use crate::run::Plan;
#[cfg(feature = "planted")]
use crate::run::run;
use crate::scenario::{ALL, Scenario};
#[cfg(feature = "planted")]
use almadia_command::planted::{Bug, plant};
use std::fmt;

/// The seeds on record.
const RECORD: &str = include_str!("../mutants.txt");

/// Seeds tried at most for one bug.
pub const SEEDS_MAX: u64 = 500;

/// How long each of them runs.
pub const RUN_MS: u64 = 40_000;

/// A run that can catch a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Course {
    /// What this seed draws.
    Seed(u64),
    /// A scenario, by its name.
    Scenario(&'static str),
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Course::Seed(seed) => write!(f, "{seed}"),
            Course::Scenario(name) => f.write_str(name),
        }
    }
}

impl Course {
    /// What is done in it; none when there is no such scenario.
    pub fn plan(self) -> Option<Plan> {
        match self {
            Course::Seed(seed) => Some(Plan::draw(seed, RUN_MS)),
            Course::Scenario(wanted) => {
                let (name, text) = ALL.iter().find(|(name, _)| *name == wanted)?;
                Scenario::parse(name, text).ok().map(|scenario| scenario.plan)
            }
        }
    }
}

/// A bug that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// By this run.
    pub by: Course,
    /// By this check.
    pub check: String,
    /// What the check said.
    pub text: String,
}

/// The bugs with a seed on record.
#[cfg(feature = "planted")]
pub fn on_record() -> Vec<Bug> {
    let all = Bug::ALL.iter().copied();
    all.filter(|bug| recorded(bug.name()).is_some()).collect()
}

/// What is on record for a bug, by its name.
pub fn recorded(bug: &str) -> Option<Course> {
    RECORD.lines().find_map(|line| {
        let (name, by) = line.split_once(' ')?;
        let course = match by.parse() {
            Ok(seed) => Course::Seed(seed),
            Err(_) => Course::Scenario(by),
        };
        (name == bug).then_some(course)
    })
}

/// Runs one of them with a bug; what caught it.
#[cfg(feature = "planted")]
pub fn attempt(bug: Bug, by: Course) -> Option<Caught> {
    let plan = by.plan()?;
    plant(Some(bug));
    let report = run(&plan);
    plant(None);
    let failure = report.failures.into_iter().next()?;
    Some(Caught {
        by,
        check: failure.check.to_owned(),
        text: failure.text,
    })
}

/// Catches a bug: by what is on record, by a scenario, or by the first seed from `from` on; none when nothing does.
#[cfg(feature = "planted")]
pub fn catch(bug: Bug, replay: bool, from: u64, tries: u64) -> Option<Caught> {
    let recorded = recorded(bug.name()).filter(|_| replay);
    let scenarios = ALL.iter().map(|(name, _)| Course::Scenario(name));
    let seeds = (from..from + tries).map(Course::Seed);
    let mut courses = recorded.into_iter().chain(scenarios).chain(seeds);
    courses.find_map(|course| attempt(bug, course))
}

/// Whether it fails without a bug: then its catching one proves nothing.
#[cfg(feature = "planted")]
pub fn is_clean(by: Course) -> bool {
    plant(None);
    by.plan().is_some_and(|plan| run(&plan).failures.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_command::planted::Bug;

    #[test]
    fn the_record_names_bugs_that_there_are() {
        for line in RECORD.lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            assert!(Bug::ALL.iter().any(|bug| bug.name() == name), "{name}");
            let course = recorded(name).unwrap_or_else(|| panic!("{line}"));
            assert!(course.plan().is_some(), "{line}");
        }
        assert!(Bug::ALL.len() >= 30);
    }
}
