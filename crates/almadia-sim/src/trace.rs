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
    /// Every event, where somebody wants to compare two runs.
    all: Option<Vec<Box<[u64]>>>,
}

impl Trace {
    /// A record that also keeps every event, to be compared with another one.
    pub fn keeping_all() -> Self {
        let trace = Self::default();
        trace.lock().all = Some(Vec::new());
        trace
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while noting an event")
    }

    /// Mixes an event into the hash.
    pub fn note(&self, numbers: &[u64]) {
        let mut inner = self.lock();
        inner.events += 1;
        if let Some(all) = &mut inner.all {
            all.push(numbers.into());
        }
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

    /// Where two records part: which event, and what it was in each. None when they kept the same.
    pub fn parting(&self, other: &Self) -> Option<String> {
        let (one, other) = (self.lock().all.clone()?, other.lock().all.clone()?);
        let both = one.iter().zip(&other);
        let at = both.take_while(|(one, other)| one == other).count();
        (at < one.len().max(other.len()))
            .then(|| format!("event {at}: {:?}, and again {:?}", one.get(at), other.get(at)))
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
    fn the_first_event_that_differs_is_found() {
        let record = |numbers: &[u64]| {
            let trace = Trace::keeping_all();
            numbers.iter().for_each(|number| trace.note(&[*number]));
            trace
        };
        assert_eq!(record(&[1, 2]).parting(&record(&[1, 2])), None);
        let parting = record(&[1, 2, 3]).parting(&record(&[1, 4, 3]));
        assert_eq!(parting.unwrap(), "event 1: Some([2]), and again Some([4])");
        let parting = record(&[1]).parting(&record(&[1, 4]));
        assert_eq!(parting.unwrap(), "event 1: None, and again Some([4])");
    }

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
