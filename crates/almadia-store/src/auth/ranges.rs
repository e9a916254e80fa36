//! Sets of keys as ranges: what a role may read, what it may write.
//!
//! A range stands for the half-open interval that etcd means by it, a single key for the interval up to its successor
//! (the key and one zero byte). So ranges that touch each other are one range, and several together can cover a request
//! that none of them covers alone.

use crate::bounds::{Bounds, End};
use bytes::Bytes;

/// Where an interval ends: before a key, or nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    Before(Bytes),
    Open,
}

impl Until {
    fn of(bounds: Bounds<'_>) -> Self {
        match bounds.end {
            End::Only => {
                let mut successor = Vec::with_capacity(bounds.start.len() + 1);
                successor.extend_from_slice(bounds.start);
                successor.push(0);
                Self::Before(successor.into())
            }
            End::Before(end) => Self::Before(Bytes::copy_from_slice(end)),
            End::Open => Self::Open,
        }
    }

    /// Whether the key lies before the end.
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < end.as_ref(),
            Self::Open => true,
        }
    }
}

/// A set of keys. Its intervals ascend, do not touch each other and are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    intervals: Vec<(Bytes, Until)>,
}

impl Ranges {
    /// The keys of any of these pairs of key and range end. Pairs that mean no key are passed over.
    pub(super) fn of<'a>(pairs: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Self {
        let mut given: Vec<(Bytes, Until)> = pairs
            .map(|(key, range_end)| (key.clone(), Until::of(Bounds::new(key, range_end))))
            .filter(|(start, until)| until.is_after(start))
            .collect();
        given.sort();
        let mut intervals: Vec<(Bytes, Until)> = Vec::with_capacity(given.len());
        for (start, until) in given {
            match intervals.last_mut() {
                // The next one begins within this one or right behind it.
                Some((_, last)) if *last >= Until::Before(start.clone()) => {
                    if until > *last {
                        *last = until;
                    }
                }
                _ => intervals.push((start, until)),
            }
        }
        Self { intervals }
    }

    /// The end of the interval that holds `key`, if any does.
    fn until(&self, key: &[u8]) -> Option<&Until> {
        let after = self.intervals.partition_point(|(start, _)| start.as_ref() <= key);
        let (_, until) = &self.intervals[after.checked_sub(1)?];
        until.is_after(key).then_some(until)
    }
}

/// Whether the keys of `wanted` are all in one or the other of `sets`. The first key must be even if `wanted` is inverted
/// and means no key at all. As in etcd.
pub(super) fn cover<'a>(sets: impl Iterator<Item = &'a Ranges> + Clone, wanted: Bounds<'_>) -> bool {
    let farthest = |key: &[u8]| sets.clone().filter_map(|set| set.until(key)).max();
    let Some(mut reached) = farthest(wanted.start) else {
        return false;
    };
    if wanted.end == End::Only {
        return true;
    }
    // Each step reaches farther than the one before, and there are no more steps than intervals.
    loop {
        let here = match (reached, wanted.end) {
            (Until::Open, _) => return true,
            (Until::Before(here), End::Before(end)) if here.as_ref() >= end => return true,
            (Until::Before(here), _) => here,
        };
        let Some(next) = farthest(here) else {
            return false;
        };
        reached = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(pairs: &[(&'static str, &'static str)]) -> Ranges {
        let pairs: Vec<(Bytes, Bytes)> = pairs
            .iter()
            .map(|(key, end)| {
                (
                    Bytes::from_static(key.as_bytes()),
                    Bytes::from_static(end.as_bytes()),
                )
            })
            .collect();
        Ranges::of(pairs.iter().map(|(key, end)| (key, end)))
    }

    fn check(sets: &[Ranges], key: &str, range_end: &str, expected: bool) {
        let found = cover(sets.iter(), Bounds::new(key.as_bytes(), range_end.as_bytes()));
        assert_eq!(found, expected, "[{key:?}, {range_end:?}) in {sets:?}");
    }

    /// Row B6.4: the union of all ranges decides, within a role and over several.
    #[test]
    fn several_ranges_cover_one() {
        let one = ranges(&[("a", "c"), ("c", "e"), ("g", "")]);
        assert_eq!(one.intervals.len(), 2, "what touches is one");
        let other = ranges(&[("e", "g"), ("g\0", "h")]);
        let both = [one, other];
        check(&both, "a", "h", true);
        check(&both, "a", "h\0", false);
        check(&both, "b", "d", true);
        check(&both[..1], "a", "f", false);
        check(&both[1..], "g", "", false);
        check(&both, "g", "", true);
        check(&both, "a", "\0", false);
        check(&[both[0].clone(), ranges(&[("e", "\0")])], "a", "\0", true);
    }

    /// As etcd 3.5.30 answered: an inverted or empty range needs its first key.
    #[test]
    fn inverted_ranges() {
        let set = [ranges(&[("a", "c")])];
        check(&set, "b", "a", true);
        check(&set, "b", "b", true);
        check(&set, "c", "b", false);
        check(&set, "z", "a", false);
        assert_eq!(ranges(&[("c", "a"), ("c", "c")]), Ranges::default());
    }

    fn key() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(0u8..3, 0..3).prop_map(Bytes::from)
    }

    proptest! {
        /// A slow twin: every key of a small world is looked at by itself.
        #[test]
        fn as_key_by_key(
            pairs in proptest::collection::vec((key(), key()), 0..6),
            split in 0usize..6,
            start in key(),
            end in key(),
        ) {
            let world: Vec<Vec<u8>> = (0..=4usize)
                .flat_map(|len| (0..4usize.pow(len as u32)).map(move |number| {
                    (0..len).map(|at| (number / 4usize.pow(at as u32) % 4) as u8).collect()
                }))
                .collect();
            let granted = |key: &[u8]| pairs.iter().any(|(from, to)| Bounds::new(from, to).contains(key));
            let (first, second) = pairs.split_at(split.min(pairs.len()));
            let sets = [first, second].map(|half| Ranges::of(half.iter().map(|(from, to)| (from, to))));
            let wanted = Bounds::new(&start, &end);
            // Keys longer than any border stand for all keys between two borders.
            let expected = granted(&start) && world.iter().filter(|key| wanted.contains(key)).all(|key| granted(key));
            prop_assert_eq!(cover(sets.iter(), wanted), expected);
        }
    }
}
