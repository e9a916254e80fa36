//! Moves frames between a connection and a pipe, until either ends.
//!
//! One task for each connection; reading and writing do not wait for each other. Everything queued goes out in one
//! write; a full pipe stops the reading, so that the other side's sender waits. It never logs a frame.

use super::frame::{FrameError, FrameReader, put_header};
use super::socket::PeerStream;
use super::{Cut, STALL_MAX};
use crate::vitals::Connected;
use almadia_command::MemberId;
use almadia_consensus::{PIPE_FRAMES_MAX, Pipe};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

/// Bytes gathered for one write at most.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// Frames from here on are written from where they are instead of being copied.
const COPY_BYTES_MAX: usize = 32 * 1024;

/// What hangs on a connection's life, dropped with it (the permit of an accepted one).
pub(super) type Ballast = Box<dyn std::any::Any + Send>;

/// What tells a connection that it is cut.
pub(super) struct CutFrom {
    pub(super) cuts: watch::Receiver<Cut>,
    pub(super) peer: MemberId,
}

impl CutFrom {
    /// Returns when there is a cut between the member and this peer.
    async fn begun(mut self) {
        if self.cuts.wait_for(|cut| cut.is_from(self.peer)).await.is_err() {
            // Nobody is left who could cut.
            std::future::pending().await
        }
    }
}

/// The pipe of a connection whose handshake is over. The connection ends when the pipe is dropped, when the other
/// side ends it, or when the member is cut off from the peer.
pub(super) fn start(
    stream: PeerStream,
    peer: SocketAddr,
    cut: CutFrom,
    counted: Connected,
    ballast: Ballast,
) -> Pipe {
    let (send, outgoing) = mpsc::channel(PIPE_FRAMES_MAX);
    let (incoming, receive) = mpsc::channel(PIPE_FRAMES_MAX);
    tokio::spawn(async move {
        let _ballast = ballast;
        tokio::select! {
            end = run(stream, outgoing, incoming, &counted) => report(end, peer),
            () = cut.begun() => debug!(%peer, "connection cut by fault injection"),
        }
    });
    Pipe { send, receive }
}

fn report(end: Result<(), FrameError>, peer: SocketAddr) {
    match end {
        Ok(()) => debug!(%peer, "a peer connection ended"),
        Err(error) if error.is_garbage() => warn!(%peer, %error, "a peer connection carried garbage; closed"),
        Err(error) => debug!(%peer, %error, "a peer connection broke"),
    }
}

/// Both directions of a plain connection work without a lock between them; inside TLS they share their state.
async fn run(
    stream: PeerStream,
    outgoing: mpsc::Receiver<Bytes>,
    incoming: mpsc::Sender<Bytes>,
    counted: &Connected,
) -> Result<(), FrameError> {
    match stream {
        PeerStream::Plain(mut stream) => {
            let (read_half, write_half) = stream.split();
            move_frames(read_half, write_half, outgoing, incoming, counted).await
        }
        PeerStream::Accepted(stream) => {
            let (read_half, write_half) = tokio::io::split(*stream);
            move_frames(read_half, write_half, outgoing, incoming, counted).await
        }
        PeerStream::Dialed(stream) => {
            let (read_half, write_half) = tokio::io::split(*stream);
            move_frames(read_half, write_half, outgoing, incoming, counted).await
        }
    }
}

async fn move_frames(
    read_half: impl AsyncRead + Unpin,
    write_half: impl AsyncWrite + Unpin,
    outgoing: mpsc::Receiver<Bytes>,
    incoming: mpsc::Sender<Bytes>,
    counted: &Connected,
) -> Result<(), FrameError> {
    let (wanted, gone) = (incoming.clone(), Notify::new());
    let reading = read_frames(read_half, incoming, counted);
    let writing = write_frames(write_half, outgoing, &gone, counted);
    tokio::pin!(reading, writing);
    tokio::select! {
        end = &mut reading => {
            end?;
            // The other side is gone: our sender learns it, and what is queued is still written.
            gone.notify_one();
            drop(wanted);
            Ok(writing.await?)
        }
        end = &mut writing => {
            end?;
            // Our sender is gone and the other side has been told; what it still says is received, if anybody listens.
            tokio::select! {
                end = reading => end,
                () = wanted.closed() => Ok(()),
            }
        }
    }
}

/// Returns when the other side ends the stream. Frames that nobody wants any more are dropped.
async fn read_frames(
    reader: impl AsyncRead + Unpin,
    incoming: mpsc::Sender<Bytes>,
    counted: &Connected,
) -> Result<(), FrameError> {
    let mut reader = FrameReader::new(reader);
    while let Some(frame) = reader.next().await? {
        counted.note_received(frame.len());
        let _ = incoming.send(frame).await;
    }
    Ok(())
}

/// Returns when the pipe's sender (or the other side) is gone, everything queued is written, and the other side has
/// been told.
async fn write_frames(
    mut writer: impl AsyncWrite + Unpin,
    mut outgoing: mpsc::Receiver<Bytes>,
    gone: &Notify,
    counted: &Connected,
) -> io::Result<()> {
    let mut frames = Vec::new();
    let mut buffer = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = outgoing.recv_many(&mut frames, PIPE_FRAMES_MAX) => {
                if count == 0 {
                    break;
                }
            }
            () = gone.notified() => outgoing.close(),
        }
        let bytes = frames.iter().map(Bytes::len).sum();
        write_batch(&mut writer, &mut frames, &mut buffer).await?;
        counted.note_sent(bytes);
    }
    timeout(STALL_MAX, writer.shutdown()).await?
}

/// Writes frames with as few system calls as possible.
async fn write_batch(
    writer: &mut (impl AsyncWrite + Unpin),
    frames: &mut Vec<Bytes>,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    for frame in frames.drain(..) {
        put_header(buffer, &frame);
        if frame.len() <= COPY_BYTES_MAX {
            buffer.extend_from_slice(&frame);
        } else {
            flush(writer, buffer).await?;
            write_all(writer, &frame).await?;
        }
        if buffer.len() >= WRITE_BYTES_MAX {
            flush(writer, buffer).await?;
        }
    }
    flush(writer, buffer).await?;
    // TLS keeps what the socket did not take at once; on a plain connection this does nothing.
    timeout(STALL_MAX, writer.flush()).await?
}

async fn flush(writer: &mut (impl AsyncWrite + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    if !buffer.is_empty() {
        write_all(writer, buffer).await?;
        buffer.clear();
    }
    Ok(())
}

async fn write_all(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(STALL_MAX, writer.write_all(bytes)).await?
}
