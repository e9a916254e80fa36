//! Linearizable reads: one confirmation for all reads that came before it was asked for.
//!
//! The leader confirms by a round to a majority, a follower asks the leader; then the read waits until this member has
//! applied what was committed at that moment. No disk write, and no work per read but a wake-up.

use crate::forward::client::Outgoing;
use crate::hearing::Heard;
use crate::waiters::Waiters;
use almadia_command::LogIndex;
use almadia_command::planted::{Bug, planted};
use almadia_consensus::{Consensus, ReadIndexError, Standing};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Reads waiting for a confirmation at most; beyond it the answer is "too many requests".
pub const QUEUE_MAX: usize = 64 * 1024;

/// After a confirmation that failed: a leader without a majority fails at once, and must not be asked in a loop.
const RETRY: Duration = Duration::from_millis(10);

/// A read waiting for its turn.
pub type Queued = oneshot::Sender<()>;

/// Starts the task and gives the queue to it.
pub fn start(consensus: Consensus, heard: &Heard, forward: mpsc::Sender<Outgoing>) -> mpsc::Sender<Queued> {
    let (queue, receive) = mpsc::channel(QUEUE_MAX);
    let reader = Reader {
        standing: consensus.standing(),
        consensus,
        applied: heard.applied.clone(),
        forward,
        waiters: heard.waiters.clone(),
    };
    tokio::spawn(reader.run(receive));
    queue
}

struct Reader {
    consensus: Consensus,
    applied: watch::Receiver<LogIndex>,
    forward: mpsc::Sender<Outgoing>,
    standing: watch::Receiver<Standing>,
    /// For what is counted.
    waiters: Arc<Waiters>,
}

impl Reader {
    async fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        let mut waiting: Vec<Queued> = Vec::new();
        while queue.recv_many(&mut waiting, QUEUE_MAX).await > 0 {
            let begun = Instant::now();
            // On a stop the reads are dropped unanswered, which their callers take as such.
            loop {
                let Some(index) = self.confirm_for(&mut waiting, &mut queue).await else {
                    return;
                };
                match self.wait_applied(index).await {
                    None => return,
                    Some(true) => break,
                    // The position may have been that of an entry that went down with its leader: ask again.
                    Some(false) => {}
                }
            }
            self.waiters.tally.confirmations.note(begun.elapsed());
            for read in waiting.drain(..) {
                let _ = read.send(());
            }
        }
    }

    /// Waits until this member has applied up to `index`; false when the leader changed before, `None` on a stop.
    async fn wait_applied(&mut self, index: LogIndex) -> Option<bool> {
        if *self.applied.borrow() >= index || planted(Bug::ReadNotWaited) {
            return Some(true);
        }
        tokio::select! {
            applied = self.applied.wait_for(|applied| *applied >= index) => applied.ok().map(|_| true),
            changed = self.standing.changed() => {
                self.standing.mark_changed();
                changed.ok().map(|()| false)
            }
        }
    }

    /// Asks until a confirmation succeeds or nobody waits any more; `None` when the member stops.
    async fn confirm_for(
        &mut self,
        waiting: &mut Vec<Queued>,
        queue: &mut mpsc::Receiver<Queued>,
    ) -> Option<LogIndex> {
        loop {
            if let Some(index) = self.confirm().await? {
                return Some(index);
            }
            tokio::time::sleep(RETRY).await;
            waiting.retain(|read| !read.is_closed());
            // Whoever came meanwhile may share the next round: it has not been asked for yet.
            while let Ok(read) = queue.try_recv() {
                waiting.push(read);
            }
            if waiting.is_empty() {
                return Some(LogIndex(0));
            }
        }
    }

    /// `None`: the member stops. `Some(None)`: not now, ask again.
    async fn confirm(&mut self) -> Option<Option<LogIndex>> {
        let standing = *self
            .standing
            .wait_for(|standing| standing.leader.is_some())
            .await
            .ok()?;
        if standing.leading {
            return match self.consensus.read_index().await {
                Ok(index) => Some(Some(index)),
                Err(ReadIndexError::NotLeader) => Some(None),
                Err(ReadIndexError::Ended(_)) => None,
            };
        }
        let (give, take) = oneshot::channel();
        self.forward.send(Outgoing::ReadIndex(give)).await.ok()?;
        Some(take.await.ok())
    }
}
