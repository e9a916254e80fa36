//! Building an index from sorted entries, without searching.

use super::Index;
use super::leaf::{LEAF_MAX, Leaf};
use super::node::{INNER_MAX, Inner, Node};
use super::separators::between;
use crate::history::History;
use crate::record::Record;
use triomphe::Arc;

/// How full nodes are built: some room, so that the first puts after a restart do not split every one of them.
const LEAF_FILL: usize = LEAF_MAX - LEAF_MAX / 8;
const INNER_FILL: usize = INNER_MAX - INNER_MAX / 8;

impl Index {
    /// An index of these entries: each key's newest version and its older ones, in ascending key order.
    pub(crate) fn build(entries: impl Iterator<Item = (Record, Option<History>)>) -> Self {
        let mut level = leaves(entries);
        while level.nodes.len() > 1 {
            level = level.grouped();
        }
        let Some(root) = level.nodes.pop() else {
            return Self::default();
        };
        Self {
            total: root.counts(),
            root,
        }
    }
}

/// Nodes of one depth, with the keys that separate neighbours (one fewer).
#[derive(Default)]
struct Level {
    nodes: Vec<Node>,
    separators: Vec<Vec<u8>>,
}

impl Level {
    fn grouped(self) -> Self {
        let mut above = Self::default();
        let mut separators = self.separators.into_iter();
        let mut nodes = self.nodes.into_iter();
        while let Some(first) = nodes.next() {
            let mut inner = Inner::of(first);
            for child in nodes.by_ref().take(INNER_FILL - 1) {
                let separator = separators.next().expect("neighbours have a separator");
                inner.push(&separator, child);
            }
            above.nodes.push(Node::Inner(Arc::new(inner)));
            above.separators.extend(separators.next());
        }
        above
    }

    fn add_leaf(&mut self, leaf: Leaf) {
        if let Some(Node::Leaf(left)) = self.nodes.last() {
            let last = left.key(left.len() - 1);
            self.separators.push(between(last, leaf.key(0)).to_vec());
        }
        self.nodes.push(Node::Leaf(Arc::new(leaf)));
    }
}

fn leaves(entries: impl Iterator<Item = (Record, Option<History>)>) -> Level {
    let mut level = Level::default();
    let mut leaf = Leaf::empty();
    for (newest, older) in entries {
        if leaf.len() == LEAF_FILL {
            level.add_leaf(std::mem::replace(&mut leaf, Leaf::empty()));
        }
        leaf.insert(leaf.len(), newest, older.map(Arc::new));
    }
    if leaf.len() > 0 {
        level.add_leaf(leaf);
    }
    level
}
