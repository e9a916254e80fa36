//! What people read: the sum over many runs, and a failure with the fewest faults that still bring it about.

use crate::run::{Plan, Report};
use crate::shrink::shrink;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Lines of a timeline shown with a failure.
const LINES_SHOWN: usize = 80;

/// The sum over runs.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    seeds: u64,
    failed: u64,
    simulated_ms: u64,
    calls: u64,
    watched: u64,
    entries: u64,
    checked: u64,
    terms: u64,
    at_once: usize,
    faults: BTreeMap<String, u64>,
    /// Seeds that were run twice, to see whether they take the same course.
    pub twice: u64,
    /// Bugs that were planted.
    pub planted: u64,
    /// And those of them that were caught.
    pub caught: u64,
}

impl Sum {
    /// One run more.
    pub fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.failed += u64::from(!report.failures.is_empty());
        self.simulated_ms += report.simulated_ms;
        self.calls += report.history.calls.len() as u64;
        self.watched += report
            .history
            .watches
            .iter()
            .map(|watch| watch.responses.len() as u64)
            .sum::<u64>();
        self.entries += report.entries;
        self.checked += report.checked;
        self.terms += report.terms;
        self.at_once = self.at_once.max(report.faults_at_once);
        for (kind, count) in &report.faults {
            *self.faults.entry((*kind).to_owned()).or_default() += count;
        }
    }

    /// The runs of another process.
    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.failed += other.failed;
        self.simulated_ms += other.simulated_ms;
        self.calls += other.calls;
        self.watched += other.watched;
        self.entries += other.entries;
        self.checked += other.checked;
        self.terms += other.terms;
        self.twice += other.twice;
        self.planted += other.planted;
        self.caught += other.caught;
        self.at_once = self.at_once.max(other.at_once);
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds ({} of them twice), {:.1} simulated hours, {} failed",
            self.seeds,
            self.twice,
            self.simulated_ms as f64 / 3_600_000.0,
            self.failed
        )?;
        writeln!(
            f,
            "{} calls and {} watch responses checked, {} entries committed in {} terms, {} looks at members",
            self.calls, self.watched, self.entries, self.terms, self.checked
        )?;
        writeln!(f, "up to {} things wrong at once:", self.at_once)?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>8}  {kind}")?;
        }
        Ok(())
    }
}

/// Seeds of failures that were found: the seed, the seconds of faults, what it was.
pub fn regressions() -> Vec<(u64, u64, &'static str)> {
    let lines = include_str!("../regressions.txt").lines();
    let records = lines.filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (seed, rest) = line.split_once(' ')?;
        let (seconds, what) = rest.split_once(' ')?;
        Some((seed.parse().ok()?, seconds.parse().ok()?, what))
    });
    records.collect()
}

/// What happened, newest last.
pub fn print_timeline(report: &Report, lines_max: usize) {
    let skipped = report.timeline.len().saturating_sub(lines_max);
    if skipped > 0 {
        println!("  ... {skipped} lines before");
    }
    for (at_ms, line) in &report.timeline[skipped..] {
        println!("  {:>9.3} s  {line}", *at_ms as f64 / 1000.0);
    }
}

/// A failure: its seed, its fewest faults, its timeline.
pub fn print_failure(plan: &Plan, report: &Report) {
    let Some(first) = report.failures.first() else {
        return;
    };
    println!(
        "seed {} FAILED with {} members: {}: {}",
        plan.seed, plan.size, first.check, first.text
    );
    let (smallest, small_report) = shrink(plan, first);
    println!(
        "  {} of {} faults are enough:",
        smallest.faults.len(),
        plan.faults.len()
    );
    for planned in &smallest.faults {
        println!("    {planned}");
    }
    let shown = small_report.as_ref().unwrap_or(report);
    print_timeline(shown, LINES_SHOWN);
    for failure in &shown.failures {
        println!("  at {} ms {}: {}", failure.at_ms, failure.check, failure.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_two_processes_are_one() {
        let part = |kind: &str, at_once| Sum {
            seeds: 2,
            calls: 5,
            at_once,
            faults: BTreeMap::from([(kind.to_owned(), 3)]),
            ..Sum::default()
        };
        let mut sum = part("crash", 4);
        sum.merge(part("pause", 3));
        sum.merge(part("crash", 1));
        let faults = BTreeMap::from([("crash".to_owned(), 6), ("pause".to_owned(), 3)]);
        assert_eq!((sum.seeds, sum.calls, sum.at_once), (6, 15, 4));
        assert_eq!(sum.faults, faults);
    }

    #[test]
    fn every_line_of_the_record_is_read() {
        let lines = include_str!("../regressions.txt").lines();
        let records = lines.filter(|line| !line.starts_with('#')).count();
        assert!(records > 0);
        assert_eq!(regressions().len(), records);
    }
}
