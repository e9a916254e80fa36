//! The production driver: one thread of the operating system that runs the writer.
//!
//! Has no timer: it sleeps while the queue is empty. Only a full disk is looked at again after a while.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::WalError;
use crate::writer::Writer;

/// Between two looks whether a full disk has room for a new segment, unless upkeep has made one.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(200);

/// The running thread.
#[derive(Debug)]
pub struct WalThread {
    thread: JoinHandle<Result<(), WalError>>,
}

impl WalThread {
    /// Waits until the thread has ended: all handles dropped or the log closed, and the queue written. An error is
    /// the one that stopped it.
    pub fn join(self) -> Result<(), WalError> {
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Starts the thread `wal`. It ends when the log is closed or fails.
pub fn spawn_thread(mut writer: Writer) -> io::Result<WalThread> {
    let run = move || {
        while writer.has_work() || writer.shared.wait() {
            if !writer.step()? && writer.waits_for_room() && !writer.shared.wait_for_room(LOOK_FOR_ROOM) {
                // The log closes. What waits was never acknowledged, and is told so.
                return Ok(());
            }
        }
        Ok(())
    };
    let thread = std::thread::Builder::new().name("wal".into()).spawn(run)?;
    Ok(WalThread { thread })
}
