//! Disks that fail: the log stops, tells everybody, and what it had acknowledged is there afterwards.

use almadia_disk::{Failure, Fault, Loss, MemDisk, Operation};

use super::model::*;
use super::support::*;
use crate::*;

fn workload() -> Vec<Op> {
    let mut ops = Vec::new();
    for round in 0..12 {
        ops.push(Op::Append {
            count: 4,
            len: 100 + round * 400,
        });
        ops.push(Op::Vote);
        ops.push(Op::Step);
        ops.push(Op::Truncate { back: 1 });
        ops.push(Op::Append { count: 3, len: 900 });
        ops.push(Op::Commit { back: 1 });
        ops.push(Op::Step);
        ops.push(Op::Step);
        if round % 3 == 2 {
            ops.push(Op::Purge { ahead: 9 });
            ops.push(Op::Step);
            ops.push(Op::Spares);
        }
    }
    ops
}

/// Runs with one fault. False when the workload ended before it hit.
fn check_fault(operation: Operation, skip: u64, failure: Failure) -> bool {
    let disk = MemDisk::new();
    let mut pair = Pair::new(disk.clone());
    disk.inject(Fault {
        forever: true,
        ..Fault::once(operation, skip, failure)
    });
    let label = format!("{operation:?} after {skip}, {failure:?}");
    for op in workload() {
        let Err(error) = pair.apply(&op) else { continue };
        assert!(matches!(error, WalError::Disk(_)), "{label}: {error}");
        let is_fatal = !matches!(op, Op::Spares);
        assert_eq!(
            pair.log.fatal.load(std::sync::atomic::Ordering::Relaxed),
            u64::from(is_fatal),
            "{label}"
        );
        disk.clear_faults();
        if is_fatal {
            check_stopped(&mut pair.log);
        } else {
            pair.log.flush();
        }
        for seed in 0..4 {
            let copy = disk.after_power_loss(Loss::Seeded(seed));
            pair.note_acknowledged();
            let log = open(&copy).unwrap_or_else(|error| panic!("{label}: {error}"));
            pair.history
                .expect_prefix(&log, pair.history.acknowledged, pair.history.len());
        }
        // And after a mere kill, whose page cache may hold more than the medium.
        pair.reopen();
        for seed in 0..4 {
            pair.apply(&Op::Append { count: 3, len: 100 }).unwrap();
            pair.apply(&Op::Step).unwrap();
            assert_eq!(pair.history.acknowledged, pair.history.len(), "{label}");
            disk.power_loss(if seed == 0 {
                Loss::DropUnsynced
            } else {
                Loss::Seeded(seed)
            });
            pair.reopen();
        }
        return true;
    }
    let waits = pair.log.writer.waits_for_room();
    if waits {
        assert_ne!(failure, Failure::Io, "{label}: only room is waited for");
        check_waiting(&mut pair, &label);
    }
    disk.clear_faults();
    pair.check();
    waits
}

/// A log without room: a loss of power finds what was acknowledged, and with room everything that waits is written.
fn check_waiting(pair: &mut Pair, label: &str) {
    assert_eq!(
        pair.log.fatal.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "{label}"
    );
    assert!(pair.log.wal.waits_for_room(), "{label}");
    assert!(pair.history.acknowledged < pair.history.len(), "{label}");
    for seed in 0..4 {
        let copy = pair.disk.after_power_loss(Loss::Seeded(seed));
        copy.clear_faults();
        let log = open(&copy).unwrap_or_else(|error| panic!("{label}: {error}"));
        pair.history
            .expect_prefix(&log, pair.history.acknowledged, pair.history.len());
    }
    pair.disk.clear_faults();
    pair.log.flush();
    pair.note_acknowledged();
    assert!(!pair.log.wal.waits_for_room(), "{label}");
    assert_eq!(pair.history.acknowledged, pair.history.len(), "{label}");
}

/// Every later call fails, also when the disk would work again.
fn check_stopped(log: &mut Log) {
    let told = log.told().len();
    assert!(matches!(log.writer.step(), Err(WalError::Stopped(_))));
    let next = log.wal.last().map_or(1, |last| last.index.get() + 1);
    log.append_range(next, next, 1, 1);
    log.wal.save_vote(vote(100, 1), log.done(1));
    log.wal.truncate_after((next - 1).into(), log.done(1));
    let late = &log.told()[told..];
    assert!(
        late.len() == 3 && late.iter().all(|(_, is_good)| !is_good),
        "{late:?}"
    );
    assert!(log.wal.is_stopped() && log.wal.prepare_spares().is_err());
    assert!(next == 1 || matches!(log.wal.read(1.into(), next.into(), 1), Err(WalError::Stopped(_))));
}

