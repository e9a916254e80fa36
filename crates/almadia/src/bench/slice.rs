//! One slice: one load on one cluster for a few seconds, and what it cost.
//!
//! Processor time is read at the moments between which operations are counted. With watchers the load begins when all of
//! them watch, and ends when they were told of everything.

use std::time::{Duration, Instant};

use super::engine::load::{self, Load, Plan, Window, Workload};
use super::process::{Usage, disks_written_bytes};
use super::tally::Tally;
use super::target::Target;
use super::watchers::{self, Board, Expected, Watching};
use super::workload::{self, Spec};
use crate::commands::error::CommandError;
use crate::commands::global::Address;

/// Longest wait until all watchers watch.
const WATCHING_MAX: Duration = Duration::from_secs(30);

/// How a slice is run.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The load.
    pub spec: Spec,
    /// Clients, over all threads.
    pub clients: usize,
    /// Operations per second; `None` is the closed loop.
    pub rate: Option<f64>,
    /// Threads of the generator.
    pub threads: usize,
    /// Time before counting begins.
    pub warm_up: Duration,
    /// Time that is counted.
    pub duration: Duration,
    /// Who is told of the load's writes, and over which connections.
    pub watching: Option<(Watching, Vec<Address>)>,
}

/// What came of a slice.
pub struct SliceResult {
    /// Operations, latencies, failures.
    pub load: Load,
    /// With watchers: their events, whose failures are among those of `load`, too.
    pub events: Option<Load>,
    /// The time that was counted.
    pub seconds: f64,
    /// Processor time of the members, if their processes are known.
    pub server_cpu: Option<Duration>,
    /// Bytes the side's disk wrote, or all disks of this machine.
    pub disk_bytes: Option<u64>,
    /// Bytes the members wrote, if their processes are known.
    pub written_bytes: Option<u64>,
    /// Processor time of the generator, if it belongs to this load alone.
    pub generator_cpu: Option<Duration>,
}

impl SliceResult {
    /// Operations per second.
    pub fn per_second(&self) -> f64 {
        self.load.operations as f64 / self.seconds
    }

    /// Microseconds per operation.
    pub fn microseconds_per_operation(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.load.operations as f64
    }
}

/// Runs one slice over `connections` (host and port of each).
pub fn run(
    slice: &Slice,
    target: &Target,
    connections: &[Address],
    seed: u64,
) -> Result<SliceResult, CommandError> {
    let Some((watching, places)) = &slice.watching else {
        return Ok(calls(slice, target, connections, seed, None)?.0);
    };
    let board = Board::default();
    let (mut result, events) = std::thread::scope(|scope| {
        let listening = scope.spawn(|| watchers::run(watching, places, slice.spec.stamps_from, &board));
        let outcome = wait_for_watchers(watching, &board)
            .and_then(|()| calls(slice, target, connections, seed, Some(&board)));
        let expected = match &outcome {
            Ok((result, written)) => Expected::Written(written.clone(), result.load.uncertain),
            Err(_) => Expected::Nothing,
        };
        board.expected.set(expected).expect("set nowhere else");
        let events = listening.join().map_err(|_| panicked())?;
        match (outcome, events.failures.keys().next()) {
            (Ok((result, _)), _) => Ok((result, events)),
            (Err(_), Some(reason)) => Err(CommandError::failed(format!("{}: {reason}", target.name))),
            (Err(error), None) => Err(error),
        }
    })?;
    for (reason, count) in &events.failures {
        result.load.note_failure(reason, *count);
    }
    result.events = Some(events);
    Ok(result)
}

