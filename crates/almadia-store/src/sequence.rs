//! A persistent sequence of records: the revision log, and the history of a key that is written often.
//!
//! A tree of fixed fan-out over ever-growing positions. Cloning costs O(1); appending and dropping from the front
//! cost O(log n) and copy a path only when a clone still holds it. It never looks into the records.

use crate::record::Record;
use triomphe::Arc;

const BITS: u32 = 5;
const FAN_OUT: usize = 1 << BITS;

/// Records at the positions `start..end`. Positions are given once: dropping from the front does not renumber.
#[derive(Clone, Default)]
pub(crate) struct Sequence {
    root: Option<Node>,
    /// How far a position is shifted to find its child in the root.
    shift: u32,
    start: u64,
    end: u64,
}

#[derive(Clone)]
enum Node {
    Inner(Arc<[Option<Node>; FAN_OUT]>),
    Chunk(Arc<[Option<Record>; FAN_OUT]>),
}

impl Node {
    /// A node with nothing in it whose children are found by `shift`.
    fn empty(shift: u32) -> Self {
        if shift == 0 {
            return Self::Chunk(Arc::new([const { None }; FAN_OUT]));
        }
        Self::Inner(Arc::new([const { None }; FAN_OUT]))
    }
}

fn slot(position: u64, shift: u32) -> usize {
    (position >> shift) as usize % FAN_OUT
}

impl Sequence {
    /// The position of the first record that is still held, or `end` when there is none.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The position the next record will get.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many records are held.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// The record at `position`, if it is held.
    pub(crate) fn get(&self, position: u64) -> Option<&Record> {
        self.chunk(position)?[slot(position, 0)].as_ref()
    }

    fn chunk(&self, position: u64) -> Option<&[Option<Record>; FAN_OUT]> {
        if position < self.start || position >= self.end {
            return None;
        }
        let mut node = self.root.as_ref()?;
        let mut shift = self.shift;
        loop {
            match node {
                Node::Chunk(records) => return Some(records),
                Node::Inner(children) => {
                    node = children[slot(position, shift)].as_ref()?;
                    shift -= BITS;
                }
            }
        }
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, record: Record) {
        let position = self.end;
        self.end += 1;
        let shift = self.shift;
        let root = self.root.get_or_insert_with(|| Node::empty(shift));
        if position >> self.shift >= FAN_OUT as u64 {
            let mut children = [const { None }; FAN_OUT];
            children[0] = Some(root.clone());
            *root = Node::Inner(Arc::new(children));
            self.shift += BITS;
        }
        let mut node = root;
        let mut shift = self.shift;
        loop {
            match node {
                Node::Chunk(records) => {
                    Arc::make_mut(records)[slot(position, 0)] = Some(record);
                    return;
                }
                Node::Inner(children) => {
                    let child = &mut Arc::make_mut(children)[slot(position, shift)];
                    shift -= BITS;
                    node = child.get_or_insert_with(|| Node::empty(shift));
                }
            }
        }
    }

    /// Removes the first record.
    pub(crate) fn pop_front(&mut self) -> Option<Record> {
        if self.start == self.end {
            return None;
        }
        let position = self.start;
        self.start += 1;
        let root = self
            .root
            .as_mut()
            .expect("a sequence that is not empty has a root");
        let record = take(root, position, self.shift);
        if self.start == self.end {
            // Nothing is held: start again with a short tree, at the same positions.
            self.root = None;
        }
        Some(record)
    }

