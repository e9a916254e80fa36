//! A command that runs while a lock is held.
//!
//! Never leaves it running: when it is no longer wanted, it is asked to end and waited for.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use super::error::CommandError;

/// What shells add to the number of the signal that ended a command.
const EXIT_SIGNAL: i32 = 128;

/// A running command.
pub struct Running {
    id: Pid,
    ended: oneshot::Receiver<std::io::Result<ExitStatus>>,
    /// Waits for the command's end; `None` when it has come.
    waiting: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts it, with a few variables more in its environment.
    pub fn start(words: &[OsString], environment: &[(&str, String)]) -> Result<Self, CommandError> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| CommandError::usage("the command is missing"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in environment {
            command.env(name, value);
        }
        let mut child = command.spawn().map_err(|error| {
            CommandError::failed(format!("cannot start {}: {error}", program.to_string_lossy()))
        })?;
        let id = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process has a number above 0");
        let (sender, ended) = oneshot::channel();
        let waiting = std::thread::spawn(move || {
            // Nobody listens when the lock was lost: then only the end itself matters.
            let _ = sender.send(child.wait());
        });
        Ok(Self {
            id,
            ended,
            waiting: Some(waiting),
        })
    }

    /// Its exit code, once it has ended; as shells say it when a signal ended it.
    pub async fn ended(&mut self) -> Result<u8, CommandError> {
        let failed = |why: String| CommandError::failed(format!("the command's end is unknown: {why}"));
        let status = (&mut self.ended)
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        self.join();
        let code = status
            .code()
            .unwrap_or_else(|| EXIT_SIGNAL + status.signal().unwrap_or_default());
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        if self.waiting.is_some() {
            // Fails only when it has just ended by itself.
            let _ = kill_process(self.id, Signal::TERM);
        }
    }

    fn join(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.join().expect("the thread only waits");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.terminate();
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        let words = ["sh", "-c", script].map(OsString::from);
        Running::start(&words, &[("ETCD_LOCK_KEY", "a/5b".to_owned())]).expect("there is a shell")
    }

    #[tokio::test]
    async fn exit_codes_are_passed_on() {
        assert_eq!(shell("exit 7").ended().await.expect("ended"), 7);
        assert_eq!(shell("kill -TERM $$").ended().await.expect("ended"), 143);
        assert_eq!(
            shell("test \"$ETCD_LOCK_KEY\" = a/5b")
                .ended()
                .await
                .expect("ended"),
            0
        );
        let missing = Running::start(&["/no/such/program".into()], &[]).err();
        assert!(missing.is_some_and(|error| error.to_string().contains("/no/such/program")));
    }

    /// Promise: a command does not outlive the lock.
    #[tokio::test]
    async fn it_ends_when_it_is_dropped() {
        let running = shell("exec sleep 600");
        let id = running.id;
        drop(running);
        assert!(rustix::process::test_kill_process(id).is_err());
    }
}
