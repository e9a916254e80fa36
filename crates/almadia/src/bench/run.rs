//! The course of a benchmark: lay out keys, measure each load on one or two clusters in turn, print.
//!
//! Two clusters are measured A B B A A B …: what disturbs the machine for a while disturbs both.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::BenchArguments;
use super::disturbance::{self, Disturbance};
use super::engine::load::Load;
use super::flags::Word;
use super::process::Usage;
use super::report::{self, Cell, Memory};
use super::slice::{self, Slice, SliceResult};
use super::summary::{Summary, ratios};
use super::target::Target;
use super::watchers::Watching;
use super::workload::kind::Kind;
use super::workload::preload::Preload;
use super::workload::values::Values;
use super::workload::{KEY_PREFIX, KEY_PREFIX_END, STAMP_BYTES, Spec, kube};
use crate::commands::error::{CommandError, EXIT_FAILED};
use crate::commands::global::Global;
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
    if !arguments.no_preload {
        bench
            .targets
            .iter()
            .try_for_each(|target| bench.preload(target))?;
    }
    let mut cells = Vec::new();
    for shape in bench.shapes()? {
        cells.extend(bench.measure(shape)?);
    }
    let mut disturbed = Vec::new();
    for disturbance in bench.disturbances() {
        for clients in bench.client_counts(&[64]) {
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
    let mut targets = vec![Target::new(
        &arguments.name,
        &global.endpoints,
        &arguments.pids,
        global,
    )?];
    if !arguments.versus.is_empty() {
        let other = Target::new(
            &arguments.versus_name,
            &arguments.versus,
            &arguments.versus_pids,
            global,
        )?;
        targets.push(other);
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

/// One row of the table: a load and its numbers.
#[derive(Clone, Copy, Debug)]
struct Shape {
    kind: Kind,
    value_bytes: usize,
    clients: usize,
    watchers: usize,
}

impl Bench<'_> {
    /// All loads with all their numbers.
    fn shapes(&self) -> Result<Vec<Shape>, CommandError> {
        let mut shapes = Vec::new();
        for kind in self.kinds() {
            for value_bytes in self.value_sizes(kind) {
                for clients in self.client_counts(kind.clients_default()) {
                    let watchers = self.watcher_counts(kind);
                    shapes.extend(watchers.into_iter().map(|watchers| Shape {
                        kind,
                        value_bytes,
                        clients,
                        watchers,
                    }));
                }
            }
        }
        let own_keys = |shape: &Shape| (shape.clients * kube::OBJECTS_EACH) as u64;
        match shapes.iter().find(|shape| shape.kind == Kind::Kube) {
            Some(shape) if own_keys(shape) > self.arguments.keys => Err(CommandError::usage(format!(
                "kube with {} clients needs --keys {} at least: each client writes {} of its own",
                shape.clients,
                own_keys(shape),
                kube::OBJECTS_EACH
            ))),
            _ => Ok(shapes),
        }
    }

    fn kinds(&self) -> Vec<Kind> {
        if self.arguments.words.is_empty() {
            return vec![Kind::Put];
        }
        let mut kinds: Vec<Kind> = Vec::new();
        for word in &self.arguments.words {
            let Word::Loads(named) = word else { continue };
            for kind in named {
                if !kinds.contains(kind) {
                    kinds.push(*kind);
                }
            }
        }
        kinds
    }

    fn disturbances(&self) -> Vec<Disturbance> {
        let named = self.arguments.words.iter().filter_map(|word| match word {
            Word::Disturbance(disturbance) => Some(*disturbance),
            Word::Loads(_) => None,
        });
        named.collect()
    }

    /// Sizes of values matter where values are written.
    fn value_sizes(&self, kind: Kind) -> Vec<usize> {
        let all = self.arguments.value_bytes.iter().map(|bytes| *bytes as usize);
        // Watchers read from a value when it was due.
        let min = if kind.is_watched() { STAMP_BYTES } else { 0 };
        all.map(|bytes| bytes.max(min))
            .take(if kind.writes() { usize::MAX } else { 1 })
            .collect()
    }

    fn client_counts(&self, default: &[usize]) -> Vec<usize> {
        match &self.arguments.clients[..] {
            [] => default.to_vec(),
            given => given.iter().map(|clients| *clients as usize).collect(),
        }
    }

    fn watcher_counts(&self, kind: Kind) -> Vec<usize> {
        match &self.arguments.single.watchers[..] {
            given if kind.is_watched() && !given.is_empty() => {
                given.iter().map(|watchers| *watchers as usize).collect()
            }
            _ => kind.watchers_default().to_vec(),
        }
    }

    fn connections(&self, clients: usize) -> usize {
        connections(self.arguments.connections, clients)
    }

    /// Host and port of each of the connections of `clients` clients.
    fn places(&self, target: &Target, clients: usize) -> Result<Vec<String>, CommandError> {
        let connections = target.connections(self.arguments.target, self.connections(clients));
        self.runtime.block_on(connections)
    }

    fn spec(&self, kind: Kind, value_bytes: usize) -> Spec {
        let values = match self.arguments.single.compressible {
            true => Values::compressible(value_bytes),
            false => Values::Random,
        };
        Spec {
            kind,
            keys: self.arguments.keys,
            value_bytes,
            values,
            epoch: Instant::now(),
        }
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
        let mut preload = Preload::new(self.spec(Kind::Put, value_bytes));
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
                    self.name(shape),
                    shape.clients,
                    round + 1,
                    target.name,
                    result.per_second()
                );
                results[at].push(result);
            }
        }
        let mut cells = vec![self.cell(self.name(shape), shape.clients, &results)];
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
                let connections = connections(self.arguments.single.watch_connections, watchers);
                let places = target.connections(self.arguments.target, connections);
                Some((self.watching(shape), self.runtime.block_on(places)?))
            }
        };
        Ok(Slice {
            spec: self.spec(shape.kind, shape.value_bytes),
            clients: shape.clients,
            rate: self.rate(shape),
            threads: usize::from(self.arguments.threads),
            warm_up: self.arguments.warm_up,
            duration: self.arguments.duration,
            watching,
        })
    }

    fn watching(&self, shape: Shape) -> Watching {
        let is_kube = shape.kind == Kind::Kube;
        Watching {
            watchers: shape.watchers,
            per_stream: usize::from(self.arguments.single.watches_per_stream),
            ranges: match is_kube {
                true => kube::WATCHED.to_vec(),
                false => vec![(KEY_PREFIX, KEY_PREFIX_END)],
            },
            start_revision: 0,
            as_kubernetes: is_kube,
        }
    }

    fn rate(&self, shape: Shape) -> Option<f64> {
        let default = shape.kind.rate_default(shape.watchers);
        self.arguments.rate.or(default)
    }

    fn name(&self, shape: Shape) -> String {
        let name = shape.kind.name();
        match (shape.kind, self.rate(shape)) {
            (Kind::Watch, Some(rate)) => format!(
                "{name}, {}, {rate:.0} puts/s of {} B",
                counted(shape.watchers),
                shape.value_bytes
            ),
            (kind, _) if kind.writes() => format!("{name} {} B", shape.value_bytes),
            _ => name.to_owned(),
        }
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
            connections: self.connections(clients),
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
        let spec = self.spec(Kind::Put, self.arguments.value_bytes[0] as usize);
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
        written_bytes: None,
        generator_cpu: None,
    })
}

fn counted(watchers: usize) -> String {
    match watchers {
        1 => "1 watcher".to_owned(),
        many => format!("{many} watchers"),
    }
}

/// Connections for as many clients.
fn connections(given: Option<u16>, clients: usize) -> usize {
    let default = match clients {
        0..=1 => 1,
        2..=64 => 4,
        65..=256 => 8,
        _ => 16,
    };
    given.map_or(default, usize::from).min(clients)
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
