//! A bounded number of things that live as long as their guard: whoever finds no slot refuses.

use prometheus::{IntCounter, IntGauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slots of one kind. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    used: AtomicUsize,
    gauge: IntGauge,
    refused: IntCounter,
}

/// One slot, taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Slots);

impl Slots {
    /// At most `max`; how many are taken and how often there was none is shown in the metrics.
    pub(crate) fn new(max: usize, gauge: IntGauge, refused: IntCounter) -> Self {
        Self(Arc::new(Inner {
            max,
            used: AtomicUsize::new(0),
            gauge,
            refused,
        }))
    }

    /// One more, if there is one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let inner = &self.0;
        if inner.used.fetch_add(1, Ordering::Relaxed) >= inner.max {
            inner.used.fetch_sub(1, Ordering::Relaxed);
            self.refuse();
            return None;
        }
        inner.gauge.inc();
        Some(Slot(self.clone()))
    }

    /// Notes that one was refused for another reason.
    pub(crate) fn refuse(&self) {
        self.0.refused.inc();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let inner = &self.0.0;
        inner.used.fetch_sub(1, Ordering::Relaxed);
        inner.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped() {
        let bounds = Metrics::default().bounds;
        let slots = Slots::new(2, bounds.watches.clone(), bounds.watches_refused.clone());
        let taken = [slots.take(), slots.take(), slots.take()];
        assert_eq!(taken.each_ref().map(Option::is_some), [true, true, false]);
        assert_eq!((bounds.watches.get(), bounds.watches_refused.get()), (2, 1));
        drop(taken);
        assert!(slots.take().is_some());
        assert_eq!(bounds.watches.get(), 0);
    }
}
