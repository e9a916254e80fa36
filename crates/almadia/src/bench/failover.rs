//! `almadia bench failover`: kills the leader and measures how long no write is acknowledged.
//!
//! Writes are due at fixed times at the members that stay, whether earlier ones were answered or not, so that the first
//! possible write is noticed. Kills only processes it was given.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::engine::load::{self, Load, Plan, Window};
use super::report::markdown;
use super::statistics::median;
use super::target::Target;
use super::workload::Spec;
use super::workload::kind::Kind;
use super::workload::plain::Plain;
use super::workload::values::Values;
use crate::commands::error::{CommandError, EXIT_FAILED};
use crate::commands::global::{Address, Global, duration};
use crate::commands::output::Report;
use crate::commands::runtime;

/// Connections to each member that stays.
const CONNECTIONS_EACH: usize = 2;
/// Calls that may be under way: more than are due until the longest run ends.
const CLIENTS_MAX: usize = 16_384;
/// Longest wait for a leader before a run.
const LEADER_MAX: Duration = Duration::from_secs(30);

/// Whom to kill and how often.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The gap is the time from the kill to the first acknowledgement of a write that was sent after it.

Examples:
  almadia bench failover --endpoints $A,$B,$C --pids 11,12,13
  almadia bench failover --endpoints $A,$B,$C --pids 11,12,13 --runs 10 --restart './start-member.sh'")]
pub struct FailoverArguments {
    /// The members' process ids, in the order of --endpoints.
    #[arg(long, value_delimiter = ',', value_name = "PID,…", required = true)]
    pub pids: Vec<u32>,
    /// How often; more than once needs --restart.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Starts the killed member again. Runs in a shell with ALMADIA_BENCH_MEMBER (its place among the endpoints, from 0)
    /// in the environment, must return at once and print the new process id.
    #[arg(long, value_name = "COMMAND")]
    pub restart: Option<String>,
    /// Writes per second.
    #[arg(long, value_name = "N", default_value = "500", value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub rate: u32,
    /// Time before the kill.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub before: Duration,
    /// Time after the kill.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub after: Duration,
}

/// What one kill did.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Gap {
    /// From the kill to the first acknowledgement of a write sent after it; `None`: there was none.
    to_first_write_ms: Option<f64>,
    /// The longest time without any acknowledgement.
    longest_silence_ms: f64,
    /// Writes that were refused or never answered.
    failed: u64,
}

/// Runs the measurement.
pub fn run(arguments: &FailoverArguments, global: &Global) -> Result<Report, CommandError> {
    let mut target = Target::new("cluster", &global.endpoints, &arguments.pids, global)?;
    check(arguments, &target)?;
    let runtime = runtime()?;
    let mut gaps = Vec::new();
    for run in 0..arguments.runs {
        let leader = runtime.block_on(wait_for_leader(&target))?;
        let gap = measure(arguments, &target, leader)?;
        let shown = gap
            .to_first_write_ms
            .map_or("no write".to_owned(), |gap| format!("{gap:.0} ms"));
        eprintln!(
            "run {}: killed {}: {shown}",
            run + 1,
            target.addresses[leader].authority
        );
        gaps.push(gap);
        if let Some(command) = &arguments.restart {
            target.pids[leader] = restart(command, leader)?;
        }
    }
    Ok(render(&gaps))
}

fn check(arguments: &FailoverArguments, target: &Target) -> Result<(), CommandError> {
    if target.pids.len() != target.addresses.len() {
        return Err(CommandError::usage(format!(
            "--pids names {} processes and --endpoints {} members: name them in the same order, one for one",
            target.pids.len(),
            target.addresses.len()
        )));
    }
    if arguments.runs > 1 && arguments.restart.is_none() {
        return Err(CommandError::usage(
            "more than one run needs --restart, or the majority is lost",
        ));
    }
    if (arguments.before + arguments.after).as_secs_f64() * f64::from(arguments.rate) > CLIENTS_MAX as f64 {
        return Err(CommandError::usage(format!(
            "rate × time is more than {CLIENTS_MAX} writes: take less of one"
        )));
    }
    Ok(())
}

