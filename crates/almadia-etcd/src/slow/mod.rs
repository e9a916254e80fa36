//! Why was it slow? Each request that takes longer than a threshold is told in the log, in one line that says where its time
//! went, is counted by what took longest, and is kept for a while for whoever asks.
//!
//! A request that is not slow costs a few words of memory; what is needed to explain a slow one is looked up when it was
//! slow. Streams are not looked at: they last.

mod parts;
pub(crate) mod trail;

pub use parts::{PARTS, Part, Parts, in_words};

use crate::backend::Backend;
use crate::metrics::SlowCounters;
use crate::service::Shared;
use bytes::Bytes;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;
use trail::Trail;

/// Slow requests that are kept.
const RECENT_MAX: usize = 128;

/// Lines in one second at most: when everything is slow, the log must not become slow, too.
const LINES_PER_SECOND_MAX: u32 = 10;

/// Bytes of a key that are shown.
const KEY_BYTES_MAX: usize = 100;

/// A request that was slow.
#[derive(Clone, Debug)]
pub struct SlowRequest {
    /// When it was over.
    pub at: SystemTime,
    /// Its method, as in `etcdserverpb.KV/Put`.
    pub method: String,
    /// Its key, or the first of them, escaped and cut.
    pub key: String,
    /// Whence it came, if that is known.
    pub client: String,
    /// All it took.
    pub took: Duration,
    /// Where that went.
    pub parts: Parts,
}

/// What is known of slow requests.
#[derive(Debug)]
pub(crate) struct SlowLog {
    threshold: Option<Duration>,
    counters: SlowCounters,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<SlowRequest>,
    /// The second that is being counted, and its lines.
    second: Option<Instant>,
    lines: u32,
    untold: u64,
}

impl SlowLog {
    /// Without a threshold nothing is slow.
    pub(crate) fn new(threshold: Option<Duration>, counters: SlowCounters) -> Self {
        Self {
            threshold,
            counters,
            state: Mutex::default(),
        }
    }

    /// From which time on a request is slow; none where nothing is.
    pub(crate) fn threshold(&self) -> Option<Duration> {
        self.threshold
    }

