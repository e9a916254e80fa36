//! Sending a snapshot: the newest state as immutable files, read by the keeper piece by piece.
//!
//! The receiver says where to begin, so that a broken transfer goes on where it stopped.

use crate::keeper::KeeperHandle;
use crate::network::Pipe;
use crate::raft::{RaftVote, Types};
use crate::wire::snapshot::{Chunk, Header, Part, Piece, Receipt, Said, decode};
use almadia_store::View;
use almadia_store::disk::SnapshotSource;
use openraft::errors::{NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;
use prost::Message;
use std::sync::Arc;

/// Bytes of one chunk: large enough to be cheap, small enough that other peers' frames get through.
const CHUNK_BYTES: usize = 512 * 1024;

type Failed = StreamingError<Types>;

fn broken(reason: impl ToString) -> Failed {
    StreamingError::Network(NetworkError::from_string(reason))
}

/// Sends the state of `view` (or a newer one) and waits for the receiver's word.
pub async fn send(
    mut pipe: Pipe,
    vote: RaftVote,
    keeper: KeeperHandle,
    view: Arc<View>,
) -> Result<SnapshotResponse<Types>, Failed> {
    let opened = keeper.run(move |keeper| keeper.snapshot(&view)).await;
    let source = Arc::new(opened.map_err(broken)?.map_err(broken)?);
    let header = Header {
        vote: (&vote).into(),
        manifest: source.header().clone(),
    };
    put(&pipe, Piece::Header(header)).await?;
    let Said::From(from) = take(&mut pipe).await? else {
        return Err(broken("the receiver did not say where to begin"));
    };
    send_files(&pipe, &keeper, &source, from.file as usize, from.offset).await?;
    put(&pipe, Piece::End(true)).await?;
    match take(&mut pipe).await? {
        Said::Done(seen) => Ok(SnapshotResponse::new(seen.into())),
        other => Err(broken(format!("an answer that is no end: {other:?}"))),
    }
}

async fn send_files(
    pipe: &Pipe,
    keeper: &KeeperHandle,
    source: &Arc<SnapshotSource>,
    first: usize,
    mut offset: u64,
) -> Result<(), Failed> {
    for file in first..source.files().len() {
        while offset < source.files()[file].bytes {
            let reader = source.clone();
            let read = keeper.run(move |_| reader.read(file, offset, CHUNK_BYTES)).await;
            let data = read.map_err(broken)?.map_err(broken)?;
            if data.is_empty() {
                return Err(broken("a snapshot's file is shorter than its manifest says"));
            }
            let number = u32::try_from(file).expect("a snapshot has at most thousands of files");
            let end = offset + data.len() as u64;
            put(
                pipe,
                Piece::Chunk(Chunk {
                    file: number,
                    offset,
                    data,
                }),
            )
            .await?;
            offset = end;
        }
        offset = 0;
    }
    Ok(())
}

async fn put(pipe: &Pipe, piece: Piece) -> Result<(), Failed> {
    let frame = Part { piece: Some(piece) }.encode_to_vec().into();
    pipe.send
        .send(frame)
        .await
        .map_err(|_| broken("the receiver closed the connection"))
}

async fn take(pipe: &mut Pipe) -> Result<Said, Failed> {
    let frame = pipe
        .receive
        .recv()
        .await
        .ok_or_else(|| broken("the receiver closed the connection"))?;
    match decode::<Receipt>(frame).map_err(broken)?.said {
        Some(Said::Failed(reason)) => Err(broken(reason)),
        Some(said) => Ok(said),
        None => Err(broken("an empty receipt")),
    }
}
