//! A leaf: a few keys with all their versions, in two parts, so that a put copies little.
//!
//! The base holds every key. It is shared: copying a leaf that a view still holds does not touch it, nor any of its
//! records. The versions that came since the base was made stand beside it, a handful at most; then the base is made
//! anew. Whatever else changes a leaf (a new key, what a compaction drops) makes the base anew at once.

use super::heads::Heads;
use super::node::Touch;
use super::slots::Slots;
use super::{Counts, EntryRef};
use crate::history::History;
use crate::record::Record;
use std::hint::black_box;
use triomphe::Arc;

/// Keys of a leaf.
pub(super) const LEAF_MAX: usize = 32;

/// Versions beside the base at most. Making the base anew costs a count up and down for each of its records and
/// histories, a put in between one for each version here: they are about the same at this number. Their slots fit into
/// one word.
const FRESH_MAX: usize = 8;

/// No key's slot, in each byte.
const NO_SLOTS: u64 = u64::MAX;

/// Keys in ascending order. Empty only as the root of an empty index.
#[derive(Clone)]
pub(super) struct Leaf {
    base: Arc<Base>,
    /// Bit `i` says that the newest version of key `i` is not a tombstone.
    live: u64,
    /// Versions that came since the base was made, in order.
    fresh: Slots<Record, FRESH_MAX>,
    /// Whose versions these are: byte `i` is the slot of the fresh version `i`.
    slots: u64,
}

/// The keys as they were when the base was made.
#[derive(Clone)]
struct Base {
    /// The newest version of each key.
    newest: Slots<Record, LEAF_MAX>,
    /// The versions before it; the whole row is missing when no key has any.
    older: Vec<Option<Arc<History>>>,
    heads: Heads<LEAF_MAX>,
}

impl Touch for Leaf {
    fn touch(&self) {
        let records = self.base.newest.iter().chain(self.fresh.iter());
        let revisions = records.map(|record| record.mod_revision().0);
        black_box(revisions.fold(0, |all, revision| all ^ revision));
    }
}

impl Leaf {
    pub(super) fn empty() -> Self {
        let base = Base {
            newest: Slots::new(),
            older: Vec::new(),
            heads: Heads::new(),
        };
        Self {
            base: Arc::new(base),
            live: 0,
            fresh: Slots::new(),
            slots: NO_SLOTS,
        }
    }

    /// How many leaves share the base.
    pub(super) fn base_holders(&self) -> usize {
        Arc::strong_count(&self.base)
    }

    /// Reads what a walk that asks for older versions will need, level by level: reads of one level wait together.
    pub(super) fn touch_history(&self) {
        let histories = || self.base.older.iter().flatten();
        black_box(histories().fold(0, |all, history| all ^ history.len()));
        black_box(histories().fold(0, |all, history| all ^ history.touch()));
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.base.newest.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.base.newest.is_full()
    }

