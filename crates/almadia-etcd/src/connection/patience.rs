//! Whether a connection has stalled, decided from what has happened on it between two looks. Pure: it reads no clock.

use super::activity::{Ending, Seen};
use std::time::{Duration, Instant};

/// What is known about a connection since its last sign of life.
#[derive(Debug)]
pub(super) struct Patience {
    header_timeout: Duration,
    idle_timeout: Duration,
    last: Seen,
    /// Since when a request's headers are waited for: from the first byte of a connection, and from the first look at
    /// which some of them had come.
    head_since: Option<Instant>,
    quiet_since: Instant,
}

impl Patience {
    /// For a connection that begins now.
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration, now: Instant) -> Self {
        Self {
            header_timeout,
            idle_timeout,
            last: Seen::default(),
            head_since: Some(now),
            quiet_since: now,
        }
    }

    /// How long to wait until the next look: headers are cut at most that much too late.
    pub(super) fn pause(&self) -> Duration {
        self.header_timeout.min(self.idle_timeout) / 2
    }

    /// Since when nothing was under way.
    pub(super) fn quiet_since(&self) -> Instant {
        self.quiet_since
    }

    /// Looks at what has happened; says why the connection should end, if it should.
    pub(super) fn look(&mut self, seen: Seen, now: Instant) -> Option<Ending> {
        let last = std::mem::replace(&mut self.last, seen);
        if seen.is_working || seen.begun != last.begun {
            self.head_since = None;
            self.quiet_since = now;
            return None;
        }
        // HTTP/2 mixes headers with everything else: there an unfinished one is one of a connection without requests.
        if seen.is_http2 {
            self.head_since = None;
        } else if seen.read != last.read && self.head_since.is_none() {
            self.head_since = Some(now);
        }
        if seen.written != last.written {
            self.quiet_since = now;
        }
        let waited = |since: Instant| now.saturating_duration_since(since);
        if self
            .head_since
            .is_some_and(|since| waited(since) >= self.header_timeout)
        {
            return Some(Ending::SlowHeaders);
        }
        (waited(self.quiet_since) >= self.idle_timeout).then_some(Ending::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    /// Looks once for each second and thing seen; says at which second the connection ended, and why.
    fn watch(seen: impl IntoIterator<Item = Seen>) -> Option<(usize, Ending)> {
        let start = Instant::now();
        let mut patience = Patience::new(HEADER, IDLE, start);
        seen.into_iter().enumerate().find_map(|(second, seen)| {
            let now = start + Duration::from_secs(second as u64 + 1);
            patience.look(seen, now).map(|ending| (second + 1, ending))
        })
    }

    fn seen(read: u64, begun: u64) -> Seen {
        Seen {
            read,
            begun,
            ..Seen::default()
        }
    }

    #[test]
    fn silence_and_headers_byte_by_byte_end_in_time() {
        assert_eq!(watch([seen(0, 0); 100]), Some((10, Ending::SlowHeaders)));
        assert_eq!(
            watch((0..100).map(|second| seen(second, 0))),
            Some((10, Ending::SlowHeaders))
        );
        // After a request: from the first byte of the next.
        let next = (0..100).map(|second: u64| seen(50 + second.saturating_sub(20), 1));
        assert_eq!(watch(next), Some((32, Ending::SlowHeaders)));
        // Bytes now and then are no new beginning.
        let seldom = (0..100).map(|second: u64| seen(50 + second / 7, 1));
        assert_eq!(watch(seldom), Some((18, Ending::SlowHeaders)));
    }

    #[test]
    fn requests_under_way_keep_a_connection() {
        let working = Seen {
            is_working: true,
            ..seen(50, 1)
        };
        assert_eq!(watch([working; 1000]), None);
        assert_eq!(watch((0..1000).map(|second| seen(second, second))), None);
    }

    #[test]
    fn a_connection_without_requests_is_idle() {
        assert_eq!(watch([seen(50, 1); 100]), Some((61, Ending::Idle)));
        let http2 = |read| Seen {
            is_http2: true,
            ..seen(read, 0)
        };
        assert_eq!(
            watch((0..100).map(http2)),
            Some((60, Ending::Idle)),
            "pings are no requests"
        );
        let sending = (0..100).map(|written| Seen {
            written,
            ..seen(50, 1)
        });
        assert_eq!(watch(sending), None, "an answer is still being taken");
    }
}
