//! Measures what the store costs: memory per key, CPU per put, get, range, count and compacted revision.
//!
//! `cargo run --release -p almadia-store --example footprint [keys] [value bytes]`. CPU time is this thread's, from
//! Linux' `/proc`; keys come in a scattered order. Never part of a test: a machine's speed is no promise.
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the kernel's counters from /proc"
)]

use almadia_command::{Command, Compact, Kind, LogIndex, Put, Range, SortOrder, SortTarget, Term};
use almadia_store::{Store, View};
use bytes::Bytes;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;
const READS: u64 = 200_000;

/// Nanoseconds of CPU that this thread has used.
fn cpu_ns() -> u64 {
    let stat =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's CPU time");
    stat.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("the first number is nanoseconds")
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells the resident size");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("the resident size is listed");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("it is a number")
        / 1024
}

fn key(number: u64) -> Bytes {
    format!("/registry/pods/namespace-{:05}/pod-{number:010x}", number / 500).into()
}

/// A permutation of `0..count`, so that neighbours in time are not neighbours in the tree.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    let bits = 64 - count.next_power_of_two().leading_zeros() - 1;
    let mask = (1_u64 << bits) - 1;
    let mix = move |n: u64| {
        let n = n.wrapping_mul(0x9e37_79b1) & mask;
        let n = n ^ (n >> (bits / 2));
        n.wrapping_mul(0x85eb_ca6b) & mask
    };
    (0..=mask).map(mix).filter(move |n| *n < count)
}

struct Bench {
    store: Store,
    index: u64,
}

impl Bench {
    fn apply(&mut self, kind: Kind) {
        self.index += 1;
        let outcome = self
            .store
            .apply(LogIndex(self.index), Term(1), &Command::from(kind));
        outcome.result.expect("nothing here is refused");
    }

    fn put_all(&mut self, count: u64, value: &Bytes, what: &str) {
        let mut numbers = scattered(count);
        let mut spent = 0;
        loop {
            // Made beforehand and in pieces, so that neither their time nor their memory is measured.
            let puts: Vec<Kind> = numbers
                .by_ref()
                .take(100 * BATCH)
                .map(|n| {
                    Kind::Put(Put {
                        key: key(n),
                        value: value.clone(),
                        ..Put::default()
                    })
                })
                .collect();
            if puts.is_empty() {
                return report(what, spent, count);
            }
            let start = cpu_ns();
            for batch in puts.chunks(BATCH) {
                batch.iter().for_each(|put| self.apply(put.clone()));
                self.store.publish();
            }
            spent += cpu_ns() - start;
        }
    }
}

fn report(what: &str, ns: u64, times: u64) {
    println!("{what:44} {:>9.3} us", ns as f64 / 1000.0 / times as f64);
}

fn measure(what: &str, times: u64, mut work: impl FnMut(u64)) {
    let start = cpu_ns();
    (0..times).for_each(&mut work);
    report(what, cpu_ns() - start, times);
}

fn range(start: Bytes, limit: i64) -> Range {
    Range {
        key: start,
        range_end: Bytes::from_static(b"/registry/pods0"),
        limit,
        ..Range::default()
    }
}

fn reads(view: &View, keys: u64) {
    let targets: Vec<Bytes> = scattered(keys).take(READS as usize).map(key).collect();
    let at = |n: u64| targets[n as usize % targets.len()].clone();
    let read = |range: Range| drop(black_box(view.range(&range).expect("the range is readable")));
    measure("get", READS, |n| {
        read(Range {
            key: at(n),
            ..Range::default()
        })
    });
    measure("range of 500 from anywhere, to the end", 2000, |n| {
        read(range(at(n), 500))
    });
    measure("count_only from anywhere", READS, |n| {
        read(Range {
            count_only: true,
            ..range(at(n), 0)
        })
    });
    let old = view.revision().0 - 5000;
    measure("count_only, 5000 revisions ago", 50, |n| {
        read(Range {
            count_only: true,
            revision: old,
            ..range(at(n), 0)
        });
    });
    measure("page of 500, 5000 revisions ago", 50, |n| {
        read(Range {
            revision: old,
            ..range(at(n), 500)
        })
    });
    let newest = |n| Range {
        sort_order: SortOrder::Descend as i32,
        sort_target: SortTarget::Mod as i32,
        ..range(at(n), 1)
    };
    measure("newest of half of all keys", 5, |n| read(newest(n)));
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().expect("a number"));
    let keys: u64 = arguments.next().unwrap_or(1_000_000);
    let value = Bytes::from(vec![b'v'; arguments.next().unwrap_or(256) as usize]);
    let mut bench = Bench {
        store: Store::empty(),
        index: 0,
    };
    let before = resident_mib();
    bench.put_all(keys, &value, "put, new key, batches of 64");
    println!(
        "resident {} MiB more for {:?}",
        resident_mib() - before,
        bench.store.publish().sizes()
    );
    reads(&bench.store.publish(), keys);
    bench.put_all(keys, &value, "put over a key, batches of 64");
    println!(
        "resident {} MiB with two versions of each key",
        resident_mib() - before
    );
    reads(&bench.store.publish(), keys);
    let revision = bench.store.revision().0;
    bench.apply(Kind::Compact(Compact {
        revision,
        physical: false,
    }));
    let start = cpu_ns();
    while bench.store.compact_slice(500) {
        bench.store.publish();
    }
    report(
        "compaction, per revision, slices of 500",
        cpu_ns() - start,
        2 * keys,
    );
    let sizes = bench.store.publish().sizes();
    println!(
        "resident {} MiB after compaction, {sizes:?}",
        resident_mib() - before
    );
}
