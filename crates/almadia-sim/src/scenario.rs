//! Scenarios: the classic cases as text, what is done to a cluster and what comes of it, to be read by people and compared by
//! machines.
//!
//! A script says in comments what it shows, then the seed and the members, then faults with their times in milliseconds, then
//! (after `expect`) the timeline that comes of them. `UPDATE=1` writes that part anew.

use crate::faults::{Fault, LEADER, Planned};
use crate::run::{Plan, Report, run};
use almadia_disk::Loss;

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, for people.
    pub story: Vec<String>,
    /// What is done.
    pub plan: Plan,
    /// What is to come of it.
    pub expected: Vec<String>,
}

/// All scripts of this crate: their names and texts.
pub const ALL: &[(&str, &str)] = &[
    ("leader-dies", include_str!("../scenarios/leader-dies.txt")),
    ("figure-8", include_str!("../scenarios/figure-8.txt")),
    (
        "one-way-partition",
        include_str!("../scenarios/one-way-partition.txt"),
    ),
    (
        "rejoin-after-wipe",
        include_str!("../scenarios/rejoin-after-wipe.txt"),
    ),
    (
        "leader-transfer",
        include_str!("../scenarios/leader-transfer.txt"),
    ),
    (
        "joint-change-interrupted",
        include_str!("../scenarios/joint-change-interrupted.txt"),
    ),
    (
        "a-set-grows-and-shrinks",
        include_str!("../scenarios/a-set-grows-and-shrinks.txt"),
    ),
    (
        "a-lost-disk-in-a-set",
        include_str!("../scenarios/a-lost-disk-in-a-set.txt"),
    ),
    (
        "an-old-leader-forgets",
        include_str!("../scenarios/an-old-leader-forgets.txt"),
    ),
    ("a-vote-is-kept", include_str!("../scenarios/a-vote-is-kept.txt")),
    (
        "shown-before-it-was-durable",
        include_str!("../scenarios/shown-before-it-was-durable.txt"),
    ),
    (
        "the-founder-lost-its-disk",
        include_str!("../scenarios/the-founder-lost-its-disk.txt"),
    ),
    (
        "the-old-pod-runs-on",
        include_str!("../scenarios/the-old-pod-runs-on.txt"),
    ),
    (
        "snapshot-interrupted",
        include_str!("../scenarios/snapshot-interrupted.txt"),
    ),
];

impl Scenario {
    /// Reads a script.
    ///
    /// # Errors
    /// In words, with the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut scenario = Scenario {
            name: name.to_owned(),
            story: Vec::new(),
            plan: Plan {
                seed: 1,
                size: 3,
                is_set: false,
                theme: None,
                until_ms: 20_000,
                faults: Vec::new(),
            },
            expected: Vec::new(),
        };
        let mut expects = false;
        for (number, line) in text.lines().enumerate() {
            if expects {
                scenario.expected.push(line.to_owned());
            } else if let Some(words) = line.strip_prefix('#') {
                scenario.story.push(words.trim().to_owned());
            } else if line == "expect" {
                expects = true;
            } else if !line.is_empty() {
                let wrong = |reason| format!("{name}, line {}: {reason}", number + 1);
                scenario.take(line).map_err(wrong)?;
            }
        }
        Ok(scenario)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["seed", number] => self.plan.seed = parse(number)?,
            ["pods", number] => {
                self.plan.size = parse(number)? as usize;
                self.plan.is_set = true;
            }
            ["members", number] => self.plan.size = parse(number)? as usize,
            ["until", ms] => self.plan.until_ms = parse(ms)?,
            ["at", ms, rest @ ..] => {
                let (at_ms, fault) = (parse(ms)?, fault(rest)?);
                self.plan.faults.push(Planned { at_ms, fault });
            }
            _ => return Err(format!("cannot be read: {line:?}")),
        }
        Ok(())
    }

    /// What comes of it.
    pub fn run(&self) -> Report {
        run(&self.plan)
    }

    /// A timeline as it stands in a script.
    pub fn lines(report: &Report) -> Vec<String> {
        let told = report.timeline.iter();
        let mut lines: Vec<String> = told.map(|(at_ms, text)| format!("{at_ms:>6} {text}")).collect();
        let failed = report.failures.iter();
        lines.extend(failed.map(|failure| format!("FAILED {}: {}", failure.check, failure.text)));
        lines
    }

    /// The script with another expectation.
    pub fn with_expected(text: &str, lines: &[String]) -> String {
        let script = text.split("\nexpect\n").next().unwrap_or(text).trim_end();
        format!("{script}\n\nexpect\n{}\n", lines.join("\n"))
    }
}

