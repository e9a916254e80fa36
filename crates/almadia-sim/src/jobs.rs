//! Several processes at the same work: a world lives on one thread, and what tokio counts it counts for the whole process, so
//! that two worlds at once would disturb each other's course. Each process has a share, and says at the end what came of it.

use crate::report::Sum;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// How a share tells its sum to the process that started it.
const SUM: &str = "SUM ";

/// Which part of the work is this process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Counted from 0.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// As it stands on the command line: `INDEX/OF`.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let parsed = numbers.and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            _ => Err(format!("--share wants INDEX/OF, not {text:?}")),
        }
    }

    /// Whether the work at this position is in it.
    pub fn has(self, position: u64) -> bool {
        position % self.of == self.index
    }
}

/// A share's last word.
pub fn tell(sum: &Sum) {
    println!(
        "{SUM}{}",
        serde_json::to_string(sum).expect("numbers and names have a form in JSON")
    );
}

/// Runs this program once for each of `jobs` shares, passes on what they print, and adds up what they tell. True when all went
/// well.
///
/// # Errors
/// When a process cannot be started, in words.
pub fn run(arguments: &[String], jobs: u64) -> Result<(Sum, bool), String> {
    let program =
        std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let started = (0..jobs).map(|index| {
        let share = format!("{index}/{jobs}");
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .args(["--share", &share])
            .stdout(Stdio::piped());
        command.spawn().map_err(|error| format!("job {share}: {error}"))
    });
    let started: Vec<_> = started.collect::<Result<_, _>>()?;
    let readers = started.into_iter().map(|mut child| {
        std::thread::spawn(move || {
            let mut told = None;
            let output = child.stdout.take().expect("it was asked for");
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                match line.strip_prefix(SUM) {
                    Some(sum) => told = serde_json::from_str::<Sum>(sum).ok(),
                    None => println!("{line}"),
                }
            }
            let is_good = child.wait().is_ok_and(|status| status.success());
            (told, is_good)
        })
    });
    let readers: Vec<_> = readers.collect();
    let mut sum = Sum::default();
    let mut is_good = true;
    for reader in readers {
        let (told, was_good) = reader.join().expect("reading lines does not panic");
        // Whoever tells nothing has not come to its end.
        is_good &= was_good && told.is_some();
        sum.merge(told.unwrap_or_default());
    }
    Ok((sum, is_good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_in_one_share() {
        let shares = [0, 1, 2].map(|index| Share { index, of: 3 });
        for position in 0..10 {
            assert_eq!(shares.iter().filter(|share| share.has(position)).count(), 1);
        }
        assert!(Share::WHOLE.has(7));
    }

    #[test]
    fn a_share_is_read_or_refused() {
        assert_eq!(Share::parse("1/2"), Ok(Share { index: 1, of: 2 }));
        for wrong in ["2/2", "1", "x/2", ""] {
            assert!(Share::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
