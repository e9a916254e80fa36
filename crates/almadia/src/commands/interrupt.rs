//! Ctrl-C, and the wish of a supervisor that we end.
//!
//! From the moment it listens neither ends the process by itself: what was begun is cleaned up first.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::CommandError;

/// Which wish came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Ctrl-C; a terminal tells it to everything that runs in it, also to what we have started.
    Interrupt,
    /// A supervisor's; it tells it to us alone.
    Terminate,
}

/// Listens for both.
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Begins to listen.
    pub fn new() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind).map_err(|error| CommandError::failed(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for either. May be dropped and called again without missing one.
    pub async fn wait(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Interrupt,
            _ = self.terminate.recv() => Wish::Terminate,
        }
    }
}
