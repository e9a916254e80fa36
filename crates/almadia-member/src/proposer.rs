//! Commands on their way into the log: a bounded queue, one batch at a time, to the log here or to the leader.
//!
//! There is no timer: whatever has queued up while the last batch was on its way is the next batch. Costs are per batch
//! and not per command, so one batch at a time is let into the log: with many clients batches grow, with one client
//! nothing waits. It never looks at an outcome; [`crate::waiters`] does the books.

use crate::forward::client::Outgoing;
use crate::member::{Applied, ProposeError};
use crate::tally::add;
use crate::waiters::{Settled, Waiters};
use almadia_command::planted::{Bug, planted};
use almadia_command::{Command, MemberId, Proposal, Term, Ticket};
use almadia_consensus::{Consensus, Refusals, Standing};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Commands waiting to enter the log at most; beyond it the answer is "too many requests" (etcd's bound).
pub const QUEUE_MAX: usize = 5000;

/// Commands of one batch at most.
const BATCH_MAX: usize = 1024;

/// The next batch waits for the last one this long at most.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);

/// A command's bytes, who waits for what becomes of it, and since when.
pub type Queued = (Bytes, oneshot::Sender<Settled>, Instant);

/// After a proposal was lost to a change of leader: the new one needs a moment before it accepts.
const RETRY: Duration = Duration::from_millis(10);

/// The way into the log for one command, until its outcome is known. Cheap to clone.
#[derive(Clone)]
pub struct Proposals {
    queue: mpsc::Sender<Queued>,
    limit: Duration,
    waiters: Arc<Waiters>,
}

impl Proposals {
    /// Over the queue that [`start`] gives; `limit` is how long an outcome is waited for.
    pub fn new(queue: mpsc::Sender<Queued>, limit: Duration, waiters: Arc<Waiters>) -> Self {
        Self {
            queue,
            limit,
            waiters,
        }
    }

    /// How many wait in the queue.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// For a client's command: when too many wait already, it is refused at once.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn try_propose(&self, bytes: Bytes) -> Result<Applied, ProposeError> {
        self.limited(async {
            loop {
                let (give, take) = oneshot::channel();
                self.queue
                    .try_send((bytes.clone(), give, Instant::now()))
                    .map_err(|error| match error {
                        mpsc::error::TrySendError::Full(_) => ProposeError::Busy,
                        mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
                    })?;
                if let Some(done) = settled(take).await {
                    return done;
                }
                add(&self.waiters.tally.proposals_lost);
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }

    /// For the cluster's own commands: waits for its turn among those of the clients.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn propose(&self, command: &Command) -> Result<Applied, ProposeError> {
        let bytes = command.encode_bytes();
        self.limited(async {
            loop {
                let (give, take) = oneshot::channel();
                let queued = self.queue.send((bytes.clone(), give, Instant::now())).await;
                queued.map_err(|_| ProposeError::Stopped)?;
                if let Some(done) = settled(take).await {
                    return done;
                }
                add(&self.waiters.tally.proposals_lost);
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
    }

    /// The member stops.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    async fn limited(
        &self,
        outcome: impl Future<Output = Result<Applied, ProposeError>>,
    ) -> Result<Applied, ProposeError> {
        let outcome = tokio::time::timeout(self.limit, outcome).await;
        if planted(Bug::TimeoutAsRefusal) && outcome.is_err() {
            return Err(ProposeError::Busy);
        }
        let outcome = outcome.unwrap_or(Err(ProposeError::TimedOut));
        if outcome.is_err() {
            add(&self.waiters.tally.proposals_failed);
        }
        outcome
    }
}

/// What became of a proposal; `None` when it was lost and is to be proposed again.
async fn settled(take: oneshot::Receiver<Settled>) -> Option<Result<Applied, ProposeError>> {
    let settled = if planted(Bug::RetryUnknown) {
        let limited = tokio::time::timeout(Duration::from_millis(200), take).await;
        limited.unwrap_or(Ok(Settled::Lost))
    } else {
        take.await
    };
    Some(match settled {
        Ok(Settled::Applied(own)) => Ok(Applied {
            outcome: own.outcome,
            index: own.index,
            term: own.term,
        }),
        Ok(Settled::Lost) => return None,
        Ok(Settled::NoSpace) => Err(ProposeError::NoSpace),
        Ok(Settled::Unknown) => Err(ProposeError::TimedOut),
        Err(_) => Err(ProposeError::Stopped),
    })
}

struct Local(Arc<Waiters>);

impl Refusals for Local {
    fn refused(&self, ticket: Ticket) {
        self.0.refused(ticket, false);
    }
}

/// Starts the task on `runtime` and gives the queue to it. On the runtime of consensus a whole batch is handed over
/// before consensus wakes up, and enters the log as one.
pub fn start(
    runtime: &Handle,
    own: MemberId,
    consensus: Consensus,
    waiters: Arc<Waiters>,
    forward: mpsc::Sender<Outgoing>,
) -> mpsc::Sender<Queued> {
    let (queue, receive) = mpsc::channel(QUEUE_MAX);
    let standing = consensus.standing();
    let refusals: Arc<dyn Refusals> = Arc::new(Local(waiters.clone()));
    runtime.spawn(
        Proposer {
            own,
            consensus,
            waiters,
            refusals,
            forward,
            standing,
        }
        .run(receive),
    );
    queue
}

struct Proposer {
    own: MemberId,
    consensus: Consensus,
    waiters: Arc<Waiters>,
    refusals: Arc<dyn Refusals>,
    forward: mpsc::Sender<Outgoing>,
    standing: watch::Receiver<Standing>,
}

impl Proposer {
    async fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            // More may have come while consensus ran: they belong to this batch.
            while batch.len() < BATCH_MAX
                && let Ok(queued) = queue.try_recv()
            {
                batch.push(queued);
            }
            // Without a leader the batch waits here and the queue behind it; callers keep their own time.
            let standing = self
                .standing
                .wait_for(|standing| standing.leader.is_some())
                .await
                .map(|now| *now);
            let Ok(standing) = standing else { return };
            let proposals = self.register(standing.term, &mut batch);
            let Some(last) = proposals.last().map(Proposal::ticket) else {
                continue;
            };
            if self.route(standing, proposals).await.is_none() {
                return;
            }
            self.settled_or_changed(last).await;
        }
    }

    /// Waits until the batch that ends with this ticket is settled. Not longer than the standing lasts: what a new leader
    /// takes must not wait for what the old one left. Nor longer than [`SETTLE_LIMIT`]: one proposal that is stuck must not
    /// hold up all others.
    async fn settled_or_changed(&mut self, last: Ticket) {
        tokio::select! {
            () = self.waiters.settled_up_to(last) => {}
            _ = self.standing.changed() => self.standing.mark_changed(),
            () = tokio::time::sleep(SETTLE_LIMIT) => {}
        }
    }

    fn register(&self, term: Term, batch: &mut Vec<Queued>) -> Vec<Proposal> {
        let own = self.own;
        let tally = &self.waiters.tally;
        if let Some((_, _, since)) = batch.first() {
            tally.queue_wait.note(since.elapsed());
        }
        tally.batched.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let callers = batch.drain(..).map(|(command, give, _)| (command, give));
        self.waiters.register(term, callers, |ticket, command| {
            Proposal::new(own, ticket, command)
        })
    }

    async fn route(&self, standing: Standing, proposals: Vec<Proposal>) -> Option<()> {
        if standing.leading {
            self.consensus
                .submit(proposals, standing.term, &self.refusals)
                .await
                .ok()
        } else {
            self.forward
                .send(Outgoing::Propose(standing.term, proposals))
                .await
                .ok()
        }
    }
}
