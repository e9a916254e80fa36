//! Renewals of a member's clients on their way to the leader: whatever has queued up while the last question was out is
//! the next question. It never keeps a lease alive of its own accord.

use crate::leader::{AnswerKind, AskError, Asker, LeaseIds, Question, QuestionKind};
use almadia_command::LeaseId;
use tokio::sync::{mpsc, oneshot};

/// Renewals waiting at most; then who asks waits.
const QUEUE_MAX: usize = 8 * 1024;

/// Renewals of one question at most.
const BATCH_MAX: usize = 1024;

/// A lease to be renewed, and who waits: seconds granted, 0 for no such lease, `None` to be asked again.
pub type Queued = (LeaseId, oneshot::Sender<Result<Option<i64>, AskError>>);

/// Starts the task and gives the queue to it; it ends with the queue.
pub fn start(asker: Asker) -> mpsc::Sender<Queued> {
    let (queue, receive) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(run(receive, asker));
    queue
}

async fn run(mut queue: mpsc::Receiver<Queued>, asker: Asker) {
    let mut batch: Vec<Queued> = Vec::new();
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        batch.retain(|(_, give)| !give.is_closed());
        if batch.is_empty() {
            continue;
        }
        let leases = batch.iter().map(|(lease, _)| lease.0).collect();
        let question = Question::from(QuestionKind::KeepAlive(LeaseIds { leases }));
        let said = match asker.ask(question).await {
            Ok(answer) => match answer.kind {
                Some(AnswerKind::KeptAlive(kept)) if kept.ttls.len() == batch.len() => Ok(kept.ttls),
                // Words of another release; nobody can tell what they mean.
                _ => Err(AskError::TimedOut),
            },
            Err(error) => Err(error),
        };
        for (position, (_, give)) in batch.drain(..).enumerate() {
            let said = said.as_ref().map(|ttls| ttls[position]).map_err(Clone::clone);
            // Below 0: open.
            let _ = give.send(said.map(|ttl| (ttl >= 0).then_some(ttl)));
        }
    }
}
