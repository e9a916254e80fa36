//! When the watches of a stream are due for a notice that all is quiet.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// Ticks for ever, every stream's at its own pace within a tenth of the interval: not all at once on a server with
/// thousands of streams.
#[derive(Debug)]
pub(super) struct Ticker {
    interval: Duration,
    sleep: Pin<Box<Sleep>>,
}

/// How many tickers there have been: their paces are spread evenly by it.
static TICKERS: AtomicU64 = AtomicU64::new(0);

impl Ticker {
    pub(super) fn new(interval: Duration) -> Self {
        let interval = jittered(interval, TICKERS.fetch_add(1, Ordering::Relaxed));
        let sleep = Box::pin(tokio::time::sleep(interval));
        Self { interval, sleep }
    }

    /// Ready when a tick has come since the last one that was told.
    pub(super) fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ticked = self.sleep.as_mut().poll(context);
        if ticked.is_ready() {
            let next = tokio::time::Instant::now() + self.interval;
            self.sleep.as_mut().reset(next);
        }
        ticked
    }
}

/// Within a tenth of the interval, another one for each number: multiples of the golden ratio fill a range evenly.
fn jittered(interval: Duration, number: u64) -> Duration {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let share = spread as f64 / f64::from(u32::MAX);
    interval.mul_f64(0.9 + 0.2 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_differ_by_a_tenth_at_most() {
        let interval = Duration::from_secs(600);
        let paces: Vec<Duration> = (0..1000).map(|number| jittered(interval, number)).collect();
        let (low, high) = (paces.iter().min().unwrap(), paces.iter().max().unwrap());
        assert!(*low >= Duration::from_secs(540) && *high <= Duration::from_secs(660));
        assert!(*low < Duration::from_secs(545) && *high > Duration::from_secs(655));
    }
}