    /// The records from `from` on (or from the first one held), in order.
    pub(crate) fn iter_from(&self, from: u64) -> Iter<'_> {
        Iter {
            sequence: self,
            position: from.max(self.start),
            chunk: None,
        }
    }

    /// The first position whose record does not satisfy `before`, given that those that do come first.
    pub(crate) fn partition_point(&self, before: impl Fn(&Record) -> bool) -> u64 {
        let (mut low, mut high) = (self.start, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let record = self
                .get(middle)
                .expect("every position between start and end is held");
            if before(record) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Takes the record at `position` out, and with it every chunk that it was the last of.
fn take(node: &mut Node, position: u64, shift: u32) -> Record {
    match node {
        Node::Chunk(records) => Arc::make_mut(records)[slot(position, 0)]
            .take()
            .expect("the first position is held"),
        Node::Inner(children) => {
            let child = &mut Arc::make_mut(children)[slot(position, shift)];
            let below = child.as_mut().expect("the first position is held");
            let record = take(below, position, shift - BITS);
            if (position + 1).is_multiple_of(1 << shift) {
                *child = None;
            }
            record
        }
    }
}

/// Records in order, found chunk by chunk.
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    sequence: &'a Sequence,
    position: u64,
    chunk: Option<&'a [Option<Record>; FAN_OUT]>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Record;

    fn next(&mut self) -> Option<&'a Record> {
        if self.position >= self.sequence.end {
            return None;
        }
        if self.chunk.is_none() || slot(self.position, 0) == 0 {
            self.chunk = self.sequence.chunk(self.position);
        }
        let record = self.chunk?[slot(self.position, 0)].as_ref();
        self.position += 1;
        record
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.sequence.end - self.position.min(self.sequence.end)) as usize;
        (left, Some(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordParts;
    use almadia_command::{LeaseId, Revision};
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn record(number: i64) -> Record {
        Record::from_parts(RecordParts {
            main: Revision(number),
            sub: 0,
            create_revision: Revision(number),
            version: 1,
            lease: LeaseId(0),
            tombstone: false,
            key: b"k",
            value: b"",
        })
    }

    fn numbers(sequence: &Sequence) -> Vec<i64> {
        sequence
            .iter_from(0)
            .map(|record| record.mod_revision().0)
            .collect()
    }

    proptest! {
        /// Appends and drops in any order agree with a deque, clones keep what they saw, and every way to read
        /// gives the same.
        #[test]
        fn agrees_with_a_deque(steps in proptest::collection::vec((1usize..2200, 0usize..2200, any::<bool>()), 1..8)) {
            let (mut sequence, mut model) = (Sequence::default(), VecDeque::new());
            let mut kept: Vec<(Sequence, Vec<i64>)> = Vec::new();
            let mut next = 1;
            for (pushes, pops, keep) in steps {
                for _ in 0..pushes {
                    sequence.push(record(next));
                    model.push_back(next);
                    next += 1;
                }
                if keep {
                    kept.push((sequence.clone(), model.iter().copied().collect()));
                }
                for _ in 0..pops {
                    prop_assert_eq!(sequence.pop_front().map(|record| record.mod_revision().0), model.pop_front());
                }
                prop_assert_eq!(sequence.len() as usize, model.len());
                prop_assert_eq!(numbers(&sequence), model.iter().copied().collect::<Vec<_>>());
                let middle = model.get(model.len() / 2).copied().unwrap_or(0);
                let found = sequence.partition_point(|record| record.mod_revision().0 < middle);
                let at = sequence.get(found).map_or(0, |record| record.mod_revision().0);
                prop_assert_eq!(at, middle);
                prop_assert!(sequence.get(sequence.start().wrapping_sub(1)).is_none());
                prop_assert!(sequence.get(sequence.end()).is_none());
            }
            for (clone, expected) in kept {
                prop_assert_eq!(numbers(&clone), expected);
            }
        }
    }

    /// What was dropped from the front is released at once, not when its whole chunk has gone.
    #[test]
    fn a_dropped_record_is_released() {
        let mut sequence = Sequence::default();
        for number in 1..40 {
            sequence.push(record(number));
        }
        let first = sequence.pop_front().unwrap();
        assert_eq!(first.holders(), 1);
        let second = sequence.get(1).unwrap().clone();
        assert_eq!(second.holders(), 2);
    }
}