fn parse(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

/// `m2`, or `leader`, or `leader+1` for the machine after the one that leads when it happens.
fn machine(word: &str) -> Result<usize, String> {
    if let Some(behind) = word.strip_prefix("leader") {
        let behind = behind.strip_prefix('+').map_or(Ok(0), parse)?;
        return Ok(LEADER + behind as usize);
    }
    let number = word
        .strip_prefix('m')
        .ok_or_else(|| format!("{word:?} is no machine"))?;
    Ok(parse(number)? as usize)
}

fn group(words: &str) -> Result<u64, String> {
    words
        .split(',')
        .try_fold(0, |group, word| Ok(group | 1 << machine(word)?))
}

fn fault(words: &[&str]) -> Result<Fault, String> {
    Ok(match words {
        ["kill", host, "for", ms] => Fault::Kill {
            host: machine(host)?,
            down_ms: parse(ms)?,
        },
        ["power-loss", host, "for", ms] => Fault::PowerLoss {
            host: machine(host)?,
            loss: Loss::DropUnsynced,
            down_ms: parse(ms)?,
        },
        ["slow-disk", host, sync_ms, "for", ms] => Fault::SlowDisk {
            host: machine(host)?,
            sync_ms: parse(sync_ms)?,
            for_ms: parse(ms)?,
        },
        ["pause", host, "for", ms] => Fault::Pause {
            host: machine(host)?,
            for_ms: parse(ms)?,
        },
        ["cut", hosts, "for", ms] => Fault::Partition {
            group: group(hosts)?,
            resets: false,
            for_ms: parse(ms)?,
        },
        ["deaf", host, "for", ms] => Fault::OneWay {
            host: machine(host)?,
            is_deaf: true,
            for_ms: parse(ms)?,
        },
        ["mute", host, "for", ms] => Fault::OneWay {
            host: machine(host)?,
            is_deaf: false,
            for_ms: parse(ms)?,
        },
        ["transfer", "to", host] => Fault::Transfer { to: machine(host)? },
        ["purge", host] => Fault::Purge { host: machine(host)? },
        ["replace", host] => Fault::Replace { host: machine(host)? },
        ["scale", "to", size] => Fault::Scale {
            size: parse(size)? as u32,
        },
        ["lose", host, "for", ms] => Fault::LosePod {
            ordinal: machine(host)?,
            down_ms: parse(ms)?,
        },
        ["move", host, "unknown", "for", ms] => Fault::MovePod {
            ordinal: machine(host)?,
            down_ms: 500,
            stale_ms: parse(ms)?,
        },
        ["give-up", host, "for", ms] => Fault::Namesake {
            ordinal: machine(host)?,
            is_cut: true,
            for_ms: parse(ms)?,
        },
        ["double", host, "for", ms] => Fault::Namesake {
            ordinal: machine(host)?,
            is_cut: false,
            for_ms: parse(ms)?,
        },
        ["swap", one, other, "for", ms] => Fault::SwapVolumes {
            one: machine(one)?,
            other: machine(other)?,
            for_ms: parse(ms)?,
        },
        ["grow"] => Fault::Grow,
        ["shrink", host] => Fault::Shrink { host: machine(host)? },
        _ => return Err(format!("no such fault: {}", words.join(" "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_can_be_read_and_expects_something() {
        for (name, text) in ALL {
            let scenario = Scenario::parse(name, text).unwrap();
            assert!(!scenario.story.is_empty(), "{name} says what it shows");
            assert!(!scenario.plan.faults.is_empty(), "{name} does something");
            assert!(
                !scenario.expected.iter().any(|line| line.starts_with("FAILED")),
                "{name} expects a failure"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let error = Scenario::parse("x", "# a story\nat 5 explode m0\n").unwrap_err();
        assert_eq!(error, "x, line 2: no such fault: explode m0");
    }
}
