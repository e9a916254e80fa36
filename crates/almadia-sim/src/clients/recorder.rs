//! Where clients write down what they asked and saw. It judges nothing.

use super::serve::Applied;
use crate::history::{Call, History, Watch, WatchResponse};
use std::sync::{Arc, Mutex, MutexGuard};

/// A call that was acknowledged after going through the log.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// When it was sent.
    pub invoked_us: u64,
    /// When its end was known.
    pub returned_us: u64,
    /// What it was.
    pub applied: Applied,
}

/// What was written down.
#[derive(Default)]
pub struct Recorded {
    /// What clients saw.
    pub history: History,
    /// What they were promised.
    pub acknowledged: Vec<Acknowledged>,
}

/// A shared notebook. Clones are the same one.
#[derive(Clone, Default)]
pub struct Recorder {
    inner: Arc<Mutex<Recorded>>,
}

impl Recorder {
    /// What was written down so far.
    pub fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.inner.lock().expect("nobody panics while writing down")
    }

    /// A call is over.
    pub fn call(&self, call: Call, applied: Option<Applied>) {
        let mut recorded = self.lock();
        if let Some(applied) = applied {
            recorded.acknowledged.push(Acknowledged {
                invoked_us: call.invoked_us,
                returned_us: call.returned_us,
                applied,
            });
        }
        recorded.history.calls.push(call);
    }

    /// A watcher was asked for; where its responses go.
    pub fn watch(&self, watch: Watch) -> usize {
        let mut recorded = self.lock();
        recorded.history.watches.push(watch);
        recorded.history.watches.len() - 1
    }

    /// A watcher was sent something.
    pub fn response(&self, place: usize, response: WatchResponse) {
        self.lock().history.watches[place].responses.push(response);
    }
}
