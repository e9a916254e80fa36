//! Commands on their way into the log: a bounded queue, one batch at a time, to the log here or to the leader.
//!
//! There is no timer: whatever has queued up while the last batch was handed on is the next batch. It never waits
//! for an outcome; [`crate::waiters`] does the books.

use crate::forward::client::Outgoing;
use crate::waiters::{Settled, Waiters};
use almadia_command::{MemberId, Proposal, Term};
use almadia_consensus::{Consensus, Refusals, Standing};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Commands waiting to enter the log at most; beyond it the answer is "too many requests" (etcd's bound).
pub const QUEUE_MAX: usize = 5000;

/// Commands of one batch at most.
const BATCH_MAX: usize = 1024;

/// A command's bytes and who waits for what becomes of it.
pub type Queued = (Bytes, oneshot::Sender<Settled>);

struct Local(Arc<Waiters>);

impl Refusals for Local {
    fn refused(&self, ticket: almadia_command::Ticket) {
        self.0.refused(ticket, false);
    }
}

/// Starts the task and gives the queue to it.
pub fn start(
    own: MemberId,
    consensus: Consensus,
    waiters: Arc<Waiters>,
    forward: mpsc::Sender<Outgoing>,
) -> mpsc::Sender<Queued> {
    let (queue, receive) = mpsc::channel(QUEUE_MAX);
    let standing = consensus.standing();
    let refusals: Arc<dyn Refusals> = Arc::new(Local(waiters.clone()));
    tokio::spawn(
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
            // Without a leader the batch waits here and the queue behind it; callers keep their own time.
            let standing = self
                .standing
                .wait_for(|standing| standing.leader.is_some())
                .await
                .map(|now| *now);
            let Ok(standing) = standing else { return };
            let proposals = self.register(standing.term, &mut batch);
            if self.route(standing, proposals).await.is_none() {
                return;
            }
        }
    }

    fn register(&self, term: Term, batch: &mut Vec<Queued>) -> Vec<Proposal> {
        let own = self.own;
        self.waiters.register(term, batch.drain(..), |ticket, command| {
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
