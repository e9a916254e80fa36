//! When the log had come how far: the last so many marks, for whoever wants to know why one entry took long.

use almadia_command::LogIndex;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Marks that are remembered. One is made for each group of entries, not for each entry; who asks does so at once.
const MARKS_MAX: usize = 1024;

/// The newest moments at which something was true of the log up to an index.
#[derive(Debug, Default)]
pub struct Marks(Mutex<VecDeque<(LogIndex, Instant)>>);

impl Marks {
    fn marks(&self) -> MutexGuard<'_, VecDeque<(LogIndex, Instant)>> {
        self.0.lock().expect("nobody panics while holding the marks")
    }

    /// It is true up to and with `upto` since `at`.
    pub fn note(&self, upto: LogIndex, at: Instant) {
        let mut marks = self.marks();
        if marks.len() == MARKS_MAX {
            marks.pop_front();
        }
        marks.push_back((upto, at));
    }

    /// Since when it is true of this entry; none when that is not known (any more).
    pub fn find(&self, index: LogIndex) -> Option<Instant> {
        let marks = self.marks();
        // From the newest: the log may have been cut and written again.
        let mut since = marks.iter().rev().take_while(|(upto, _)| *upto >= index);
        let found = since.by_ref().last().map(|(_, at)| *at);
        let is_first_kept = marks.front().is_some_and(|(upto, _)| *upto >= index);
        found.filter(|_| !(is_first_kept && marks.len() == MARKS_MAX))
    }

    /// The last mark.
    pub fn last(&self) -> Option<(LogIndex, Instant)> {
        self.marks().back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_first_mark_at_or_behind_an_entry_counts() {
        let marks = Marks::default();
        assert_eq!((marks.find(LogIndex(1)), marks.last()), (None, None));
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        for (upto, ms) in [(3, 1), (5, 2), (9, 3)] {
            marks.note(LogIndex(upto), after(ms));
        }
        let found = |index| marks.find(LogIndex(index));
        assert_eq!(
            [found(1), found(3), found(4), found(9), found(10)],
            [
                Some(after(1)),
                Some(after(1)),
                Some(after(2)),
                Some(after(3)),
                None
            ]
        );
        // The log was cut after 4 and went on.
        marks.note(LogIndex(4), after(4));
        marks.note(LogIndex(6), after(5));
        assert_eq!([found(5), found(6)], [Some(after(5)), Some(after(5))]);
    }

    #[test]
    fn what_has_been_forgotten_is_not_known() {
        let marks = Marks::default();
        let start = Instant::now();
        for upto in 1..=MARKS_MAX as u64 + 10 {
            marks.note(LogIndex(upto), start + Duration::from_millis(upto));
        }
        assert_eq!(marks.find(LogIndex(5)), None);
        assert_eq!(marks.find(LogIndex(20)), Some(start + Duration::from_millis(20)));
    }
}
