//! Which keys hang on which lease: sets that clone in O(1) and change in O(log n), at 100,000 keys on one lease too.
//!
//! Keys are copied here. To share a record's bytes would keep its value alive after the key is put again, or cost a
//! change here for each such put.

use almadia_command::LeaseId;
use imbl::{OrdMap, OrdSet};
use std::borrow::Borrow;
use std::fmt;
use triomphe::ThinArc;

/// The keys of every lease that has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    keys: OrdMap<LeaseId, HeldKeys>,
}

/// The keys of one lease, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldKeys {
    keys: OrdSet<Key>,
}

impl Held {
    pub(super) fn attach(&mut self, key: &[u8], lease: LeaseId) {
        let keys = self.keys.entry(lease).or_default();
        keys.keys.insert(Key::of(key));
    }

    pub(super) fn detach(&mut self, key: &[u8], lease: LeaseId) {
        let Some(keys) = self.keys.get_mut(&lease) else {
            return;
        };
        keys.keys.remove(key);
        if keys.keys.is_empty() {
            self.keys.remove(&lease);
        }
    }

    pub(super) fn keys(&self, lease: LeaseId) -> impl Iterator<Item = &[u8]> {
        self.keys.get(&lease).into_iter().flat_map(HeldKeys::iter)
    }

    pub(super) fn take(&mut self, lease: LeaseId) -> HeldKeys {
        self.keys.remove(&lease).unwrap_or_default()
    }
}

impl HeldKeys {
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(Key::bytes)
    }
}

/// A key's bytes, one pointer wide.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key(ThinArc<(), u8>);

impl Key {
    fn of(key: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice((), key))
    }

    fn bytes(&self) -> &[u8] {
        &self.0.slice
    }
}

/// Equal and ordered as its bytes are: the header is the same for all.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}
