//! What happens on one connection, noted where it happens with one relaxed addition each and looked at now and then by who
//! decides whether the connection has stalled. It never decides itself.

use crate::coalesce::UnderWay;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// The first bytes of every HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What happens on one connection. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Bytes of the connection so far.
    read: AtomicU64,
    written: AtomicU64,
    /// Bytes at the beginning that are HTTP/2's preface.
    preface: AtomicUsize,
    /// Requests whose headers have arrived.
    begun: AtomicU64,
    /// Requests that the client may still give up; none where that is not counted.
    cancellable: Option<Mutex<Bucket>>,
    under_way: UnderWay,
    over: OnceLock<Ending>,
    told: Notify,
}

/// Why a connection is ended by this side although its client has not asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its client gives up requests faster than is allowed.
    Cancelled,
    /// Another client needs its place.
    Evicted,
    /// Headers that do not come to an end, or no first byte.
    SlowHeaders,
    /// Nothing under way for a long time.
    Idle,
}

/// What may still be done of something that comes back with time.
#[derive(Debug)]
struct Bucket {
    left: f64,
    max: f64,
    per_second: f64,
    since: Instant,
}

impl Bucket {
    /// One less; false if there is none.
    fn take(&mut self, now: Instant) -> bool {
        let grown = now.saturating_duration_since(self.since).as_secs_f64() * self.per_second;
        self.left = (self.left + grown).min(self.max) - 1.0;
        self.since = now;
        self.left >= 0.0
    }
}

/// What had happened when somebody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) begun: u64,
    pub(super) is_working: bool,
    pub(super) is_http2: bool,
}

impl Activity {
    /// Of a connection whose client may give up `per_second` requests each second, and `burst` more at once.
    pub(super) fn limited(per_second: u32, burst: u32) -> Self {
        let max = f64::from(per_second) + f64::from(burst);
        let bucket = Bucket {
            left: max,
            max,
            per_second: f64::from(per_second),
            since: Instant::now(),
        };
        Self(Arc::new(Inner {
            cancellable: Some(Mutex::new(bucket)),
            ..Inner::default()
        }))
    }

    /// Notes bytes that came in.
    pub(crate) fn note_read(&self, bytes: &[u8]) {
        let before = self.0.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Some(expected) = usize::try_from(before)
            .ok()
            .and_then(|before| PREFACE.get(before..))
        {
            let len = expected.len().min(bytes.len());
            if expected[..len] == bytes[..len] {
                self.0.preface.fetch_add(len, Ordering::Relaxed);
            }
        }
    }

    /// Notes bytes that went out.
    pub(crate) fn note_written(&self, count: usize) {
        self.0.written.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Which requests are under way.
    pub(crate) fn under_way(&self) -> &UnderWay {
        &self.0.under_way
    }

    /// Notes a request; it is under way until the guard is dropped, and given up unless that is told before.
    pub(super) fn begin(&self) -> Begun {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Begun {
            activity: self.clone(),
            is_answered: false,
        }
    }

    /// Has the connection ended, by whoever serves it. Only the first reason counts.
    pub(super) fn end(&self, why: Ending) {
        let _ = self.0.over.set(why);
        self.0.told.notify_one();
    }

    /// Returns when the connection is to end.
    pub(super) async fn ended(&self) -> Ending {
        loop {
            if let Some(why) = self.0.over.get() {
                return *why;
            }
            self.0.told.notified().await;
        }
    }

    pub(super) fn seen(&self) -> Seen {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen {
            read: load(&self.0.read),
            written: load(&self.0.written),
            begun: load(&self.0.begun),
            is_working: self.0.under_way.is_any(),
            is_http2: self.0.preface.load(Ordering::Relaxed) == PREFACE.len(),
        }
    }
}

/// A request on its way to its answer.
#[derive(Debug)]
pub(super) struct Begun {
    activity: Activity,
    is_answered: bool,
}

impl Begun {
    pub(super) fn is_answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let Some(cancellable) = &self.activity.0.cancellable else {
            return;
        };
        let mut bucket = cancellable.lock().unwrap_or_else(PoisonError::into_inner);
        if !bucket.take(Instant::now()) {
            self.activity.end(Ending::Cancelled);
        }
    }
}
