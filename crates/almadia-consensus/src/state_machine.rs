//! openraft's state machine, kept by `almadia-store`.
//!
//! Committed entries are applied in order, in memory; then the view is published; then whoever waits for
//! the outcomes of this member's own proposals hears of them, one message per batch. Never touches a file: the
//! keeper does, and the worker waits for it only when a snapshot is installed.

use crate::keeper::KeeperHandle;
use crate::membership::{decode_stored, encode_stored};
use crate::raft::{
    Payload, RaftEntry, RaftLogId, RaftSnapshotMeta, RaftStoredMembership, Types, from_position, to_position,
};
use crate::tally::{Tally, add};
use almadia_command::planted::{Bug, planted};
use almadia_command::{Command, LogIndex, MemberId, Term, Ticket};
use almadia_store::disk::SnapshotSink;
use almadia_store::{Outcome, Store, View};
use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// Revisions whose garbage is dropped after each applied batch, so that compaction keeps pace with writing.
const COMPACT_REVISIONS: usize = 256;

/// The outcome of one of this member's own proposals.
#[derive(Clone, Debug)]
pub struct OwnOutcome {
    /// Which proposal.
    pub ticket: Ticket,
    /// The checksum of the proposal: an entry of an earlier life with the same ticket has another.
    pub checksum: u32,
    /// Where it stands in the log.
    pub index: LogIndex,
    /// The term of its entry.
    pub term: Term,
    /// What applying it answered.
    pub outcome: Outcome,
}

/// What one batch of committed entries brought.
#[derive(Debug, Default)]
pub struct AppliedBatch {
    /// The last applied position.
    pub index: LogIndex,
    /// Its term. A proposal meant for an earlier term that is neither in this batch nor in one before will
    /// never be applied.
    pub term: Term,
    /// This member's own proposals among the entries.
    pub outcomes: Vec<OwnOutcome>,
    /// A snapshot took the place of entries: outcomes may have been skipped.
    pub skipped: bool,
}

/// Hears of applied batches, in order, after their view is published. Called by the state machine's worker:
/// it must return at once.
pub trait ApplySink: Send + Sync + 'static {
    /// A batch was applied.
    fn applied(&self, batch: AppliedBatch);
}

/// The state machine as openraft drives it.
pub struct StateMachine {
    store: Store,
    published: Arc<ArcSwap<View>>,
    sink: Arc<dyn ApplySink>,
    own: MemberId,
    keeper: KeeperHandle,
    /// What the newest checkpoint holds, as openraft wants to know it.
    checkpoint: Arc<Mutex<Option<RaftSnapshotMeta>>>,
    tally: Arc<Tally>,
}

/// A snapshot on its way out or in.
#[derive(Debug)]
pub enum SnapshotData {
    /// Read from this member's own files when it is sent.
    Local,
    /// Received whole, not yet verified and installed.
    Received(Box<SnapshotSink>),
}

impl StateMachine {
    /// A state machine over a store as it was restored.
    ///
    /// # Errors
    /// When the membership that the store carries cannot be read.
    pub fn new(
        mut store: Store,
        own: MemberId,
        keeper: KeeperHandle,
        sink: Arc<dyn ApplySink>,
        tally: Arc<Tally>,
    ) -> Result<(Self, Arc<ArcSwap<View>>), io::Error> {
        let view = store.publish();
        let meta = meta_of(&view)?;
        // The same place that those who watch look at: what they are told of can be read.
        let published = store.views().place();
        let checkpoint = Arc::new(Mutex::new(meta.last_log_id.is_some().then_some(meta)));
        let machine = Self {
            store,
            published: published.clone(),
            sink,
            own,
            keeper,
            checkpoint,
            tally,
        };
        Ok((machine, published))
    }

