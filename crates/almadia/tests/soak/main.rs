//! Real processes under faults, with everything that clients ask and see recorded and checked as the simulator's runs are:
//! linearizability of the whole history, the nine watch checks, leases, locks, compaction.
//!
//! Each test runs for `ALMADIA_SOAK_SECONDS` (4 unless told; CI: 20, `FULL=1`: 600). A history with a finding is kept as
//! `almadia-soak-*.jsonl` in the directory for temporary files, so that it can be looked at and checked again. What the
//! machine does not allow (mounts, network namespaces) is skipped, and that is said.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

#[path = "../cluster_processes/deployment.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod deployment;

mod calls;
mod disks;
mod faults;
mod links;
mod recorder;
mod soak;
mod watchers;
mod workload;

use faults::Fault;
use soak::Soak;

/// The classic: members die, also all at once, and come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_that_are_killed_and_paused() {
    let soak = Soak::planned(3);
    soak.run(&[Fault::Kill, Fault::KillAll, Fault::Pause]).await;
}

/// Two of five may be away at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_members_of_which_two_are_killed_or_paused() {
    let soak = Soak::planned(5);
    soak.run(&[Fault::KillTwo, Fault::PauseTwo, Fault::Kill]).await;
}
