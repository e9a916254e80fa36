//! Keeps what clients and watchers see, with times of one clock. It asks nobody anything.

use almadia_sim::history::{
    Call, Change, Disturbance, Event, History, Outcome, Request, Revision, Watch, WatchResponse,
};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What is seen.
pub struct Recorder {
    members: usize,
    begun: Instant,
    next: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    history: History,
    /// How far each member has told, by ordinal.
    told: BTreeMap<usize, Revision>,
}

impl Recorder {
    /// Nothing yet, of so many members.
    pub fn new(members: usize) -> Recorder {
        Recorder {
            members,
            begun: Instant::now(),
            next: AtomicU64::new(1),
            seen: Mutex::default(),
        }
    }

    /// Time since the beginning.
    pub fn now_us(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    /// A number that nobody has had.
    pub fn unique(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A call that ends now.
    pub fn call(&self, client: u64, member: usize, invoked_us: u64, request: Request, outcome: Outcome) {
        let call = Call {
            client,
            member: Some(member as u64),
            invoked_us,
            returned_us: self.now_us(),
            request,
            outcome,
        };
        self.seen.lock().unwrap().history.calls.push(call);
    }

    /// A watcher that is over.
    pub fn watch(&self, watch: Watch) {
        self.seen.lock().unwrap().history.watches.push(watch);
    }

    /// What a member says it did: whole revisions.
    pub fn changes(&self, member: usize, response: &WatchResponse, events: &[Event]) {
        let mut seen = self.seen.lock().unwrap();
        for one in events.chunk_by(|left, right| left.revision() == right.revision()) {
            seen.history.changes.push(Change {
                member: member as u64,
                revision: one[0].revision(),
                events: one.to_vec(),
            });
        }
        let last = events.last().map_or(response.revision, Event::revision);
        let told = seen.told.entry(member).or_default();
        *told = (*told).max(last);
    }

    /// How far a member has told.
    pub fn told(&self, member: usize) -> Revision {
        self.seen.lock().unwrap().told.get(&member).copied().unwrap_or(1)
    }

    /// How far everybody has told.
    pub fn told_by_everybody(&self) -> Revision {
        let seen = self.seen.lock().unwrap();
        if seen.told.len() < self.members {
            return 1;
        }
        seen.told.values().min().copied().unwrap_or(1)
    }

    /// A disturbance that is over now.
    pub fn disturbed(&self, from_us: u64, what: String) {
        let until_us = self.now_us();
        self.seen.lock().unwrap().history.disturbances.push(Disturbance {
            from_us,
            until_us,
            what,
        });
    }

    /// All of it.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.seen.lock().unwrap().history)
    }
}
