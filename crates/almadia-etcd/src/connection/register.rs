//! The connections that are open: how many, and which of them has been idle for longest. A connection holds its place until
//! it is over. It knows nothing of what is said on them.

use super::activity::{Activity, Ending};
use crate::limits::Limits;
use crate::metrics::Bounds;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two warnings that there are too many connections.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// All open connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Register(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections_max: usize,
    cancelled_per_second: u32,
    cancelled_burst: u32,
    began: Instant,
    open: Mutex<Open>,
    metrics: Bounds,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// Bytes of connections that are over: received, sent.
    past: (u64, u64),
    by_number: BTreeMap<u64, Entry>,
    warned: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    activity: Activity,
    quiet_since_ms: Arc<AtomicU64>,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    register: Register,
    number: u64,
    activity: Activity,
    quiet_since_ms: Arc<AtomicU64>,
}

impl Register {
    pub(crate) fn new(limits: &Limits, metrics: Bounds) -> Self {
        Self(Arc::new(Inner {
            connections_max: limits.connections_max,
            cancelled_per_second: limits.cancelled_per_second_max,
            cancelled_burst: limits.streams_max,
            began: Instant::now(),
            open: Mutex::default(),
            metrics,
        }))
    }

    /// A place for one more connection. At the bound the one that has been idle for longest gives up its own; without one
    /// there is none.
    pub(crate) fn enter(&self) -> Option<Place> {
        let inner = &self.0;
        let mut open = inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_number.len() >= inner.connections_max && !open.evict() {
            inner.metrics.connections_refused.inc();
            open.warn(inner.connections_max);
            return None;
        }
        let number = open.next;
        open.next += 1;
        let activity = Activity::limited(inner.cancelled_per_second, inner.cancelled_burst);
        let quiet_since_ms = Arc::new(AtomicU64::new(self.ms(Instant::now())));
        let entry = Entry {
            activity: activity.clone(),
            quiet_since_ms: quiet_since_ms.clone(),
        };
        open.by_number.insert(number, entry);
        drop(open);
        inner.metrics.connections_opened.inc();
        inner.metrics.connections.inc();
        Some(Place {
            register: self.clone(),
            number,
            activity,
            quiet_since_ms,
        })
    }

    /// Bytes of all connections so far, received and sent.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = open.by_number.values().map(|entry| entry.activity.seen());
        seen.fold(open.past, |(received, sent), seen| {
            (received + seen.read, sent + seen.written)
        })
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.0.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Open {
    /// Ends the connection that has been idle for longest; false when all have something under way. It leaves at once,
    /// so that no second one is ended for the same newcomer.
    fn evict(&mut self) -> bool {
        let idle = self
            .by_number
            .iter()
            .filter(|(_, entry)| !entry.activity.seen().is_working);
        let longest = idle.min_by_key(|(_, entry)| entry.quiet_since_ms.load(Ordering::Relaxed));
        let Some(number) = longest.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(entry) = self.by_number.remove(&number) {
            self.leave(&entry);
            entry.activity.end(Ending::Evicted);
        }
        true
    }

    /// Keeps what a connection has had.
    fn leave(&mut self, entry: &Entry) {
        let seen = entry.activity.seen();
        self.past.0 += seen.read;
        self.past.1 += seen.written;
    }

    fn warn(&mut self, connections_max: usize) {
        let now = Instant::now();
        let is_due = self
            .warned
            .is_none_or(|last| now.saturating_duration_since(last) >= WARNING_PAUSE);
        if is_due {
            self.warned = Some(now);
            tracing::warn!(
                connections_max,
                "clients are refused: all connections are in use (--max-client-connections)"
            );
        }
    }
}

impl Place {
    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Notes since when nothing is under way on the connection.
    pub(super) fn note_quiet_since(&mut self, at: Instant) {
        self.quiet_since_ms.store(self.register.ms(at), Ordering::Relaxed);
    }

    /// Notes that this side ends the connection, and why.
    pub(super) fn ended(&mut self, why: Ending) {
        self.register.0.metrics.connections_ended[why as usize].inc();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self
            .register
            .0
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.by_number.remove(&self.number) {
            open.leave(&entry);
        }
        self.register.0.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn register(connections_max: usize) -> Register {
        let limits = Limits {
            connections_max,
            ..Limits::default()
        };
        Register::new(&limits, Metrics::default().bounds)
    }

    /// The one that is idle for longest makes room; who works stays.
    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_the_idlest() {
        let register = register(3);
        let mut places: Vec<Place> = (0..3).map(|_| register.enter().expect("there is room")).collect();
        let now = Instant::now() + Duration::from_secs(100);
        places[0].note_quiet_since(now + Duration::from_secs(2));
        places[1].note_quiet_since(now);
        places[2].note_quiet_since(now + Duration::from_secs(1));
        let _working = places[1].activity().under_way().begin();
        let newcomer = register.enter().expect("one of them is idle");
        assert_eq!(places[2].activity().ended().await, Ending::Evicted);
        let _first = newcomer.activity().under_way().begin();
        let _last = places[0].activity().under_way().begin();
        assert!(register.enter().is_none(), "all have something to do");
        let metrics = &register.0.metrics;
        assert_eq!(
            (
                metrics.connections_refused.get(),
                metrics.connections_opened.get()
            ),
            (1, 4)
        );
        places[1].activity().note_written(7);
        assert_eq!(register.bytes(), (0, 7));
        drop(places);
        drop(newcomer);
        assert_eq!(register.bytes(), (0, 7), "what is over counts, too");
        assert_eq!(metrics.connections.get(), 0);
    }
}
