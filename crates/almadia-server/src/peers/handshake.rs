//! The first frame in each direction, over a stream. The rules are `almadia_member::hello`'s.

use super::frame::{FrameError, put_header, read_one};
use almadia_command::MemberId;
use almadia_member::hello::{
    FirstFrame, HELLO_BYTES_MAX, Hello, HelloError, HelloRefusal, check, decode, encode_refusal,
    encode_removed,
};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// What a peer is told while there is a cut between us.
const CUT_OFF: &str = "cut off by fault injection";

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The connection broke or carries something else than frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first frame is not one.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The members do not belong together.
    #[error(transparent)]
    Refused(#[from] HelloRefusal),
    /// The other side refuses us.
    #[error("{0}")]
    RefusedByPeer(String),
    /// The other side knows that this member was removed from its cluster.
    #[error("this member was removed from the cluster")]
    RemovedByPeer,
    /// We are cut off from the other side for an exercise.
    #[error("{CUT_OFF}")]
    CutOff,
}

impl HandshakeError {
    /// True when the other side hung up before it had said anything whole.
    pub(super) fn is_hang_up(&self) -> bool {
        matches!(self, Self::Frame(FrameError::Io(_)))
    }

    /// True when one side refused the other; else the connection did not work.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::RefusedByPeer(_) | Self::RemovedByPeer | Self::CutOff
        )
    }
}

/// The dialer's part: says hello, and checks who answers.
pub(super) async fn introduce<S>(stream: &mut S, ours: &Hello) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    say(stream, &ours.encode()).await?;
    match decode(&read_one(stream, HELLO_BYTES_MAX).await?)? {
        FirstFrame::Hello(theirs) => Ok(check(ours, &theirs)?),
        FirstFrame::Refusal(reason) => Err(HandshakeError::RefusedByPeer(reason)),
        FirstFrame::Removed(cluster) if cluster == ours.cluster => Err(HandshakeError::RemovedByPeer),
        FirstFrame::Removed(cluster) => Err(HandshakeError::RefusedByPeer(format!(
            "removed from cluster {cluster}, which is not this one"
        ))),
    }
}

/// The listener's part: hears who comes, and answers with a hello or with a refusal.
pub(super) async fn receive<S>(
    stream: &mut S,
    answer: impl Fn(&Hello) -> Hello,
    is_removed: impl Fn(MemberId) -> bool,
    is_cut_off: impl Fn(MemberId) -> bool,
) -> Result<Hello, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let theirs = match decode(&read_one(stream, HELLO_BYTES_MAX).await?)? {
        FirstFrame::Hello(theirs) => theirs,
        FirstFrame::Refusal(reason) => return Err(HandshakeError::RefusedByPeer(reason)),
        FirstFrame::Removed(_) => {
            return Err(HandshakeError::RefusedByPeer(
                "a refusal where a hello belongs".to_owned(),
            ));
        }
    };
    if is_cut_off(theirs.from) {
        let _ = say(stream, &encode_refusal(CUT_OFF)).await;
        return Err(HandshakeError::CutOff);
    }
    let ours = answer(&theirs);
    if let Err(refusal) = check(&ours, &theirs) {
        // The other side logs it better than we: it knows what it was looking for.
        let _ = say(stream, &encode_refusal(&refusal.to_string())).await;
        return Err(refusal.into());
    }
    if theirs.cluster == ours.cluster && is_removed(theirs.from) {
        let _ = say(stream, &encode_removed(ours.cluster)).await;
        return Err(HandshakeError::Refused(HelloRefusal::Removed {
            name: theirs.from_name,
            member: theirs.from,
            cluster: ours.cluster,
        }));
    }
    say(stream, &ours.encode()).await?;
    Ok(theirs)
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, frame: &[u8]) -> Result<(), FrameError> {
    let mut bytes = Vec::with_capacity(frame.len() + super::frame::HEADER_BYTES);
    put_header(&mut bytes, frame);
    bytes.extend_from_slice(frame);
    let written: io::Result<()> = stream.write_all(&bytes).await;
    written?;
    let flushed: io::Result<()> = stream.flush().await;
    Ok(flushed?)
}
