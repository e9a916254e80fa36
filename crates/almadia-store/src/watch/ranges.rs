//! Which watched ranges a key belongs to, without looking at the others: single keys in a map, ranges in a balanced
//! tree whose nodes know how far the ranges below them reach.
//!
//! It holds numbers and never looks behind them. Its depth is bounded by the number of ranges' logarithm, whatever keys
//! clients choose.

use super::key_range::KeyRange;
use crate::bounds::{Bounds, End};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Ranges with a number each.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    singles: BTreeMap<Vec<u8>, usize>,
    root: Link,
}

type Link = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    range: KeyRange,
    group: usize,
    /// The range below this node, itself included, that ends last.
    farthest: KeyRange,
    height: u8,
    left: Link,
    right: Link,
}

impl Ranges {
    /// The number of exactly this range.
    pub(super) fn get(&self, range: &KeyRange) -> Option<usize> {
        if range.bounds().end == End::Only {
            return self.singles.get(range.key()).copied();
        }
        let mut next = self.root.as_deref();
        while let Some(node) = next {
            next = match range.cmp(&node.range) {
                Ordering::Less => node.left.as_deref(),
                Ordering::Greater => node.right.as_deref(),
                Ordering::Equal => return Some(node.group),
            };
        }
        None
    }

    /// Adds a range that is not there yet.
    pub(super) fn insert(&mut self, range: &KeyRange, group: usize) {
        if range.bounds().end == End::Only {
            self.singles.insert(range.key().to_vec(), group);
            return;
        }
        self.root = Some(insert(self.root.take(), range, group));
    }

    /// Removes a range.
    pub(super) fn remove(&mut self, range: &KeyRange) {
        if range.bounds().end == End::Only {
            self.singles.remove(range.key());
            return;
        }
        self.root = remove(self.root.take(), range);
    }

    /// Every range with its number, single keys first, in the order of keys each.
    pub(super) fn each(&self, found: &mut impl FnMut(KeyRange, usize)) {
        for (key, group) in &self.singles {
            found(KeyRange::new(key, b""), *group);
        }
        each(&self.root, found);
    }

    /// Shows the number of every range that `key` belongs to.
    pub(super) fn containing(&self, key: &[u8], found: &mut impl FnMut(usize)) {
        if let Some(group) = self.singles.get(key) {
            found(*group);
        }
        containing(&self.root, key, found);
    }
}

fn each(link: &Link, found: &mut impl FnMut(KeyRange, usize)) {
    let Some(node) = link else { return };
    each(&node.left, found);
    found(node.range.clone(), node.group);
    each(&node.right, found);
}

fn containing(link: &Link, key: &[u8], found: &mut impl FnMut(usize)) {
    let Some(node) = link else { return };
    if !reaches(&node.farthest, key) {
        return;
    }
    containing(&node.left, key, found);
    if node.range.key() <= key {
        if node.range.bounds().contains(key) {
            found(node.group);
        }
        containing(&node.right, key, found);
    }
}

/// Whether a range ends behind `key`.
fn reaches(range: &KeyRange, key: &[u8]) -> bool {
    match range.bounds().end {
        End::Only => key == range.key(),
        End::Before(end) => key < end,
        End::Open => true,
    }
}

fn ends_later(one: &KeyRange, other: &KeyRange) -> bool {
    match (one.bounds(), other.bounds()) {
        (_, Bounds { end: End::Open, .. }) => false,
        (Bounds { end: End::Open, .. }, _) => true,
        (one_bounds, other_bounds) => match (one_bounds.end, other_bounds.end) {
            (End::Before(one_end), End::Before(other_end)) => one_end > other_end,
            _ => unreachable!("single keys are not in the tree"),
        },
    }
}

impl Node {
    fn refresh(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
        let mut farthest = &self.range;
        for below in [&self.left, &self.right].into_iter().flatten() {
            if ends_later(&below.farthest, farthest) {
                farthest = &below.farthest;
            }
        }
        self.farthest = farthest.clone();
    }
}

fn height(link: &Link) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

fn insert(link: Link, range: &KeyRange, group: usize) -> Box<Node> {
    let Some(mut node) = link else {
        return Box::new(Node {
            range: range.clone(),
            group,
            farthest: range.clone(),
            height: 1,
            left: None,
            right: None,
        });
    };
    match range.cmp(&node.range) {
        Ordering::Less => node.left = Some(insert(node.left.take(), range, group)),
        Ordering::Greater => node.right = Some(insert(node.right.take(), range, group)),
        Ordering::Equal => unreachable!("a range is inserted once"),
    }
    balanced(node)
}

