//! Measures the log on a real directory: groups and entries per second, and how long write and sync take.
//!
//! `cargo run --release -p almadia-wal --example group_commit -- [directory] [seconds] [entry bytes]`
//!
//! C clients with one entry outstanding each, as one thread: what has been answered is appended again, all in one
//! call, as the consensus library does. It uses a new directory below the given one (or the system's temporary one)
//! and removes it at the end.
#![allow(
    clippy::disallowed_methods,
    reason = "a measurement needs a clock and says what it did"
)]

use std::error::Error;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use almadia_command::{LogIndex, Term};
use almadia_disk::RealDisk;
use almadia_wal::{Entry, EntryKind, GroupStats, LogId, Observer, Options, Wal, spawn_thread};
use bytes::Bytes;
use hdrhistogram::Histogram;

/// How long the parts of each group took, in nanoseconds.
struct Times {
    write: Histogram<u64>,
    sync: Histogram<u64>,
    both: Histogram<u64>,
}

impl Times {
    fn new() -> Self {
        let histogram = || Histogram::new(3).expect("3 digits are supported");
        Self {
            write: histogram(),
            sync: histogram(),
            both: histogram(),
        }
    }
}

struct Clock {
    times: Arc<Mutex<Times>>,
    write_began: Instant,
    sync_began: Instant,
}

impl Observer for Clock {
    fn write_begins(&mut self) {
        self.write_began = Instant::now();
    }

    fn sync_begins(&mut self) {
        self.sync_began = Instant::now();
    }

    fn group_ends(&mut self, _group: GroupStats) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let nanos = |duration: Duration| duration.as_nanos() as u64;
        let _ = times.write.record(nanos(self.sync_began - self.write_began));
        let _ = times.sync.record(nanos(self.sync_began.elapsed()));
        let _ = times.both.record(nanos(self.write_began.elapsed()));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds: f64 = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(1200), |text| text.parse())?;
    println!(
        "{bytes} bytes an entry, {seconds} s each, in {}",
        parent.display()
    );
    println!(
        "| clients | entries/s | groups/s | entries/group | MB/s | write p50/p99 us | sync p50/p99 us | write+sync p50/p99 us | no spare |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for clients in [1, 16, 64, 256, 1024] {
        let place = tempfile::tempdir_in(&parent)?;
        measure(
            &place.path().join("data"),
            clients,
            Duration::from_secs_f64(seconds),
            bytes,
        )?;
    }
    Ok(())
}

fn measure(
    root: &std::path::Path,
    clients: usize,
    time: Duration,
    bytes: usize,
) -> Result<(), Box<dyn Error>> {
    let times = Arc::new(Mutex::new(Times::new()));
    let now = Instant::now();
    let clock = Clock {
        times: Arc::clone(&times),
        write_began: now,
        sync_began: now,
    };
    let mut life = 0;
    let new_life = move || {
        life += 1;
        life
    };
    let on_fatal = Box::new(|error: &almadia_wal::WalError| panic!("{error}"));
    let options = Options {
        observer: Box::new(clock),
        ..Options::new(Box::new(new_life), on_fatal)
    };
    let (wal, writer, _) = Wal::open(Arc::new(RealDisk::open(root)?), options)?;
    wal.prepare_spares()?;
    let thread = spawn_thread(writer)?;
    let keeper = std::thread::spawn(keep(wal.clone()));
    let data = Bytes::from(vec![7; bytes]);
    let (tell, told) = mpsc::channel::<usize>();
    let begin = Instant::now();
    let (mut next, mut ready, mut answered) = (1, clients, 0);
    while begin.elapsed() < time {
        let entries = (next..next + ready as u64)
            .map(|index| Entry::new(LogIndex(index), Term(1), EntryKind::Command, data.clone()))
            .collect();
        next += ready as u64;
        let (tell, count) = (tell.clone(), ready);
        wal.append(entries, Box::new(move |_| tell.send(count).unwrap_or(())));
        ready = told.recv()? + told.try_iter().sum::<usize>();
        answered += ready;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let counters = wal.counters();
    wal.close();
    thread.join()?;
    let _ = keeper.join();
    report(
        clients,
        answered,
        seconds,
        &counters,
        &times.lock().unwrap_or_else(PoisonError::into_inner),
    );
    Ok(())
}

/// What the keeper does beside the load: purges what is older than 100,000 entries and keeps spares ready.
fn keep(wal: Wal) -> impl FnOnce() {
    move || {
        loop {
            let last = wal.last().map_or(0, |last| last.index.get());
            if let Some(index) = last.checked_sub(100_000) {
                wal.purge_to(LogId {
                    term: Term(1),
                    index: LogIndex(index),
                });
            }
            // Fails when the log is closed: the measurement is over.
            if wal.prepare_spares().is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn report(clients: usize, answered: usize, seconds: f64, counters: &almadia_wal::Counters, times: &Times) {
    let micros = |histogram: &Histogram<u64>| {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        format!("{:.0} / {:.0}", at(0.5), at(0.99))
    };
    println!(
        "| {clients} | {:.0} | {:.0} | {:.1} | {:.0} | {} | {} | {} | {} |",
        answered as f64 / seconds,
        counters.groups as f64 / seconds,
        counters.entries as f64 / counters.groups.max(1) as f64,
        counters.bytes as f64 / seconds / 1e6,
        micros(&times.write),
        micros(&times.sync),
        micros(&times.both),
        counters.spares_missed,
    );
}