fn wait_for_watchers(watching: &Watching, board: &Board) -> Result<(), CommandError> {
    let until = Instant::now() + WATCHING_MAX;
    while board.created() < watching.watchers {
        if board.is_broken() || Instant::now() > until {
            return Err(CommandError::failed(format!(
                "{} of {} watches were created",
                board.created(),
                watching.watchers
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The calls of a slice, and what they wrote where somebody watches.
fn calls(
    slice: &Slice,
    target: &Target,
    connections: &[Address],
    seed: u64,
    board: Option<&Board>,
) -> Result<(SliceResult, Vec<Tally>), CommandError> {
    let from = Instant::now() + slice.warm_up;
    let window = Window {
        from,
        until: Some(from + slice.duration),
    };
    if let Some(board) = board {
        board.window.set(window).expect("set nowhere else");
    }
    let threads = slice.threads.min(connections.len()).min(slice.clients).max(1);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let plan = part_of(slice, connections, window, thread, threads);
                let first_client = (0..thread)
                    .map(|earlier| share(slice.clients, earlier, threads))
                    .sum();
                scope.spawn(move || {
                    let mut calls = workload::calls(slice.spec.clone(), first_client, plan.clients, seed);
                    let load = load::run(&plan, &mut *calls);
                    (load, calls.written())
                })
            })
            .collect();
        let before = sample_at(from, target)?;
        let after = sample_at(from + slice.duration, target)?;
        let mut load = Load::empty();
        let mut written: Vec<Tally> = Vec::new();
        for thread in running {
            let (part, tallies) = thread.join().map_err(|_| panicked())?;
            load.add(&part);
            written.resize(tallies.len(), Tally::default());
            for (sum, tally) in written.iter_mut().zip(tallies) {
                sum.add_all(tally);
            }
        }
        Ok((result(slice, load, &before, &after), written))
    })
}

fn panicked() -> CommandError {
    CommandError::failed("a thread of the generator panicked")
}

/// Runs a workload that has an end to its end; returns how many calls failed and why.
pub fn complete(workload: &mut dyn Workload, connections: &[Address], clients: usize) -> Load {
    let window = Window {
        from: Instant::now(),
        until: None,
    };
    let plan = Plan {
        connections: connections.to_vec(),
        clients,
        rate: None,
        window,
        keep_calls: false,
    };
    load::run(&plan, workload)
}

/// What was used up to a moment.
pub struct Sample {
    /// The moment.
    pub at: Instant,
    /// By the members, if their processes are known.
    pub servers: Option<Usage>,
    /// By this program.
    pub generator: Usage,
    disk_bytes: Option<u64>,
}

#[cfg(test)]
impl Sample {
    /// A moment at which nothing has been used.
    pub fn idle(at: Instant) -> Self {
        Self {
            at,
            servers: None,
            generator: Usage::default(),
            disk_bytes: None,
        }
    }
}

/// Sleeps until `moment` and says what was used up to then.
pub fn sample_at(moment: Instant, target: &Target) -> Result<Sample, CommandError> {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
    let servers = match &target.pids[..] {
        [] => None,
        pids => Some(Usage::of_all(pids).map_err(CommandError::failed)?),
    };
    let generator = Usage::of(std::process::id()).unwrap_or_default();
    Ok(Sample {
        at: Instant::now(),
        servers,
        generator,
        disk_bytes: disks_written_bytes(target.disk.as_deref()),
    })
}

fn result(slice: &Slice, load: Load, before: &Sample, after: &Sample) -> SliceResult {
    // Samples are taken a little late when the machine is busy: scale to the time in which operations were counted.
    let sampled = after
        .at
        .saturating_duration_since(before.at)
        .as_secs_f64()
        .max(1e-9);
    let scale = slice.duration.as_secs_f64() / sampled;
    let used = before.servers.zip(after.servers);
    let bytes = |before: Option<u64>, after: Option<u64>| {
        let (before, after) = before.zip(after)?;
        Some((after.saturating_sub(before) as f64 * scale) as u64)
    };
    let generator_cpu = after.generator.cpu.saturating_sub(before.generator.cpu);
    SliceResult {
        load,
        events: None,
        seconds: slice.duration.as_secs_f64(),
        server_cpu: used.map(|(before, after)| after.cpu.saturating_sub(before.cpu).mul_f64(scale)),
        disk_bytes: bytes(before.disk_bytes, after.disk_bytes),
        written_bytes: used.and_then(|(before, after)| bytes(before.written_bytes, after.written_bytes)),
        generator_cpu: Some(generator_cpu.mul_f64(scale)),
    }
}

fn part_of(slice: &Slice, connections: &[Address], window: Window, thread: usize, threads: usize) -> Plan {
    Plan {
        connections: connections
            .iter()
            .skip(thread)
            .step_by(threads)
            .cloned()
            .collect(),
        clients: share(slice.clients, thread, threads),
        rate: slice.rate.map(|rate| rate / threads as f64),
        window,
        keep_calls: false,
    }
}

/// The share of one of `parts` in `whole`: they differ by one at most.
fn share(whole: usize, part: usize, parts: usize) -> usize {
    whole / parts + usize::from(part < whole % parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (whole, parts) in [(10, 3), (1, 2), (64, 4), (0, 2)] {
            let shares: Vec<usize> = (0..parts).map(|part| share(whole, part, parts)).collect();
            assert_eq!(shares.iter().sum::<usize>(), whole);
            assert!(shares.iter().max().expect("some") - shares.iter().min().expect("some") <= 1);
        }
    }
}
