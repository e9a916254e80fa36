//! Watching: who is told of which changes, without a socket and without a queue per watcher.
//!
//! The revision log is the queue. A watcher is a range of keys and a cursor, the next revision it has not been told of.
//! One that is behind reads the log in slices ([`Watches::poll_next`]), each from the view of the moment. One that has
//! reached the present is *live*: a single task ([`WatchHub::run`]) looks up each new record once, after it is
//! published, and puts it into the inboxes of the streams that follow its key. An inbox is bounded; when it is full, the
//! watcher falls behind and reads the log again. So nothing is lost or told twice, a client that does not read costs a
//! bounded amount of memory and delays nobody, and applying never waits for any of this.
//!
//! `docs/internals/watch.md` has the argument. Nothing here reads a clock, opens a socket or knows etcd's messages.

mod bell;
mod event;
mod history;
mod inbox;
mod key_range;
mod ranges;
mod registry;
#[cfg(test)]
mod tests;
mod watches;

pub use event::{Event, Events};
pub use key_range::KeyRange;
pub use watches::{Told, Watch, WatchSlot, Watches};

use crate::store::Views;
use crate::view::View;
use almadia_command::Revision;
use bell::Bell;
use registry::{Follower, Registry};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};

/// Where watching begins: one for a store, for as long as the store lives, whatever snapshot takes its place. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct WatchHub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    views: Views,
    registry: Mutex<Registry>,
    bell: Bell,
    /// How many watchers are live: without any, publishing does not ring.
    live: AtomicUsize,
    is_closed: AtomicBool,
    /// Compaction keeps records after this revision, which are yet to be handed over. Read by the store.
    held: Arc<AtomicI64>,
}

/// The store's side: tells the hub of what is published, and ends it.
#[derive(Debug)]
pub(crate) struct Publisher {
    hub: WatchHub,
}

impl Publisher {
    pub(crate) fn new(views: Views) -> Self {
        let shared = Shared {
            views,
            registry: Mutex::default(),
            bell: Bell::default(),
            live: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            held: Arc::new(AtomicI64::new(i64::MAX)),
        };
        let hub = WatchHub {
            shared: Arc::new(shared),
        };
        Self { hub }
    }

    pub(crate) fn hub(&self) -> WatchHub {
        self.hub.clone()
    }

    /// What the store's state asks before it lets records go.
    pub(crate) fn held(&self) -> Arc<AtomicI64> {
        self.hub.shared.held.clone()
    }

    /// A view has been published. Costs a few nanoseconds when nobody watches, and a wake-up at most.
    pub(crate) fn published(&self) {
        // Either this sees a watcher that has just become live, or the watcher sees the view that was just published.
        fence(Ordering::SeqCst);
        if self.hub.shared.live.load(Ordering::SeqCst) > 0 {
            self.hub.shared.bell.ring();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut wake = Vec::new();
        self.hub.shared.is_closed.store(true, Ordering::SeqCst);
        self.hub.registry().close(&mut wake);
        wake.into_iter().for_each(std::task::Waker::wake);
        self.hub.shared.bell.remove();
    }
}

impl WatchHub {
    /// Hands new records to those who follow them, until the store is dropped. To be run once, on a runtime other than
    /// the one that applies.
    pub async fn run(self) {
        loop {
            if self.turn() {
                bell::rest().await;
            } else if !self.shared.bell.wait().await {
                return;
            }
        }
    }

    /// A stream's watchers, none yet.
    pub fn watches(&self) -> Watches {
        Watches::new(self.clone())
    }

    /// How many watchers are live. For metrics.
    pub fn live(&self) -> usize {
        self.shared.live.load(Ordering::Relaxed)
    }

    /// Which ranges are followed by live watchers, and by how many: those with most of them, no more than `count_max`. For
    /// people who look on; takes as long as there are ranges, under the lock of the hub.
    pub fn followed(&self, count_max: usize) -> Vec<(KeyRange, usize)> {
        self.registry().followed(count_max)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        let registry = self.shared.registry.lock();
        registry.expect("nobody panics while holding the registry")
    }

    fn view(&self) -> Arc<View> {
        self.shared.views.load()
    }

    /// Hands over a part of what is published and has not been handed over; true when there is more.
    fn turn(&self) -> bool {
        let mut wake = Vec::new();
        let more = {
            let mut registry = self.registry();
            let more = registry.turn(&self.view(), &mut wake);
            self.note(&registry);
            more
        };
        wake.into_iter().for_each(std::task::Waker::wake);
        more
    }

    /// Hands over all of what is published by now, and says up to where that is.
    fn dispatch_all(&self) -> Revision {
        while self.turn() {}
        self.registry().dispatched()
    }

    /// Makes a watcher live that has been told of everything up to `upto`; see [`Registry::join`].
    fn join(&self, range: &KeyRange, follower: Follower, upto: Revision) -> bool {
        let mut registry = self.registry();
        // Before the view is loaded: see [`Publisher::published`].
        self.shared.live.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let joined = registry.join(range, follower, upto, &self.view());
        self.note(&registry);
        drop(registry);
        if joined {
            self.shared.bell.ring();
        }
        joined
    }

    fn rejoin(&self, follower: &Follower, upto: Revision) -> bool {
        self.registry().rejoin(follower, upto)
    }

    fn leave<'a>(&self, watchers: impl Iterator<Item = (&'a KeyRange, Follower)>) {
        let mut registry = self.registry();
        for (range, follower) in watchers {
            registry.leave(range, &follower);
        }
        self.note(&registry);
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Relaxed)
    }

    /// Publishes what the registry knows, for those who do not take its lock.
    fn note(&self, registry: &Registry) {
        let live = registry.live();
        self.shared.live.store(live, Ordering::SeqCst);
        let held = if live == 0 {
            i64::MAX
        } else {
            registry.dispatched().0
        };
        self.shared.held.store(held, Ordering::SeqCst);
    }
}
