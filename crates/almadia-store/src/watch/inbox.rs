//! What has been matched for the watchers of one stream and not been taken yet: bounded, and full for a stream whose
//! client does not read. Then its watchers are refused more and read on in the revision log instead: nothing is lost.

use super::event::Parcel;
use almadia_command::Revision;
use almadia_command::planted::{Bug, planted};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};

/// Events that wait for one stream at most, and bytes of the records in them; a single parcel may be larger.
const WAITING_EVENTS_MAX: usize = if cfg!(test) { 5 } else { 1000 };
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// One stream's inbox.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    arrived: VecDeque<Arrived>,
    events: usize,
    bytes: usize,
    /// Watchers that get nothing until they have read what they missed.
    refused: BTreeSet<u64>,
    reader: Option<Waker>,
}

/// What has arrived for a watcher.
#[derive(Clone, Debug)]
pub(super) enum Arrived {
    /// Events, for the watcher of this number.
    Parcel(u64, Arc<Parcel>),
    /// From this revision on the watcher must read by itself.
    Missed(u64, Revision),
}

/// What taking brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Something,
    Nothing,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding an inbox")
    }

    /// Hands events over, of which the first may be as early as `from`. Who has to be woken is answered.
    pub(super) fn push(&self, watcher: u64, parcel: &Arc<Parcel>, from: Revision) -> Option<Waker> {
        let mut state = self.state();
        if state.refused.contains(&watcher) {
            return None;
        }
        let events = state.events + parcel.events.len();
        let bytes = state.bytes + parcel.bytes;
        if planted(Bug::WatchDrops) && events > 8 {
            return None;
        }
        if state.events > 0 && (events > WAITING_EVENTS_MAX || bytes > WAITING_BYTES_MAX) {
            return state.miss(watcher, from);
        }
        (state.events, state.bytes) = (events, bytes);
        state.arrived.push_back(Arrived::Parcel(watcher, parcel.clone()));
        state.reader.take()
    }

    /// Tells a watcher that it is not handed anything from `from` on.
    pub(super) fn miss(&self, watcher: u64, from: Revision) -> Option<Waker> {
        let mut state = self.state();
        if state.refused.contains(&watcher) {
            return None;
        }
        state.miss(watcher, from)
    }

    /// The watcher has read what it missed, or is gone.
    pub(super) fn readmit(&self, watcher: u64) {
        self.state().refused.remove(&watcher);
    }

    /// Has the reader look around, though nothing has arrived.
    pub(super) fn wake(&self) -> Option<Waker> {
        self.state().reader.take()
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state().arrived.len()
    }

    /// Moves what has arrived behind `into`. When there is nothing, the task is woken as soon as there is.
    pub(super) fn take(&self, into: &mut VecDeque<Arrived>, context: Option<&Context<'_>>) -> Taken {
        let mut state = self.state();
        if state.arrived.is_empty() {
            if let Some(context) = context {
                state.reader = Some(context.waker().clone());
            }
            return Taken::Nothing;
        }
        (state.events, state.bytes) = (0, 0);
        if into.is_empty() {
            std::mem::swap(into, &mut state.arrived);
        } else {
            into.append(&mut state.arrived);
        }
        Taken::Something
    }
}

impl State {
    fn miss(&mut self, watcher: u64, from: Revision) -> Option<Waker> {
        self.refused.insert(watcher);
        self.arrived.push_back(Arrived::Missed(watcher, from));
        self.reader.take()
    }
}
