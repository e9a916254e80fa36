//! One file for each promise: pure functions over a recorded [`History`]. They open nothing and wait for nothing; the
//! same history always gives the same findings.
//!
//! Most of them need to know what really happened, revision by revision: the [`Witness`], taken from what members
//! say they did. What the witness does not decide is a finding too: undecided counts as failure.

pub mod cluster;
mod compaction;
mod durable;
mod execute;
mod explain;
mod leases;
mod linear;
mod locks;
mod place;
mod revisions;
#[cfg(test)]
mod sample;
mod table;
#[cfg(test)]
mod twin;
mod watch;
mod witness;

pub use leases::LeaseBounds;
pub use linear::Order;
pub use witness::Witness;

use crate::history::History;
use std::fmt;
use table::Table;

/// More findings of one promise than this are counted, not kept: the first ones tell the story.
pub const FINDINGS_MAX: usize = 20;

/// A promise that a history shows to be broken, or that it does not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which promise.
    pub promise: Promise,
    /// What was seen, with revisions, keys and times.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.promise.name(), self.what)
    }
}

/// What is promised. Each has its own file here; the nine of watches share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// All members tell the same story, without a hole: `witness.rs`.
    OneStory,
    /// Revisions and versions count without gaps: `revisions.rs`.
    Revisions,
    /// What was acknowledged is there: `durable.rs`.
    Durable,
    /// Every answer is that of one order, and the order respects time: `linear.rs`.
    Linear,
    /// Only events that were asked for: `watch.rs`, as all of the following.
    WatchFilter,
    /// Revisions never go back.
    WatchOrdered,
    /// No event twice.
    WatchUnique,
    /// No revision is split over two answers.
    WatchAtomic,
    /// Progress says that everything before it was sent.
    WatchBookmarkable,
    /// A watch from a revision brings everything from there.
    WatchResumable,
    /// No gap.
    WatchReliable,
    /// Whether a put created its key is told rightly.
    WatchIsCreate,
    /// The value before is the value before.
    WatchPrevKv,
    /// Leases end neither early nor later than stated: `leases.rs`.
    Leases,
    /// Compacted is what was compacted, and only that: `compaction.rs`.
    Compaction,
    /// One holder at a time: `locks.rs`.
    Locks,
}

impl Promise {
    /// A short name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Promise::OneStory => "one story",
            Promise::Revisions => "revisions",
            Promise::Durable => "durable",
            Promise::Linear => "linearizable",
            Promise::WatchFilter => "watch: filter",
            Promise::WatchOrdered => "watch: ordered",
            Promise::WatchUnique => "watch: unique",
            Promise::WatchAtomic => "watch: atomic",
            Promise::WatchBookmarkable => "watch: bookmarkable",
            Promise::WatchResumable => "watch: resumable",
            Promise::WatchReliable => "watch: reliable",
            Promise::WatchIsCreate => "watch: is_create",
            Promise::WatchPrevKv => "watch: prev_kv",
            Promise::Leases => "leases",
            Promise::Compaction => "compaction",
            Promise::Locks => "locks",
        }
    }
}

/// Findings on their way: bounded for each promise.
#[derive(Debug, Default)]
struct Findings {
    kept: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, promise: Promise, what: impl FnOnce() -> String) {
        let same = self.kept.iter().filter(|finding| finding.promise == promise);
        if same.count() < FINDINGS_MAX {
            let what = what();
            self.kept.push(Finding { promise, what });
        }
    }
}

/// Checks every promise on a history. No finding means that all of them were kept, as far as this history can tell.
pub fn check_all(history: &History, bounds: LeaseBounds) -> Vec<Finding> {
    let mut findings = Findings::default();
    let witness = witness::merge(&history.changes, &mut findings);
    let table = Table::of(&witness);
    revisions::check(history, &witness, &mut findings);
    durable::check(history, &witness, &mut findings);
    let order = linear::check(history, &witness, &table, &mut findings);
    watch::check(history, &witness, &table, &mut findings);
    compaction::check(history, &order, &mut findings);
    leases::check(history, &order, bounds, &mut findings);
    locks::check(history, &mut findings);
    findings.kept
}
