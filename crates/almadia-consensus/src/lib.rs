//! Orders commands. The only crate that names openraft; no type of it leaves here.

mod network;

pub use network::{DialError, Dialing, FRAME_BYTES_MAX, Lane, PIPE_FRAMES_MAX, PeerAddress, PeerNetwork, Pipe};
