//! A watcher that is far behind reads history while clients write.

use std::time::{Duration, Instant};

use super::{Course, Disturber, Done};
use crate::bench::watchers::{self, Board, Expected, Watching};
use crate::bench::workload::{KEY_PREFIX, KEY_PREFIX_END};
use crate::commands::error::CommandError;

/// How often to look how far the watcher is.
const LOOK: Duration = Duration::from_millis(2);

/// Watches from an old revision on until it has caught up.
pub struct SlowWatcher {
    behind: u64,
    start_revision: u64,
}

impl SlowWatcher {
    /// One that begins `behind` revisions behind, and those that the clients write before.
    pub fn new(behind: u64) -> Self {
        let start_revision = 0;
        Self {
            behind,
            start_revision,
        }
    }
}

impl Disturber for SlowWatcher {
    fn prepare(&mut self, course: &Course<'_>) -> Result<(), CommandError> {
        self.start_revision = course.runtime.block_on(course.target.revision())? + 1;
        course.write_history(self.behind)
    }

    fn disturb(&mut self, course: &Course<'_>) -> Result<Done, CommandError> {
        let newest = course.runtime.block_on(course.target.revision())?;
        let watching = Watching {
            watchers: 1,
            per_stream: 1,
            ranges: vec![(KEY_PREFIX, KEY_PREFIX_END)],
            start_revision: self.start_revision,
            as_kubernetes: false,
        };
        let board = Board::default();
        let places = &course.places[..1];
        std::thread::scope(|scope| {
            let listening = scope.spawn(|| watchers::run(&watching, places, course.spec.stamps_from, &board));
            let until = Instant::now() + course.done_max;
            while board.reached() < newest && !board.is_broken() && Instant::now() < until {
                std::thread::sleep(LOOK);
            }
            let is_given_up = board.reached() < newest && !board.is_broken();
            let mut done = if is_given_up {
                Done::given_up()
            } else {
                Done::now()
            };
            let expected = match is_given_up {
                true => Expected::Nothing,
                false => Expected::UpTo(newest),
            };
            board.expected.set(expected).expect("set nowhere else");
            let events = listening
                .join()
                .map_err(|_| CommandError::failed("the watcher panicked"))?;
            done.failures = events.failures;
            Ok(done)
        })
    }
}
