//! A program that runs while a test goes on.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::command;

/// A running `almadia`; killed with the test.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Starts it.
    pub fn start(endpoints: &[&str], words: &[&str]) -> Self {
        let mut child = command(endpoints, words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Waits for its next line on standard output; empty when there are no more.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Presses Ctrl-C; then as [`Running::end`].
    pub fn interrupt(self) -> (String, String, i32) {
        self.signal(Signal::INT);
        self.end()
    }

    /// Waits for its end: what else came on standard output, standard error, exit code.
    pub fn end(mut self) -> (String, String, i32) {
        let (mut rest, mut complaints) = (String::new(), String::new());
        self.lines.read_to_string(&mut rest).unwrap();
        let mut errors = self.child.stderr.take().unwrap();
        errors.read_to_string(&mut complaints).unwrap();
        (rest, complaints, self.child.wait().unwrap().code().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already when the test was a success.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
