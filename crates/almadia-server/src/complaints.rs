//! Says the same thing only rarely: a refused peer comes again twenty times a second, and so may a client that is set up wrong.
//!
//! It never drops a complaint that is new.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// The same complaint is made again after this time.
const REPEAT: Duration = Duration::from_secs(30);

/// Complaints remembered at most; with more, all are forgotten and made again.
const REMEMBERED_MAX: usize = 256;

/// What has been complained about lately.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    made: Mutex<BTreeMap<String, Instant>>,
}

impl Complaints {
    /// Should this be logged now? Remembers that it was.
    pub(crate) fn is_due(&self, complaint: &str) -> bool {
        let now = Instant::now();
        let mut made = self.made.lock().expect("nobody panics while complaining");
        match made.get_mut(complaint) {
            Some(last) if now - *last < REPEAT => false,
            Some(last) => {
                *last = now;
                true
            }
            None => {
                if made.len() >= REMEMBERED_MAX {
                    made.clear();
                }
                made.insert(complaint.to_owned(), now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_said_rarely_and_memory_is_bounded() {
        let complaints = Complaints::default();
        assert!(complaints.is_due("a"));
        assert!(!complaints.is_due("a"));
        assert!(complaints.is_due("b"));
        tokio::time::advance(REPEAT).await;
        assert!(complaints.is_due("a"));
        for number in 0..10 * REMEMBERED_MAX {
            assert!(complaints.is_due(&number.to_string()));
        }
        assert!(complaints.made.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
