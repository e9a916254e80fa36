//! Where openraft's chance comes from: numbers given from outside, never the system.
//!
//! openraft draws election timeouts and nothing else. It asks its runtime for a generator, and the runtime is a type without a
//! value, so what it draws from lies beside it: one number for the process, which every member's start stirs, or one of
//! the thread that runs a whole simulated cluster.

use futures_util::FutureExt;
use openraft::OptionalSend;
use openraft::impls::TokioRuntime;
use openraft::rt::AsyncRuntime;
use openraft::rt::deterministic_rng::DeterministicRng;
use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// openraft's own seeded runtime: its generator is what is drawn from.
type Seeded = DeterministicRng<TokioRuntime>;
type Generator = <Seeded as AsyncRuntime>::ThreadLocalRng;

/// The step of Weyl's sequence; the generator scatters what comes of it.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

static PROCESS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// None outside simulations.
    static THREAD: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on all consensus on this thread draws from `seed`: for simulations that run whole clusters on one thread.
pub fn seed_chance(seed: u64) {
    THREAD.set(Some(seed));
}

/// Stirs a number that nobody else has into what the process draws from.
pub fn stir_chance(number: u64) {
    PROCESS.fetch_add(number, Ordering::Relaxed);
}

fn generator() -> Generator {
    let seed = match THREAD.get() {
        Some(state) => {
            THREAD.set(Some(state.wrapping_add(STEP)));
            state
        }
        None => PROCESS.fetch_add(STEP, Ordering::Relaxed),
    };
    let drawn = Seeded::scope(seed, async { Seeded::thread_rng() }).now_or_never();
    drawn.expect("making a generator never waits")
}

/// tokio as openraft uses it, with our chance.
#[derive(Debug)]
pub struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = Generator;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Generator {
        generator()
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a generator draws shows in its state.
    fn drawn() -> [String; 2] {
        [(); 2].map(|()| format!("{:?}", generator()))
    }

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_each_generator_is_another() {
        seed_chance(7);
        let first = drawn();
        assert_ne!(first[0], first[1]);
        assert_ne!(drawn(), first);
        seed_chance(7);
        assert_eq!(drawn(), first);
    }

    #[test]
    fn without_a_seed_what_was_stirred_in_counts() {
        let before = drawn();
        stir_chance(99);
        assert_ne!(drawn(), before);
    }
}
