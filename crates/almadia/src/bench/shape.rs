//! What the command line asks for: which loads, and with what numbers.
//!
//! Never measures.

use std::time::Instant;

use super::BenchArguments;
use super::disturbance::Disturbance;
use super::flags::Word;
use super::watchers::Watching;
use super::workload::kind::Kind;
use super::workload::values::Values;
use super::workload::{KEY_PREFIX, KEY_PREFIX_END, STAMP_BYTES, Spec, kube};
use crate::commands::error::CommandError;

/// One row of the table: a load and its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The load.
    pub kind: Kind,
    /// Size of written values.
    pub value_bytes: usize,
    /// Clients that call.
    pub clients: usize,
    /// Watchers that are told; 0 where nobody watches.
    pub watchers: usize,
}

impl BenchArguments {
    /// All loads with all their numbers.
    pub fn shapes(&self) -> Result<Vec<Shape>, CommandError> {
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
        let has_too_few = |shape: &&Shape| shape.kind == Kind::Kube && own_keys(shape) > self.keys;
        match shapes.iter().find(has_too_few) {
            Some(shape) => Err(CommandError::usage(format!(
                "kube with {} clients needs --keys {} at least: each client writes {} of its own",
                shape.clients,
                own_keys(shape),
                kube::OBJECTS_EACH
            ))),
            None => Ok(shapes),
        }
    }

    /// All disturbances.
    pub fn disturbances(&self) -> Vec<Disturbance> {
        let named = self.words.iter().filter_map(|word| match word {
            Word::Disturbance(disturbance) => Some(*disturbance),
            Word::Loads(_) => None,
        });
        named.collect()
    }

    /// How many clients: as given, or as is usual.
    pub fn client_counts(&self, default: &[usize]) -> Vec<usize> {
        match &self.clients[..] {
            [] => default.to_vec(),
            given => given.iter().map(|clients| *clients as usize).collect(),
        }
    }

    /// Connections for as many clients.
    pub fn connections_of(&self, clients: usize) -> usize {
        connections(self.connections, clients)
    }

    /// Connections for as many watchers.
    pub fn watch_connections_of(&self, watchers: usize) -> usize {
        connections(self.single.watch_connections, watchers)
    }

    /// Calls per second; `None` is the closed loop.
    pub fn rate_of(&self, shape: Shape) -> Option<f64> {
        self.rate.or(shape.kind.rate_default(shape.watchers))
    }

    /// A load with its sizes.
    pub fn spec(&self, kind: Kind, value_bytes: usize) -> Spec {
        let values = match self.single.compressible {
            true => Values::compressible(value_bytes),
            false => Values::Random,
        };
        Spec {
            kind,
            keys: self.keys,
            value_bytes,
            values,
            stamps_from: Instant::now(),
        }
    }

    /// Who watches while the load runs.
    pub fn watching(&self, shape: Shape) -> Watching {
        let is_kube = shape.kind == Kind::Kube;
        Watching {
            watchers: shape.watchers,
            per_stream: usize::from(self.single.watches_per_stream),
            ranges: match is_kube {
                true => kube::WATCHED.to_vec(),
                false => vec![(KEY_PREFIX, KEY_PREFIX_END)],
            },
            start_revision: 0,
            as_kubernetes: is_kube,
        }
    }

    /// As it is called in tables.
    pub fn name_of(&self, shape: Shape) -> String {
        let name = shape.kind.name();
        match (shape.kind, self.rate_of(shape)) {
            (Kind::Watch, Some(rate)) => format!(
                "{name}, {}, {rate:.0} puts/s of {} B",
                counted(shape.watchers),
                shape.value_bytes
            ),
            (kind, _) if kind.writes() => format!("{name} {} B", shape.value_bytes),
            _ => name.to_owned(),
        }
    }

    fn kinds(&self) -> Vec<Kind> {
        if self.words.is_empty() {
            return vec![Kind::Put];
        }
        let mut kinds: Vec<Kind> = Vec::new();
        for word in &self.words {
            let Word::Loads(named) = word else { continue };
            for kind in named {
                if !kinds.contains(kind) {
                    kinds.push(*kind);
                }
            }
        }
        kinds
    }

    /// Sizes of values matter where values are written.
    fn value_sizes(&self, kind: Kind) -> Vec<usize> {
        let all = self.value_bytes.iter().map(|bytes| *bytes as usize);
        // Watchers read from a value when it was due.
        let min = if kind.is_watched() { STAMP_BYTES } else { 0 };
        all.map(|bytes| bytes.max(min))
            .take(if kind.writes() { usize::MAX } else { 1 })
            .collect()
    }

    fn watcher_counts(&self, kind: Kind) -> Vec<usize> {
        match &self.single.watchers[..] {
            given if kind.is_watched() && !given.is_empty() => {
                given.iter().map(|watchers| *watchers as usize).collect()
            }
            _ => kind.watchers_default().to_vec(),
        }
    }
}

/// A number of watchers in words.
pub fn counted(watchers: usize) -> String {
    match watchers {
        1 => "1 watcher".to_owned(),
        many => format!("{many} watchers"),
    }
}

fn connections(given: Option<u16>, clients: usize) -> usize {
    let default = match clients {
        0..=1 => 1,
        2..=64 => 4,
        65..=256 => 8,
        _ => 16,
    };
    given.map_or(default, usize::from).min(clients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn arguments(words: &[&str]) -> BenchArguments {
        let command = BenchArguments::augment_args(clap::Command::new("bench"));
        let words = ["bench"].iter().chain(words);
        let matches = command.try_get_matches_from(words).expect("a valid command line");
        BenchArguments::from_arg_matches(&matches).expect("a valid command line")
    }

    fn names(words: &[&str]) -> Vec<String> {
        let arguments = arguments(words);
        let shapes = arguments.shapes().expect("possible");
        shapes.iter().map(|shape| arguments.name_of(*shape)).collect()
    }

    #[test]
    fn loads_have_their_own_numbers() {
        assert_eq!(arguments(&[]).shapes().expect("possible").len(), 4);
        assert_eq!(
            names(&["watch", "--watchers", "1,2000", "--value-bytes", "1"]),
            [
                "watch, 1 watcher, 200 puts/s of 8 B",
                "watch, 2000 watchers, 25 puts/s of 8 B"
            ]
        );
        assert_eq!(
            names(&["get", "keepalive", "get", "--value-bytes", "1,2"]).len(),
            2
        );
        let kube = arguments(&["kube", "compaction", "--rate", "5"]);
        let shapes = kube.shapes().expect("possible");
        assert_eq!((shapes.len(), shapes[0].watchers), (1, 6));
        assert_eq!(kube.disturbances(), [Disturbance::Compaction]);
        assert_eq!(kube.watching(shapes[0]).ranges.len(), 2);
        assert_eq!(arguments(&["slow-watcher"]).shapes().expect("possible"), []);
    }

    #[test]
    fn kube_wants_keys_of_its_own_for_each_client() {
        assert!(arguments(&["kube", "--keys", "1023"]).shapes().is_err());
        assert!(arguments(&["kube", "--keys", "1024"]).shapes().is_ok());
    }
}
