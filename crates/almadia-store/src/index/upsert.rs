//! Adding a version.

use super::leaf::{LEAF_MAX, Leaf};
use super::node::{INNER_MAX, Inner, Node};
use super::separators::between;
use super::{Counts, Index};
use crate::record::Record;
use triomphe::Arc;

/// What adding a version did.
pub(crate) struct Upserted {
    /// The new version.
    pub(crate) record: Record,
    /// The version that was the newest before, a tombstone perhaps.
    pub(crate) previous: Option<Record>,
}

/// The right part of a node that was full, and the key that separates it from the left one.
type Split = Option<(Vec<u8>, Node)>;

impl Index {
    /// Makes a new newest version of `key` out of the present one. `make` must give a record of that key.
    pub(crate) fn upsert(&mut self, key: &[u8], make: impl FnOnce(Option<&Record>) -> Record) -> Upserted {
        let (done, split) = upsert(&mut self.root, key, make);
        self.total = self.total + entries_after(&done) - entries_before(&done);
        if let Some((separator, right)) = split {
            let mut root = Inner::of(self.root.clone());
            root.push(&separator, right);
            self.root = Node::Inner(Arc::new(root));
        }
        done
    }
}

fn entries_before(done: &Upserted) -> Counts {
    let live = done
        .previous
        .as_ref()
        .is_some_and(|previous| !previous.is_tombstone());
    Counts {
        entries: u64::from(done.previous.is_some()),
        live: u64::from(live),
    }
}

fn entries_after(done: &Upserted) -> Counts {
    Counts {
        entries: 1,
        live: u64::from(!done.record.is_tombstone()),
    }
}

fn upsert(node: &mut Node, key: &[u8], make: impl FnOnce(Option<&Record>) -> Record) -> (Upserted, Split) {
    let inner = match node {
        Node::Leaf(leaf) => return upsert_in_leaf(Arc::make_mut(leaf), key, make),
        Node::Inner(inner) => Arc::make_mut(inner),
    };
    let at = inner.child_of(key);
    let (done, split) = upsert(inner.child_mut(at), key, make);
    let Some((separator, right)) = split else {
        inner.set_counts(
            at,
            inner.counts_of(at) + entries_after(&done) - entries_before(&done),
        );
        return (done, None);
    };
    inner.set_counts(at, inner.child(at).counts());
    if !inner.is_full() {
        inner.insert_after(at, &separator, right);
        return (done, None);
    }
    let split = split_inner(inner, at, &separator, right);
    (done, Some(split))
}

fn upsert_in_leaf(
    leaf: &mut Leaf,
    key: &[u8],
    make: impl FnOnce(Option<&Record>) -> Record,
) -> (Upserted, Split) {
    let slot = match leaf.find(key) {
        Ok(slot) => {
            let previous = leaf.newest(slot).clone();
            let record = make(Some(&previous));
            assert_eq!(record.key(), key, "a version is added to its own key");
            leaf.supersede(slot, record.clone());
            return (
                Upserted {
                    record,
                    previous: Some(previous),
                },
                None,
            );
        }
        Err(slot) => slot,
    };
    let record = make(None);
    assert_eq!(record.key(), key, "a version is added to its own key");
    let done = Upserted {
        record: record.clone(),
        previous: None,
    };
    if !leaf.is_full() {
        leaf.insert(slot, record, None);
        return (done, None);
    }
    (done, Some(split_leaf(leaf, slot, record)))
}

/// Keys that come in order would leave every leaf half full behind them: an insertion at the very end keeps the
/// left part whole.
fn split_point(at: usize, max: usize) -> usize {
    if at == max { max } else { max / 2 }
}

fn split_leaf(leaf: &mut Leaf, slot: usize, record: Record) -> (Vec<u8>, Node) {
    let at = split_point(slot, LEAF_MAX);
    let mut right = leaf.split_off(at);
    if slot >= at {
        right.insert(slot - at, record, None);
    } else {
        leaf.insert(slot, record, None);
    }
    let separator = between(leaf.key(leaf.len() - 1), right.key(0)).to_vec();
    (separator, Node::Leaf(Arc::new(right)))
}

/// Splits a full inner node in two and adds `right` after the child at `at`.
fn split_inner(inner: &mut Inner, at: usize, separator: &[u8], right: Node) -> (Vec<u8>, Node) {
    let middle = split_point(at + 1, INNER_MAX);
    if middle == INNER_MAX {
        return (separator.to_vec(), Node::Inner(Arc::new(Inner::of(right))));
    }
    let (between, mut split) = inner.split_off(middle);
    if at >= middle {
        split.insert_after(at - middle, separator, right);
    } else {
        inner.insert_after(at, separator, right);
    }
    (between, Node::Inner(Arc::new(split)))
}
