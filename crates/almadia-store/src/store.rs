//! The sole writer of the state, and where its views are found.
//!
//! It never waits, and readers never wait for it.

use crate::apply;
use crate::compaction;
use crate::outcome::Outcome;
use crate::restore::{self, RestoreError, RestoredState};
use crate::view::View;
use crate::watch::{Publisher, WatchHub};
use almadia_command::{Command, LogIndex, Revision, Term};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::sync::Arc;

/// The store: applies commands in log order and publishes views. There is one writer.
#[derive(Debug)]
pub struct Store {
    /// What has been applied so far. Readers see it from the next [`Store::publish`] on.
    state: View,
    views: Views,
    publisher: Publisher,
}

/// Where the latest published view is found. Cheap to clone; loading never locks.
#[derive(Clone, Debug)]
pub struct Views {
    latest: Arc<ArcSwap<View>>,
}

impl Views {
    /// The view that was published last.
    pub fn load(&self) -> Arc<View> {
        self.latest.load_full()
    }

    /// The place itself, for those who load from it on their own.
    pub fn place(&self) -> Arc<ArcSwap<View>> {
        self.latest.clone()
    }
}

impl Store {
    /// A store with nothing in it, at revision 1.
    pub fn empty() -> Self {
        Self::with_state(View::empty())
    }

    /// Builds the store that `restored` describes, without what the compacted revision hides. Costs one sort.
    ///
    /// # Errors
    /// [`RestoreError`] when the records are not in order or cannot be of one store.
    pub fn restore(restored: RestoredState) -> Result<Self, RestoreError> {
        Ok(Self::with_state(restore::restore(restored)?))
    }

    fn with_state(mut state: View) -> Self {
        let views = Views {
            latest: Arc::new(ArcSwap::from_pointee(state.clone())),
        };
        let publisher = Publisher::new(views.clone());
        state.watched = publisher.held();
        Self {
            state,
            views,
            publisher,
        }
    }

    /// Puts another state in the place of this one, for those who hold [`Views`] or watch too: a snapshot that a
    /// follower was sent. The next [`Views::load`] finds it.
    pub fn replace(&mut self, other: Self) -> Arc<View> {
        self.state = other.state;
        self.state.watched = self.publisher.held();
        self.publish()
    }

    /// Carries out the command of a log entry. The outcome is the same on every member.
    ///
    /// # Panics
    /// When `index` is not above the last applied one: an entry is applied once.
    pub fn apply(&mut self, index: LogIndex, term: Term, command: &Command) -> Outcome {
        self.note_applied(index, term);
        let before = self.state.revision;
        let result = apply::apply(&mut self.state, term, command);
        let revision = self.state.revision;
        assert!(
            revision == before || revision.0 == before.0 + 1,
            "a command makes one revision at most"
        );
        assert!(
            result.is_ok() || revision == before,
            "a refused command changes nothing"
        );
        Outcome { revision, result }
    }

    /// Notes a log entry that does not concern the store.
    ///
    /// # Panics
    /// When `index` is not above the last applied one.
    pub fn note_applied(&mut self, index: LogIndex, term: Term) {
        let (last, _) = self.state.applied;
        assert!(
            index > last,
            "entry {index} comes after entry {last} has been applied"
        );
        self.state.applied = (index, term);
    }

    /// Takes over a membership from a log entry.
    ///
    /// # Panics
    /// When `index` is not above the last applied one.
    pub fn set_membership(&mut self, index: LogIndex, term: Term, membership: Bytes) {
        self.note_applied(index, term);
        self.state.membership = membership;
    }

    /// The membership as the newest entry left it, published or not.
    pub fn membership(&self) -> &Bytes {
        &self.state.membership
    }

    /// Makes what has been applied so far visible to readers, as a view that later changes do not touch. Costs
    /// nothing per key; the changes after it copy the nodes they touch once more.
    pub fn publish(&mut self) -> Arc<View> {
        compaction::release_some(&mut self.state);
        let view = Arc::new(self.state.clone());
        self.views.latest.store(view.clone());
        self.publisher.published();
        view
    }

    /// Where readers find the published views.
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// Where watching begins. Follows this store for as long as it lives, [`Store::replace`] included.
    pub fn watches(&self) -> WatchHub {
        self.publisher.hub()
    }

    /// The revision of the last change, published or not.
    pub fn revision(&self) -> Revision {
        self.state.revision
    }

    /// Drops what up to `revisions_max` of the compacted revisions left behind; true when there is more to do.
    /// Readers see no difference: it may be called at any time and any number of times.
    pub fn compact_slice(&mut self, revisions_max: usize) -> bool {
        compaction::compact_slice(&mut self.state, revisions_max)
    }
}
