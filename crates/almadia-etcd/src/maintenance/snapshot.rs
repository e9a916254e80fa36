//! A backup of everything, streamed in pieces, with the SHA-256 of all of it at the end. etcd's framing; the bytes are
//! Almadia's own.

use crate::backend::{Backend, Backup};
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Shared};
use crate::stream;
use crate::wire::Plain;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

/// Bytes of one piece, as etcd sends them.
const PIECE_BYTES: usize = 32 * 1024;

/// Read from the files at once.
const READ_BYTES: usize = 16 * PIECE_BYTES;

/// Pieces that may wait for a slow client.
const PIECES_WAITING_MAX: usize = 16;

type Pieces = mpsc::Sender<Result<Plain<pb::SnapshotResponse>, Status>>;

/// Opens a backup and streams it.
pub(crate) async fn serve<B: Backend>(shared: &Arc<Shared<B>>, call: Call) -> Response<Body> {
    let caller = call.caller();
    let opened = async {
        let _: pb::SnapshotRequest = call.message(shared.as_ref()).await?;
        shared.root_only(&caller).await?;
        let backup = shared.backend.backup().await;
        backup.map_err(|reason| Status::unavailable(format!("etcdserver: no backup can be made: {reason}")))
    };
    let backup = match opened.await {
        Ok(backup) => backup,
        Err(status) => return status.into_http(),
    };
    let (pieces, receive) = mpsc::channel(PIECES_WAITING_MAX);
    let version = shared.config.storage_version.clone();
    let care = shared.metrics.care.clone();
    tokio::spawn(async move {
        match send(backup, &version, &pieces).await {
            Ok(()) => care.note_backup(),
            Err(Some(status)) => {
                let _ = pieces.send(Err(status)).await;
            }
            // A client that is gone ends it; nobody else needs to know.
            Err(None) => {}
        }
    });
    stream::respond(ReceiverStream::new(receive))
}

/// `Err(None)`: nobody listens any more.
async fn send(backup: Backup, version: &str, pieces: &Pieces) -> Result<(), Option<Status>> {
    let total = backup.bytes();
    let (mut sent, mut digest) = (0, Context::new(&SHA256));
    while sent < total {
        let mut read = backup
            .read(sent, READ_BYTES)
            .await
            .map_err(|reason| Some(Status::data_loss(reason)))?;
        if read.is_empty() {
            return Err(Some(Status::data_loss("the backup is shorter than it was to be")));
        }
        while !read.is_empty() {
            let blob = read.split_to(read.len().min(PIECE_BYTES));
            digest.update(&blob);
            sent += blob.len() as u64;
            piece(pieces, blob, total - sent, version).await?;
        }
    }
    let digest = Bytes::copy_from_slice(digest.finish().as_ref());
    piece(pieces, digest, 0, version).await
}

async fn piece(
    pieces: &Pieces,
    blob: Bytes,
    remaining_bytes: u64,
    version: &str,
) -> Result<(), Option<Status>> {
    let response = pb::SnapshotResponse {
        header: None,
        remaining_bytes,
        blob,
        version: version.to_owned(),
    };
    pieces.send(Ok(Plain(response))).await.map_err(|_| None)
}
