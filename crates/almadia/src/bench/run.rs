//! The course of a benchmark: lay out keys, measure each load on one or two clusters in turn, print.
//!
//! Two clusters are measured A B B A A B …: what disturbs the machine for a while disturbs both.

use std::time::{SystemTime, UNIX_EPOCH};

use super::BenchArguments;
use super::disturbance::{self, Disturbance};
use super::engine::load::Load;
use super::process::Usage;
use super::report::{self, Cell, Memory};
use super::shape::{Shape, counted};
use super::slice::{self, Slice, SliceResult};
use super::summary::{Summary, ratios};
use super::target::Target;
use super::workload::kind::Kind;
use super::workload::preload::Preload;
use crate::commands::error::{CommandError, EXIT_FAILED};
use crate::commands::global::{Address, Global};
use crate::commands::output::Report;
use crate::commands::runtime;

/// Clients that lay out the keys.
const PRELOAD_CLIENTS: usize = 8;

/// Runs everything.
pub fn run(arguments: &BenchArguments, global: &Global) -> Result<Report, CommandError> {
    let mut bench = Bench {
        arguments,
        targets: targets(arguments, global)?,
        runtime: runtime()?,
        // Different in each run, so that no run writes what an earlier one wrote.
        seed: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64),
    };
    let shapes = arguments.shapes()?;
    if !arguments.no_preload {
        bench
            .targets
            .iter()
            .try_for_each(|target| bench.preload(target))?;
    }
    let mut cells = Vec::new();
    for shape in shapes {
        cells.extend(bench.measure(shape)?);
    }
    let mut disturbed = Vec::new();
    for disturbance in arguments.disturbances() {
        for clients in arguments.client_counts(&[64]) {
            disturbed.push(bench.disturb(disturbance, clients)?);
        }
    }
    let memory = bench.memory()?;
    if arguments.clean_up {
        bench
            .targets
            .iter()
            .try_for_each(|target| bench.runtime.block_on(target.clear()))?;
    }
    Ok(render(&cells, &disturbed, &memory))
}

fn render(cells: &[Cell], disturbed: &[disturbance::table::Cell], memory: &[Memory]) -> Report {
    let mut parts = Vec::new();
    if !cells.is_empty() {
        parts.push(report::table(cells));
    }
    if !disturbed.is_empty() {
        parts.push(disturbance::table::table(disturbed));
    }
    let failures = report::failures(cells) + &disturbance::table::failures(disturbed);
    parts.push(report::memory(memory) + &failures);
    let mut json = report::json(cells, memory);
    json["disturbances"] = disturbance::table::json(disturbed);
    let mut report = Report::new(parts.join("\n"), json);
    // Nothing measured is a failure, and so are events that went astray; single failed calls are figures.
    let has_failed = |cell: &Cell| {
        let mut sides = cell.sides.iter().map(|(_, side)| side);
        sides.any(|side| side.operations == 0 || side.is_wrong)
    };
    if cells.iter().any(has_failed) || disturbed.iter().any(|cell| cell.is_wrong()) {
        report.exit_code = EXIT_FAILED;
    }
    report
}

fn targets(arguments: &BenchArguments, global: &Global) -> Result<Vec<Target>, CommandError> {
    let mut targets = vec![
        Target::new(&arguments.name, &global.endpoints, &arguments.pids, global)?
            .on_disk(arguments.disk.as_deref())?,
    ];
    if !arguments.versus.is_empty() {
        let other = Target::new(
            &arguments.versus_name,
            &arguments.versus,
            &arguments.versus_pids,
            global,
        )?;
        targets.push(other.on_disk(arguments.versus_disk.as_deref())?);
    }
    Ok(targets)
}

struct Bench<'a> {
    arguments: &'a BenchArguments,
    /// One or two.
    targets: Vec<Target>,
    runtime: tokio::runtime::Runtime,
    /// Where random numbers begin; goes on with each measurement.
    seed: u64,
}

