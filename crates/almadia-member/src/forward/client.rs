//! The follower's side of the forward lane: one pipe to whoever leads, dialled when there is something to say.
//!
//! When the pipe breaks and the leader is still the same, unsettled proposals of its term are sent again (the leader
//! takes none twice); reads are failed at once, since asking again costs nothing. It never decides who leads.

use super::wire::{self, Asked, Propose, Reply, Request, Tickets, ToFollower, ToLeader, WireProposal};
use crate::waiters::Waiters;
use almadia_command::{LogIndex, MemberId, Proposal, Term, Ticket};
use almadia_consensus::{Consensus, Lane, PeerAddress, PeerNetwork, Pipe, Standing};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Messages from the proposer and the reader waiting for the pipe at most; then they wait.
const OUTGOING_MAX: usize = 64;

/// Bytes of proposals in one frame; one larger proposal still goes alone.
const FRAME_BYTES: usize = 1024 * 1024;

/// Between two dials to a leader that cannot be reached.
const REDIAL: Duration = Duration::from_millis(50);

/// Something for the leader.
#[derive(Debug)]
pub enum Outgoing {
    /// Append these in this term.
    Propose(Term, Vec<Proposal>),
    /// Confirm a read. Dropping the sender says "ask again".
    ReadIndex(oneshot::Sender<LogIndex>),
    /// Ask this. Dropping the sender says that no answer came: the leader may have heard the question or not.
    Ask(Bytes, oneshot::Sender<Bytes>),
}

/// Starts the task and gives the way to it.
pub fn start(
    own: MemberId,
    consensus: Consensus,
    network: Arc<dyn PeerNetwork>,
    waiters: Arc<Waiters>,
) -> mpsc::Sender<Outgoing> {
    let (send, receive) = mpsc::channel(OUTGOING_MAX);
    let standing = consensus.standing();
    let client = Client {
        own,
        consensus,
        network,
        waiters,
        standing,
        next_number: 0,
        reads: BTreeMap::new(),
        questions: BTreeMap::new(),
        sent: None,
    };
    tokio::spawn(client.run(receive));
    send
}

struct Client {
    own: MemberId,
    consensus: Consensus,
    network: Arc<dyn PeerNetwork>,
    waiters: Arc<Waiters>,
    standing: watch::Receiver<Standing>,
    next_number: u64,
    reads: BTreeMap<u64, oneshot::Sender<LogIndex>>,
    questions: BTreeMap<u64, oneshot::Sender<Bytes>>,
    /// Everything up to here has been on a wire; what became of it only the log can tell.
    sent: Option<Ticket>,
}

impl Client {
    async fn run(mut self, mut outgoing: mpsc::Receiver<Outgoing>) {
        loop {
            let standing = *self.standing.borrow_and_update();
            let leader = standing.leader.filter(|leader| *leader != self.own);
            let goes_on = match leader {
                Some(leader) => self.follow(leader, standing.term, &mut outgoing).await,
                None => self.idle(&mut outgoing).await,
            };
            self.forget_questions();
            if goes_on.is_none() {
                return;
            }
        }
    }

    /// Nobody to forward to: what comes now was routed by an older standing and is refused.
    async fn idle(&mut self, outgoing: &mut mpsc::Receiver<Outgoing>) -> Option<()> {
        loop {
            tokio::select! {
                changed = self.standing.changed() => return changed.ok(),
                message = outgoing.recv() => self.refuse(message?),
            }
        }
    }

    /// Refuses what was certainly never sent. What stands in the books is sent when a conversation begins, so a message may
    /// still be in the queue when its proposals are out already.
    fn refuse(&self, message: Outgoing) {
        if let Outgoing::Propose(_, proposals) = message {
            for ticket in proposals.iter().map(Proposal::ticket) {
                if self.sent.is_none_or(|sent| ticket > sent) {
                    self.waiters.refused(ticket, false);
                }
            }
        }
    }

    /// Serves one leader until the standing changes; dials again when the pipe breaks.
    async fn follow(
        &mut self,
        leader: MemberId,
        term: Term,
        outgoing: &mut mpsc::Receiver<Outgoing>,
    ) -> Option<()> {
        let mut first = self.first_message(term, outgoing).await?;
        loop {
            if self.standing.has_changed().ok()? {
                // What was not sent yet waits in the books and is settled by the new leader's first entry,
                // or refused here when it was meant for a term that is over.
                if let Some(message) = first {
                    self.refuse(message);
                }
                return Some(());
            }
            let Some(pipe) = self.dial(leader).await else {
                self.forget_questions();
                if let Some(Outgoing::ReadIndex(_) | Outgoing::Ask(..)) = &first {
                    first = None;
                }
                tokio::select! {
                    () = tokio::time::sleep(REDIAL) => continue,
                    changed = self.standing.changed() => {
                        self.standing.mark_changed();
                        changed.ok()?;
                        continue;
                    }
                }
            };
            // A new pipe starts with everything unsettled of this term, the first message included.
            match first.take() {
                Some(Outgoing::ReadIndex(read)) => self.confirm(&pipe, read).await,
                Some(Outgoing::Ask(question, give)) => self.ask(&pipe, question, give).await,
                Some(Outgoing::Propose(..)) | None => {}
            }
            self.converse(term, pipe, outgoing).await?;
            // A leader that accepts and closes at once must not be dialled in a loop.
            tokio::select! {
                () = tokio::time::sleep(REDIAL) => {}
                changed = self.standing.changed() => {
                    self.standing.mark_changed();
                    changed.ok()?;
                }
            }
        }
    }

