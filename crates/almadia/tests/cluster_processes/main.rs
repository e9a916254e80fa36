//! The promises of BRIEF M1, kept by real processes on loopback: every test starts members of its own with `almadia
//! server`, breaks something, and looks. One test program, since each of them would link the whole product again.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod data_directories;

mod demo;
mod deployment;
mod disturbances;
mod etcdctl;
mod faults;
mod hostile;
mod identity;
mod installers;
mod membership;
mod metrics;
mod recovery;
mod serving;
mod sets;
mod tls;
mod verify;
