//! Asks a person at the terminal for what must not be seen.
//!
//! Never reads standard input: that may be a value or a script.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::error::CommandError;

/// Longest password that can be typed.
const SECRET_BYTES_MAX: usize = 4096;
const CONTROL_C: u8 = 3;
const CONTROL_D: u8 = 4;
const CONTROL_U: u8 = 21;
const BACKSPACE: [u8; 2] = [8, 127];

/// A terminal that does not show what is typed; as before when dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    /// Signals are switched off as well: Ctrl-C must not leave a silent terminal behind.
    fn new(terminal: &'a File) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is nobody to tell: the terminal is gone when this fails.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Asks for a line that is not shown; `None` where there is no terminal.
pub fn ask_secret(prompt: &str) -> Result<Option<String>, CommandError> {
    let opened = File::options().read(true).write(true).open("/dev/tty");
    let Some(terminal) = opened.ok().filter(File::is_terminal) else {
        return Ok(None);
    };
    let cannot =
        |error: std::io::Error| CommandError::failed(format!("cannot ask for the password: {error}"));
    (&terminal).write_all(prompt.as_bytes()).map_err(cannot)?;
    let quiet = Quiet::new(&terminal).map_err(|error| cannot(error.into()))?;
    let line = secret_line(&terminal);
    drop(quiet);
    (&terminal).write_all(b"\n").map_err(cannot)?;
    line.map(Some)
}

/// Asks twice; `None` where there is no terminal.
pub fn ask_new_secret(name: &str) -> Result<Option<String>, CommandError> {
    let Some(first) = ask_secret(&format!("new password of {name}: "))? else {
        return Ok(None);
    };
    let second = ask_secret("once more: ")?;
    if second.as_ref() != Some(&first) {
        return Err(CommandError::usage(
            "the two passwords are not the same; nothing was changed",
        ));
    }
    Ok(Some(first))
}

/// A line as it is typed, with the few keys that change it.
fn secret_line(mut terminal: impl Read) -> Result<String, CommandError> {
    let given_up = || CommandError::failed("no password was given; nothing was changed");
    let mut line = Vec::new();
    let mut byte = [0];
    while terminal.read(&mut byte).is_ok_and(|count| count == 1) {
        match byte[0] {
            b'\n' | b'\r' => {
                return String::from_utf8(line).map_err(|_| CommandError::usage("a password is UTF-8 text"));
            }
            CONTROL_C | CONTROL_D => return Err(given_up()),
            CONTROL_U => line.clear(),
            erased if BACKSPACE.contains(&erased) => {
                // A letter may have several bytes: those after the first begin with the bits 10.
                while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {}
            }
            _ if line.len() == SECRET_BYTES_MAX => {
                return Err(CommandError::usage("the password is too long"));
            }
            letter => line.push(letter),
        }
    }
    Err(given_up())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_a_line() {
        let line = |typed: &str| secret_line(typed.as_bytes()).ok();
        assert_eq!(line("red\nrest").as_deref(), Some("red"));
        assert_eq!(line("re\u{7f}é\u{8}x\r").as_deref(), Some("rx"));
        assert_eq!(line("wrong\u{15}right\n").as_deref(), Some("right"));
        assert_eq!(line("\u{7f}\n").as_deref(), Some(""));
        for given_up in ["red\u{3}\n", "\u{4}", "red"] {
            assert_eq!(line(given_up), None);
        }
        assert!(secret_line(&[0xff, b'\n'][..]).is_err());
        assert!(line(&"x".repeat(SECRET_BYTES_MAX + 1)).is_none());
    }
}
