//! Walking entries in key order, or against it, finding each only when it is asked for.

use super::leaf::Leaf;
use super::node::{Inner, Node, Touch};
use super::{EntryRef, Span};

/// A place in the tree: the way down, and a slot in a leaf.
#[derive(Clone)]
struct Place<'a> {
    /// Each inner node on the way with the child that was taken, from the root on.
    way: Vec<(&'a Inner, usize)>,
    leaf: &'a Leaf,
    slot: usize,
    /// Older versions will be asked for.
    looks_back: bool,
}

impl<'a> Place<'a> {
    /// The entry at `position`, which exists.
    fn select(root: &'a Node, mut position: u64, looks_back: bool) -> Self {
        let mut way = Vec::new();
        let mut node = root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    return Self {
                        way,
                        leaf,
                        slot: position as usize,
                        looks_back,
                    };
                }
                Node::Inner(inner) => {
                    let (child, within) = inner.child_at(position);
                    way.push((inner, child));
                    position = within;
                    node = inner.child(child);
                }
            }
        }
    }

    fn entry(&self) -> EntryRef<'a> {
        self.leaf.entry(self.slot)
    }

    /// Goes to the first slot of the next leaf, if there is one.
    fn next_leaf(&mut self) {
        while let Some((inner, child)) = self.way.pop() {
            if child + 1 < inner.len() {
                self.way.push((inner, child + 1));
                self.descend(inner.child(child + 1), |_| 0);
                self.slot = 0;
                self.touch_leaf();
                return;
            }
        }
    }

    /// Goes to the last slot of the leaf before, if there is one.
    fn previous_leaf(&mut self) {
        while let Some((inner, child)) = self.way.pop() {
            if child > 0 {
                self.way.push((inner, child - 1));
                self.descend(inner.child(child - 1), |inner| inner.len() - 1);
                self.slot = self.leaf.len() - 1;
                self.touch_leaf();
                return;
            }
        }
    }

    fn touch_leaf(&self) {
        self.leaf.touch();
        if self.looks_back {
            self.leaf.touch_history();
        }
    }

    fn descend(&mut self, mut node: &'a Node, which: impl Fn(&Inner) -> usize) {
        loop {
            match node {
                Node::Leaf(leaf) => {
                    self.leaf = leaf;
                    return;
                }
                Node::Inner(inner) => {
                    inner.touch();
                    let child = which(inner);
                    self.way.push((inner, child));
                    node = inner.child(child);
                }
            }
        }
    }
}

/// Entries in key order.
pub(crate) struct Forward<'a> {
    /// `None` when there is nothing to walk. Stands at the entry to give next, or one past the end of its leaf.
    place: Option<Place<'a>>,
    left: u64,
}

impl<'a> Forward<'a> {
    pub(super) fn new(root: &'a Node, span: Span, looks_back: bool) -> Self {
        let left = span.inside.entries;
        Self {
            place: (left > 0).then(|| Place::select(root, span.first, looks_back)),
            left,
        }
    }
}

impl<'a> Iterator for Forward<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<EntryRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place.as_mut()?;
        if place.slot == place.leaf.len() {
            place.next_leaf();
        }
        let entry = place.entry();
        place.slot += 1;
        Some(entry)
    }
}

/// Entries against key order.
pub(crate) struct Backward<'a> {
    /// `None` when there is nothing to walk. Stands at the entry to give next.
    place: Option<Place<'a>>,
    left: u64,
}

impl<'a> Backward<'a> {
    pub(super) fn new(root: &'a Node, span: Span, looks_back: bool) -> Self {
        let left = span.inside.entries;
        Self {
            place: (left > 0).then(|| Place::select(root, span.first + left - 1, looks_back)),
            left,
        }
    }
}

impl<'a> Iterator for Backward<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<EntryRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place.as_mut()?;
        let entry = place.entry();
        match place.slot.checked_sub(1) {
            Some(slot) => place.slot = slot,
            None => place.previous_leaf(),
        }
        Some(entry)
    }
}