/// Promise: after an error nothing is tried again, nothing more is acknowledged, and nothing acknowledged is missing.
/// The one exception is a full disk where a new segment is needed: then the log waits.
#[test]
fn every_fault_stops_the_log() {
    let operations = [
        Operation::Write,
        Operation::Sync,
        Operation::SyncDir,
        Operation::Rename,
        Operation::Create,
    ];
    for operation in operations {
        for failure in [Failure::Io, Failure::NoSpace, Failure::ShortWrite { bytes: 1000 }] {
            let hits = (0..)
                .take_while(|skip| check_fault(operation, *skip, failure))
                .count();
            assert!(hits >= 3, "{operation:?} was hit {hits} times only");
        }
    }
}

/// Promise: a disk that cannot be read while opening is an error, never an end of the log.
#[test]
fn an_unreadable_disk_is_not_an_empty_one() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.append_range(1, 30, 1, 3000);
    log.flush();
    drop(log);
    for operation in [
        Operation::Read,
        Operation::Open,
        Operation::List,
        Operation::Write,
        Operation::Sync,
    ] {
        let mut skip = 0;
        loop {
            disk.inject(Fault::once(operation, skip, Failure::Io));
            let Err(error) = open(&disk) else { break };
            assert!(matches!(error, WalError::Disk(_)), "{error}");
            disk.clear_faults();
            skip += 1;
        }
        disk.clear_faults();
        assert!(skip > 0, "{operation:?} was never hit");
        assert_eq!(open(&disk).unwrap().read_all().len(), 30);
    }
    let log = open(&disk).unwrap();
    disk.inject(Fault::once(Operation::Read, 0, Failure::Io));
    assert!(matches!(
        log.wal.read(1.into(), 9.into(), 1),
        Err(WalError::Disk(_))
    ));
    assert_eq!(log.read_all().len(), 30, "a failed read is nobody's end");
}

/// Promise: a start needs no new space, and a full disk stops the log only when it has no spare left.
#[test]
fn a_full_disk_is_met_by_the_spares() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.wal.prepare_spares().unwrap();
    disk.set_capacity(0);
    for index in 1..=20 {
        log.append_range(index, index, 1, 3000);
        log.flush();
    }
    assert!(log.wal.counters().rotations == 2, "both spares are in use");
    assert!(matches!(log.wal.prepare_spares(), Err(WalError::Disk(_))));
    drop(log);
    let mut log = open(&disk).unwrap();
    assert_eq!(log.read_all().len(), 20);
    log.wal.purge_to(id(1, 20));
    log.append_range(21, 21, 1, 10);
    log.flush();
    assert!(
        log.wal.prepare_spares().is_ok(),
        "purged segments become spares without new space"
    );
}

/// Promise: without a spare and without room nothing is acknowledged and nothing ends; room is all it takes to go on.
#[test]
fn without_room_it_waits() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    disk.set_capacity(0);
    for index in 1..=20 {
        log.append_range(index, index, 1, 3000);
    }
    log.flush();
    log.wal.save_vote(vote(2, 1), log.done(21));
    for _ in 0..3 {
        assert!(!log.writer.step().unwrap());
    }
    let told = log.told().len();
    assert!(told < 20 && log.writer.waits_for_room() && log.wal.waits_for_room());
    assert_eq!(log.read_all().len(), 20, "what waits can be read");
    assert_eq!(
        open(&disk.after_power_loss(Loss::Seeded(1)))
            .unwrap()
            .read_all()
            .len(),
        told
    );
    disk.set_capacity(u64::MAX);
    log.flush();
    assert_eq!(log.told().last(), Some(&(21, true)));
    assert!(!log.writer.waits_for_room() && !log.wal.waits_for_room());
    drop(log);
    let log = open(&disk).unwrap();
    assert_eq!(log.read_all().len(), 20);
    assert_eq!(log.recovered.vote, Some(vote(2, 1)));
}

/// Promise: a thread whose log has no room goes on when upkeep has made some, and ends when the log closes.
#[test]
fn the_thread_goes_on_when_there_is_room_and_ends_when_it_closes() {
    for has_room in [true, false] {
        let disk = MemDisk::new();
        let log = open(&disk).unwrap();
        disk.set_capacity(0);
        let thread = spawn_thread(log.writer).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let entries = (1..=20).map(|index| entry(index, 1, 3000)).collect();
        let done = move |result: Result<(), WalError>| tell.send(result.is_ok()).unwrap();
        log.wal.append(entries, Box::new(done));
        while !log.wal.waits_for_room() {
            std::thread::yield_now();
        }
        if has_room {
            disk.set_capacity(u64::MAX);
            log.wal.prepare_spares().unwrap();
        } else {
            log.wal.close();
        }
        assert_eq!(told.recv().unwrap(), has_room);
        log.wal.close();
        thread.join().unwrap();
    }
}

#[test]
fn a_dropped_writer_tells_those_who_wait() {
    let mut log = open(&MemDisk::new()).unwrap();
    log.append_range(1, 2, 1, 10);
    log.writer.step_write().unwrap();
    log.append_range(3, 4, 1, 10);
    drop(log.writer);
    let told = log.told.lock().unwrap().clone();
    assert_eq!(told, [(2, false), (4, false)]);
}