    /// The slot of `key`, or the one at which it would have to stand.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let base = &*self.base;
        base.heads.find(key, base.newest.len(), |slot| base.key(slot))
    }

    pub(super) fn key(&self, slot: usize) -> &[u8] {
        self.base.key(slot)
    }

    /// The newest version of a key.
    pub(super) fn newest(&self, slot: usize) -> &Record {
        self.fresh_of(slot)
            .next()
            .unwrap_or_else(|| self.base.newest.get(slot))
    }

    pub(super) fn entry(&self, slot: usize) -> EntryRef<'_> {
        EntryRef {
            newest: self.newest(slot),
            leaf: self,
            slot,
        }
    }

    /// The versions of a key that newer ones have superseded since the base was made, newest first.
    pub(super) fn superseded(&self, slot: usize) -> impl Iterator<Item = &Record> {
        let mut fresh = self.fresh_of(slot);
        let base = fresh.next().map(|_| self.base.newest.get(slot));
        fresh.chain(base)
    }

    /// The versions before those.
    pub(super) fn history(&self, slot: usize) -> Option<&History> {
        self.base.older.get(slot)?.as_deref()
    }

    /// The fresh versions of a key, newest first.
    fn fresh_of(&self, slot: usize) -> impl Iterator<Item = &Record> {
        let mut places = self.places_of(slot);
        std::iter::from_fn(move || {
            let last = places.checked_ilog2()?;
            places ^= 1 << last;
            Some(self.fresh.get(last as usize / 8))
        })
    }

    /// Whether there is a fresh version of a key.
    pub(super) fn is_changed(&self, slot: usize) -> bool {
        self.places_of(slot) != 0
    }

    /// Bit `8 * i + 7` says that the fresh version `i` is of this key. Without a loop: walks ask for each key.
    fn places_of(&self, slot: usize) -> u64 {
        const ONES: u64 = u64::MAX / 0xff;
        const HIGHEST: u64 = 0x80 * ONES;
        let differences = self.slots ^ (slot as u64 * ONES);
        // A byte is zero exactly where neither its low bits carry into the highest nor that one is set.
        !((differences & !HIGHEST).wrapping_add(!HIGHEST) | differences) & HIGHEST
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

    /// Puts a newer version over the newest one.
    pub(super) fn supersede(&mut self, slot: usize, record: Record) {
        self.set_live(slot, !record.is_tombstone());
        if self.fresh.is_full() {
            self.renew();
        }
        let place = 8 * self.fresh.len();
        self.slots = self.slots & !(0xff << place) | (slot as u64) << place;
        self.fresh.push(record);
    }

    /// Makes the base anew, with the fresh versions in it.
    fn renew(&mut self) -> &mut Base {
        let base = Arc::make_mut(&mut self.base);
        let fresh = std::mem::replace(&mut self.fresh, Slots::new());
        for (slot, record) in self.slots.to_le_bytes().into_iter().zip(fresh) {
            base.supersede(usize::from(slot), record);
        }
        self.slots = NO_SLOTS;
        base
    }

    pub(super) fn insert(&mut self, slot: usize, record: Record, older: Option<Arc<History>>) {
        let low = self.live & below(slot);
        self.live = low | ((self.live & !below(slot)) << 1);
        self.set_live(slot, !record.is_tombstone());
        self.renew().insert(slot, record, older);
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.renew().remove(slot);
        self.live = self.live & below(slot) | ((self.live >> 1) & !below(slot));
    }

    /// Changes all versions of a key but the newest.
    pub(super) fn with_older(&mut self, slot: usize, change: impl FnOnce(&mut History)) {
        self.renew().with_older(slot, change);
    }

    pub(super) fn split_off(&mut self, slot: usize) -> Self {
        let right = self.renew().split_off(slot);
        let right = Self {
            base: Arc::new(right),
            live: self.live >> slot,
            ..Self::empty()
        };
        self.live &= below(slot);
        right
    }

    pub(super) fn append(&mut self, mut right: Self) {
        right.renew();
        for slot in 0..right.len() {
            let older = right.base.older.get(slot).cloned().flatten();
            self.insert(self.len(), right.newest(slot).clone(), older);
        }
    }
}

impl Base {
    fn key(&self, slot: usize) -> &[u8] {
        self.newest.get(slot).key()
    }

    fn supersede(&mut self, slot: usize, record: Record) {
        let previous = self.newest.replace(slot, record);
        if self.older.is_empty() {
            self.older.resize(self.newest.len(), None);
        }
        match &mut self.older[slot] {
            Some(history) => Arc::make_mut(history).push(previous),
            none => *none = Some(Arc::new(History::of(previous))),
        }
    }

    fn insert(&mut self, slot: usize, record: Record, older: Option<Arc<History>>) {
        if older.is_some() && self.older.is_empty() {
            self.older.resize(self.newest.len(), None);
        }
        self.newest.insert(slot, record);
        let newest = &self.newest;
        self.heads
            .insert(slot, newest.len(), |slot| newest.get(slot).key());
        if older.is_some() || !self.older.is_empty() {
            self.older.insert(slot, older);
        }
    }

    fn remove(&mut self, slot: usize) {
        self.heads.remove(slot, self.newest.len());
        self.newest.remove(slot);
        if !self.older.is_empty() {
            self.older.remove(slot);
        }
    }

    /// A row without any older version is given up.
    fn with_older(&mut self, slot: usize, change: impl FnOnce(&mut History)) {
        let Some(place) = self.older.get_mut(slot) else {
            return;
        };
        let Some(history) = place.as_mut().map(Arc::make_mut) else {
            return;
        };
        change(history);
        if history.is_empty() {
            *place = None;
            if self.older.iter().all(Option::is_none) {
                self.older = Vec::new();
            }
        }
    }

    fn split_off(&mut self, slot: usize) -> Self {
        let older = if self.older.is_empty() {
            Vec::new()
        } else {
            self.older.split_off(slot)
        };
        let newest = self.newest.split_off(slot);
        let heads = Heads::of(newest.len(), |slot| newest.get(slot).key());
        self.heads = Heads::of(slot, |slot| self.newest.get(slot).key());
        Self { newest, older, heads }
    }
}

/// The bits below `slot`. A leaf holds fewer keys than a word has bits.
fn below(slot: usize) -> u64 {
    const { assert!(LEAF_MAX < 64) };
    (1 << slot) - 1
}
