//! The watchers of one stream: what each has been told, and what comes next.

use super::WatchHub;
use super::event::Events;
use super::history::{self, Wishes};
use super::inbox::{Arrived, Inbox, Taken};
use super::key_range::KeyRange;
use super::registry::Follower;
use almadia_command::Revision;
use almadia_command::planted::{Bug, planted};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

/// What a new watcher is to follow.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Which keys.
    pub range: KeyRange,
    /// The first revision to tell of; none for the next one. May lie in the future.
    pub from: Option<Revision>,
    /// Tell of puts.
    pub puts: bool,
    /// Tell of deletions.
    pub deletes: bool,
    /// Tell also what was there before.
    pub prev: bool,
}

impl Watch {
    /// Follows every change of a range from the next revision on.
    pub fn all(range: KeyRange) -> Self {
        Self {
            range,
            from: None,
            puts: true,
            deletes: true,
            prev: false,
        }
    }
}

/// One watcher of a stream; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchSlot(u64);

/// What comes next on a stream.
#[derive(Clone, Debug)]
pub enum Told {
    /// These changes.
    Events {
        /// To whom.
        slot: WatchSlot,
        /// In order.
        events: Events,
        /// The revision to show with them: never below the events.
        revision: Revision,
    },
    /// The revision that the watcher needs next is compacted: it ends here.
    Compacted {
        /// Whose.
        slot: WatchSlot,
        /// The compacted revision.
        compacted: Revision,
    },
    /// Everything up to this revision has been told before this: to one watcher, or to all of the stream.
    Reached {
        /// Whom it concerns; all for none.
        slot: Option<WatchSlot>,
        /// Up to where.
        revision: Revision,
    },
}

/// A stream's watchers. What is not polled costs a bounded amount of memory. Dropping it ends them all.
#[derive(Debug)]
pub struct Watches {
    hub: WatchHub,
    inbox: Arc<Inbox>,
    watchers: BTreeMap<u64, Watcher>,
    /// Those who read the revision log.
    behind: BTreeSet<u64>,
    /// Who of them has read last: they take turns.
    last_turn: u64,
    queue: VecDeque<Next>,
    taken: VecDeque<Arrived>,
    next_number: u64,
    /// A slice was read: others on this thread come first.
    rests: bool,
}

#[derive(Debug)]
struct Watcher {
    range: KeyRange,
    wishes: Wishes,
    /// The revision that was asked for, 0 for none. Before it is there, nothing is reached: as in etcd.
    start: Revision,
    /// The first revision that it has not been told of.
    next: Revision,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Reads the revision log and is handed nothing.
    New,
    /// Is handed what is new.
    Live,
    /// Was live, missed something and reads the revision log.
    Missed,
    /// Cannot go on: what it needs is compacted.
    Ended,
}

/// What has been taken from the inbox and is yet to be told.
#[derive(Debug)]
enum Next {
    Arrived(Arrived),
    /// Asked for when all that stands before it was here.
    Reached(Option<u64>, Revision),
}

impl Watches {
    pub(super) fn new(hub: WatchHub) -> Self {
        Self {
            hub,
            inbox: Arc::default(),
            watchers: BTreeMap::new(),
            behind: BTreeSet::new(),
            last_turn: 0,
            queue: VecDeque::new(),
            taken: VecDeque::new(),
            next_number: 0,
            rests: false,
        }
    }

    /// How many watchers there are, ended ones that have not been removed included.
    pub fn len(&self) -> usize {
        self.watchers.len()
    }

