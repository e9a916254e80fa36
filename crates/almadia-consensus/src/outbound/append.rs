//! The append stream to one peer: batches go out while answers to earlier ones come in, both in order.
//!
//! At most [`BATCHES_IN_FLIGHT_MAX`] batches are unanswered. The pipe is kept for the next stream only when every
//! batch was answered; in any other case it is dropped, so that no late answer is taken for another's.
//!
//! **No answer counts for a batch that was sent after the one that it answers.** openraft counts the answer that confirms a
//! position for every batch that ends there, and takes the time when the last of them was sent for the time at which this peer
//! still followed. A batch without entries ends where the one before it did: so an answer that was long on its way would prove
//! that the peer followed a moment ago, and a leader that was replaced long ago would go on answering reads. Here such an answer
//! waits for that of the later batch; and no batch is taken from openraft between an answer and its count, since both happen in
//! one task.

use super::{AppendStream, PeerClient, RpcError, broken};
use crate::leader_lease::Said;
use crate::network::{Lane, Pipe};
use crate::raft::{RaftLogId, Types, to_position};
use crate::tally::{PeerTally, add};
use crate::wire::append::{decode_answer, encode_batch};
use almadia_command::planted::{Bug, planted};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Unanswered batches at most; then openraft is not asked for more.
const BATCHES_IN_FLIGHT_MAX: usize = 64;

/// A peer's disk may stall for half a second without harm; a peer that is silent for this long is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

struct Session<'s, S> {
    home: &'s mut Option<Pipe>,
    pipe: Pipe,
    /// What openraft has to send; none when it has ended.
    input: Option<S>,
    /// A batch that waits for room in the pipe.
    outgoing: Option<Bytes>,
    /// Where each batch ends that is not answered, in order.
    unanswered: VecDeque<Option<RaftLogId>>,
    /// When the oldest of them is to be answered.
    deadline: Instant,
    said: Said,
    counted: Arc<PeerTally>,
}

/// Opens the pipe if need be and starts the stream.
///
/// The first batch is taken before dialling: openraft waits out its back-off when it is asked for a batch, so a peer
/// that is down must not be dialled without asking (that would be a loop without a pause).
pub async fn stream<S>(client: &mut PeerClient, mut input: S) -> Result<AppendStream<'_>, RpcError>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
{
    let Some(first) = input.next().await else {
        return Ok(futures_util::stream::empty().boxed());
    };
    let kept = client.append.take().filter(|pipe| !pipe.send.is_closed());
    let pipe = match kept {
        Some(pipe) => pipe,
        None => client.dial(Lane::Append).await?,
    };
    let counters = (client.said.clone(), client.counted.clone());
    let session = Session::begin(&mut client.append, pipe, (&first, input), counters);
    Ok(futures_util::stream::unfold(Some(session), next).boxed())
}

impl<'s, S> Session<'s, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    fn begin(
        home: &'s mut Option<Pipe>,
        pipe: Pipe,
        (first, input): (&AppendEntriesRequest<Types>, S),
        (said, counted): (Said, Arc<PeerTally>),
    ) -> Self {
        let mut session = Self {
            home,
            pipe,
            input: Some(input),
            outgoing: None,
            unanswered: VecDeque::new(),
            deadline: Instant::now(),
            said,
            counted,
        };
        session.take(first);
        session
    }

    /// A batch is on its way from now on.
    fn take(&mut self, batch: &AppendEntriesRequest<Types>) {
        self.said.committed(to_position(batch.leader_commit.as_ref()).0);
        if self.unanswered.is_empty() {
            self.deadline = Instant::now() + ANSWER_LIMIT;
        }
        let last = batch.entries.last().map(|entry| entry.log_id);
        self.unanswered.push_back(last.or(batch.prev_log_id));
        self.outgoing = Some(encode_batch(batch));
    }

    /// Sends what there is until an answer comes that may be told; none when all is sent and answered.
    async fn answer(&mut self) -> Option<Result<StreamAppendResult<Types>, RpcError>> {
        loop {
            let may_take = self.outgoing.is_none() && self.unanswered.len() < BATCHES_IN_FLIGHT_MAX;
            if self.input.is_none() && self.unanswered.is_empty() {
                return None;
            }
            tokio::select! {
                biased;
                frame = self.pipe.receive.recv(), if !self.unanswered.is_empty() => {
                    let Some(frame) = frame else {
                        return Some(Err(broken("the peer closed the append stream")));
                    };
                    match decode_answer(frame) {
                        Ok(answer) if self.waits(&answer) => {}
                        Ok(answer) => return Some(Ok(answer)),
                        Err(error) => return Some(Err(broken(&error.to_string()))),
                    }
                }
                sent = put(&self.pipe.send, &mut self.outgoing), if self.outgoing.is_some() => {
                    if !sent {
                        return Some(Err(broken("the peer closed the append stream")));
                    }
                }
                batch = following(&mut self.input), if may_take => match batch {
                    Some(batch) => self.take(&batch),
                    None => self.input = None,
                },
                () = tokio::time::sleep_until(self.deadline), if !self.unanswered.is_empty() => {
                    return Some(Err(broken("the peer left a batch unanswered for too long")));
                }
            }
        }
    }

    /// Notes the answer to the oldest batch; true when the next one is answered by it as openraft counts, and is not.
    fn waits(&mut self, answer: &StreamAppendResult<Types>) -> bool {
        self.unanswered.pop_front();
        self.deadline = Instant::now() + ANSWER_LIMIT;
        let next = self.unanswered.front();
        matches!((answer, next), (Ok(matching), Some(last)) if last <= matching)
            && !planted(Bug::OldAnswerCounted)
    }
}