    fn is_slow(&self, took: Duration) -> bool {
        self.threshold.is_some_and(|threshold| took >= threshold)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last of them, the newest first.
    pub(crate) fn recent(&self) -> Vec<SlowRequest> {
        self.state().recent.iter().rev().cloned().collect()
    }

    /// How many there were since the member started, by what took longest.
    pub(crate) fn counts(&self) -> [(Part, u64); 6] {
        self.counters.read()
    }

    fn note(&self, request: SlowRequest, is_write: bool, now: Instant) {
        self.counters
            .note(&request.parts, self.threshold.unwrap_or(Duration::MAX), is_write);
        let mut state = self.state();
        let untold = state.may_tell(now);
        if let Some(untold) = untold {
            request.tell(untold);
        }
        if state.recent.len() == RECENT_MAX {
            state.recent.pop_front();
        }
        state.recent.push_back(request);
    }
}

impl State {
    /// Whether one more line may be written, and if so, how many were not since the last.
    fn may_tell(&mut self, now: Instant) -> Option<u64> {
        let is_same = self
            .second
            .is_some_and(|second| now.duration_since(second) < Duration::from_secs(1));
        if !is_same {
            (self.second, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES_PER_SECOND_MAX {
            self.untold += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

impl SlowRequest {
    fn tell(&self, untold: u64) {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let parts = self.parts.each().map(|(_, time)| format!("{:.1}", ms(time)));
        let [queue, disk, quorum, apply, read, send] = parts;
        tracing::warn!(
            method = %self.method,
            key = %self.key,
            client = %self.client,
            took_ms = format!("{:.1}", ms(self.took)),
            queue_ms = queue,
            disk_ms = disk,
            quorum_ms = quorum,
            apply_ms = apply,
            read_ms = read,
            send_ms = send,
            untold,
            "slow request: {}",
            in_words(self.parts.longest())
        );
    }
}

/// A request that was answered, until it is known whether it was slow.
pub(crate) struct Answered<B> {
    pub(crate) shared: Arc<Shared<B>>,
    /// Service and method.
    pub(crate) method: (&'static str, &'static str),
    pub(crate) client: Option<std::net::SocketAddr>,
    pub(crate) trail: Trail,
    pub(crate) begun: Instant,
    pub(crate) answered: Instant,
}

/// Follows an answer until it was taken, if it is slow already or so large that taking it may be.
pub(crate) fn follow<B: Backend>(answered: Answered<B>, response: Response<Body>) -> Response<Body> {
    let took = answered.answered.duration_since(answered.begun);
    if !answered.trail.is_large && !answered.shared.slow.is_slow(took) {
        return response;
    }
    let failed = Status::from_header_map(response.headers()).is_some();
    response.map(|body| {
        Body::new(Followed {
            body,
            answered: Some(answered),
            failed,
        })
    })
}

impl<B: Backend> Answered<B> {
    fn end(self, failed: bool) {
        let ended = Instant::now();
        let took = ended.duration_since(self.begun);
        if !self.shared.slow.is_slow(took) {
            return;
        }
        let trail = &self.trail;
        let parts = match (trail.index, trail.confirmed) {
            (Some(index), _) => {
                let stages = self.shared.backend.stages(index);
                Parts::of_write(self.begun, &stages, ended)
            }
            (None, Some(confirmed)) => Parts::of_read(self.begun, confirmed, self.answered, ended),
            (None, None) => Parts::of_other(self.begun, self.answered, ended, failed),
        };
        let request = SlowRequest {
            at: SystemTime::now(),
            method: format!("{}/{}", self.method.0, self.method.1),
            key: shown(&trail.key),
            client: self.client.map(|client| client.to_string()).unwrap_or_default(),
            took,
            parts,
        };
        let is_write = trail.index.is_some() || self.method.1 != "Range";
        self.shared.slow.note(request, is_write, ended);
    }
}

fn shown(key: &[u8]) -> String {
    let mut text = key[..key.len().min(KEY_BYTES_MAX)].escape_ascii().to_string();
    if key.len() > KEY_BYTES_MAX {
        text.push('…');
    }
    text
}

/// The body of an answer that is followed; it is over when it is dropped.
struct Followed<B: Backend> {
    body: Body,
    answered: Option<Answered<B>>,
    failed: bool,
}

impl<B: Backend> Drop for Followed<B> {
    fn drop(&mut self) {
        if let Some(answered) = self.answered.take() {
            answered.end(self.failed);
        }
    }
}

impl<B: Backend> http_body::Body for Followed<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn request(took: Duration) -> SlowRequest {
        SlowRequest {
            at: SystemTime::UNIX_EPOCH,
            method: "etcdserverpb.KV/Put".to_owned(),
            key: String::new(),
            client: String::new(),
            took,
            parts: Parts {
                disk: took,
                ..Parts::default()
            },
        }
    }

    #[test]
    fn the_last_are_kept_and_all_are_counted() {
        let log = SlowLog::new(Some(Duration::from_millis(100)), Metrics::default().slow);
        let now = Instant::now();
        for ms in 1..=RECENT_MAX as u64 + 5 {
            log.note(request(Duration::from_millis(ms)), true, now);
        }
        let recent = log.recent();
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!(recent[0].took, Duration::from_millis(RECENT_MAX as u64 + 5));
        assert_eq!(log.counts()[1], ("disk", RECENT_MAX as u64 + 5));
        assert!(log.is_slow(Duration::from_millis(100)) && !log.is_slow(Duration::from_millis(99)));
        let off = SlowLog::new(None, Metrics::default().slow);
        assert!(!off.is_slow(Duration::MAX));
    }

    #[test]
    fn the_lines_of_a_second_are_bounded() {
        let mut state = State::default();
        let start = Instant::now();
        let told = (0..25).filter(|_| state.may_tell(start).is_some()).count();
        assert_eq!(told, LINES_PER_SECOND_MAX as usize);
        let later = start + Duration::from_secs(1);
        assert_eq!(
            state.may_tell(later),
            Some(15),
            "the next says how many were left out"
        );
        assert_eq!(state.may_tell(later), Some(0));
    }

    #[test]
    fn keys_are_shown_escaped_and_cut() {
        assert_eq!(shown(b"a\x00\n"), "a\\x00\\n");
        assert_eq!(shown(&[b'x'; 101]).chars().count(), 101);
    }
}
