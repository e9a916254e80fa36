//! Keeps entries, votes and truncations durable, in one order, with one sync for all that wait.
//!
//! [`Wal`] is the handle that the consensus library's storage calls; [`Writer`] does the file work and is driven by
//! [`spawn_thread`] or, in the simulator, step by step. What is acknowledged has been synced. After an error of
//! a write or a sync nothing is tried again: [`Options::on_fatal`] is told and every later call fails.
//!
//! This crate never knows what an entry's bytes mean, has no clock and no chance of its own, and never decides
//! what may be purged. The bytes on disk are described in `docs/internals/log.md`.

mod error;
mod format;
mod log;
mod open;
mod options;
mod positions;
mod recover;
mod segment;
mod spares;
mod tail;
mod thread;
mod types;
mod wal;
mod writer;

pub use error::WalError;
pub use options::{Counters, GroupStats, Observer, Options};
pub use recover::{Recovered, TornTail};
pub use spares::Upkeep;
pub use thread::{WalThread, spawn_thread};
pub use types::{Done, Entry, EntryKind, LogId, Vote};
pub use wal::Wal;
pub use writer::Writer;

#[cfg(test)]
mod tests;
