//! What the log holds, as plain values.
//!
//! Nothing here knows about files.

use std::fmt;

use almadia_command::{LogIndex, MemberId, Term};
use bytes::Bytes;

use crate::WalError;

/// Told once when a call's effect is durable, or that it never will be. Runs on the wal thread (on the caller's
/// when the log has stopped or is closed): it must be cheap and must not wait for the log.
pub type Done = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// What an entry is for. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Says only that a term has begun.
    Blank = 0,
    /// A proposal.
    Command = 1,
    /// Who the members are.
    Membership = 2,
}

impl EntryKind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(EntryKind::Blank),
            1 => Some(EntryKind::Command),
            2 => Some(EntryKind::Membership),
            _ => None,
        }
    }
}

/// One slot of the log. Clones share the data.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its position, from 1.
    pub index: LogIndex,
    /// The term of the leader that made it.
    pub term: Term,
    /// What it is for.
    pub kind: EntryKind,
    /// `crc32c` of `data`, computed by the proposer and carried along: verified when read back from a file.
    pub checksum: u32,
    /// What it says; up to about 2 MiB.
    pub data: Bytes,
}

/// Without the data, which may be large and secret.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            term,
            kind,
            checksum,
            data,
        } = self;
        write!(
            f,
            "Entry({index} of term {term}, {kind:?}, {} bytes, {checksum:08x})",
            data.len()
        )
    }
}

impl Entry {
    /// An entry with the checksum computed here.
    pub fn new(index: LogIndex, term: Term, kind: EntryKind, data: Bytes) -> Self {
        Self {
            index,
            term,
            kind,
            checksum: crc32c::crc32c(&data),
            data,
        }
    }

    /// Which entry it is.
    pub fn log_id(&self) -> LogId {
        LogId {
            term: self.term,
            index: self.index,
        }
    }
}

/// An entry's name: no two entries of a cluster share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// The term it was made in.
    pub term: Term,
    /// Its position.
    pub index: LogIndex,
}

/// Whom this member has voted for, in the newest term it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The term.
    pub term: Term,
    /// Who got the vote.
    pub member: MemberId,
    /// Whether a majority granted it: the member is known to lead.
    pub committed: bool,
}

/// What stands at one moment of the log's order; each segment's header carries it, so that older segments can go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub vote: Option<Vote>,
    /// A hint: at least this much is committed.
    pub committed: Option<LogId>,
    /// Entries up to here are given up.
    pub purged: Option<LogId>,
    /// The newest entry, or what was purged when there is none.
    pub last: Option<LogId>,
}

impl Marks {
    pub(crate) fn last_index(&self) -> LogIndex {
        self.last.map_or(LogIndex(0), |last| last.index)
    }

    pub(crate) fn purged_index(&self) -> LogIndex {
        self.purged.map_or(LogIndex(0), |purged| purged.index)
    }

    /// Whether an entry may stand right here. An empty log that was never purged may begin anywhere.
    pub(crate) fn accepts(&self, index: LogIndex) -> bool {
        index > LogIndex(0) && self.last.is_none_or(|last| index == last.index.next())
    }

    /// Cuts the end. What is purged stays purged.
    pub(crate) fn truncate(&mut self, keep: LogId) {
        if keep.index < self.last_index() {
            let keep = (keep.index > LogIndex(0)).then_some(keep);
            self.last = if keep.map_or(LogIndex(0), |keep| keep.index) < self.purged_index() {
                self.purged
            } else {
                keep
            };
        }
    }

    /// Gives up the beginning; all of it and more after a snapshot.
    pub(crate) fn purge(&mut self, upto: LogId) {
        if upto.index > self.purged_index() {
            self.purged = Some(upto);
        }
        // Also at the end itself: after a snapshot the entry there may have been another term's.
        if upto.index >= self.last_index() {
            self.last = Some(upto);
        }
    }

    /// Takes a hint; one that is older than the last, or beyond the log, says nothing.
    pub(crate) fn commit(&mut self, committed: LogId) {
        let is_newer = self.committed.is_none_or(|old| old.index < committed.index);
        if is_newer && committed.index <= self.last_index() {
            self.committed = Some(committed);
        }
    }
}
