//! A waker that remembers that it was called: a task that waits for several things then looks only at those that gave a sign.
//!
//! A stream's task is polled again right after each answer it gave, to hear that there is nothing more. Looking at everything it
//! waits for each time (a lock of the connection's, timers, channels) cost more than the answer itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The sign of one source, or of several that are looked at together. Given at first: nobody has looked yet.
#[derive(Debug)]
pub(crate) struct Sign {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Debug)]
struct Shared {
    is_given: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Default for Sign {
    fn default() -> Self {
        let shared = Arc::new(Shared {
            is_given: AtomicBool::new(true),
            task: Mutex::new(None),
        });
        let waker = Waker::from(shared.clone());
        Self { shared, waker }
    }
}

impl Sign {
    /// From now on this task is woken when a sign is given. To be called before each look.
    pub(crate) fn listen(&self, context: &Context<'_>) {
        let mut task = self.shared.task();
        match &mut *task {
            Some(task) => task.clone_from(context.waker()),
            None => *task = Some(context.waker().clone()),
        }
    }

    /// Whether a sign was given since this was last asked. Whoever is told so must look until there is nothing to wait for
    /// but [`Sign::waker`] being called.
    pub(crate) fn take(&self) -> bool {
        // Seen without a write at first: mostly there is none.
        self.shared.is_given.load(Ordering::Acquire) && self.shared.is_given.swap(false, Ordering::AcqRel)
    }

    /// There is more to look at, for a task that is not going to sleep.
    pub(crate) fn give(&self) {
        self.shared.is_given.store(true, Ordering::Release);
    }

    /// What the source is to call. Not a reference, so that whoever holds the sign may change meanwhile.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Shared {
    fn task(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken: it looks at nothing else.
        self.is_given.store(true, Ordering::Release);
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_sign_is_taken_once_and_wakes_whoever_listened_last() {
        let sign = Sign::default();
        assert!(sign.take(), "at first there is something to look at");
        assert!(!sign.take());
        let (first, second) = (Arc::<Count>::default(), Arc::<Count>::default());
        let wakers = [Waker::from(first.clone()), Waker::from(second.clone())];
        sign.listen(&Context::from_waker(&wakers[0]));
        sign.waker().wake_by_ref();
        sign.listen(&Context::from_waker(&wakers[1]));
        sign.waker().wake();
        let counts = [&first, &second].map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(counts, [1, 1]);
        assert!(sign.take(), "two signs are one");
        assert!(!sign.take());
        sign.give();
        assert!(sign.take());
        assert_eq!(second.0.load(Ordering::Relaxed), 1, "giving wakes nobody");
    }
}
