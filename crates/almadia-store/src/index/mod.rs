//! The index: every key with its versions, as a persistent (copy-on-write) B+tree that counts.
//!
//! Cloning costs O(1), which is what makes a view. A change copies the nodes on its path, but only those that a
//! clone still holds: within one batch each node is copied once. Inner nodes know how many entries, and how many
//! live keys, each child holds, so that the number of keys in a range costs two walks down. Keys are not stored
//! a second time: a leaf reads them from its records.
//!
//! It never decides which version a reader may see, beyond [`EntryRef::at`].

mod build;
mod cursor;
mod entry;
mod heads;
mod leaf;
mod node;
mod remove;
mod separators;
mod slots;
#[cfg(test)]
mod tests;
mod upsert;

use crate::bounds::{Bounds, End};
use crate::record::Record;
use almadia_command::Revision;
use leaf::Leaf;
use node::Node;
use std::ops::{Add, AddAssign, Sub};
use triomphe::Arc;

pub(crate) use cursor::{Backward, Forward};
pub(crate) use entry::EntryRef;

/// How many there are in some part of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Keys with at least one version, deleted ones included.
    pub(crate) entries: u64,
    /// Keys whose newest version is not a tombstone.
    pub(crate) live: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            live: self.live + other.live,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            entries: self.entries - other.entries,
            live: self.live - other.live,
        }
    }
}

/// A run of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Entries before the run.
    first: u64,
    /// What is in it.
    pub(crate) inside: Counts,
}

/// The tree. See the module.
#[derive(Clone)]
pub(crate) struct Index {
    root: Node,
    total: Counts,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            root: Node::Leaf(Arc::new(Leaf::empty())),
            total: Counts::default(),
        }
    }
}

impl Index {
    /// How much the whole index holds.
    pub(crate) fn total(&self) -> Counts {
        self.total
    }

    /// The versions of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.find(key).ok().map(|slot| leaf.entry(slot)),
                Node::Inner(inner) => node = inner.child(inner.child_of(key)),
            }
        }
    }

    /// How much lies before `key`.
    pub(crate) fn rank(&self, key: &[u8]) -> Counts {
        let mut before = Counts::default();
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let slot = leaf.find(key).unwrap_or_else(|slot| slot);
                    return before + leaf.counts_before(slot);
                }
                Node::Inner(inner) => {
                    let child = inner.child_of(key);
                    before += inner.counts_before(child);
                    node = inner.child(child);
                }
            }
        }
    }

    /// Where the entries within `bounds` stand, and how many they are.
    pub(crate) fn span(&self, bounds: Bounds<'_>) -> Span {
        let first = self.rank(bounds.start);
        let past = match bounds.end {
            End::Only => {
                let newest = self.get(bounds.start).map(|entry| entry.newest);
                let live = newest.is_some_and(|record| !record.is_tombstone());
                first
                    + Counts {
                        entries: u64::from(newest.is_some()),
                        live: u64::from(live),
                    }
            }
            End::Before(end) if end <= bounds.start => first,
            End::Before(end) => self.rank(end),
            End::Open => self.total,
        };
        Span {
            first: first.entries,
            inside: past - first,
        }
    }

    /// The entries of a span of this very index, found one by one, in key order.
    pub(crate) fn forward(&self, span: Span) -> Forward<'_> {
        Forward::new(&self.root, span, false)
    }

    /// The same for a walk that asks for older versions (`looks_back`): they are fetched a leaf at a time.
    pub(crate) fn forward_looking(&self, span: Span, looks_back: bool) -> Forward<'_> {
        Forward::new(&self.root, span, looks_back)
    }

    /// The same from the last to the first.
    pub(crate) fn backward(&self, span: Span) -> Backward<'_> {
        Backward::new(&self.root, span, false)
    }

    /// The versions that a read of `bounds` sees, in key order.
    pub(crate) fn seen(&self, bounds: Bounds<'_>, at: Option<Revision>) -> impl Iterator<Item = &Record> {
        let (one, many) = match bounds.end {
            End::Only => (self.get(bounds.start), None),
            _ => (None, Some(self.forward_looking(self.span(bounds), at.is_some()))),
        };
        one.into_iter()
            .chain(many.into_iter().flatten())
            .filter_map(move |entry| entry.at(at))
    }
}
