//! Whole members in virtual time, on disks in memory and a network that is a table: what they promise, one file a promise. One
//! test program, since each of them would compile consensus again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod cluster;
mod corruption;
mod disk_full;
mod leader_lease;
mod leaderless;
mod leases;
mod limits;
mod membership;
mod once;
mod overview;
mod power_loss;
mod reconcile;
mod restoring;
mod scrubbing;
mod watching;
mod world;
