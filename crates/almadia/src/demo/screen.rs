//! What the demo prints: numbered steps, progress that replaces itself on a terminal, colours only there. It decides
//! nothing.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const FAINT: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Where the demo prints.
pub struct Screen {
    /// Standard error when standard output is for a program.
    to_stderr: bool,
    is_terminal: bool,
    steps: usize,
    progress_shown: bool,
}

impl Screen {
    /// On standard output, or beside it when a program reads that.
    pub fn new(to_stderr: bool) -> Self {
        let is_terminal = if to_stderr {
            std::io::stderr().is_terminal()
        } else {
            std::io::stdout().is_terminal()
        };
        // https://no-color.org: set and not empty.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            to_stderr,
            is_terminal: is_terminal && !plain,
            steps: 0,
            progress_shown: false,
        }
    }

    /// Begins the next step.
    pub fn step(&mut self, title: impl Display) {
        self.steps += 1;
        let line = format!(
            "{} {}",
            self.paint(FAINT, format!("[{}]", self.steps)),
            self.paint(BOLD, title)
        );
        self.line(line);
    }

    /// Something was achieved.
    pub fn good(&mut self, text: impl Display) {
        let line = format!("    {} {text}", self.paint(GREEN, "ok"));
        self.line(line);
    }

    /// Something is broken.
    pub fn bad(&mut self, text: impl Display) {
        let line = format!("    {} {text}", self.paint(RED, "BROKEN"));
        self.line(line);
    }

    /// Something to know.
    pub fn note(&mut self, text: impl Display) {
        self.line(format!("    {text}"));
    }

    /// What is being waited for; shown on terminals only, and replaced by what comes next.
    pub fn progress(&mut self, text: impl Display) {
        if self.is_terminal {
            let text = self.paint(FAINT, text);
            self.write(&format!("{CLEAR_LINE}    {text}"));
            self.progress_shown = true;
        }
    }

    /// One line as it is.
    pub fn line(&mut self, text: impl Display) {
        let clear = if std::mem::take(&mut self.progress_shown) {
            CLEAR_LINE
        } else {
            ""
        };
        self.write(&format!("{clear}{text}\n"));
    }

    fn paint(&self, colour: &str, text: impl Display) -> String {
        if self.is_terminal {
            format!("{colour}{text}{RESET}")
        } else {
            text.to_string()
        }
    }

    /// A reader that has gone away (`| head`) is no reason to stop.
    fn write(&self, text: &str) {
        let _ = if self.to_stderr {
            std::io::stderr().write_all(text.as_bytes())
        } else {
            let mut out = std::io::stdout();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
    }
}
