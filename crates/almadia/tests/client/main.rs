//! The program as a user runs it, against members that are just enough of etcd, and where there is one against a real etcd.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod bench;
mod commands;
mod fake;
mod services;
