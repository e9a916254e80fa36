//! What consensus needs of the world between members: ordered pipes of frames, one per lane and peer.
//!
//! It says nothing of sockets: `almadia-server` makes pipes over TCP, the simulator over channels.

use almadia_command::MemberId;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

/// Frames waiting in a pipe in either direction at most; a full pipe makes the sender wait.
pub const PIPE_FRAMES_MAX: usize = 256;

/// Bytes of one frame at most. A peer that announces more is cut off.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Each kind of traffic has a connection of its own, so that bulk never delays what keeps a leader alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Founding questions, before there is a cluster.
    Founding = 1,
    /// Votes, pre-votes, heartbeats, transfer of leadership.
    Control = 2,
    /// Entries, as one ordered stream.
    Append = 3,
    /// Proposals and read-index requests from a follower to the leader.
    Forward = 4,
    /// Snapshots.
    Snapshot = 5,
}

impl Lane {
    /// The lane of a number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        [
            Self::Founding,
            Self::Control,
            Self::Append,
            Self::Forward,
            Self::Snapshot,
        ]
        .into_iter()
        .find(|lane| *lane as u8 == number)
    }
}

/// Where and who a peer is. Names are resolved again at every dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Its id; 0 while founding, when ids are not known yet.
    pub member: MemberId,
    /// Its name (`--name`, the pod's name).
    pub name: String,
    /// Its peer URLs, tried in order.
    pub urls: Vec<String>,
}

/// An ordered, reliable, bidirectional connection of frames. Dropping either half closes that direction, and
/// the whole connection when both are gone; `receive` yields `None` once the other side is gone.
#[derive(Debug)]
pub struct Pipe {
    /// To the peer. Frames queued together may go out in one write.
    pub send: mpsc::Sender<Bytes>,
    /// From the peer.
    pub receive: mpsc::Receiver<Bytes>,
}

impl Pipe {
    /// Two pipes connected to each other, for tests and simulation.
    pub fn pair() -> (Self, Self) {
        let (left_send, right_receive) = mpsc::channel(PIPE_FRAMES_MAX);
        let (right_send, left_receive) = mpsc::channel(PIPE_FRAMES_MAX);
        (
            Self {
                send: left_send,
                receive: left_receive,
            },
            Self {
                send: right_send,
                receive: right_receive,
            },
        )
    }
}

/// Why a peer could not be reached.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// No connection: not resolvable, refused, timed out.
    #[error("cannot reach {name} at {url}: {reason}")]
    Unreachable {
        /// The peer's name.
        name: String,
        /// What was tried last.
        url: String,
        /// The world's words.
        reason: String,
    },
    /// Connected, but one side refused the other at the handshake.
    #[error("{name} refused the connection: {reason}")]
    Refused {
        /// The peer's name.
        name: String,
        /// Its words, or ours.
        reason: String,
    },
}

/// A pipe in the making.
pub type Dialing = Pin<Box<dyn Future<Output = Result<Pipe, DialError>> + Send>>;

/// Makes pipes to peers. Accepted pipes are handed in by whoever listens.
pub trait PeerNetwork: Send + Sync + 'static {
    /// Connects to `to` for one lane: resolve, connect, shake hands.
    fn dial(&self, to: PeerAddress, lane: Lane) -> Dialing;
}