    /// Whether there is no watcher.
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Adds a watcher; tells its slot, and the store's revision now.
    pub fn add(&mut self, watch: Watch) -> (WatchSlot, Revision) {
        let number = self.next_number;
        self.next_number += 1;
        let now = self.hub.view().revision();
        let watcher = Watcher {
            range: watch.range,
            wishes: Wishes {
                puts: watch.puts,
                deletes: watch.deletes,
                prev: watch.prev,
            },
            start: watch.from.unwrap_or(Revision(0)),
            next: watch
                .from
                .filter(|from| *from <= now || !planted(Bug::WatchFuture))
                .unwrap_or(Revision(now.0 + 1))
                .max(Revision(1)),
            state: State::New,
        };
        let is_at_the_present = watcher.next > now;
        self.watchers.insert(number, watcher);
        self.behind.insert(number);
        if is_at_the_present {
            // When it does not work at once, the next poll goes on.
            self.try_to_join(number);
        }
        (WatchSlot(number), now)
    }

    /// Ends a watcher: nothing more is told of it. False when it is not there.
    pub fn remove(&mut self, slot: WatchSlot) -> bool {
        let Some(watcher) = self.watchers.remove(&slot.0) else {
            return false;
        };
        self.behind.remove(&slot.0);
        self.leave(slot.0, &watcher);
        true
    }

    /// Asks to be told of everything up to now and then that it was everything ([`Told::Reached`]): by one watcher, or by
    /// all of the stream for none. Nothing comes of it when one of them has not reached the present, or there is none.
    pub fn ask_progress(&mut self, slot: Option<WatchSlot>) {
        let number = slot.map(|slot| slot.0);
        if !self.have_reached(number, self.hub.view().revision()) {
            return;
        }
        let revision = if planted(Bug::ProgressAhead) {
            let revision = self.hub.view().revision();
            self.queue.push_front(Next::Reached(number, revision));
            return;
        } else {
            self.hub.dispatch_all()
        };
        self.take(None);
        let is_asked = matches!(
            self.queue.back(),
            Some(Next::Reached(other, at)) if *other == number && *at == revision
        );
        if !is_asked {
            self.queue.push_back(Next::Reached(number, revision));
        }
    }

    /// Whether one watcher, or all of at least one, are live and none waits for a revision that is not there.
    fn have_reached(&self, number: Option<u64>, revision: Revision) -> bool {
        let has_reached = |watcher: &Watcher| {
            watcher.state == State::Live
                && watcher.start <= revision
                && watcher.next.0 <= revision.0.saturating_add(1)
        };
        match number {
            Some(number) => self.watchers.get(&number).is_some_and(has_reached),
            None => !self.watchers.is_empty() && self.watchers.values().all(has_reached),
        }
    }

