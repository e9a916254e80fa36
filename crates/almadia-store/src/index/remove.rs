//! Dropping the versions that a compaction has made unreadable.

use super::leaf::{LEAF_MAX, Leaf};
use super::node::{INNER_MAX, Inner, Node};
use super::{Counts, Index};
use crate::record::Record;
use triomphe::Arc;

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Versions, tombstones included.
    pub(crate) records: u64,
    /// Their encoded bytes.
    pub(crate) bytes: u64,
    /// Whether the key went with its last version. It was not live.
    pub(crate) entry: bool,
}

impl Dropped {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        self.bytes += record.encoded().len() as u64;
    }
}

impl Index {
    /// Drops what nobody can read once reads below `record` are refused: the versions of its key that are older
    /// than it, and itself when it is a tombstone. Does nothing when there is nothing to drop.
    pub(crate) fn settle(&mut self, record: &Record) -> Dropped {
        if !self.has_to_settle(record) {
            return Dropped::default();
        }
        let dropped = settle(&mut self.root, record);
        self.total.entries -= u64::from(dropped.entry);
        loop {
            let only = match &self.root {
                Node::Inner(inner) if inner.len() == 0 => Node::Leaf(Arc::new(Leaf::empty())),
                Node::Inner(inner) if inner.len() == 1 => inner.child(0).clone(),
                _ => return dropped,
            };
            self.root = only;
        }
    }

    /// Looks first, so that a key without garbage does not get its path copied.
    fn has_to_settle(&self, record: &Record) -> bool {
        let Some(entry) = self.get(record.key()) else {
            return false;
        };
        let oldest = entry.oldest();
        oldest.position() < record.position()
            || (record.is_tombstone() && oldest.position() == record.position())
    }
}

fn settle(node: &mut Node, record: &Record) -> Dropped {
    let inner = match node {
        Node::Leaf(leaf) => return settle_in_leaf(Arc::make_mut(leaf), record),
        Node::Inner(inner) => Arc::make_mut(inner),
    };
    let at = inner.child_of(record.key());
    let dropped = settle(inner.child_mut(at), record);
    if dropped.entry {
        let gone = Counts { entries: 1, live: 0 };
        inner.set_counts(at, inner.counts_of(at) - gone);
        merge_if_small(inner, at);
    }
    dropped
}

fn settle_in_leaf(leaf: &mut Leaf, record: &Record) -> Dropped {
    let mut dropped = Dropped::default();
    let Ok(slot) = leaf.find(record.key()) else {
        return dropped;
    };
    let goes = |oldest: &Record| {
        oldest.position() < record.position()
            || (record.is_tombstone() && oldest.position() == record.position())
    };
    leaf.with_older(slot, |history| {
        while let Some(oldest) = history.oldest().filter(|oldest| goes(oldest)) {
            dropped.add(oldest);
            history.drop_oldest();
        }
    });
    // The newest version stays unless it is the tombstone that has just become the last word on its key.
    let newest = leaf.newest(slot);
    if leaf.history(slot).is_none() && goes(newest) {
        assert!(
            newest.is_tombstone(),
            "the newest version of a live key is never dropped"
        );
        dropped.add(newest);
        dropped.entry = true;
        leaf.remove(slot);
    }
    dropped
}

/// Joins a child that has become small with a neighbour when both fit into one node, so that what deletions leave
/// behind does not stay spread over many nodes.
fn merge_if_small(inner: &mut Inner, at: usize) {
    let small = match inner.child(at) {
        Node::Leaf(_) => LEAF_MAX / 4,
        Node::Inner(_) => INNER_MAX / 4,
    };
    if inner.child(at).len() > small {
        return;
    }
    if inner.child(at).len() == 0 {
        inner.remove(at);
        return;
    }
    let fits = |left: usize| match (inner.child(left), inner.child(left + 1)) {
        (Node::Leaf(left), Node::Leaf(right)) => left.len() + right.len() <= LEAF_MAX,
        (Node::Inner(left), Node::Inner(right)) => left.len() + right.len() <= INNER_MAX,
        _ => unreachable!("all leaves are equally deep"),
    };
    if at + 1 < inner.len() && fits(at) {
        merge(inner, at);
    } else if at > 0 && fits(at - 1) {
        merge(inner, at - 1);
    }
}

/// Joins the children at `at` and `at + 1`.
fn merge(inner: &mut Inner, at: usize) {
    let counts = inner.counts_of(at) + inner.counts_of(at + 1);
    let (right, separator) = inner.remove(at + 1);
    match (inner.child_mut(at), &right) {
        (Node::Leaf(left), Node::Leaf(right)) => Arc::make_mut(left).append(Leaf::clone(right)),
        (Node::Inner(left), Node::Inner(right)) => Arc::make_mut(left).append(&separator, right),
        _ => unreachable!("all leaves are equally deep"),
    }
    inner.set_counts(at, counts);
}
