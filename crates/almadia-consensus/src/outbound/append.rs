//! The append stream to one peer: batches go out while answers to earlier ones come in, both in order.
//!
//! At most [`BATCHES_IN_FLIGHT_MAX`] batches are unanswered. The pipe is kept for the next stream only when every
//! batch was answered; in any other case it is dropped, so that no late answer is taken for another's.

use super::{AppendStream, PeerClient, RpcError, broken};
use crate::leader_lease::Said;
use crate::network::{Lane, Pipe};
use crate::raft::{Types, to_position};
use crate::tally::{PeerTally, add};
use crate::wire::append::{decode_answer, encode_batch};
use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Unanswered batches at most; then openraft is not asked for more.
const BATCHES_IN_FLIGHT_MAX: usize = 64;

/// A peer's disk may stall for half a second without harm; a peer that is silent for this long is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Stops the sending task with the stream it belongs to.
struct Sending(JoinHandle<()>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Session<'s> {
    home: &'s mut Option<Pipe>,
    pipe: Pipe,
    /// One mark per batch sent; closed when the input has ended.
    sent: mpsc::Receiver<()>,
    counted: Arc<PeerTally>,
    _sending: Sending,
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
    let (mark, sent) = mpsc::channel(BATCHES_IN_FLIGHT_MAX);
    let (send, said) = (pipe.send.clone(), client.said.clone());
    let sending = Sending(tokio::spawn(send_all(first, input, send, mark, said)));
    let session = Session {
        home: &mut client.append,
        pipe,
        sent,
        counted: client.counted.clone(),
        _sending: sending,
    };
    Ok(futures_util::stream::unfold(Some(session), next).boxed())
}

async fn send_all<S>(
    first: AppendEntriesRequest<Types>,
    mut input: S,
    pipe: mpsc::Sender<bytes::Bytes>,
    mark: mpsc::Sender<()>,
    said: Said,
) where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    let mut next = Some(first);
    while let Some(batch) = next {
        said.committed(to_position(batch.leader_commit.as_ref()).0);
        // The mark first: with the window full, the batch waits here and not in the pipe.
        if mark.send(()).await.is_err() || pipe.send(encode_batch(&batch)).await.is_err() {
            return;
        }
        next = input.next().await;
    }
}

type Step<'s> = Option<(Result<StreamAppendResult<Types>, RpcError>, Option<Session<'s>>)>;

async fn next(session: Option<Session<'_>>) -> Step<'_> {
    let mut session = session?;
    if session.sent.recv().await.is_none() {
        // All were answered: the next stream may use the same connection.
        *session.home = Some(session.pipe);
        return None;
    }
    let answer = match tokio::time::timeout(ANSWER_LIMIT, session.pipe.receive.recv()).await {
        Ok(Some(frame)) => decode_answer(frame).map_err(|error| broken(&error.to_string())),
        Ok(None) => Err(broken("the peer closed the append stream")),
        Err(_) => Err(broken("the peer left a batch unanswered for too long")),
    };
    if answer.is_err() {
        add(&session.counted.failures);
    }
    let goes_on = matches!(answer, Ok(Ok(_)));
    Some((answer, goes_on.then_some(session)))
}
