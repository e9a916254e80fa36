//! Where the keys of a leaf begin to differ, and eight bytes of each from there: a search compares these, which lie side
//! by side, and reads hardly any key where it is.
//!
//! Never decides alone: keys with equal heads are compared whole.

use std::cmp::Ordering;

/// The heads of up to `N` ascending keys. The keys themselves are kept elsewhere, and shown where they are needed.
#[derive(Clone)]
pub(super) struct Heads<const N: usize> {
    /// All keys begin with the same bytes, at least this many.
    shared: usize,
    /// Of each key, what follows the shared bytes; whatever from the number of keys on.
    heads: [u64; N],
}

/// The first eight bytes as a number: a smaller number means a smaller key, equal ones say nothing.
fn head(rest: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = rest.len().min(8);
    bytes[..len].copy_from_slice(&rest[..len]);
    u64::from_be_bytes(bytes)
}

fn shared_of(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl<const N: usize> Heads<N> {
    pub(super) const fn new() -> Self {
        Self {
            shared: 0,
            heads: [0; N],
        }
    }

    /// The heads of `len` keys.
    pub(super) fn of<'k>(len: usize, key: impl Fn(usize) -> &'k [u8]) -> Self {
        let mut all = Self::new();
        if len > 0 {
            // What the first and the last key share, those between share too.
            all.shared = shared_of(key(0), key(len - 1));
        }
        for (at, place) in all.heads[..len].iter_mut().enumerate() {
            *place = head(&key(at)[all.shared..]);
        }
        all
    }

    /// Adds the key at `at`, which `key` shows already, as it does the `len` keys of now.
    pub(super) fn insert<'k>(&mut self, at: usize, len: usize, key: impl Fn(usize) -> &'k [u8]) {
        let neighbour = if at == 0 { len - 1 } else { 0 };
        let new = key(at);
        if len == 1 || shared_of(new, key(neighbour)) < self.shared {
            *self = Self::of(len, key);
            return;
        }
        self.heads.copy_within(at..len - 1, at + 1);
        self.heads[at] = head(&new[self.shared..]);
    }

    /// Takes the key at `at` out of `len`.
    pub(super) fn remove(&mut self, at: usize, len: usize) {
        self.heads.copy_within(at + 1..len, at);
    }

    /// Where `sought` is among the `len` keys, or where it would have to stand.
    pub(super) fn find<'k>(
        &self,
        sought: &[u8],
        len: usize,
        key: impl Fn(usize) -> &'k [u8],
    ) -> Result<usize, usize> {
        if len == 0 {
            return Err(0);
        }
        let beginning = &sought[..self.shared.min(sought.len())];
        match beginning.cmp(&key(0)[..self.shared]) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(len),
            Ordering::Equal => {}
        }
        let wanted = head(&sought[self.shared..]);
        let heads = &self.heads[..len];
        let mut low = heads.partition_point(|head| *head < wanted);
        let mut high = low + heads[low..].iter().take_while(|head| **head == wanted).count();
        while low < high {
            let middle = (low + high) / 2;
            match key(middle).cmp(sought) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Searches agree with a sorted list, whatever the keys share, through insertions and removals.
        #[test]
        fn agrees_with_a_list(
            prefix in proptest::collection::vec(0u8..3, 0..12),
            steps in proptest::collection::vec((proptest::collection::vec(0u8..3, 0..12), any::<bool>(), any::<bool>()), 1..64),
        ) {
            let (mut heads, mut list) = (Heads::<24>::new(), Vec::<Vec<u8>>::new());
            for (rest, with_prefix, insert) in steps {
                let sought = if with_prefix { [prefix.clone(), rest].concat() } else { rest };
                let expected = list.binary_search(&sought);
                let found = heads.find(&sought, list.len(), |at| list[at].as_slice());
                prop_assert_eq!(found, expected);
                match found {
                    Err(at) if insert && list.len() < 24 => {
                        list.insert(at, sought);
                        heads.insert(at, list.len(), |at| list[at].as_slice());
                    }
                    Ok(at) if !insert => {
                        heads.remove(at, list.len());
                        list.remove(at);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Zeros at the end of a key are not taken for its end.
    #[test]
    fn equal_heads_are_told_apart() {
        let keys: Vec<&[u8]> = vec![
            b"k",
            b"k\0",
            b"k\0\0",
            b"k\0\0\0\0\0\0\0\0\0",
            b"k\0\0\0\0\0\0\0\0\x01",
        ];
        let heads = Heads::<8>::of(keys.len(), |at| keys[at]);
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(heads.find(key, keys.len(), |at| keys[at]), Ok(at));
        }
        assert_eq!(heads.find(b"k\0\0\0", keys.len(), |at| keys[at]), Err(3));
        assert_eq!(heads.find(b"", keys.len(), |at| keys[at]), Err(0));
        assert_eq!(heads.find(b"l", keys.len(), |at| keys[at]), Err(5));
    }
}