    /// What comes next; none when the store is gone. Reads a slice of history at most.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Told>> {
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            while let Some(next) = self.queue.pop_front() {
                if let Some(told) = self.tell(next) {
                    return Poll::Ready(Some(told));
                }
            }
            if self.take(Some(context)) == Taken::Nothing {
                break;
            }
        }
        if self.hub.is_closed() {
            return Poll::Ready(None);
        }
        if self.behind.is_empty() {
            return Poll::Pending;
        }
        let told = self.read_slice();
        if told.is_none() {
            context.waker().wake_by_ref();
        }
        self.rests = told.is_some();
        told.map_or(Poll::Pending, |told| Poll::Ready(Some(told)))
    }

    /// What comes next; none when the store is gone.
    pub async fn next(&mut self) -> Option<Told> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// How much has arrived and has not been told.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.inbox.waiting()
    }

    fn take(&mut self, context: Option<&Context<'_>>) -> Taken {
        let taken = self.inbox.take(&mut self.taken, context);
        self.queue.extend(self.taken.drain(..).map(Next::Arrived));
        taken
    }

    fn tell(&mut self, next: Next) -> Option<Told> {
        match next {
            Next::Arrived(Arrived::Parcel(number, parcel)) => {
                let watcher = self.watchers.get_mut(&number)?;
                let (from, wishes) = (watcher.next, watcher.wishes);
                let last = parcel.events.last()?.record.mod_revision();
                watcher.next = from.max(Revision(last.0 + 1));
                let is_wanted = |event: &super::Event| {
                    event.record.mod_revision() >= from && wishes.include(&event.record)
                };
                let events = if parcel.events.iter().all(is_wanted) {
                    Events::shared(parcel)
                } else {
                    Events::own(
                        parcel
                            .events
                            .iter()
                            .filter(|event| is_wanted(event))
                            .cloned()
                            .collect(),
                    )
                };
                let events = if planted(Bug::WatchTwice) && last.0 % 16 == 0 {
                    Events::own(events.iter().chain(events.iter()).cloned().collect())
                } else {
                    events
                };
                (!events.is_empty()).then(|| Told::Events {
                    slot: WatchSlot(number),
                    revision: events.last_revision(),
                    events,
                })
            }
            Next::Arrived(Arrived::Missed(number, from)) => {
                let watcher = self.watchers.get_mut(&number)?;
                watcher.next = watcher.next.max(from);
                watcher.state = State::Missed;
                self.behind.insert(number);
                None
            }
            Next::Reached(number, revision) => self.have_reached(number, revision).then_some(Told::Reached {
                slot: number.map(WatchSlot),
                revision,
            }),
        }
    }

    /// Lets the next of those who are behind read on.
    fn read_slice(&mut self) -> Option<Told> {
        let after = self.behind.range(self.last_turn + 1..).next();
        let number = *after.or_else(|| self.behind.first())?;
        self.last_turn = number;
        let view = self.hub.view();
        let watcher = self.watchers.get_mut(&number)?;
        if watcher.next < view.compacted() {
            return Some(self.end(number, view.compacted()));
        }
        let slice = history::read(&view, watcher.range.bounds(), watcher.wishes, watcher.next);
        watcher.next = Revision(slice.upto.0.saturating_add(1));
        if slice.upto >= view.revision() {
            self.try_to_join(number);
        }
        let events = Events::own(slice.events);
        (!events.is_empty()).then(|| Told::Events {
            slot: WatchSlot(number),
            events,
            revision: view.revision(),
        })
    }

    fn try_to_join(&mut self, number: u64) {
        let follower = self.follower(number);
        let Some(watcher) = self.watchers.get_mut(&number) else {
            return;
        };
        let upto = Revision(watcher.next.0 - 1);
        let joined = match watcher.state {
            State::New => self.hub.join(&watcher.range, follower, upto),
            State::Missed => self.hub.rejoin(&follower, upto),
            State::Live | State::Ended => unreachable!("only those who are behind join"),
        };
        if joined {
            watcher.state = State::Live;
            self.behind.remove(&number);
        }
    }

    fn follower(&self, number: u64) -> Follower {
        let watcher = self.watchers.get(&number);
        Follower {
            inbox: self.inbox.clone(),
            watcher: number,
            wants_prev: watcher.is_some_and(|watcher| watcher.wishes.prev),
        }
    }

    fn end(&mut self, number: u64, compacted: Revision) -> Told {
        self.behind.remove(&number);
        if let Some(mut watcher) = self.watchers.remove(&number) {
            self.leave(number, &watcher);
            watcher.state = State::Ended;
            self.watchers.insert(number, watcher);
        }
        Told::Compacted {
            slot: WatchSlot(number),
            compacted,
        }
    }

    fn leave(&self, number: u64, watcher: &Watcher) {
        if matches!(watcher.state, State::Live | State::Missed) {
            let follower = Follower {
                inbox: self.inbox.clone(),
                watcher: number,
                wants_prev: watcher.wishes.prev,
            };
            self.hub.leave(std::iter::once((&watcher.range, follower)));
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        let followers = self.watchers.iter().filter_map(|(number, watcher)| {
            let follows = matches!(watcher.state, State::Live | State::Missed);
            follows.then(|| {
                let follower = Follower {
                    inbox: self.inbox.clone(),
                    watcher: *number,
                    wants_prev: watcher.wishes.prev,
                };
                (&watcher.range, follower)
            })
        });
        self.hub.leave(followers);
    }
}
