//! The two kinds of nodes, and how a key is found in them.

use super::separators::Separators;
use super::slots::Slots;
use super::{Counts, EntryRef};
use crate::history::History;
use crate::record::Record;
use std::cmp::Ordering;
use std::hint::black_box;
use triomphe::Arc;

/// Keys of a leaf. Copying one costs a count up and down for each record in it: with 16 a scattered overwrite took
/// 5 % less, and a range of 500 a quarter more (measured with the footprint example).
pub(super) const LEAF_MAX: usize = 32;
/// Children of an inner node.
pub(super) const INNER_MAX: usize = 32;

/// A subtree. All leaves are equally deep.
#[derive(Clone)]
pub(super) enum Node {
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
}

/// Keys in ascending order. Empty only as the root of an empty index.
#[derive(Clone)]
pub(super) struct Leaf {
    /// The newest version of each key.
    pub(super) newest: Slots<Record, LEAF_MAX>,
    /// Bit `i` says that the newest version of key `i` is not a tombstone.
    live: u64,
    /// The older versions of each key; the whole row is missing when no key has any.
    older: Vec<Option<Arc<History>>>,
}

/// Children in key order, at least one.
#[derive(Clone)]
pub(super) struct Inner {
    children: Slots<Node, INNER_MAX>,
    /// What each child holds; zero from the number of children on.
    counts: [Counts; INNER_MAX],
    /// One fewer than children.
    separators: Separators,
}

impl Node {
    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::Leaf(leaf) => leaf.counts_before(leaf.newest.len()),
            Self::Inner(inner) => inner.counts_before(inner.len()),
        }
    }

    /// Keys of a leaf, children of an inner node.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.newest.len(),
            Self::Inner(inner) => inner.len(),
        }
    }
}

/// Reading what a node refers to before a walk counts it up: counting is an atomic change, and those wait for memory
/// one after the other, while plain reads wait together.
pub(super) trait Touch {
    fn touch(&self);
}

impl Touch for Leaf {
    fn touch(&self) {
        let revisions = self.newest.iter().map(|record| record.mod_revision().0);
        black_box(revisions.fold(0, |all, revision| all ^ revision));
    }
}

impl Touch for Inner {
    fn touch(&self) {
        let holders = self.children.iter().map(|child| match child {
            Node::Leaf(leaf) => Arc::strong_count(leaf),
            Node::Inner(inner) => Arc::strong_count(inner),
        });
        black_box(holders.fold(0, |all, count| all ^ count));
    }
}

impl Leaf {
    pub(super) fn empty() -> Self {
        Self {
            newest: Slots::new(),
            live: 0,
            older: Vec::new(),
        }
    }

    /// The slot of `key`, or the one at which it would have to stand.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.newest.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.newest.get(middle).key().cmp(key) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub(super) fn entry(&self, slot: usize) -> EntryRef<'_> {
        EntryRef {
            newest: self.newest.get(slot),
            older: self.older(slot),
        }
    }

    pub(super) fn older(&self, slot: usize) -> Option<&History> {
        self.older.get(slot)?.as_deref()
    }

    pub(super) fn counts_before(&self, slot: usize) -> Counts {
        let live = self.live & below(slot);
        Counts {
            entries: slot as u64,
            live: u64::from(live.count_ones()),
        }
    }

    fn set_live(&mut self, slot: usize, live: bool) {
        self.live = self.live & !(1 << slot) | (u64::from(live) << slot);
    }

    /// Puts a newer version over the newest one, which joins the older ones and is returned.
    pub(super) fn supersede(&mut self, slot: usize, record: Record) -> Record {
        self.set_live(slot, !record.is_tombstone());
        let previous = self.newest.replace(slot, record);
        if self.older.is_empty() {
            self.older.resize(self.newest.len(), None);
        }
        match &mut self.older[slot] {
            Some(history) => Arc::make_mut(history).push(previous.clone()),
            none => *none = Some(Arc::new(History::of(previous.clone()))),
        }
        previous
    }

    pub(super) fn insert(&mut self, slot: usize, record: Record, older: Option<Arc<History>>) {
        let low = self.live & below(slot);
        self.live = low | ((self.live & !below(slot)) << 1);
        self.set_live(slot, !record.is_tombstone());
        if older.is_some() && self.older.is_empty() {
            self.older.resize(self.newest.len(), None);
        }
        self.newest.insert(slot, record);
        if older.is_some() || !self.older.is_empty() {
            self.older.insert(slot, older);
        }
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.newest.remove(slot);
        if !self.older.is_empty() {
            self.older.remove(slot);
        }
        self.live = self.live & below(slot) | ((self.live >> 1) & !below(slot));
    }

    /// Changes the older versions of a key. A row without any is given up.
    pub(super) fn with_older<T>(&mut self, slot: usize, change: impl FnOnce(&mut History) -> T) -> Option<T> {
        let place = self.older.get_mut(slot)?;
        let history = Arc::make_mut(place.as_mut()?);
        let result = change(history);
        if history.is_empty() {
            *place = None;
            if self.older.iter().all(Option::is_none) {
                self.older = Vec::new();
            }
        }
        Some(result)
    }

    pub(super) fn split_off(&mut self, slot: usize) -> Self {
        let older = if self.older.is_empty() {
            Vec::new()
        } else {
            self.older.split_off(slot)
        };
        let right = Self {
            newest: self.newest.split_off(slot),
            live: self.live >> slot,
            older,
        };
        self.live &= below(slot);
        right
    }

    pub(super) fn append(&mut self, right: &Self) {
        for slot in 0..right.newest.len() {
            let older = right.older.get(slot).cloned().flatten();
            self.insert(self.newest.len(), right.newest.get(slot).clone(), older);
        }
    }
}

