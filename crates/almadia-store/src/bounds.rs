//! Which keys a request means, from etcd's pair of `key` and `range_end`.

/// A key, or the keys of a half-open range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds<'a> {
    pub(crate) start: &'a [u8],
    pub(crate) end: End<'a>,
}

/// Where the keys end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// Only the start itself.
    Only,
    /// Before this key; at or below the start means that there are none.
    Before(&'a [u8]),
    /// Nowhere: every key from the start on.
    Open,
}

impl<'a> Bounds<'a> {
    /// etcd's rule: an empty `range_end` means the key alone, one zero byte means from the key on.
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        let end = match range_end {
            [] => End::Only,
            [0] => End::Open,
            end => End::Before(end),
        };
        Self { start: key, end }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self.end {
            End::Only => key == self.start,
            End::Before(end) => self.start <= key && key < end,
            End::Open => self.start <= key,
        }
    }
}
