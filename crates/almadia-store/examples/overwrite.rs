//! Measures what it costs to overwrite random keys, as the state machine does it: batches, a view published after
//! each, the view before dropped as the next one comes; first without compaction, then with compaction behind it.
//!
//! `cargo run --release -p almadia-store --example overwrite [keys] [puts] [batch]`. CPU time is this thread's, from
//! Linux' `/proc`. Never part of a test: a machine's speed is no promise.
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the kernel's counters from /proc"
)]

use almadia_command::{Command, Compact, Kind, LogIndex, Put, Range, Term};
use almadia_store::{Store, View};
use bytes::Bytes;
use std::hint::black_box;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const VALUE_BYTES: usize = 256;
/// Puts that are made beforehand at a time, so that neither their time nor much of their memory is measured.
const MADE: usize = 8192;
/// How many revisions compaction leaves readable, and how often it comes.
const READABLE: i64 = 10_000;
/// Revisions of one slice of compaction; one slice follows each batch.
const SLICE: usize = 500;

/// Nanoseconds of CPU that this thread has used.
fn cpu_ns() -> u64 {
    let stat =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's CPU time");
    stat.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("the first number is nanoseconds")
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells the resident size");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("the resident size is listed");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("it is a number")
        * 1024
}

fn key(number: u64) -> Bytes {
    format!("/registry/pods/namespace-{:05}/pod-{number:010x}", number / 500).into()
}

/// The same numbers at each run (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

struct Bench {
    store: Store,
    view: Arc<View>,
    applied: u64,
    batch: usize,
    value: Bytes,
}

/// CPU time of the puts (with their publications) and of the compaction behind them.
#[derive(Default)]
struct Spent {
    puts: u64,
    compaction: u64,
}

impl Bench {
    fn apply(&mut self, command: &Command) {
        self.applied += 1;
        let outcome = self.store.apply(LogIndex(self.applied), Term(1), command);
        outcome.result.expect("nothing here is refused");
    }

    /// Puts these keys; with `compacting`, compaction follows.
    fn put_all(&mut self, mut numbers: impl Iterator<Item = u64>, compacting: bool) -> Spent {
        let mut spent = Spent::default();
        loop {
            let puts: Vec<Command> = numbers
                .by_ref()
                .take(MADE)
                .map(|number| {
                    Command::from(Kind::Put(Put {
                        key: key(number),
                        value: self.value.clone(),
                        ..Put::default()
                    }))
                })
                .collect();
            if puts.is_empty() {
                return spent;
            }
            for batch in puts.chunks(self.batch) {
                let start = cpu_ns();
                batch.iter().for_each(|put| self.apply(put));
                self.view = self.store.publish();
                let between = cpu_ns();
                spent.puts += between - start;
                if compacting {
                    self.compact_some();
                    spent.compaction += cpu_ns() - between;
                }
            }
        }
    }

    fn compact_some(&mut self) {
        let upto = self.store.revision().0 - READABLE;
        if upto >= self.view.compacted().0 + READABLE {
            self.compact(upto);
        }
        if self.view.compaction_pending() {
            self.store.compact_slice(SLICE);
            self.view = self.store.publish();
        }
    }

    fn compact(&mut self, revision: i64) {
        self.apply(&Command::from(Kind::Compact(Compact {
            revision,
            physical: false,
        })));
        self.view = self.store.publish();
    }

    /// Reads of 500 keys from anywhere to the end, at a revision (0: now).
    fn ranges(&self, chance: &mut Chance, keys: u64, revision: i64) -> u64 {
        let times = if revision == 0 { 2000 } else { 10 };
        let starts: Vec<Bytes> = (0..times).map(|_| key(chance.below(keys))).collect();
        let start = cpu_ns();
        for key in starts {
            let range = Range {
                key,
                range_end: Bytes::from_static(b"/registry/pods0"),
                limit: 500,
                revision,
                ..Range::default()
            };
            drop(black_box(
                self.view.range(&range).expect("the revision is readable"),
            ));
        }
        (cpu_ns() - start) / times
    }

    fn gets(&self, chance: &mut Chance, keys: u64, revision: i64) -> u64 {
        const TIMES: u64 = 200_000;
        let keys: Vec<Bytes> = (0..TIMES).map(|_| key(chance.below(keys))).collect();
        let start = cpu_ns();
        for key in keys {
            let range = Range {
                key,
                revision,
                ..Range::default()
            };
            drop(black_box(
                self.view.range(&range).expect("the revision is readable"),
            ));
        }
        (cpu_ns() - start) / TIMES
    }
}

fn reads(bench: &Bench, chance: &mut Chance, keys: u64, old: i64) {
    for (what, revision) in [("now", 0), ("old", old)] {
        println!(
            "  get, {what:3}                        {:>9} ns",
            bench.gets(chance, keys, revision)
        );
        println!(
            "  range of 500, {what:3}               {:>9} ns",
            bench.ranges(chance, keys, revision)
        );
    }
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().expect("a number"));
    let keys: u64 = arguments.next().unwrap_or(100_000);
    let puts: u64 = arguments.next().unwrap_or(1_000_000);
    let store = Store::empty();
    let mut bench = Bench {
        view: store.views().load(),
        store,
        applied: 0,
        batch: arguments.next().unwrap_or(64) as usize,
        value: Bytes::from(vec![b'v'; VALUE_BYTES]),
    };
    let mut chance = Chance(1);
    let before = resident_bytes();
    let memory = || resident_bytes().saturating_sub(before) / 1024;

    let mut order: Vec<u64> = (0..keys).collect();
    for at in 1..order.len() {
        order.swap(at, chance.below(at as u64 + 1) as usize);
    }
    let spent = bench.put_all(order.into_iter(), false);
    println!("{keys} keys, batches of {}", bench.batch);
    println!("put, new key                       {:>9} ns", spent.puts / keys);
    println!(
        "  memory                           {:>9} B a key",
        memory() * 1024 / keys
    );
    reads(&bench, &mut chance, keys, 0);

    let loaded = bench.store.revision().0;
    let spent = bench.put_all((0..puts).map(|_| chance.below(keys)), false);
    println!("put over a key, no compaction      {:>9} ns", spent.puts / puts);
    println!(
        "  memory                           {:>9} B a version",
        memory() * 1024 / (keys + puts)
    );
    reads(&bench, &mut chance, keys, loaded);

    let start = cpu_ns();
    bench.compact(bench.store.revision().0);
    while bench.store.compact_slice(SLICE) {
        bench.view = bench.store.publish();
    }
    println!(
        "compaction, a revision             {:>9} ns",
        (cpu_ns() - start) / (keys + puts)
    );
    println!(
        "  memory                           {:>9} B a key",
        memory() * 1024 / keys
    );

    let spent = bench.put_all((0..puts).map(|_| chance.below(keys)), true);
    println!("put over a key, compaction behind  {:>9} ns", spent.puts / puts);
    println!(
        "  compaction, for each put         {:>9} ns",
        spent.compaction / puts
    );
    println!(
        "  memory                           {:>9} B a key",
        memory() * 1024 / keys
    );
    reads(&bench, &mut chance, keys, bench.store.revision().0 - READABLE / 2);
}
