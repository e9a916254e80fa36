//! How a server is asked to stop: SIGTERM or SIGINT once for a graceful stop, twice to end at once.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

/// Exit code after a second signal, as shells give it for an interrupted program.
const INTERRUPTED: i32 = 130;

/// A request to stop, for as many as want to know.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: watch::Receiver<bool>,
}

/// Makes the request.
#[derive(Clone, Debug)]
pub struct StopHandle {
    request: watch::Sender<bool>,
}

impl Stop {
    /// A request that is made by hand.
    pub fn by_hand() -> (StopHandle, Self) {
        let (request, requested) = watch::channel(false);
        (StopHandle { request }, Self { requested })
    }

    /// A request that the process's signals make. A second signal ends the process at once.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn by_signal() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (handle, stop) = Self::by_hand();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let signal = next().await;
            info!(signal, "stopping");
            handle.request();
            let signal = next().await;
            warn!(signal, "stopping at once");
            std::process::exit(INTERRUPTED);
        });
        Ok(stop)
    }

    /// Waits for the request.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        if requested.wait_for(|requested| *requested).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

impl StopHandle {
    /// Asks for the stop.
    pub fn request(&self) {
        self.request.send_replace(true);
    }
}
