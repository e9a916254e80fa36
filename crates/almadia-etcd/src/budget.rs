//! What large answers of all clients may hold together: who asks for much waits for its turn, who asks for little never does.
//!
//! An answer's price is what it holds beside the store: references to its records. Building one is done beside the
//! threads that serve requests, so that small requests do not wait behind it.

use crate::error::Fault;
use crate::metrics::Bounds;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Keys up to which an answer is a small one.
pub(crate) const SMALL_KEYS_MAX: u64 = 16 * 1024;

/// What a reference to a record takes, with what a growing list has in reserve.
const KEY_BYTES: u64 = 16;

/// A permit's worth.
const UNIT_BYTES: u64 = 1024;

/// Answers that may wait for their turn; more are refused.
const WAITING_MAX: usize = 4096;

/// The budget of all large answers.
#[derive(Debug)]
pub(crate) struct Budget {
    units: u32,
    free: Arc<Semaphore>,
    waiting: Semaphore,
    /// Large answers that are being built.
    building: Arc<Semaphore>,
    metrics: Bounds,
}

/// A part of the budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _permit: OwnedSemaphorePermit,
    metrics: Bounds,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize, metrics: Bounds) -> Self {
        let units = u32::try_from(bytes_max as u64 / UNIT_BYTES)
            .unwrap_or(u32::MAX >> 4)
            .max(1);
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        Self {
            units,
            free: Arc::new(Semaphore::new(units as usize)),
            waiting: Semaphore::new(WAITING_MAX),
            building: Arc::new(Semaphore::new((processors / 2).max(1))),
            metrics,
        }
    }

    /// A share for an answer of so many keys; waits for its turn. One that is larger than the whole budget gets all of it.
    ///
    /// # Errors
    /// Too many wait.
    pub(crate) async fn share(&self, keys: u64) -> Result<Share, Fault> {
        let _place = self.waiting.try_acquire().map_err(|_| {
            self.metrics.answers_refused.inc();
            Fault::TooManyRequests
        })?;
        let wanted = (keys.saturating_mul(KEY_BYTES) / UNIT_BYTES).min(self.units.into());
        let wanted = u32::try_from(wanted).unwrap_or(self.units).max(1);
        self.metrics.answers_waiting.inc();
        let waited = Waiting(&self.metrics);
        let permit = self.free.clone().acquire_many_owned(wanted).await;
        drop(waited);
        self.metrics.answers_large.inc();
        Ok(Share {
            _permit: permit.expect("the semaphore is never closed"),
            metrics: self.metrics.clone(),
        })
    }

    /// Does what takes long beside the threads that serve requests; few at a time.
    pub(crate) async fn build<T: Send + 'static>(
        &self,
        build: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let slot = self.building.clone().acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        let built = tokio::task::spawn_blocking(move || {
            let built = build();
            drop(slot);
            built
        });
        // Only a runtime that goes down gives the work up.
        built.await.map_err(|_| Fault::Stopped)
    }
}

/// Counted among those who wait.
struct Waiting<'a>(&'a Bounds);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.answers_waiting.dec();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.metrics.answers_large.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    /// Who asks for much waits until there is room; who gives up waiting leaves nothing behind.
    #[tokio::test]
    async fn large_answers_take_turns() {
        let budget = Arc::new(Budget::new(1024 * 1024, Metrics::default().bounds));
        let all = budget.share(u64::MAX).await.unwrap();
        let second = {
            let budget = budget.clone();
            tokio::spawn(async move { budget.share(100).await })
        };
        while budget.metrics.answers_waiting.get() == 0 {
            tokio::task::yield_now().await;
        }
        let given_up = {
            let budget = budget.clone();
            tokio::spawn(async move { budget.share(u64::MAX).await })
        };
        while budget.metrics.answers_waiting.get() < 2 {
            tokio::task::yield_now().await;
        }
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert!(!second.is_finished());
        drop(all);
        let second = second.await.unwrap().unwrap();
        assert_eq!(
            (
                budget.metrics.answers_waiting.get(),
                budget.metrics.answers_large.get()
            ),
            (0, 1)
        );
        drop(second);
        assert_eq!(budget.free.available_permits(), 1024);
    }
}
