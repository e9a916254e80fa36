//! openraft's log, kept by `almadia-wal`.
//!
//! Entries are readable in memory when `append` returns; openraft hears of their persistence from the wal thread.
//! Votes, truncations and purges go through the same queue in the same order. Nothing here decides.

use crate::raft::{RaftEntry, RaftLogId, RaftVote, Types, from_entry, from_position, from_vote};
use crate::raft::{to_entry, to_index, to_position, to_vote};
use crate::tally::Tally;
use almadia_command::LogIndex;
use almadia_command::planted::{Bug, planted};
use almadia_wal::{LogId, Wal, WalError};
use futures_util::{Stream, StreamExt};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Bytes of entries in one batch to a follower; one larger entry still goes alone.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// The log as openraft writes it.
#[derive(Clone, Debug)]
pub struct LogStorage {
    wal: Wal,
    tally: Arc<Tally>,
}

impl LogStorage {
    /// openraft's side of a log.
    pub fn new(wal: Wal, tally: Arc<Tally>) -> Self {
        Self { wal, tally }
    }

    fn bounds(&self, range: &impl RangeBounds<u64>) -> (LogIndex, LogIndex) {
        let from = match range.start_bound() {
            Bound::Included(start) => to_index(*start),
            Bound::Excluded(start) => to_index(*start).next(),
            Bound::Unbounded => LogIndex(1),
        };
        let to = match range.end_bound() {
            Bound::Included(end) => to_index(*end).next(),
            Bound::Excluded(end) => to_index(*end),
            Bound::Unbounded => self.wal.last().map_or(LogIndex(1), |last| last.index.next()),
        };
        (from, to)
    }

    fn read(&self, from: LogIndex, to: LogIndex, bytes_max: usize) -> Result<Vec<RaftEntry>, io::Error> {
        let entries = self.wal.read(from, to, bytes_max).map_err(io::Error::other)?;
        entries
            .into_iter()
            .map(|entry| from_entry(entry).map_err(io::Error::other))
            .collect()
    }
}

fn log_id(log_id: &RaftLogId) -> LogId {
    let (index, term) = to_position(Some(log_id));
    LogId { index, term }
}

/// Runs one of the log's calls and waits for its turn on the wal thread.
async fn synced(call: impl FnOnce(Box<dyn FnOnce(Result<(), WalError>) + Send>)) -> Result<(), io::Error> {
    let (done, wait) = oneshot::channel();
    call(Box::new(move |result| {
        // The core may have stopped waiting; then nobody needs the word.
        let _ = done.send(result);
    }));
    match wait.await {
        Ok(result) => result.map_err(io::Error::other),
        Err(_) => Err(io::Error::other("the log's thread has ended")),
    }
}

impl RaftLogStorage<Types> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let position = |id: Option<LogId>| id.and_then(|id| from_position(id.index, id.term));
        Ok(LogState {
            last_purged_log_id: position(self.wal.purged()),
            last_log_id: position(self.wal.last()),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), io::Error> {
        if planted(Bug::VoteBeforeSync) {
            self.wal.save_vote(to_vote(vote), Box::new(|_| {}));
            return Ok(());
        }
        synced(|done| self.wal.save_vote(to_vote(vote), done)).await
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), io::Error> {
        if let Some(committed) = committed {
            self.wal.save_committed(log_id(&committed));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<RaftLogId>, io::Error> {
        let committed = if planted(Bug::CommittedHintAhead) {
            self.wal.last()
        } else {
            self.wal.committed()
        };
        Ok(committed.and_then(|id| from_position(id.index, id.term)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().map(|entry| to_entry(&entry)).collect();
        if planted(Bug::AppendBeforeSync) {
            self.wal.append(entries, Box::new(|_| {}));
            callback.io_completed(Ok(()));
            return Ok(());
        }
        let last = entries.last().map(|entry| entry.index);
        let tally = self.tally.clone();
        if let Some(last) = last {
            tally.received.note(last, Instant::now());
        }
        let done = move |result: Result<(), WalError>| {
            if let (Some(last), Ok(())) = (last, &result) {
                tally.persisted.note(last, Instant::now());
            }
            callback.io_completed(result.map_err(io::Error::other));
        };
        self.wal.append(entries, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> Result<(), io::Error> {
        let keep = to_position(last.as_ref()).0;
        synced(|done| self.wal.truncate_after(keep, done)).await
    }

    async fn purge(&mut self, upto: RaftLogId) -> Result<(), io::Error> {
        self.wal.purge_to(log_id(&upto));
        Ok(())
    }
}

impl RaftLogReader<Types> for LogStorage {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<RaftEntry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = self.bounds(&range);
        self.read(from, to, usize::MAX)
    }

    /// Reads for applying, piece by piece: after a long outage the range may be far larger than memory should hold.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<RaftEntry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = self.bounds(&range);
        let log = self.clone();
        futures_util::stream::unfold((from, Vec::new().into_iter()), move |(next, mut piece)| {
            let log = log.clone();
            async move {
                let entry: Option<RaftEntry> = piece.next();
                let entry = match entry {
                    Some(entry) => entry,
                    None if next >= to => return None,
                    None => match log.read(next, to, BATCH_BYTES_MAX) {
                        Ok(entries) => {
                            piece = entries.into_iter();
                            piece.next()?
                        }
                        Err(error) => return Some((Err(error), (to, Vec::new().into_iter()))),
                    },
                };
                Some((Ok(entry), (next.next(), piece)))
            }
        })
        .boxed()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, io::Error> {
        self.read(to_index(start), to_index(end), BATCH_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, io::Error> {
        if planted(Bug::VoteForgotten) {
            return Ok(None);
        }
        Ok(self.wal.vote().as_ref().map(from_vote))
    }
}
