//! Which keys a watcher follows, kept on its own.

use crate::bounds::{Bounds, End};
use bytes::Bytes;

/// A key or a range of keys, as requests name them: an empty `range_end` means the key alone, one zero byte means from
/// the key on, anything else is the first key that does not belong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    key: Bytes,
    range_end: Bytes,
}

impl KeyRange {
    /// Copies the two: a watcher lives long, and must not keep the request it came with in memory.
    pub fn new(key: &[u8], range_end: &[u8]) -> Self {
        Self {
            key: Bytes::copy_from_slice(key),
            range_end: Bytes::copy_from_slice(range_end),
        }
    }

    /// The first key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The end, as in requests.
    pub fn range_end(&self) -> &[u8] {
        &self.range_end
    }

    /// Whether no key can ever belong.
    pub fn is_empty(&self) -> bool {
        matches!(self.bounds().end, End::Before(end) if end <= self.key())
    }

    pub(crate) fn bounds(&self) -> Bounds<'_> {
        Bounds::new(&self.key, &self.range_end)
    }
}
