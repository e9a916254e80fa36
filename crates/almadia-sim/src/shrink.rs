//! Makes a failure small: leaves out faults as long as the same check still fails. It judges nothing itself.

use crate::checks::cluster::Failure;
use crate::run::{Plan, Report, run};

/// Runs at most.
const RUNS_MAX: usize = 80;

/// The smallest plan found that still fails the same check, and what came of it.
pub fn shrink(plan: &Plan, failure: &Failure) -> (Plan, Option<Report>) {
    let mut smallest = plan.clone();
    let mut report = None;
    // Nothing after the failure matters.
    smallest.until_ms = smallest.until_ms.min(failure.at_ms);
    smallest.faults.retain(|planned| planned.at_ms <= failure.at_ms);
    let mut chunk = smallest.faults.len().div_ceil(2);
    let mut runs = 0;
    while chunk > 0 && runs < RUNS_MAX {
        let mut from = 0;
        let mut has_shrunk = false;
        while from < smallest.faults.len() && runs < RUNS_MAX {
            let mut candidate = smallest.clone();
            let to = (from + chunk).min(candidate.faults.len());
            candidate.faults.drain(from..to);
            runs += 1;
            let outcome = run(&candidate);
            if outcome.failures.iter().any(|one| one.check == failure.check) {
                (smallest, report, has_shrunk) = (candidate, Some(outcome), true);
            } else {
                from = to;
            }
        }
        if chunk == 1 && !has_shrunk {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk.div_ceil(2) };
    }
    (smallest, report)
}
