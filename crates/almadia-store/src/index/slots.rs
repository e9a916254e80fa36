//! Up to `N` things in a row inside their owner's allocation.

/// A short vector of fixed capacity. It never allocates; going past the capacity is a bug.
#[derive(Clone)]
pub(super) struct Slots<T, const N: usize> {
    /// `Some` below `len`, `None` from there on.
    items: [Option<T>; N],
    len: usize,
}

impl<T, const N: usize> Slots<T, N> {
    pub(super) fn new() -> Self {
        Self {
            items: [const { None }; N],
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == N
    }

    pub(super) fn get(&self, at: usize) -> &T {
        self.items[at].as_ref().expect("a slot below the length is taken")
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut T {
        self.items[at].as_mut().expect("a slot below the length is taken")
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.items[..self.len]
            .iter()
            .map(|item| item.as_ref().expect("a slot below the length is taken"))
    }

    pub(super) fn replace(&mut self, at: usize, item: T) -> T {
        assert!(at < self.len, "only a taken slot has something to replace");
        self.items[at]
            .replace(item)
            .expect("a slot below the length is taken")
    }

    pub(super) fn insert(&mut self, at: usize, item: T) {
        assert!(
            at <= self.len && self.len < N,
            "an insertion leaves no gap and fits"
        );
        self.items[at..=self.len].rotate_right(1);
        self.items[at] = Some(item);
        self.len += 1;
    }

    pub(super) fn push(&mut self, item: T) {
        self.insert(self.len, item);
    }

    pub(super) fn remove(&mut self, at: usize) -> T {
        assert!(at < self.len, "only a taken slot can be removed");
        let item = self.items[at].take().expect("a slot below the length is taken");
        self.items[at..self.len].rotate_left(1);
        self.len -= 1;
        item
    }

    /// Takes everything from `at` on into a new row.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::new();
        for from in at..self.len {
            right.items[from - at] = self.items[from].take();
        }
        right.len = self.len - at;
        self.len = at;
        right
    }

    /// Adds everything of `right`, which must fit.
    pub(super) fn append(&mut self, right: Self) {
        for item in right {
            self.push(item);
        }
    }
}

impl<T, const N: usize> IntoIterator for Slots<T, N> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<T>, N>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().flatten()
    }
}