    fn apply_entry(&mut self, entry: &RaftEntry, batch: &mut AppliedBatch) -> Result<(), io::Error> {
        let (index, term) = to_position(Some(&entry.log_id));
        assert!(index > batch.index, "entries are applied in order");
        (batch.index, batch.term) = (index, term);
        match &entry.payload {
            EntryPayload::Blank => self.store.note_applied(index, term),
            EntryPayload::Membership(membership) => {
                let stored = RaftStoredMembership::new(Some(entry.log_id), membership.clone());
                let bytes = encode_stored(&stored, self.store.membership());
                self.store.set_membership(index, term, bytes);
            }
            EntryPayload::Normal(Payload(proposal)) => {
                let command = Command::decode_bytes(proposal.command()).map_err(|error| {
                    io::Error::other(format!("cannot apply the entry at {index}: {error}"))
                })?;
                let is_chosen = index.0.is_multiple_of(23) && self.own.0 & 1 == 1;
                if planted(Bug::ApplySkips) && is_chosen {
                    self.store.note_applied(index, term);
                    return Ok(());
                }
                self.tally.commands.note(&command);
                let outcome = self.store.apply(index, term, &command);
                if planted(Bug::ApplyTwice) && index.0.is_multiple_of(23) {
                    self.store.apply(index, term, &command);
                }
                if proposal.origin() == self.own {
                    let (ticket, checksum) = (proposal.ticket(), proposal.checksum());
                    batch.outcomes.push(OwnOutcome {
                        ticket,
                        checksum,
                        index,
                        term,
                        outcome,
                    });
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        self.store.publish();
    }

    /// What makes this state machine's checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints {
            published: self.published.clone(),
            keeper: self.keeper.clone(),
            checkpoint: self.checkpoint.clone(),
            tally: self.tally.clone(),
        }
    }

    fn checkpointer(&self) -> Checkpointer {
        Checkpointer {
            checkpoint: self.checkpoint.clone(),
        }
    }

    fn newest_checkpoint(&self) -> Option<RaftSnapshotMeta> {
        self.checkpoint
            .lock()
            .expect("nobody panics while holding the checkpoint")
            .clone()
    }

    /// Drops a slice of what a compaction left behind; true when there is more.
    pub fn compact_slice(&mut self, revisions_max: usize) -> bool {
        let more = self.store.compact_slice(revisions_max);
        self.publish();
        more
    }
}

fn position_of(view: &View) -> Option<RaftLogId> {
    let (index, term) = view.applied();
    from_position(index, term)
}

fn meta_of(view: &View) -> Result<RaftSnapshotMeta, io::Error> {
    let last_membership = decode_stored(view.membership()).map_err(io::Error::other)?;
    Ok(RaftSnapshotMeta {
        last_log_id: position_of(view),
        last_membership,
    })
}

type RaftSnapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotData>;

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Checkpointer;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, RaftStoredMembership), io::Error> {
        let meta = meta_of(&self.published.load())?;
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = AppliedBatch {
            index: self.published.load().applied().0,
            ..AppliedBatch::default()
        };
        let (mut begun, mut count) = (None, 0);
        while let Some(item) = entries.next().await {
            begun.get_or_insert_with(Instant::now);
            count += 1;
            let (entry, responder) = item?;
            self.apply_entry(&entry, &mut batch)?;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        self.store.compact_slice(COMPACT_REVISIONS);
        self.publish();
        if let Some(begun) = begun {
            self.tally.note_applied(begun, batch.index, count);
        }
        self.sink.applied(batch);
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Checkpointer> {
        // Nothing to tell before there is a checkpoint: see [`Checkpointer`].
        self.newest_checkpoint().is_some().then(|| self.checkpointer())
    }

    async fn get_snapshot_builder(&mut self) -> Checkpointer {
        self.checkpointer()
    }

    async fn install_snapshot(
        &mut self,
        meta: &RaftSnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let SnapshotData::Received(received) = snapshot else {
            return Err(io::Error::other(
                "asked to install a snapshot that was never received",
            ));
        };
        let installed = self.keeper.run(move |keeper| received.finish(keeper)).await;
        // Not another store: those who watch go on with this one.
        self.store
            .replace(installed.map_err(io::Error::other)?.map_err(io::Error::other)?);
        let applied = position_of(&self.published.load());
        assert_eq!(applied, meta.last_log_id, "a snapshot holds what its header says");
        *self
            .checkpoint
            .lock()
            .expect("nobody panics while holding the checkpoint") = Some(meta.clone());
        let (index, term) = to_position(applied.as_ref());
        add(&self.tally.snapshots_installed);
        self.sink.applied(AppliedBatch {
            index,
            term,
            outcomes: Vec::new(),
            skipped: true,
        });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        Ok(self.newest_checkpoint().map(|meta| Snapshot {
            meta,
            snapshot: SnapshotData::Local,
        }))
    }
}

/// Tells openraft of the newest checkpoint. It makes none: a checkpoint may fail (the disk is full) and is then tried
/// again, while an error here would end consensus. [`Checkpoints`] makes them, before openraft asks.
pub struct Checkpointer {
    checkpoint: Arc<Mutex<Option<RaftSnapshotMeta>>>,
}

impl RaftSnapshotBuilder<Types> for Checkpointer {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot, io::Error> {
        let checkpoint = self
            .checkpoint
            .lock()
            .expect("nobody panics while holding the checkpoint");
        let meta = checkpoint
            .clone()
            .ok_or_else(|| io::Error::other("asked for a checkpoint before there is one"))?;
        Ok(Snapshot {
            meta,
            snapshot: SnapshotData::Local,
        })
    }
}

/// Makes checkpoints, beside the worker. Cheap to clone.
#[derive(Clone)]
pub struct Checkpoints {
    published: Arc<ArcSwap<View>>,
    keeper: KeeperHandle,
    checkpoint: Arc<Mutex<Option<RaftSnapshotMeta>>>,
    tally: Arc<Tally>,
}

impl Checkpoints {
    /// Writes what changed since the last checkpoint.
    ///
    /// # Errors
    /// In words, when the keeper could not (the disk is full): what was written before stands, and it may be tried again.
    pub async fn make(&self) -> Result<(), String> {
        let begun = Instant::now();
        let made = self.make_one().await;
        match &made {
            Ok(()) => self.tally.checkpoints.note(begun.elapsed()),
            Err(_) => add(&self.tally.checkpoints_failed),
        }
        made
    }

    async fn make_one(&self) -> Result<(), String> {
        let view = self.published.load_full();
        let meta = meta_of(&view).map_err(|error| error.to_string())?;
        let done = self.keeper.run(move |keeper| keeper.checkpoint(&view)).await;
        done.map_err(|gone| gone.to_string())?
            .map_err(|error| error.to_string())?;
        let mut newest = self
            .checkpoint
            .lock()
            .expect("nobody panics while holding the checkpoint");
        if newest
            .as_ref()
            .is_none_or(|newest| newest.last_log_id < meta.last_log_id)
        {
            *newest = Some(meta);
        }
        Ok(())
    }
}
