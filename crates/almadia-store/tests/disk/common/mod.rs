//! What the tests of the keeper share: commands, small files, and what a view amounts to.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;

use almadia_command::{
    Command, Compact, DeleteRange, Kind, LogIndex, Operation, OperationKind, Put, Range, Term, Txn,
};
use almadia_disk::{Disk, MemDisk};
use almadia_store::disk::{Keeper, KeeperError, Options};
use almadia_store::{Record, Store, View};
use bytes::Bytes;

/// The term of every entry.
pub const TERM: Term = Term(3);

/// Segments and blocks so small that little data has many of them.
pub fn small() -> Options {
    Options {
        load_threads: 1,
        segment_bytes: 2000,
        block_bytes: 300,
        small_segments_max: 4,
        reserve_bytes_max: 0,
        slice_blocks: 2,
        slice_keys: 3,
    }
}

/// Bytes that do not compress.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(byte).collect()
}

/// One put.
pub fn put(key: &str, value: &[u8]) -> Command {
    let (key, value) = (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value),
    );
    Kind::Put(Put {
        key,
        value,
        ..Put::default()
    })
    .into()
}

/// Deletes one key.
pub fn delete(key: &str) -> Command {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Kind::DeleteRange(DeleteRange {
        key,
        ..DeleteRange::default()
    })
    .into()
}

/// Deletes everything.
pub fn delete_all() -> Command {
    let (key, range_end) = (Bytes::from_static(&[0]), Bytes::from_static(&[0]));
    Kind::DeleteRange(DeleteRange {
        key,
        range_end,
        ..DeleteRange::default()
    })
    .into()
}

/// Several puts as one revision.
pub fn put_together(pairs: &[(String, Vec<u8>)]) -> Command {
    let success = pairs.iter().map(|(key, value)| {
        let Some(Kind::Put(put)) = put(key, value).kind else {
            unreachable!()
        };
        Operation {
            kind: Some(OperationKind::Put(put)),
        }
    });
    Kind::Txn(Txn {
        success: success.collect(),
        ..Txn::default()
    })
    .into()
}

/// A compaction, as a command.
pub fn compact(revision: i64) -> Command {
    Kind::Compact(Compact {
        revision,
        ..Compact::default()
    })
    .into()
}

/// All that a view shows to any read, with what stands beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub applied: (LogIndex, Term),
    pub revision: i64,
    pub compacted: i64,
    pub membership: Bytes,
    pub at_compacted: Vec<Record>,
    pub after: Vec<Record>,
    pub keys: u64,
    pub live_bytes: u64,
}

/// What any read could find in a view.
pub fn state_of(view: &View) -> State {
    let everything = Range {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        revision: view.compacted().0.max(1),
        ..Range::default()
    };
    let at_compacted = view
        .range(&everything)
        .expect("the compacted revision can be read")
        .records;
    State {
        applied: view.applied(),
        revision: view.revision().0,
        compacted: view.compacted().0,
        membership: view.membership().clone(),
        at_compacted,
        after: view.records_after(view.compacted()).cloned().collect(),
        keys: view.sizes().keys,
        live_bytes: view.sizes().live_bytes,
    }
}

/// Opens a keeper on a memory disk.
pub fn open(disk: &MemDisk, options: Options) -> Result<(Keeper, Store), KeeperError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Keeper::open(disk, options)
}

/// A store with its log and keeper, as a member has them.
pub struct Member {
    pub disk: MemDisk,
    pub options: Options,
    pub keeper: Keeper,
    pub store: Store,
    /// Entry `n` stands at `n - 1`. Nothing is purged, so that any state can be gone on from.
    pub log: Vec<Entry>,
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub enum Entry {
    Command(Command),
    Membership(Bytes),
}

impl Member {
    /// On a fresh memory disk.
    pub fn new(options: Options) -> Self {
        Self::on(MemDisk::new(), options)
    }

    /// On a disk that has no state yet.
    pub fn on(disk: MemDisk, options: Options) -> Self {
        let (keeper, store) = open(&disk, options).expect("a fresh disk opens");
        Self {
            disk,
            options,
            keeper,
            store,
            log: Vec::new(),
        }
    }

    /// Enters a command into the log and applies it.
    pub fn apply(&mut self, command: Command) {
        self.enter(Entry::Command(command));
    }

    /// Enters an entry into the log and applies it.
    pub fn enter(&mut self, entry: Entry) {
        self.log.push(entry);
        self.apply_entry(self.log.len() - 1);
    }

    fn apply_entry(&mut self, at: usize) {
        let index = LogIndex(at as u64 + 1);
        match &self.log[at] {
            Entry::Command(command) => {
                let _ = self.store.apply(index, TERM, command);
            }
            Entry::Membership(membership) => self.store.set_membership(index, TERM, membership.clone()),
        }
    }

    /// What readers would see now.
    pub fn view(&mut self) -> Arc<View> {
        self.store.publish()
    }

    /// The revision of the last change.
    pub fn state_revision(&self) -> i64 {
        self.store.revision().0
    }

    /// What a restart right after a checkpoint would have to find.
    pub fn state(&mut self) -> State {
        state_of(&self.view())
    }

    /// Makes a checkpoint; answers the state it holds.
    pub fn checkpoint(&mut self) -> Result<State, KeeperError> {
        let view = self.view();
        self.keeper.checkpoint(&view)?;
        Ok(state_of(&view))
    }

    /// Compacts and lets compaction come to its end.
    pub fn compact(&mut self, revision: i64) {
        self.apply(compact(revision));
        while self.store.compact_slice(100) {}
    }

    /// Collects garbage to the end; answers how many pieces it took.
    pub fn collect_garbage(&mut self) -> usize {
        let view = self.view();
        for piece in 0..100_000 {
            if !self.keeper.collect_garbage(&view).expect("the disk is good") {
                return piece;
            }
        }
        panic!("collecting garbage does not come to an end");
    }

    /// Starts again from the disk as it is, without a checkpoint; answers the state that was found.
    pub fn restart(&mut self) -> State {
        let (keeper, store) = open(&self.disk, self.options).expect("the state opens");
        (self.keeper, self.store) = (keeper, store);
        let found = self.state();
        let from = found.applied.0.0 as usize;
        for at in from..self.log.len() {
            self.apply_entry(at);
        }
        found
    }
}
