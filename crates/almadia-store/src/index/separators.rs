//! The keys that tell an inner node's children apart, in one allocation.

/// Ascending keys. The one at `i` is above every key of child `i` and not above any key of child `i + 1`.
#[derive(Clone, Default)]
pub(super) struct Separators {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Separators {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    /// The child in whose range `key` lies.
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.get(middle) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(super) fn insert(&mut self, at: usize, separator: &[u8]) {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let added = u32::try_from(separator.len()).expect("a separator is no longer than a key may be");
        self.bytes
            .splice(start as usize..start as usize, separator.iter().copied());
        self.ends.insert(at, start);
        for end in &mut self.ends[at..] {
            *end += added;
        }
    }

    pub(super) fn push(&mut self, separator: &[u8]) {
        self.insert(self.len(), separator);
    }

    pub(super) fn remove(&mut self, at: usize) -> Vec<u8> {
        let removed = self.get(at).to_vec();
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        self.bytes.drain(start..start + removed.len());
        self.ends.remove(at);
        for end in &mut self.ends[at..] {
            *end -= removed.len() as u32;
        }
        removed
    }

    /// Splits around the separator at `at`, which goes to neither side but is returned.
    pub(super) fn split_at(&mut self, at: usize) -> (Vec<u8>, Self) {
        let middle = self.get(at).to_vec();
        let mut right = Self::default();
        for from in at + 1..self.len() {
            right.push(self.get(from));
        }
        let kept = self.ends[at] as usize - middle.len();
        self.bytes.truncate(kept);
        self.ends.truncate(at);
        (middle, right)
    }

    /// Adds `between` and then everything of `right`.
    pub(super) fn append(&mut self, between: &[u8], right: &Self) {
        self.push(between);
        for at in 0..right.len() {
            self.push(right.get(at));
        }
    }
}

/// The shortest key that is above `left` and not above `right`, given that `left < right`.
pub(super) fn between<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    assert!(left < right, "keys in a leaf ascend");
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    &right[..=common]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(separators: &Separators) -> Vec<&[u8]> {
        (0..separators.len()).map(|at| separators.get(at)).collect()
    }

    #[test]
    fn insert_remove_split_and_append() {
        let mut separators = Separators::default();
        for (at, key) in [(0, &b"d"[..]), (0, b"aa"), (1, b"b"), (3, b"eee")] {
            separators.insert(at, key);
        }
        assert_eq!(all(&separators), [&b"aa"[..], b"b", b"d", b"eee"]);
        let (middle, right) = separators.split_at(1);
        assert_eq!(
            (middle.as_slice(), all(&separators), all(&right)),
            (&b"b"[..], vec![&b"aa"[..]], vec![&b"d"[..], b"eee"])
        );
        separators.append(b"b", &right);
        assert_eq!(separators.remove(1), b"b");
        assert_eq!(all(&separators), [&b"aa"[..], b"d", b"eee"]);
    }

    #[test]
    fn a_key_equal_to_a_separator_lies_right_of_it() {
        let mut separators = Separators::default();
        separators.push(b"b");
        separators.push(b"d");
        let found: Vec<usize> = [&b"a"[..], b"b", b"c", b"d", b"e"]
            .map(|key| separators.child_of(key))
            .to_vec();
        assert_eq!(found, [0, 1, 1, 2, 2]);
    }

    #[test]
    fn separators_are_short() {
        assert_eq!(
            between(b"/registry/pods/a9", b"/registry/pods/b1"),
            b"/registry/pods/b"
        );
        assert_eq!(between(b"a", b"a\0\0"), b"a\0");
    }
}
