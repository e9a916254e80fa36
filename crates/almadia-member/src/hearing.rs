//! What a member hears of applying: positions, snapshots, and the outcomes that callers here wait for. Batches pass from the
//! consensus runtime to the clients' one in one message each, so that callers are woken where they run; a batch without news for
//! them wakes nobody. It decides nothing: see `waiters.rs`.

use crate::waiters::Waiters;
use almadia_command::{LogIndex, Term};
use almadia_consensus::{AppliedBatch, ApplySink};
use almadia_store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};

/// What is heard of applying, for those who wait for it.
pub(crate) struct Heard {
    /// Who waits for which outcome.
    pub(crate) waiters: Arc<Waiters>,
    /// How far this member has applied; published before.
    pub(crate) applied: watch::Receiver<LogIndex>,
    /// How many snapshots took the place of entries.
    pub(crate) installed: watch::Receiver<u64>,
}

/// The sink for applied batches, and what is heard of them. Settles them on the current runtime.
pub(crate) fn listen(store: &Store, drawn: u32) -> (Arc<dyn ApplySink>, Heard) {
    let waiters = Arc::new(Waiters::new(drawn));
    let (sink, heard, batches) = connect(store.views().load().applied().0, waiters);
    tokio::spawn(settle(batches, heard.waiters.clone()));
    (Arc::new(sink), heard)
}

fn connect(applied: LogIndex, waiters: Arc<Waiters>) -> (Sink, Heard, mpsc::UnboundedReceiver<AppliedBatch>) {
    let (tell_batch, batches) = mpsc::unbounded_channel();
    let (tell_applied, applied) = watch::channel(applied);
    let (tell_installed, installed) = watch::channel(0);
    let sink = Sink {
        batches: tell_batch,
        told: AtomicU64::new(0),
        applied: tell_applied,
        installed: tell_installed,
    };
    let heard = Heard {
        waiters,
        applied,
        installed,
    };
    (sink, heard, batches)
}

struct Sink {
    batches: mpsc::UnboundedSender<AppliedBatch>,
    /// The term of the last batch that was sent on. One worker applies, so nobody races for it.
    told: AtomicU64,
    applied: watch::Sender<LogIndex>,
    installed: watch::Sender<u64>,
}

impl ApplySink for Sink {
    fn applied(&self, batch: AppliedBatch) {
        self.applied.send_replace(batch.index);
        if batch.skipped {
            self.installed.send_modify(|installed| *installed += 1);
        }
        let begins = Term(self.told.swap(batch.term.0, Ordering::Relaxed)) != batch.term;
        if batch.outcomes.is_empty() && !batch.skipped && !begins {
            return;
        }
        // Unbounded but small: outcomes in it have callers, and those are bounded by the proposer's queue.
        let _ = self.batches.send(batch);
    }
}

/// Settles batch after batch, in order.
async fn settle(mut batches: mpsc::UnboundedReceiver<AppliedBatch>, waiters: Arc<Waiters>) {
    while let Some(batch) = batches.recv().await {
        waiters.applied(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(index: u64, term: u64) -> AppliedBatch {
        AppliedBatch {
            index: LogIndex(index),
            term: Term(term),
            outcomes: Vec::new(),
            skipped: false,
        }
    }

    /// Others' writes cost this member's clients nothing; a new term and a snapshot are news to whoever waits.
    #[test]
    fn only_news_is_passed_on() {
        let (sink, heard, mut batches) = connect(LogIndex(1), Arc::new(Waiters::new(1)));
        sink.applied(batch(2, 3));
        assert_eq!(batches.try_recv().unwrap().term, Term(3), "a term begins");
        sink.applied(batch(3, 3));
        assert!(batches.try_recv().is_err(), "nothing of this member");
        assert_eq!(*heard.applied.borrow(), LogIndex(3), "readers hear of all");
        sink.applied(AppliedBatch {
            skipped: true,
            ..batch(9, 3)
        });
        assert!(batches.try_recv().unwrap().skipped);
        assert_eq!(*heard.installed.borrow(), 1);
        sink.applied(batch(10, 4));
        assert_eq!(batches.try_recv().unwrap().term, Term(4));
    }
}
