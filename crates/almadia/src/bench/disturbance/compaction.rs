//! Old revisions are dropped while clients write.

use std::time::Instant;

use super::{Course, Disturber, Done};
use crate::commands::error::CommandError;

/// Compacts everything that is old.
pub struct Compaction {
    revisions: u64,
}

impl Compaction {
    /// Of `revisions` revisions and those that the clients write before.
    pub fn new(revisions: u64) -> Self {
        Self { revisions }
    }
}

impl Disturber for Compaction {
    fn prepare(&mut self, course: &Course<'_>) -> Result<(), CommandError> {
        course.write_history(self.revisions)
    }

    fn disturb(&mut self, course: &Course<'_>) -> Result<Done, CommandError> {
        let until = Instant::now() + course.done_max;
        let compacted = async {
            let revision = course.target.revision().await?;
            course.target.compact(revision, course.done_max).await
        };
        match course.runtime.block_on(compacted) {
            Ok(()) => Ok(Done::now()),
            Err(_) if Instant::now() >= until => Ok(Done::given_up()),
            Err(error) => Err(error),
        }
    }
}