/// The bits below `slot`. A leaf holds fewer keys than a word has bits.
fn below(slot: usize) -> u64 {
    const { assert!(LEAF_MAX < 64) };
    (1 << slot) - 1
}

impl Inner {
    pub(super) fn of(child: Node) -> Self {
        let mut inner = Self {
            children: Slots::new(),
            counts: [Counts::default(); INNER_MAX],
            separators: Separators::default(),
        };
        inner.counts[0] = child.counts();
        inner.children.push(child);
        inner
    }

    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.children.is_full()
    }

    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        self.separators.child_of(key)
    }

    pub(super) fn child(&self, at: usize) -> &Node {
        self.children.get(at)
    }

    /// The key that separates the child at `at` from the next.
    #[cfg(test)]
    pub(super) fn separator(&self, at: usize) -> &[u8] {
        self.separators.get(at)
    }

    /// A child to change. Its counts must be set right afterwards.
    pub(super) fn child_mut(&mut self, at: usize) -> &mut Node {
        self.children.get_mut(at)
    }

    pub(super) fn counts_of(&self, at: usize) -> Counts {
        self.counts[at]
    }

    pub(super) fn set_counts(&mut self, at: usize, counts: Counts) {
        self.counts[at] = counts;
    }

    pub(super) fn counts_before(&self, at: usize) -> Counts {
        self.counts[..at]
            .iter()
            .fold(Counts::default(), |sum, counts| sum + *counts)
    }

    /// The child that holds the entry at `position`, and the entry's position in that child.
    pub(super) fn child_at(&self, mut position: u64) -> (usize, u64) {
        for at in 0..self.len() {
            if position < self.counts[at].entries {
                return (at, position);
            }
            position -= self.counts[at].entries;
        }
        unreachable!("an entry was sought beyond the end of its node")
    }

    /// Adds a child after the child at `at`.
    pub(super) fn insert_after(&mut self, at: usize, separator: &[u8], child: Node) {
        let len = self.len();
        self.counts.copy_within(at + 1..len, at + 2);
        self.counts[at + 1] = child.counts();
        self.children.insert(at + 1, child);
        self.separators.insert(at, separator);
    }

    pub(super) fn push(&mut self, separator: &[u8], child: Node) {
        self.insert_after(self.len() - 1, separator, child);
    }

    /// Takes a child out. With a left neighbour its range goes to that one, else to the right one.
    pub(super) fn remove(&mut self, at: usize) -> (Node, Vec<u8>) {
        let separator = if self.len() == 1 {
            Vec::new()
        } else {
            self.separators.remove(at.saturating_sub(1))
        };
        let len = self.len();
        self.counts.copy_within(at + 1..len, at);
        self.counts[len - 1] = Counts::default();
        (self.children.remove(at), separator)
    }

    /// Takes the children from `at` on out, with the key that separates them from those that stay.
    pub(super) fn split_off(&mut self, at: usize) -> (Vec<u8>, Self) {
        let (middle, separators) = self.separators.split_at(at - 1);
        let children = self.children.split_off(at);
        let mut counts = [Counts::default(); INNER_MAX];
        counts[..children.len()].copy_from_slice(&self.counts[at..at + children.len()]);
        self.counts[at..].fill(Counts::default());
        (
            middle,
            Self {
                children,
                counts,
                separators,
            },
        )
    }

    pub(super) fn append(&mut self, separator: &[u8], right: &Self) {
        let len = self.len();
        self.counts[len..len + right.len()].copy_from_slice(&right.counts[..right.len()]);
        self.children.append(right.children.clone());
        self.separators.append(separator, &right.separators);
    }
}
