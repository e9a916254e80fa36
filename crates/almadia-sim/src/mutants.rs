//! Proof that the checks bite: planted bugs are caught, by seeds that are on record.
//!
//! The record is `mutants.txt`: a bug, the seed that catches it, the check that fails. A replay runs just these; where a
//! recorded seed no longer catches its bug, another one is searched for. A bug that no seed catches means that a fault or
//! a check is missing.

#[cfg(feature = "planted")]
use crate::run::{Plan, run};
#[cfg(feature = "planted")]
use almadia_command::planted::{Bug, plant};

/// The seeds on record.
const RECORD: &str = include_str!("../mutants.txt");

/// Seeds tried at most for one bug.
pub const SEEDS_MAX: u64 = 500;

/// How long each of them runs.
pub const RUN_MS: u64 = 40_000;

/// A bug that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// By this seed.
    pub seed: u64,
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

/// The seed on record for a bug, by its name.
pub fn recorded(bug: &str) -> Option<u64> {
    RECORD.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(bug)).then(|| words.next()?.parse().ok())?
    })
}

/// Runs one seed with a bug; what caught it.
#[cfg(feature = "planted")]
pub fn try_seed(bug: Bug, seed: u64) -> Option<Caught> {
    plant(Some(bug));
    let report = run(&Plan::draw(seed, RUN_MS));
    plant(None);
    let failure = report.failures.into_iter().next()?;
    Some(Caught {
        seed,
        check: failure.check.to_owned(),
        text: failure.text,
    })
}

/// Catches a bug: with its recorded seed, or with the first one from `from` on; none when no seed does.
#[cfg(feature = "planted")]
pub fn catch(bug: Bug, replay: bool, from: u64, tries: u64) -> Option<Caught> {
    let recorded = recorded(bug.name()).filter(|_| replay);
    let mut seeds = recorded.into_iter().chain(from..from + tries);
    seeds.find_map(|seed| try_seed(bug, seed))
}

/// Whether a run without bugs of the seeds on record fails: then their catching proves nothing.
#[cfg(feature = "planted")]
pub fn is_clean(seed: u64) -> bool {
    plant(None);
    run(&Plan::draw(seed, RUN_MS)).failures.is_empty()
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
            assert!(recorded(name).is_some(), "{line}");
        }
        assert!(Bug::ALL.len() >= 30);
    }
}
