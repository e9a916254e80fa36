//! The two kinds of nodes, and all about the inner ones.

use super::Counts;
use super::leaf::Leaf;
use super::separators::Separators;
use super::slots::Slots;
use std::hint::black_box;
use triomphe::Arc;

/// Children of an inner node.
pub(super) const INNER_MAX: usize = 32;

/// A subtree. All leaves are equally deep.
#[derive(Clone)]
pub(super) enum Node {
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
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
            Self::Leaf(leaf) => leaf.counts_before(leaf.len()),
            Self::Inner(inner) => inner.counts_before(inner.len()),
        }
    }

    /// Keys of a leaf, children of an inner node.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.len(),
        }
    }
}

/// Reading what a node refers to before a walk counts it up: counting is an atomic change, and those wait for memory
/// one after the other, while plain reads wait together.
pub(super) trait Touch {
    fn touch(&self);
}

impl Touch for Inner {
    fn touch(&self) {
        let holders = self.children.iter().map(|child| match child {
            Node::Leaf(leaf) => leaf.base_holders(),
            Node::Inner(inner) => Arc::strong_count(inner),
        });
        black_box(holders.fold(0, |all, count| all ^ count));
    }
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