    /// The first message for this leader; `None` inside when the standing changed before.
    async fn first_message(
        &mut self,
        term: Term,
        outgoing: &mut mpsc::Receiver<Outgoing>,
    ) -> Option<Option<Outgoing>> {
        if !self.waiters.unsettled(term).is_empty() {
            return Some(None);
        }
        tokio::select! {
            changed = self.standing.changed() => {
                self.standing.mark_changed();
                changed.ok().map(|()| None)
            }
            message = outgoing.recv() => match message? {
                Outgoing::Propose(at, proposals) if at != term => {
                    self.refuse(Outgoing::Propose(at, proposals));
                    Some(None)
                }
                message => Some(Some(message)),
            },
        }
    }

    async fn dial(&self, leader: MemberId) -> Option<Pipe> {
        let members = self.consensus.members();
        let member = members.into_iter().find(|member| member.id == leader)?;
        let address = PeerAddress {
            member: leader,
            name: member.info.name,
            urls: member.info.peer_urls,
        };
        match self.network.dial(address, Lane::Forward).await {
            Ok(pipe) => Some(pipe),
            Err(error) => {
                tracing::debug!(%error, "the leader cannot be reached");
                None
            }
        }
    }

    /// Talks over one pipe until it breaks or the standing changes (`Some`), or the member stops (`None`).
    async fn converse(
        &mut self,
        term: Term,
        mut pipe: Pipe,
        outgoing: &mut mpsc::Receiver<Outgoing>,
    ) -> Option<()> {
        let unsettled = self.waiters.unsettled(term);
        let mut on_pipe = self.propose(&pipe, term, unsettled, None).await;
        loop {
            tokio::select! {
                changed = self.standing.changed() => {
                    self.standing.mark_changed();
                    return changed.ok();
                }
                message = outgoing.recv() => match message? {
                    Outgoing::Propose(at, proposals) if at == term => {
                        on_pipe = self.propose(&pipe, term, proposals, on_pipe).await;
                    }
                    Outgoing::ReadIndex(read) => self.confirm(&pipe, read).await,
                    Outgoing::Ask(question, give) => self.ask(&pipe, question, give).await,
                    other => self.refuse(other),
                },
                frame = pipe.receive.recv() => {
                    let heard = frame.and_then(|frame| wire::decode::<ToFollower>(frame).ok());
                    let Some(reply) = heard.and_then(|heard| heard.reply) else {
                        self.forget_questions();
                        return Some(());
                    };
                    self.hear(reply);
                }
            }
        }
    }

    /// Sends what is above the highest ticket that was sent on this pipe, and answers with that ticket. What waits in the queue
    /// when a conversation begins has gone out with the books already.
    async fn propose(
        &mut self,
        pipe: &Pipe,
        term: Term,
        mut proposals: Vec<Proposal>,
        on_pipe: Option<Ticket>,
    ) -> Option<Ticket> {
        proposals.retain(|proposal| on_pipe.is_none_or(|highest| proposal.ticket() > highest));
        let highest = proposals.iter().map(Proposal::ticket).max();
        self.sent = self.sent.max(highest);
        self.waiters.sent(proposals.iter().map(Proposal::ticket));
        let mut frame = Propose {
            term: term.0,
            proposals: Vec::new(),
        };
        let mut frame_bytes = 0;
        for proposal in proposals {
            let bytes = proposal.bytes().clone();
            if frame_bytes > 0 && frame_bytes + bytes.len() > FRAME_BYTES {
                send(pipe, Request::Propose(std::mem::take(&mut frame))).await;
                frame.term = term.0;
                frame_bytes = 0;
            }
            frame_bytes += bytes.len();
            frame.proposals.push(WireProposal {
                checksum: proposal.checksum(),
                bytes,
            });
        }
        if !frame.proposals.is_empty() {
            send(pipe, Request::Propose(frame)).await;
        }
        on_pipe.max(highest)
    }

    /// Whoever waits for the leader's words hears at once that none will come.
    fn forget_questions(&mut self) {
        self.reads.clear();
        self.questions.clear();
    }

    async fn ask(&mut self, pipe: &Pipe, bytes: Bytes, give: oneshot::Sender<Bytes>) {
        self.next_number += 1;
        let number = self.next_number;
        self.questions.insert(number, give);
        send(pipe, Request::Ask(Asked { number, bytes })).await;
    }

    async fn confirm(&mut self, pipe: &Pipe, read: oneshot::Sender<LogIndex>) {
        self.next_number += 1;
        self.reads.insert(self.next_number, read);
        send(pipe, Request::ReadIndex(self.next_number)).await;
    }

    fn hear(&mut self, reply: Reply) {
        match reply {
            Reply::Refused(Tickets { tickets, no_space }) => {
                for ticket in tickets {
                    self.waiters.refused(Ticket(ticket), no_space);
                }
            }
            Reply::ReadIndex(confirmed) => {
                if let Some(read) = self.reads.remove(&confirmed.number) {
                    let _ = read.send(LogIndex(confirmed.index));
                }
            }
            Reply::ReadRefused(number) => drop(self.reads.remove(&number)),
            Reply::Answer(Asked { number, bytes }) => {
                if let Some(give) = self.questions.remove(&number) {
                    let _ = give.send(bytes);
                }
            }
        }
    }
}

/// A send that fails is noticed by the receiving half, which ends the conversation.
async fn send(pipe: &Pipe, request: Request) {
    let frame: Bytes = wire::encode(&ToLeader {
        request: Some(request),
    });
    let _ = pipe.send.send(frame).await;
}