/// All members answer and one of them leads.
async fn wait_for_leader(target: &Target) -> Result<usize, CommandError> {
    let until = Instant::now() + LEADER_MAX;
    loop {
        let outcome = target.leader().await;
        if outcome.is_ok() || Instant::now() > until {
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn measure(arguments: &FailoverArguments, target: &Target, leader: usize) -> Result<Gap, CommandError> {
    let others = target
        .addresses
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != leader);
    let connections: Vec<Address> = others
        .flat_map(|(_, address)| vec![address.clone(); CONNECTIONS_EACH])
        .collect();
    if connections.is_empty() {
        return Err(CommandError::usage(
            "a cluster of one has no leader to lose: name at least three members",
        ));
    }
    let from = Instant::now();
    let kill_at = from + arguments.before;
    let window = Window {
        from,
        until: Some(kill_at + arguments.after),
    };
    let plan = Plan {
        connections,
        clients: CLIENTS_MAX,
        rate: Some(f64::from(arguments.rate)),
        window,
        keep_calls: true,
    };
    let spec = Spec {
        kind: Kind::Put,
        keys: 1_000,
        value_bytes: 64,
        values: Values::Random,
        stamps_from: from,
    };
    let pid = Pid::from_raw(target.pids[leader].cast_signed())
        .ok_or_else(|| CommandError::usage("0 is no process id"))?;
    let (load, killed) = std::thread::scope(|scope| {
        let running = scope.spawn(|| load::run(&plan, &mut Plain::new(spec, 0, CLIENTS_MAX, 1)));
        std::thread::sleep(kill_at.saturating_duration_since(Instant::now()));
        let killed = Instant::now();
        let outcome = kill_process(pid, Signal::KILL);
        let load = running
            .join()
            .map_err(|_| CommandError::failed("the generator panicked"))?;
        outcome.map_err(|error| CommandError::failed(format!("cannot kill process {}: {error}", pid)))?;
        Ok::<_, CommandError>((load, killed))
    })?;
    Ok(gap(&load, killed))
}

fn gap(load: &Load, killed: Instant) -> Gap {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let first = load
        .calls
        .iter()
        .filter(|(began, _)| *began >= killed)
        .map(|(_, ended)| *ended)
        .min();
    let mut ends: Vec<Instant> = load.calls.iter().map(|(_, ended)| *ended).collect();
    ends.sort();
    let silence = ends
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default();
    Gap {
        to_first_write_ms: first.map(|first| milliseconds(first - killed)),
        longest_silence_ms: milliseconds(silence),
        failed: load.failed(),
    }
}

/// Starts the member again; returns its process id.
fn restart(command: &str, member: usize) -> Result<u32, CommandError> {
    let failed = |why: String| CommandError::failed(format!("--restart failed: {why}"));
    let output = Command::new("sh")
        .args(["-c", command])
        .env("ALMADIA_BENCH_MEMBER", member.to_string())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let pid = text
        .split_ascii_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    match pid {
        Some(pid) if output.status.success() => Ok(pid),
        _ => Err(failed(format!(
            "it ended with {} and printed '{}' instead of a process id",
            output.status,
            text.trim()
        ))),
    }
}

fn render(gaps: &[Gap]) -> Report {
    let rows: Vec<Vec<String>> = gaps
        .iter()
        .enumerate()
        .map(|(at, gap)| {
            vec![
                (at + 1).to_string(),
                gap.to_first_write_ms
                    .map_or("none".to_owned(), |gap| format!("{gap:.0}")),
                format!("{:.0}", gap.longest_silence_ms),
                gap.failed.to_string(),
            ]
        })
        .collect();
    let mut text = markdown(
        &[
            "run",
            "ms from kill to first write",
            "ms of longest silence",
            "failed",
        ],
        &rows,
    );
    let all: Vec<f64> = gaps.iter().filter_map(|gap| gap.to_first_write_ms).collect();
    let middle = median(all.iter().copied());
    if let Some(middle) = middle {
        let (min, max) = all.iter().fold((f64::MAX, f64::MIN), |(min, max), gap| {
            (min.min(*gap), max.max(*gap))
        });
        text.push_str(&format!(
            "\nmedian {middle:.0} ms, from {min:.0} to {max:.0} ms, {} runs\n",
            gaps.len()
        ));
    }
    let runs: Vec<_> = gaps
        .iter()
        .map(|gap| {
            json!({
                "to_first_write_ms": gap.to_first_write_ms,
                "longest_silence_ms": gap.longest_silence_ms,
                "failed": gap.failed,
            })
        })
        .collect();
    let mut report = Report::new(text, json!({ "median_ms": middle, "runs": runs }));
    if all.len() < gaps.len() {
        report.exit_code = EXIT_FAILED;
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: a write sent before the kill and answered after it does not end the gap.
    #[test]
    fn the_gap_ends_with_a_write_sent_after_the_kill() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut load = Load::empty();
        load.calls = vec![
            (at(0), at(1)),
            (at(90), at(101)),
            (at(600), at(902)),
            (at(110), at(905)),
        ];
        let gap = gap(&load, at(100));
        assert_eq!(gap.to_first_write_ms.map(f64::round), Some(802.0));
        assert_eq!(gap.longest_silence_ms.round(), 801.0);
        let report = render(&[gap]);
        assert!(String::from_utf8_lossy(&report.text).contains("median 802 ms"));
        assert_eq!(report.exit_code, 0);
    }

    #[test]
    fn no_write_after_the_kill_is_a_failure() {
        let gap = gap(&Load::empty(), Instant::now());
        assert_eq!(
            (gap.to_first_write_ms, render(&[gap]).exit_code),
            (None, EXIT_FAILED)
        );
    }
}