fn remove(link: Link, range: &KeyRange) -> Link {
    let mut node = link?;
    match range.cmp(&node.range) {
        Ordering::Less => node.left = remove(node.left.take(), range),
        Ordering::Greater => node.right = remove(node.right.take(), range),
        Ordering::Equal => {
            let (left, right) = (node.left.take(), node.right.take());
            let Some(right) = right else { return left };
            let (rest, mut first) = take_first(right);
            first.left = left;
            first.right = rest;
            node = first;
        }
    }
    Some(balanced(node))
}

fn take_first(mut node: Box<Node>) -> (Link, Box<Node>) {
    let Some(left) = node.left.take() else {
        let right = node.right.take();
        return (right, node);
    };
    let (rest, first) = take_first(left);
    node.left = rest;
    (Some(balanced(node)), first)
}

/// Restores the rule that the heights below a node differ by one at most.
fn balanced(mut node: Box<Node>) -> Box<Node> {
    let (left, right) = (height(&node.left), height(&node.right));
    if left > right + 1 {
        let child = node.left.take().expect("the higher side has a node");
        let child = if height(&child.left) < height(&child.right) {
            lift_right(child)
        } else {
            child
        };
        node.left = Some(child);
        return lift_left(node);
    }
    if right > left + 1 {
        let child = node.right.take().expect("the higher side has a node");
        let child = if height(&child.right) < height(&child.left) {
            lift_left(child)
        } else {
            child
        };
        node.right = Some(child);
        return lift_right(node);
    }
    node.refresh();
    node
}

/// The left child takes the node's place.
fn lift_left(mut node: Box<Node>) -> Box<Node> {
    let mut child = node.left.take().expect("it is lifted because it is there");
    node.left = child.right.take();
    node.refresh();
    child.right = Some(node);
    child.refresh();
    child
}

/// The right child takes the node's place.
fn lift_right(mut node: Box<Node>) -> Box<Node> {
    let mut child = node.right.take().expect("it is lifted because it is there");
    node.right = child.left.take();
    node.refresh();
    child.left = Some(node);
    child.refresh();
    child
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn depth_is_bounded(ranges: &Ranges, count: usize) {
        let max = 2 * (usize::BITS - count.leading_zeros()) + 1;
        assert!(u32::from(height(&ranges.root)) <= max);
    }

    fn small_key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0u8..3, 0..3)
    }

    proptest! {
        /// Whatever comes and goes, a key is found in exactly the ranges that a plain list says.
        #[test]
        fn agrees_with_a_list(steps in proptest::collection::vec((small_key(), small_key(), any::<bool>()), 1..200)) {
            let mut ranges = Ranges::default();
            let mut model: Vec<(KeyRange, usize)> = Vec::new();
            for (number, (key, end, add)) in steps.into_iter().enumerate() {
                let range = KeyRange::new(&key, &end);
                let known = model.iter().position(|(other, _)| *other == range);
                prop_assert_eq!(ranges.get(&range), known.map(|at| model[at].1));
                match (add, known) {
                    (true, None) => {
                        ranges.insert(&range, number);
                        model.push((range, number));
                    }
                    (false, Some(at)) => {
                        ranges.remove(&range);
                        model.swap_remove(at);
                    }
                    _ => {}
                }
                depth_is_bounded(&ranges, model.len());
                for key in [&key[..], &[], &[0], &[1, 2], &[2, 2, 2]] {
                    let mut found = Vec::new();
                    ranges.containing(key, &mut |group| found.push(group));
                    let mut expected: Vec<usize> = model
                        .iter()
                        .filter(|(range, _)| range.bounds().contains(key))
                        .map(|(_, group)| *group)
                        .collect();
                    found.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }

    /// Keys in order are the worst case of a tree that does not balance itself.
    #[test]
    fn keys_in_order_do_not_make_it_deep() {
        let mut ranges = Ranges::default();
        for number in 0..5000u32 {
            ranges.insert(&KeyRange::new(&number.to_be_bytes(), &[255; 5]), number as usize);
        }
        depth_is_bounded(&ranges, 5000);
        let mut found = 0;
        ranges.containing(&[0, 0, 0, 9], &mut |_| found += 1);
        assert_eq!(found, 10);
    }
}
