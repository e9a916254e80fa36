//! Words and flags that name loads and disturbances, and what only some of them need.

use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::disturbance::Disturbance;
use super::workload::kind::Kind;
use crate::commands::global::duration;

/// The longest wait for a disturbance: every write is remembered until then.
const DONE_MAX: Duration = Duration::from_secs(600);

/// A word on the command line: one load, all of them, or one disturbance.
#[derive(Clone, Debug)]
pub enum Word {
    /// Loads.
    Loads(Vec<Kind>),
    /// A disturbance of writes.
    Disturbance(Disturbance),
}

/// Reads a word.
pub fn words() -> impl TypedValueParser<Value = Word> {
    let kinds = possible_values::<Kind>();
    let all = PossibleValue::new("all").help("All loads above, one after the other");
    let disturbances = possible_values::<Disturbance>();
    PossibleValuesParser::new(kinds.chain([all]).chain(disturbances)).map(|word| {
        let disturbance = Disturbance::from_str(&word, false).map(Word::Disturbance);
        disturbance.unwrap_or_else(|_| {
            let kind = Kind::from_str(&word, false);
            Word::Loads(kind.map_or_else(|_| Kind::ALL.to_vec(), |kind| vec![kind]))
        })
    })
}

fn possible_values<T: ValueEnum + 'static>() -> impl Iterator<Item = PossibleValue> {
    T::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value)
}

/// What only some loads and disturbances need.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Single loads")]
pub struct SingleFlags {
    /// watch, kube: numbers of watchers [default: 1,100,1000; kube: 6].
    #[arg(long, value_delimiter = ',', value_name = "N,…", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub watchers: Vec<u32>,
    /// watch, kube: watches on each stream.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub watches_per_stream: u16,
    /// watch, kube: connections of the watchers [default: as for as many clients].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub watch_connections: Option<u16>,
    /// Values that a store can compress, because they are cut from the same 64 KiB.
    #[arg(long)]
    pub compressible: bool,
    /// compaction: how many revisions are written before, then compacted.
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub revisions: u64,
    /// slow-watcher: how many revisions it begins behind.
    #[arg(long, value_name = "N", default_value = "50000", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub behind: u64,
    /// lease-expiry: how many leases there are.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub leases: u64,
    /// lease-expiry: how many of them expire together.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub leases_due: u64,
    /// Disturbances: give one up that is not done after this time (at most 10m).
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = done_max)]
    pub done_max: Duration,
}

fn done_max(text: &str) -> Result<Duration, String> {
    let limit = duration(text)?;
    match limit <= DONE_MAX {
        true => Ok(limit),
        false => Err("ten minutes are the most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_loads_and_disturbances() {
        let read = |word: &str| {
            let command = clap::Command::new("x").arg(clap::Arg::new("word").value_parser(words()));
            let mut matches = command.try_get_matches_from(["x", word]).ok()?;
            matches.remove_one::<Word>("word")
        };
        assert!(matches!(read("keepalive"), Some(Word::Loads(kinds)) if kinds == [Kind::Keepalive]));
        assert!(matches!(read("all"), Some(Word::Loads(kinds)) if kinds == Kind::ALL));
        assert!(matches!(
            read("slow-watcher"),
            Some(Word::Disturbance(Disturbance::SlowWatcher))
        ));
        assert!(read("fly").is_none());
    }
}
