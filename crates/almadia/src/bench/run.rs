//! The course of a benchmark: lay out keys, measure each load on one or two clusters in turn, print.
//!
//! Two clusters are measured A B B A A B …: what disturbs the machine for a while disturbs both.

use super::process::Usage;
use super::report::{self, Cell, Memory};
use super::slice::{self, Slice, SliceResult};
use super::summary::{Summary, ratios};
use super::target::{Receiver, Target};
use super::workload::{self, Kind, Spec};
use super::{BenchArguments, Loads};
use crate::commands::error::{CommandError, EXIT_FAILED};
use crate::commands::global::Global;
use crate::commands::output::Report;
use crate::commands::runtime;

/// Clients that lay out the keys.
const PRELOAD_CLIENTS: usize = 8;

/// Runs everything.
pub fn run(arguments: &BenchArguments, global: &Global) -> Result<Report, CommandError> {
    let bench = Bench {
        arguments,
        targets: targets(arguments, global)?,
        runtime: runtime()?,
    };
    if !arguments.no_preload {
        bench
            .targets
            .iter()
            .try_for_each(|target| bench.preload(target))?;
    }
    let mut cells = Vec::new();
    for kind in bench.kinds() {
        for value_bytes in bench.value_sizes(kind) {
            for clients in bench.client_counts(kind) {
                cells.push(bench.measure(kind, value_bytes, clients)?);
            }
        }
    }
    let memory = bench.memory()?;
    if arguments.clean_up {
        bench
            .targets
            .iter()
            .try_for_each(|target| bench.runtime.block_on(target.clear()))?;
    }
    let text = format!(
        "{}\n{}{}",
        report::table(&cells),
        report::memory(&memory),
        report::failures(&cells)
    );
    let mut report = Report::new(text, report::json(&cells, &memory));
    // Nothing measured is a failure; single failed calls are figures.
    if cells
        .iter()
        .any(|cell| cell.sides.iter().any(|(_, side)| side.operations == 0))
    {
        report.exit_code = EXIT_FAILED;
    }
    Ok(report)
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
}

impl Bench<'_> {
    fn kinds(&self) -> Vec<Kind> {
        if self.arguments.loads.is_empty() {
            return vec![Kind::Put];
        }
        let mut kinds: Vec<Kind> = Vec::new();
        for kind in self.arguments.loads.iter().flat_map(|Loads(kinds)| kinds) {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        kinds
    }

    /// Sizes of values matter where values are written.
    fn value_sizes(&self, kind: Kind) -> Vec<usize> {
        let all = self.arguments.value_bytes.iter().map(|bytes| *bytes as usize);
        all.take(if kind.writes() { usize::MAX } else { 1 }).collect()
    }

    fn client_counts(&self, kind: Kind) -> Vec<usize> {
        match &self.arguments.clients[..] {
            [] => kind.clients_default().to_vec(),
            given => given.iter().map(|clients| *clients as usize).collect(),
        }
    }

    fn connections(&self, clients: usize) -> usize {
        let default = match clients {
            0..=1 => 1,
            2..=64 => 4,
            65..=256 => 8,
            _ => 16,
        };
        self.arguments
            .connections
            .map_or(default, usize::from)
            .min(clients)
    }

    fn spec(&self, kind: Kind, value_bytes: usize) -> Spec {
        Spec {
            kind,
            keys: self.arguments.keys,
            value_bytes,
            pool: workload::pool(value_bytes),
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
        // One address is enough when the leader is not among them.
        let receiver = self.arguments.target;
        let connections = self
            .runtime
            .block_on(target.connections(receiver, PRELOAD_CLIENTS))?;
        let load = slice::preload(&self.spec(Kind::Put, value_bytes), &connections, PRELOAD_CLIENTS);
        if let Some((reason, count)) = load.failures.iter().next() {
            return Err(CommandError::failed(format!(
                "cannot lay out the keys on {}: {count} × {reason}",
                target.name
            )));
        }
        Ok(())
    }

    /// Measures one load on all targets, round by round.
    fn measure(&self, kind: Kind, value_bytes: usize, clients: usize) -> Result<Cell, CommandError> {
        let slice = Slice {
            spec: self.spec(kind, value_bytes),
            clients,
            rate: self.arguments.rate,
            threads: usize::from(self.arguments.threads),
            warm_up: self.arguments.warm_up,
            duration: self.arguments.duration,
        };
        let connections = self.connections(clients);
        let mut results: Vec<Vec<SliceResult>> = self.targets.iter().map(|_| Vec::new()).collect();
        for round in 0..self.arguments.rounds {
            for at in order(self.targets.len(), round) {
                let target = &self.targets[at];
                let addresses = self
                    .runtime
                    .block_on(target.connections(self.receiver(), connections))?;
                let result = slice::run(&slice, target, &addresses, u64::from(round))?;
                eprintln!(
                    "{}, {clients} clients, round {}: {}: {:.0}/s",
                    kind.name(),
                    round + 1,
                    target.name,
                    result.per_second()
                );
                results[at].push(result);
            }
        }
        Ok(self.cell(kind, value_bytes, clients, &results))
    }

    fn receiver(&self) -> Receiver {
        self.arguments.target
    }

    fn cell(&self, kind: Kind, value_bytes: usize, clients: usize, results: &[Vec<SliceResult>]) -> Cell {
        let workload = if kind.writes() {
            format!("{} {value_bytes} B", kind.name())
        } else {
            kind.name().to_owned()
        };
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
