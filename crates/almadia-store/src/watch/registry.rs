//! Who follows which keys, and the matching of new records to them: each record is looked up once, and what it means
//! for a range is put together once for all who follow that range.
//!
//! It knows neither tasks nor clocks; [`super::WatchHub`] calls it under its lock.

use super::event::{Event, Parcel, previous};
use super::inbox::Inbox;
use super::key_range::KeyRange;
use super::ranges::Ranges;
use crate::record::Record;
use crate::view::View;
use almadia_command::Revision;
use almadia_command::planted::{Bug, planted};
use std::sync::Arc;
use std::task::Waker;

/// Records matched in one turn at most, and their bytes, after which a turn ends with the revision it is in. Bounds how
/// long the lock is held.
const TURN_RECORDS_MAX: usize = if cfg!(test) { 7 } else { 1000 };
const TURN_BYTES_MAX: usize = 512 * 1024;

/// The live watchers.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Everything up to here has been handed to those who follow it. Without meaning while nobody is live.
    dispatched: Revision,
    ranges: Ranges,
    groups: Vec<Group>,
    /// Numbers of groups that nobody is in.
    free: Vec<usize>,
    live: usize,
}

/// All who follow the same range.
#[derive(Debug, Default)]
struct Group {
    followers: Vec<Follower>,
    /// How many of them want previous values.
    prev_wanted: usize,
    /// What this turn has found for them.
    gathered: Vec<Event>,
}

/// A watcher that is live.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    pub(super) inbox: Arc<Inbox>,
    pub(super) watcher: u64,
    pub(super) wants_prev: bool,
}

impl Follower {
    fn is(&self, other: &Self) -> bool {
        self.watcher == other.watcher && Arc::ptr_eq(&self.inbox, &other.inbox)
    }
}

impl Registry {
    /// How many watchers are live.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The ranges followed by most, the largest number first, no more than `count_max`.
    pub(super) fn followed(&self, count_max: usize) -> Vec<(KeyRange, usize)> {
        let mut followed = Vec::new();
        self.ranges.each(&mut |range, group| {
            followed.push((range, self.groups[group].followers.len()));
        });
        followed.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        followed.truncate(count_max);
        followed
    }

    /// Everything up to here has been handed over.
    pub(super) fn dispatched(&self) -> Revision {
        self.dispatched
    }

    /// Begins to hand over what comes after `upto`. False when some of that has been handed to others already, or is no
    /// longer there to be handed over: then the watcher has to read on first.
    pub(super) fn join(&mut self, range: &KeyRange, follower: Follower, upto: Revision, view: &View) -> bool {
        if self.live == 0 {
            self.dispatched = upto.min(view.revision);
        }
        if self.dispatched > upto || !view.holds_from(Revision(self.dispatched.0 + 1)) {
            return false;
        }
        let group = match self.ranges.get(range) {
            Some(group) => group,
            None => self.add_group(range),
        };
        let group = &mut self.groups[group];
        group.prev_wanted += usize::from(follower.wants_prev);
        group.followers.push(follower);
        self.live += 1;
        true
    }

    /// The same for a watcher that missed something and has read it by now.
    pub(super) fn rejoin(&mut self, follower: &Follower, upto: Revision) -> bool {
        let caught_up = self.dispatched <= upto;
        if caught_up {
            follower.inbox.readmit(follower.watcher);
        }
        caught_up
    }

    /// Hands nothing over any more.
    ///
    /// # Panics
    /// When the watcher is not live.
    pub(super) fn leave(&mut self, range: &KeyRange, follower: &Follower) {
        let number = self.ranges.get(range).expect("a live watcher has a group");
        let group = &mut self.groups[number];
        let at = group.followers.iter().position(|other| other.is(follower));
        let gone = group
            .followers
            .swap_remove(at.expect("a live watcher is in its group"));
        gone.inbox.readmit(gone.watcher);
        group.prev_wanted -= usize::from(gone.wants_prev);
        self.live -= 1;
        if group.followers.is_empty() {
            self.ranges.remove(range);
            self.groups[number] = Group::default();
            self.free.push(number);
        }
    }

    fn add_group(&mut self, range: &KeyRange) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            self.groups.len() - 1
        });
        self.ranges.insert(range, number);
        number
    }

    /// Hands over a bounded part of what `view` has and has not been handed over; true when there is more.
    pub(super) fn turn(&mut self, view: &View, wake: &mut Vec<Waker>) -> bool {
        if self.live == 0 || view.revision <= self.dispatched {
            return false;
        }
        let from = Revision(self.dispatched.0 + 1);
        if !view.holds_from(from) {
            // A snapshot took the place of the store and goes beyond: each has to see for itself.
            if !planted(Bug::WatchOverSnapshot) {
                self.all_miss(from, wake);
            }
            self.dispatched = view.revision;
            return false;
        }
        let mut touched = Vec::new();
        self.dispatched = self.gather(view, &mut touched);
        for number in touched {
            self.hand_over(number, from, wake);
        }
        self.dispatched < view.revision
    }

    /// Matches the next records; answers up to where. Whole revisions only.
    fn gather(&mut self, view: &View, touched: &mut Vec<usize>) -> Revision {
        let (mut current, mut records, mut bytes) = (self.dispatched, 0, 0);
        for record in view.records_after(self.dispatched) {
            let revision = record.mod_revision();
            if revision > current && (records >= TURN_RECORDS_MAX || bytes >= TURN_BYTES_MAX) {
                return current;
            }
            current = revision;
            records += 1;
            bytes += record.encoded().len();
            self.gather_one(view, record, touched);
        }
        view.revision
    }

    fn gather_one(&mut self, view: &View, record: &Record, touched: &mut Vec<usize>) {
        let mut prev: Option<Option<Record>> = None;
        let groups = &mut self.groups;
        self.ranges.containing(record.key(), &mut |number| {
            let group = &mut groups[number];
            if group.gathered.is_empty() {
                touched.push(number);
            }
            let prev = if group.prev_wanted > 0 && !planted(Bug::PrevForgotten) {
                prev.get_or_insert_with(|| previous(view, record)).clone()
            } else {
                None
            };
            group.gathered.push(Event {
                record: record.clone(),
                prev,
            });
        });
    }

    fn hand_over(&mut self, number: usize, from: Revision, wake: &mut Vec<Waker>) {
        let group = &mut self.groups[number];
        let events = std::mem::take(&mut group.gathered);
        let bytes = events.iter().map(Event::bytes).sum();
        let parcel = Arc::new(Parcel { events, bytes });
        let pushed = group
            .followers
            .iter()
            .map(|follower| follower.inbox.push(follower.watcher, &parcel, from));
        wake.extend(pushed.flatten());
    }

    fn all_miss(&self, from: Revision, wake: &mut Vec<Waker>) {
        let followers = self.groups.iter().flat_map(|group| &group.followers);
        wake.extend(followers.filter_map(|follower| follower.inbox.miss(follower.watcher, from)));
    }

    /// Wakes everybody: nothing will come any more.
    pub(super) fn close(&self, wake: &mut Vec<Waker>) {
        let followers = self.groups.iter().flat_map(|group| &group.followers);
        wake.extend(followers.filter_map(|follower| follower.inbox.wake()));
    }
}
