//! `almadia bench`: measures any etcd v3 cluster, or two side by side.
//!
//! A `Kind` of load becomes a `Slice` on a `Target`; slices become a `Summary`, summaries a table. A `Disturbance` becomes a
//! `Course`: writes before it and during it. The load itself is made by `engine`. Measures and tells; never judges.

mod disturbance;
pub mod engine;
mod failover;
mod flags;
mod message;
mod process;
mod report;
mod run;
mod shape;
mod slice;
mod statistics;
mod summary;
mod tally;
mod target;
mod watchers;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use self::flags::{SingleFlags, Word, words};
use self::target::Receiver;
use crate::commands;
use crate::commands::error::CommandError;
use crate::commands::global::{Global, duration};

/// The largest value: one message must fit the window that an HTTP/2 stream begins with.
const VALUE_BYTES_MAX: u64 = 60_000;

/// What to measure, and how.
#[derive(Clone, Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Writes keys that begin with almadia-bench. Latency counts from the moment a call should have begun. CPU and memory are
those of the processes given by --pids, added up; 'written' is what the kernel says they wrote, 'disk' what the device given by
--disk wrote, or all disks of this machine. 'generator' is what this program itself used: it shares the machine.

Examples:
  almadia bench                                         writes with 1, 64, 256 and 1024 clients
  almadia bench get txn --clients 64 --duration 10s
  almadia bench put --rate 5000 --clients 256           how late are answers at a fixed load?
  almadia bench all --endpoints $A --pids 11,12,13 --name almadia \\
      --versus $B --versus-pids 21,22,23 --versus-name etcd
  almadia bench watch --watchers 100 --rate 200 --pids 11,12,13
  almadia bench compaction --revisions 1000000          how late are writes while history is dropped?
  almadia bench failover --pids 11,12,13                kills the leader; how long are writes impossible?"
)]
pub struct BenchArguments {
    /// Special measurements.
    #[command(subcommand)]
    pub special: Option<Special>,
    /// What to call, or what disturbs writes; `all` is all loads. Default: put.
    #[arg(value_name = "LOAD", value_parser = words())]
    pub words: Vec<Word>,
    /// Numbers of clients, each waiting for its answer before it calls again [default: depends on the load].
    #[arg(long, value_delimiter = ',', value_name = "N,…", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub clients: Vec<u32>,
    /// Sizes of written values in bytes.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,…",
        default_value = "256",
        value_parser = clap::value_parser!(u64).range(1..=VALUE_BYTES_MAX)
    )]
    pub value_bytes: Vec<u64>,
    /// How many keys there are; they are laid out first.
    #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,
    /// Do not lay out keys: they are there already.
    #[arg(long)]
    pub no_preload: bool,
    /// Delete the benchmark's keys at the end.
    #[arg(long)]
    pub clean_up: bool,
    /// Length of each measurement.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub duration: Duration,
    /// Load before counting begins.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub warm_up: Duration,
    /// How often each measurement is repeated; the median is shown.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Calls per second, whether answers come or not [default: as fast as answers come; watch: 200, fewer for many watchers].
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
    /// Connections [default: 1 for 1 client, 4 up to 64, 8 up to 256, else 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: Option<u16>,
    /// Threads that make the load.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Which members get the clients.
    #[arg(long, value_enum, default_value = "leader")]
    pub target: Receiver,
    /// The members' process ids, to measure what they use.
    #[arg(long, value_delimiter = ',', value_name = "PID,…")]
    pub pids: Vec<u32>,
    /// The device that holds this cluster's data and nothing else, as in /proc/diskstats, to count what is written to it.
    #[arg(long, value_name = "DEVICE")]
    pub disk: Option<String>,
    /// What to call this cluster in the tables.
    #[arg(long, value_name = "NAME", default_value = "cluster")]
    pub name: String,
    /// Measure this cluster, too, in turn with the other one, and show ratios.
    #[arg(long, value_delimiter = ',', value_name = "URL,…")]
    pub versus: Vec<String>,
    /// The other cluster's process ids.
    #[arg(long, value_delimiter = ',', value_name = "PID,…", requires = "versus")]
    pub versus_pids: Vec<u32>,
    /// The device that holds the other cluster's data.
    #[arg(long, value_name = "DEVICE", requires = "versus")]
    pub versus_disk: Option<String>,
    /// What to call the other cluster.
    #[arg(long, value_name = "NAME", default_value = "versus", requires = "versus")]
    pub versus_name: String,
    /// What only some loads need.
    #[command(flatten)]
    pub single: SingleFlags,
}

/// Measurements that are not a load.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Special {
    /// Kill the leader and measure how long no write is possible.
    Failover(failover::FailoverArguments),
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .parse()
        .map_err(|_| "write a number of calls per second".to_owned())?;
    if (0.01..=10e6).contains(&rate) {
        Ok(rate)
    } else {
        Err("a rate is between 0.01 and 10 million".to_owned())
    }
}

/// Runs the benchmark.
pub fn run(arguments: &BenchArguments, global: &Global) -> ExitCode {
    let outcome = match &arguments.special {
        Some(Special::Failover(arguments)) => failover::run(arguments, global),
        None => run::run(arguments, global),
    };
    let printed = outcome.and_then(|report| {
        report.print(global.output)?;
        Ok::<u8, CommandError>(report.exit_code)
    });
    commands::finish(printed)
}