impl Bench<'_> {
    /// Host and port of each of the connections of `clients` clients.
    fn places(&self, target: &Target, clients: usize) -> Result<Vec<Address>, CommandError> {
        let connections = target.connections(self.arguments.target, self.arguments.connections_of(clients));
        self.runtime.block_on(connections)
    }

    /// Lays out the keys unless they are there.
    fn preload(&self, target: &Target) -> Result<(), CommandError> {
        let value_bytes = self.arguments.value_bytes[0] as usize;
        let wanted = (self.arguments.keys, value_bytes);
        let found = self.runtime.block_on(target.keys())?;
        if found == wanted {
            return Ok(());
        }
        eprintln!(
            "{}: writing {} keys of {value_bytes} bytes",
            target.name, wanted.0
        );
        if found.0 > wanted.0 {
            self.runtime.block_on(target.clear())?;
        }
        let connections = target.connections(self.arguments.target, PRELOAD_CLIENTS);
        let connections = self.runtime.block_on(connections)?;
        let mut preload = Preload::new(self.arguments.spec(Kind::Put, value_bytes));
        let load = slice::complete(&mut preload, &connections, PRELOAD_CLIENTS);
        if let Some((reason, count)) = load.failures.iter().next() {
            return Err(CommandError::failed(format!(
                "cannot lay out the keys on {}: {count} × {reason}",
                target.name
            )));
        }
        Ok(())
    }

    /// Measures one load on all targets, round by round.
    fn measure(&mut self, shape: Shape) -> Result<Vec<Cell>, CommandError> {
        let mut results: Vec<Vec<SliceResult>> = self.targets.iter().map(|_| Vec::new()).collect();
        for round in 0..self.arguments.rounds {
            self.seed = self.seed.wrapping_add(1 << 40);
            for at in order(self.targets.len(), round) {
                let target = &self.targets[at];
                let slice = self.slice(shape, target)?;
                let places = self.places(target, shape.clients)?;
                let result = slice::run(&slice, target, &places, self.seed)?;
                let result = shown(shape.kind, result);
                eprintln!(
                    "{}, {} clients, round {}: {}: {:.0}/s",
                    self.arguments.name_of(shape),
                    shape.clients,
                    round + 1,
                    target.name,
                    result.per_second()
                );
                results[at].push(result);
            }
        }
        let mut cells = vec![self.cell(self.arguments.name_of(shape), shape.clients, &results)];
        if shape.kind == Kind::Kube {
            let events: Vec<Vec<SliceResult>> = results
                .iter()
                .map(|slices| slices.iter().filter_map(of_events).collect())
                .collect();
            let name = format!("kube, its events at {}", counted(shape.watchers));
            cells.push(self.cell(name, shape.clients, &events));
        }
        Ok(cells)
    }

    fn slice(&self, shape: Shape, target: &Target) -> Result<Slice, CommandError> {
        let watching = match shape.watchers {
            0 => None,
            watchers => {
                let connections = self.arguments.watch_connections_of(watchers);
                let places = target.connections(self.arguments.target, connections);
                Some((self.arguments.watching(shape), self.runtime.block_on(places)?))
            }
        };
        Ok(Slice {
            spec: self.arguments.spec(shape.kind, shape.value_bytes),
            clients: shape.clients,
            rate: self.arguments.rate_of(shape),
            threads: usize::from(self.arguments.threads),
            warm_up: self.arguments.warm_up,
            duration: self.arguments.duration,
            watching,
        })
    }

    fn cell(&self, workload: String, clients: usize, results: &[Vec<SliceResult>]) -> Cell {
        let sides = self
            .targets
            .iter()
            .zip(results)
            .map(|(target, slices)| (target.name.clone(), Summary::of(slices)));
        let ratios = match results {
            [subject, reference] => Some(ratios(subject, reference)),
            _ => None,
        };
        Cell {
            workload,
            clients,
            connections: self.arguments.connections_of(clients),
            sides: sides.collect(),
            ratios,
        }
    }

    /// Measures writes before and during a disturbance on all targets, round by round.
    fn disturb(
        &mut self,
        disturbance: Disturbance,
        clients: usize,
    ) -> Result<disturbance::table::Cell, CommandError> {
        let spec = self
            .arguments
            .spec(Kind::Put, self.arguments.value_bytes[0] as usize);
        let flags = &self.arguments.single;
        let name = disturbance.name(flags);
        let one = |_| disturbance.of(flags, self.seed);
        let mut disturbers: Vec<_> = self.targets.iter().map(one).collect();
        let mut results: Vec<Vec<disturbance::Outcome>> = self.targets.iter().map(|_| Vec::new()).collect();
        for round in 0..self.arguments.rounds {
            self.seed = self.seed.wrapping_add(1 << 40);
            for at in order(self.targets.len(), round) {
                let target = &self.targets[at];
                let course = disturbance::Course {
                    target,
                    runtime: &self.runtime,
                    places: self.places(target, clients)?,
                    spec: spec.clone(),
                    clients,
                    rate: self.arguments.rate,
                    warm_up: self.arguments.warm_up,
                    duration: self.arguments.duration,
                    seed: self.seed,
                    done_max: self.arguments.single.done_max,
                };
                let outcome = course.run(&mut *disturbers[at])?;
                eprintln!("{name}, round {}: {}: {outcome}", round + 1, target.name);
                results[at].push(outcome);
            }
        }
        for (disturber, target) in disturbers.iter_mut().zip(&self.targets) {
            disturber.clean_up(&self.places(target, clients)?)?;
        }
        let names = self.targets.iter().map(|target| target.name.clone());
        let outcomes = names.zip(results).collect();
        Ok(disturbance::table::Cell::new(name, clients, outcomes))
    }

    fn memory(&self) -> Result<Vec<Memory>, CommandError> {
        let known = self.targets.iter().filter(|target| !target.pids.is_empty());
        known
            .map(|target| {
                let usage = Usage::of_all(&target.pids).map_err(CommandError::failed)?;
                Ok(Memory {
                    name: target.name.clone(),
                    usage,
                })
            })
            .collect()
    }
}

/// What is counted: calls, but where watching is the load, events.
fn shown(kind: Kind, mut result: SliceResult) -> SliceResult {
    if kind == Kind::Watch
        && let Some(events) = &result.events
    {
        let puts = std::mem::replace(&mut result.load, Load::empty());
        result.load.operations = events.operations;
        result.load.latencies_ns = events.latencies_ns.clone();
        result.load.failures = puts.failures;
    }
    result
}

/// The events of a slice as a result of their own: what they cost is part of the slice.
fn of_events(slice: &SliceResult) -> Option<SliceResult> {
    let mut load = Load::empty();
    load.add(slice.events.as_ref()?);
    Some(SliceResult {
        load,
        events: None,
        seconds: slice.seconds,
        server_cpu: None,
        disk_bytes: None,
        written_bytes: None,
        generator_cpu: None,
    })
}

/// The order of the targets in a round: every second round the other way round.
fn order(targets: usize, round: u32) -> Vec<usize> {
    let forward = 0..targets;
    if round.is_multiple_of(2) {
        forward.collect()
    } else {
        forward.rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_alternate() {
        assert_eq!(
            (order(2, 0), order(2, 1), order(2, 2)),
            (vec![0, 1], vec![1, 0], vec![0, 1])
        );
        assert_eq!(order(1, 1), [0]);
    }
}