/// Sends a frame as soon as there is room; false when there never will be.
async fn put(send: &mpsc::Sender<Bytes>, outgoing: &mut Option<Bytes>) -> bool {
    let Ok(room) = send.reserve().await else {
        return false;
    };
    if let Some(frame) = outgoing.take() {
        room.send(frame);
    }
    true
}

async fn following<S: Stream + Unpin>(input: &mut Option<S>) -> Option<S::Item> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}

type Step<'s, S> = Option<(
    Result<StreamAppendResult<Types>, RpcError>,
    Option<Session<'s, S>>,
)>;

async fn next<S>(session: Option<Session<'_, S>>) -> Step<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    let mut session = session?;
    let Some(answer) = session.answer().await else {
        // All were answered: the next stream may use the same connection.
        *session.home = Some(session.pipe);
        return None;
    };
    if answer.is_err() {
        add(&session.counted.failures);
    }
    let goes_on = matches!(answer, Ok(Ok(_)));
    Some((answer, goes_on.then_some(session)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{RaftEntry, from_position, from_vote};
    use crate::wire::append::encode_answer;
    use almadia_command::{LogIndex, MemberId, Term};
    use futures_util::stream;
    use openraft::EntryPayload;
    use tokio::time::timeout;

    const A_WHILE: Duration = Duration::from_secs(1);

    fn at(index: u64) -> RaftLogId {
        from_position(LogIndex(index), Term(3)).expect("a position")
    }

    fn batch(after: u64, count: u64) -> AppendEntriesRequest<Types> {
        let entry = |index| RaftEntry {
            log_id: at(index),
            payload: EntryPayload::Blank,
        };
        AppendEntriesRequest {
            vote: from_vote(&almadia_wal::Vote {
                term: Term(3),
                member: MemberId(1),
                committed: true,
            }),
            prev_log_id: Some(at(after)),
            leader_commit: Some(at(after)),
            entries: (after + 1..=after + count).map(entry).collect(),
        }
    }

    /// What is told while the peer answers these positions one after the other, each after a while; none where nothing is.
    async fn told(batches: Vec<AppendEntriesRequest<Types>>, answered: &[u64]) -> Vec<Option<u64>> {
        let (mut home, (pipe, mut peer)) = (None, Pipe::pair());
        let mut batches = batches.into_iter();
        let first = batches.next().expect("a batch");
        let input = stream::iter(batches).chain(stream::pending());
        let session = Session::begin(&mut home, pipe, (&first, input), Default::default());
        let mut answers = std::pin::pin!(stream::unfold(Some(session), next));
        assert!(
            timeout(A_WHILE, answers.next()).await.is_err(),
            "nothing is answered"
        );
        let mut told = Vec::new();
        for position in answered {
            assert!(peer.receive.recv().await.is_some(), "all was sent");
            let answer = encode_answer(&Ok(Some(at(*position))));
            peer.send.send(answer).await.expect("the stream lives");
            let answer = timeout(A_WHILE, answers.next()).await.ok();
            told.push(answer.map(|answer| {
                let matching = answer
                    .expect("it goes on")
                    .expect("no error")
                    .expect("no conflict");
                to_position(matching.as_ref()).0.0
            }));
        }
        told
    }

    /// A batch without entries was sent after it: openraft would count this answer for that batch.
    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_that_of_a_later_batch_that_ends_where_it_does() {
        let batches = vec![batch(8, 2), batch(10, 0), batch(10, 0)];
        assert_eq!(told(batches, &[10, 10, 10]).await, [None, None, Some(10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_told_at_once_when_later_batches_go_beyond() {
        let batches = vec![batch(8, 2), batch(10, 1), batch(11, 4)];
        assert_eq!(told(batches, &[10, 11, 15]).await, [Some(10), Some(11), Some(15)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up() {
        let (mut home, (pipe, _peer)) = (None, Pipe::pair());
        let session = Session::begin(
            &mut home,
            pipe,
            (&batch(8, 2), stream::pending()),
            Default::default(),
        );
        let mut answers = std::pin::pin!(stream::unfold(Some(session), next));
        assert!(timeout(ANSWER_LIMIT / 2, answers.next()).await.is_err());
        let answer = answers.next().await.expect("it is told");
        assert!(answer.is_err());
        assert!(answers.next().await.is_none(), "and the stream ends");
    }

    /// All was answered: the next stream goes over the same connection.
    #[tokio::test(start_paused = true)]
    async fn a_pipe_without_open_questions_is_kept() {
        let (mut home, (pipe, mut peer)) = (None, Pipe::pair());
        let session = Session::begin(
            &mut home,
            pipe,
            (&batch(8, 2), stream::empty()),
            Default::default(),
        );
        {
            let mut answers = std::pin::pin!(stream::unfold(Some(session), next));
            let answering = async {
                peer.receive.recv().await.expect("it was sent");
                let answer = encode_answer(&Ok(Some(at(10))));
                peer.send.send(answer).await.expect("the stream lives");
            };
            let (answer, ()) = tokio::join!(answers.next(), answering);
            assert!(answer.expect("it is told").is_ok());
            assert!(answers.next().await.is_none());
        }
        assert!(home.is_some());
    }
}
