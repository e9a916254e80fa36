//! Measures a checkpoint and a restart: seconds, bytes, CPU.
//!
//! `cargo run --release -p almadia-store --example restart -- [directory [keys [value bytes [load threads]]]]`
//! (1,000,000 keys of 256 bytes, 2 threads). Without a directory it uses a temporary one.
#![allow(
    clippy::disallowed_methods,
    reason = "this measures the outside world: it needs a clock and the process's own CPU time"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use almadia_command::{Command, Kind, LogIndex, Operation, OperationKind, Put, Term, Txn};
use almadia_disk::{Disk, RealDisk};
use almadia_store::Store;
use almadia_store::disk::{Keeper, Options};
use bytes::Bytes;

type Failure = Box<dyn std::error::Error>;

/// Puts per entry of the log.
const TOGETHER: u64 = 100;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let root = arguments
        .next()
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let keys = arguments.next().map_or(Ok(1_000_000), |keys| keys.parse())?;
    let value_bytes = arguments.next().map_or(Ok(256), |bytes| bytes.parse())?;
    let load_threads = arguments.next().map_or(Ok(2), |threads| threads.parse())?;
    let options = Options {
        load_threads,
        ..Options::default()
    };

    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&root)?);
    let (mut keeper, mut store) = measure("open, fresh", || Keeper::open(Arc::clone(&disk), options))?;
    measure("apply", || fill(&mut store, keys, value_bytes));
    let view = store.publish();
    measure("checkpoint of everything", || keeper.checkpoint(&view))?;
    println!(
        "{} keys, {} bytes live in memory, {} on disk in {} segments",
        view.sizes().keys,
        view.sizes().live_bytes,
        keeper.disk_bytes(),
        keeper.segment_count()
    );
    for key in 0..1000 {
        put_some(&mut store, keys / TOGETHER + 1 + key, key, 1, value_bytes);
    }
    let view = store.publish();
    measure("checkpoint of 1000 changes", || keeper.checkpoint(&view))?;
    let revision = view.revision();
    drop((keeper, store, view));

    let (_, mut store) = measure("open again", || Keeper::open(disk, options))?;
    assert_eq!(store.publish().revision(), revision, "what was written is found");
    Ok(())
}

fn fill(store: &mut Store, keys: u64, value_bytes: usize) {
    for entry in 0..keys / TOGETHER {
        put_some(store, entry + 1, entry * TOGETHER, TOGETHER, value_bytes);
    }
}

/// Applies an entry that puts `count` keys from `first` on.
fn put_some(store: &mut Store, index: u64, first: u64, count: u64, value_bytes: usize) {
    let success = (first..first + count).map(|key| {
        let put = Put {
            key: key_of(key),
            value: value_of(index ^ key, value_bytes),
            ..Put::default()
        };
        Operation {
            kind: Some(OperationKind::Put(put)),
        }
    });
    let command: Command = Kind::Txn(Txn {
        success: success.collect(),
        ..Txn::default()
    })
    .into();
    let _ = store.apply(LogIndex(index), Term(1), &command);
}

/// Spread over the key space, so that neighbours in time are not neighbours in the index.
fn key_of(key: u64) -> Bytes {
    let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("/registry/pods/namespace-{:03}/pod-{spread:016x}", spread % 100).into()
}

/// Half of it repeats and half does not, about as Kubernetes' objects.
fn value_of(seed: u64, len: usize) -> Bytes {
    let mut state = seed;
    let byte = |at: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if at % 16 < 8 { b'a' } else { (state >> 56) as u8 }
    };
    (0..len).map(byte).collect()
}

/// Runs `work` and prints what it cost.
fn measure<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let result = work();
    println!(
        "{what}: {:.2} s, {:.2} CPU s",
        started.elapsed().as_secs_f64(),
        cpu_seconds() - cpu
    );
    result
}

/// User and system time of all threads of this process, from Linux's `/proc` (in ticks of 1/100 s).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u32 = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u32>().ok())
        .sum();
    f64::from(ticks) / 100.0
}
