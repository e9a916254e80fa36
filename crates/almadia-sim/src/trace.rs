//! What happened in a run: a hash over everything, and a timeline of what people want to read. It judges nothing.

use crate::chance::mix;
use std::sync::{Arc, Mutex, MutexGuard};

/// Lines kept at most; the newest are dropped beyond it, and that is said.
const LINES_MAX: usize = 100_000;

/// A shared record of one run. Clones are the same record.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    hash: u64,
    events: u64,
    lines: Vec<(u64, String)>,
}

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while noting an event")
    }

    /// Mixes an event into the hash.
    pub fn note(&self, numbers: &[u64]) {
        let mut inner = self.lock();
        inner.events += 1;
        for number in numbers {
            inner.hash = mix(inner.hash ^ number);
        }
    }

    /// Mixes an event into the hash and puts it on the timeline.
    pub fn tell(&self, at_ms: u64, text: String) {
        let sum = u64::from(crc32c::crc32c(text.as_bytes()));
        self.note(&[at_ms, sum]);
        let mut inner = self.lock();
        if inner.lines.len() < LINES_MAX {
            inner.lines.push((at_ms, text));
        }
    }

    /// The hash over all events so far.
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// The timeline: milliseconds and words.
    pub fn lines(&self) -> Vec<(u64, String)> {
        self.lock().lines.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_gives_another_hash() {
        let hash = |order: [u64; 2]| {
            let trace = Trace::default();
            order.iter().for_each(|number| trace.note(&[*number]));
            trace.hash()
        };
        assert_eq!(hash([1, 2]), hash([1, 2]));
        assert_ne!(hash([1, 2]), hash([2, 1]));
    }
}
