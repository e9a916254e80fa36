//! Wakes the one task that matches changes to watchers. Ringing never waits for that task.

use std::fmt;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// Rung when there may be something to do; rings that come together are one.
#[derive(Default)]
pub(super) struct Bell(Mutex<State>);

#[derive(Default)]
struct State {
    is_rung: bool,
    is_removed: bool,
    sleeper: Option<Waker>,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding the bell")
    }

    /// Wakes who waits, or whoever waits next.
    pub(super) fn ring(&self) {
        let sleeper = {
            let mut state = self.state();
            state.is_rung = true;
            state.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// It will not ring any more.
    pub(super) fn remove(&self) {
        self.state().is_removed = true;
        self.ring();
    }

    /// Waits for a ring; false when there will be none any more.
    pub(super) async fn wait(&self) -> bool {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.is_removed {
                return Poll::Ready(false);
            }
            if std::mem::take(&mut state.is_rung) {
                return Poll::Ready(true);
            }
            state.sleeper = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

/// Lets others run once before going on.
pub(super) async fn rest() {
    let mut has_rested = false;
    let resting = std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_rested, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    pin!(resting).await;
}
