//! What peers say to this member on openraft's behalf: one task per accepted pipe.
//!
//! A frame that cannot be read ends its pipe with one warning, and nothing else. Nothing here decides.

use crate::contact::Contact;
use crate::keeper::KeeperHandle;
use crate::leader_lease::VoteHold;
use crate::network::Pipe;
use crate::raft::{Raft, RaftSnapshotMeta, RaftVote, Types, from_position};
use crate::state_machine::SnapshotData;
use crate::wire::append::{decode_batch, encode_answer};
use crate::wire::control::{Answer, Ask, Question, Say, SayHeartbeat, SayVote};
use crate::wire::snapshot::{Part, Piece, Receipt, Said};
use crate::wire::{control, snapshot};
use almadia_command::MemberId;
use almadia_command::planted::{Bug, planted};
use almadia_store::disk::SnapshotSink;
use bytes::Bytes;
use futures_util::StreamExt;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot;
use prost::Message;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A question waits this long at most for what it needs synced: a log without room may keep it for ever, and the peer
/// has long asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Answers questions until the peer is gone, or asks for votes although it was removed: on its next connection it is
/// told so. Votes wait until the hold after a start is over; those for whom the leader hands over to do not.
pub async fn serve_control(
    raft: Raft,
    hold: VoteHold,
    contact: Contact,
    is_removed: impl Fn() -> bool + Send + 'static,
    from: MemberId,
    pipe: Pipe,
) {
    let Pipe { send, mut receive } = pipe;
    while let Some(frame) = receive.recv().await {
        let Ok(Question {
            number,
            ask: Some(ask),
        }) = control::decode::<Question>(frame)
        else {
            tracing::warn!(peer = %from, "a question that cannot be read; closing the control connection");
            return;
        };
        if matches!(ask, Ask::Vote(_) | Ask::PreVote(_)) && is_removed() {
            tracing::info!(peer = %from, "a member that was removed asks for votes; closing its connection");
            return;
        }
        let (raft, send, contact) = (raft.clone(), send.clone(), contact.clone());
        // Each question in a task of its own: a vote waits for the disk, a heartbeat must not.
        tokio::spawn(async move {
            let may_wait = match &ask {
                Ask::Vote(ask) => !ask.leadership_transfer,
                Ask::PreVote(_) => true,
                Ask::Heartbeat(_) | Ask::Transfer(_) => false,
            };
            if may_wait {
                hold.is_over().await;
            }
            let Ok(say) = tokio::time::timeout(ANSWER_LIMIT, answer(&raft, ask)).await else {
                return;
            };
            // Only the leader of the newest term is answered so.
            if matches!(&say, Say::Heartbeat(SayHeartbeat { higher: None, .. })) {
                contact.note();
            }
            let say = Some(say);
            // The peer may be gone; then it asks again elsewhere.
            let _ = send.send(control::encode(&Answer { number, say })).await;
        });
    }
}

async fn answer(raft: &Raft, ask: Ask) -> Say {
    match ask {
        Ask::Vote(ask) => {
            let mut request = VoteRequest::new(ask.vote.into(), ask.last.into());
            request.leadership_transfer = ask.leadership_transfer;
            vote_answer(raft.vote(request).await)
        }
        Ask::PreVote(ask) => {
            let request = VoteRequest::new(ask.vote.into(), ask.last.into());
            vote_answer(raft.pre_vote(request).await)
        }
        Ask::Heartbeat(ask) => {
            let request = AppendEntriesRequest {
                vote: ask.vote.into(),
                prev_log_id: ask.matching.into(),
                entries: Vec::new(),
                leader_commit: ask.committed.into(),
            };
            match raft.append_entries(request).await {
                Ok(AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_)) => {
                    Say::Heartbeat(SayHeartbeat {
                        conflict: false,
                        higher: None,
                    })
                }
                Ok(AppendEntriesResponse::Conflict) => Say::Heartbeat(SayHeartbeat {
                    conflict: true,
                    higher: None,
                }),
                Ok(AppendEntriesResponse::HigherVote(vote)) => Say::Heartbeat(SayHeartbeat {
                    conflict: false,
                    higher: Some((&vote).into()),
                }),
                Err(error) => Say::Unable(error.to_string()),
            }
        }
        Ask::Transfer(ask) => {
            let request = TransferLeaderRequest::new(ask.from.into(), ask.to, ask.last.into());
            match raft.handle_transfer_leader(request).await {
                Ok(Ok(())) => Say::Transfer(String::new()),
                Ok(Err(refused)) => Say::Transfer(refused.to_string()),
                Err(error) => Say::Unable(error.to_string()),
            }
        }
    }
}

fn vote_answer<E: std::fmt::Display>(result: Result<VoteResponse<Types>, E>) -> Say {
    match result {
        Ok(response) => Say::Vote(SayVote {
            vote: (&response.vote).into(),
            granted: response.vote_granted || planted(Bug::VoteAlwaysGranted),
            last: response.last_log_id.as_ref().into(),
        }),
        Err(error) => Say::Unable(error.to_string()),
    }
}

/// Takes batches of entries and answers each once it is persisted, until either side ends or no entries are to be taken.
pub async fn serve_append(raft: Raft, shut: watch::Receiver<bool>, from: MemberId, pipe: Pipe) {
    let Pipe { send, receive } = pipe;
    let batches = futures_util::stream::unfold(
        (receive, shut),
        move |(mut receive, mut shut): (mpsc::Receiver<Bytes>, watch::Receiver<bool>)| async move {
            let frame = tokio::select! {
                biased;
                _ = shut.wait_for(|shut| *shut) => return None,
                frame = receive.recv() => frame?,
            };
            // One copy per batch: its entries live long in the log, and must not keep a larger read buffer alive.
            match decode_batch(Bytes::copy_from_slice(&frame)) {
                Ok(batch) => Some((batch, (receive, shut))),
                Err(error) => {
                    tracing::warn!(peer = %from, %error, "closing the append connection");
                    None
                }
            }
        },
    );
    let mut answers = pin!(raft.stream_append(batches));
    loop {
        let answer = tokio::select! {
            biased;
            answer = answers.next() => answer,
            // A log without room may keep an answer for ever, and nobody waits for it any more.
            () = send.closed() => return,
        };
        let answer = match answer {
            None => return,
            Some(Ok(Err(openraft::raft::StreamAppendError::Conflict(at))))
                if planted(Bug::ConflictAsSuccess) =>
            {
                Ok(Ok(Some(at)))
            }
            Some(answer) => answer,
        };
        match answer {
            Ok(answer) if send.send(encode_answer(&answer)).await.is_ok() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(peer = %from, %error, "the log takes no more entries");
                return;
            }
        }
    }
}

/// Sees to it that one snapshot is received at a time: they share a directory. A newer one ends an older one that is still
/// on its way, and waits until it is out of the way or installed.
#[derive(Clone, Default)]
pub struct Receptions {
    newest: Arc<watch::Sender<u64>>,
    place: Arc<tokio::sync::Mutex<()>>,
}

impl Receptions {
    /// A ticket for a new reception: it sees when a newer one comes.
    fn begin(&self) -> watch::Receiver<u64> {
        self.newest.send_modify(|newest| *newest += 1);
        self.newest.subscribe()
    }
}

/// Receives one snapshot into the keeper's hands and installs it.
pub async fn serve_snapshot(
    raft: Raft,
    keeper: KeeperHandle,
    receptions: Receptions,
    from: MemberId,
    mut pipe: Pipe,
) {
    let newer = receptions.begin();
    let _alone = receptions.place.lock().await;
    let said = match receive_and_install(&raft, &keeper, &mut pipe, newer).await {
        Ok(vote) => Said::Done((&vote).into()),
        Err(reason) => {
            tracing::warn!(peer = %from, reason, "a snapshot was not taken");
            Said::Failed(reason)
        }
    };
    // The sender may be gone; then it sends again.
    let _ = reply(&pipe, said).await;
}

async fn receive_and_install(
    raft: &Raft,
    keeper: &KeeperHandle,
    pipe: &mut Pipe,
    mut newer: watch::Receiver<u64>,
) -> Result<RaftVote, String> {
    let (vote, sink) = tokio::select! {
        received = receive_snapshot(keeper, pipe) => received?,
        _ = newer.changed() => return Err("a newer snapshot takes its place".to_owned()),
    };
    install(raft, vote, sink).await
}

async fn receive_snapshot(
    keeper: &KeeperHandle,
    pipe: &mut Pipe,
) -> Result<(RaftVote, SnapshotSink), String> {
    let Piece::Header(header) = next_piece(pipe).await? else {
        return Err("the first part is no header".to_owned());
    };
    let vote: RaftVote = header.vote.into();
    let manifest = header.manifest;
    let begun = keeper.run(move |keeper| keeper.receive(&manifest)).await;
    let mut sink = begun.map_err(to_text)?.map_err(to_text)?;
    let (file, offset) = sink.next().unwrap_or((sink.files().len(), 0));
    let file = u32::try_from(file).map_err(to_text)?;
    reply(pipe, Said::From(snapshot::From { file, offset })).await?;
    loop {
        match next_piece(pipe).await? {
            Piece::Chunk(chunk) => {
                let written = keeper
                    .run(move |_| {
                        let result = sink.write(chunk.file as usize, chunk.offset, &chunk.data);
                        (sink, result)
                    })
                    .await;
                let (back, result) = written.map_err(to_text)?;
                sink = back;
                result.map_err(to_text)?;
            }
            Piece::End(_) => break,
            Piece::Header(_) => return Err("a second header".to_owned()),
        }
    }
    if sink.next().is_some() {
        return Err("the sender ended before all files were whole".to_owned());
    }
    Ok((vote, sink))
}

async fn install(raft: &Raft, vote: RaftVote, sink: SnapshotSink) -> Result<RaftVote, String> {
    let (index, term) = sink.applied();
    let last_membership = crate::membership::decode_stored(sink.membership()).map_err(to_text)?;
    let meta = RaftSnapshotMeta {
        last_log_id: from_position(index, term),
        last_membership,
    };
    let snapshot = Snapshot {
        meta,
        snapshot: SnapshotData::Received(Box::new(sink)),
    };
    let response = raft
        .install_full_snapshot(vote, snapshot)
        .await
        .map_err(to_text)?;
    Ok(response.vote)
}

fn to_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn next_piece(pipe: &mut Pipe) -> Result<Piece, String> {
    let frame = pipe
        .receive
        .recv()
        .await
        .ok_or("the sender closed the connection")?;
    let part = snapshot::decode::<Part>(frame).map_err(to_text)?;
    part.piece.ok_or_else(|| "an empty part".to_owned())
}

async fn reply(pipe: &Pipe, said: Said) -> Result<(), String> {
    let frame = Receipt { said: Some(said) }.encode_to_vec().into();
    pipe.send
        .send(frame)
        .await
        .map_err(|_| "the sender closed the connection".to_owned())
}
