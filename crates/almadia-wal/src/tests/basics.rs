//! What each call promises when nothing goes wrong.

use almadia_command::LogIndex;
use almadia_disk::{Disk, Loss, MemDisk, RealDisk};
use std::sync::Arc;

use super::support::*;
use crate::*;

#[test]
fn entries_are_readable_at_once_and_durable_when_told() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.append_range(1, 3, 1, 10);
    assert_eq!(log.read_all().len(), 3);
    assert_eq!(log.told(), []);
    log.wal.save_vote(vote(2, 7), log.done(100));
    log.append_range(4, 4, 2, 10);
    assert!(log.writer.step_write().unwrap());
    assert_eq!(log.told(), [], "written is not synced");
    log.writer.step_sync().unwrap();
    assert_eq!(
        log.told(),
        [(3, true), (100, true), (4, true)],
        "one group, in order"
    );
    assert_eq!(log.wal.counters().groups, 1);
    let before = log.read_all();
    disk.power_loss(Loss::DropUnsynced);
    let log = open(&disk).unwrap();
    assert_eq!(log.read_all(), before);
    assert_eq!(log.recovered.vote, Some(vote(2, 7)));
    assert_eq!(log.recovered.last, Some(id(2, 4)));
    assert_eq!(log.wal.log_id_at(LogIndex(3)), Some(id(1, 3)));
    assert_eq!(log.wal.log_id_at(LogIndex(5)), None);
}

#[test]
fn a_truncation_voids_the_end_and_what_comes_after_counts() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.append_range(1, 8, 1, 2000);
    log.flush();
    log.append_range(9, 10, 1, 10);
    log.wal.truncate_after(LogIndex(5), log.done(200));
    log.append_range(6, 7, 2, 20);
    log.wal.truncate_after(LogIndex(6), log.done(201));
    log.append_range(7, 9, 3, 30);
    let expected: Vec<_> = (1..=5)
        .map(|i| entry(i, 1, 2000))
        .chain([entry(6, 2, 20)])
        .chain((7..=9).map(|i| entry(i, 3, 30)))
        .collect();
    assert_eq!(log.read_all(), expected);
    log.flush();
    assert_eq!(log.read_all(), expected);
    let log = open(&disk).unwrap();
    assert_eq!(
        log.read_all(),
        expected,
        "from the files, with several versions in one frame"
    );
    assert_eq!(log.wal.log_id_at(LogIndex(6)), Some(id(2, 6)));
    for from in 1..=9 {
        let read = log.wal.read(LogIndex(from), LogIndex(from + 1), 0).unwrap();
        assert_eq!(read, expected[from as usize - 1..from as usize]);
    }
}

#[test]
fn a_read_stops_at_its_bytes_but_gives_at_least_one() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.append_range(1, 100, 1, 1000);
    log.flush();
    let read = |from, to, bytes| log.wal.read(LogIndex(from), LogIndex(to), bytes).unwrap().len();
    assert_eq!(read(1, 101, 1), 1);
    assert_eq!(read(1, 101, 10_280), 10);
    assert_eq!(read(90, 200, usize::MAX), 11, "from file to tail");
    assert_eq!(read(5, 5, usize::MAX), 0);
    assert_eq!(read(101, 105, usize::MAX), 0);
}

#[test]
fn purged_entries_are_gone_and_their_segments_come_back() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.wal.save_vote(vote(1, 3), log.done(0));
    for index in 1..=100 {
        log.append_range(index, index, 1, 3000);
        log.flush();
        log.wal.prepare_spares().unwrap();
    }
    let before = segments(&disk).len();
    log.wal.save_committed(id(1, 95));
    log.wal.purge_to(id(1, 90));
    assert_eq!(log.wal.first_last(), Some((LogIndex(91), LogIndex(100))));
    assert_eq!(
        log.wal.prepare_spares().unwrap().recycled,
        0,
        "the mark is not durable yet"
    );
    log.flush();
    let upkeep = log.wal.prepare_spares().unwrap();
    assert!(
        upkeep.recycled > 0 && upkeep.removed > 0 && upkeep.ready == 3,
        "{upkeep:?}"
    );
    assert!(segments(&disk).len() < before);
    let error = log.wal.read(LogIndex(90), LogIndex(95), 1).unwrap_err();
    assert!(
        matches!(
            error,
            WalError::Purged {
                first: LogIndex(91),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(log.wal.log_id_at(LogIndex(90)), Some(id(1, 90)));
    let log = open(&disk).unwrap();
    assert_eq!(
        log.recovered.vote,
        Some(vote(1, 3)),
        "the vote outlives its segment"
    );
    assert_eq!(
        (log.recovered.purged, log.recovered.committed),
        (Some(id(1, 90)), Some(id(1, 95)))
    );
    assert_eq!(
        log.read_all(),
        (91..=100).map(|i| entry(i, 1, 3000)).collect::<Vec<_>>()
    );
}

#[test]
fn a_purge_beyond_the_end_empties_the_log() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.append_range(1, 5, 1, 10);
    log.wal.purge_to(id(4, 50));
    assert_eq!((log.wal.last(), log.wal.first_last()), (Some(id(4, 50)), None));
    log.append_range(51, 52, 4, 10);
    log.flush();
    let log = open(&disk).unwrap();
    assert_eq!(log.read_all(), [entry(51, 4, 10), entry(52, 4, 10)]);
    assert_eq!(log.wal.log_id_at(LogIndex(50)), Some(id(4, 50)));
}

#[test]
fn an_entry_may_be_larger_than_a_segment_and_a_group_than_a_frame() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(&[entry(1, 1, 10), entry(2, 1, 200_000), entry(3, 1, 10)]);
    log.append_range(4, 60, 1, 1000);
    log.flush();
    assert_eq!(log.told(), [(3, true), (60, true)]);
    let expected = log.read_all();
    assert!(log.wal.counters().groups > 3);
    let log = open(&disk).unwrap();
    assert_eq!(log.read_all(), expected);
}

#[test]
fn an_idle_log_is_small_and_a_busy_one_grows() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.wal.prepare_spares().unwrap();
    assert_eq!(log.wal.disk_bytes(), 3 * 32 * 1024);
    for index in 1..=100 {
        log.append_range(index, index, 1, 3000);
        log.flush();
        log.wal.prepare_spares().unwrap();
    }
    assert_eq!(log.wal.counters().spares_missed, 0);
    let last = disk.open(segments(&disk).last().unwrap()).unwrap();
    assert_eq!(last.len().unwrap(), 64 * 1024, "up to the largest");
}

#[test]
fn the_hint_of_what_is_committed_rides_along() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    log.append_range(1, 5, 1, 10);
    log.flush();
    log.wal.save_committed(id(1, 4));
    log.wal.save_committed(id(1, 99));
    assert!(!log.writer.has_work(), "no sync of its own");
    assert_eq!(
        log.wal.committed(),
        Some(id(1, 4)),
        "a hint beyond the log says nothing"
    );
    log.append_range(6, 6, 1, 10);
    log.flush();
    assert_eq!(open(&disk).unwrap().recovered.committed, Some(id(1, 4)));
}

#[test]
fn appending_nothing_is_told_without_a_write() {
    let mut log = open(&MemDisk::new()).unwrap();
    log.append(&[]);
    log.flush();
    assert_eq!((log.told(), log.wal.counters().groups), (vec![(0, true)], 0));
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_gap_is_a_bug() {
    let log = open(&MemDisk::new()).unwrap();
    log.append_range(1, 2, 1, 1);
    log.append_range(4, 4, 1, 1);
}

/// Promise: the thread writes what is queued, also what is queued when the last handle goes, and then ends.
#[test]
fn the_thread_serves_real_files() {
    let place = tempfile::tempdir().unwrap();
    let open = || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(place.path()).unwrap());
        Wal::open(disk, small_options()).unwrap()
    };
    let (wal, writer, _) = open();
    let thread = spawn_thread(writer).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    for index in 1..=200 {
        let tell = tell.clone();
        let done: Done = Box::new(move |result| tell.send((index, result.is_ok())).unwrap());
        wal.append(vec![entry(index, 1, 500)], done);
        if index % 2 == 0 {
            assert_eq!(told.recv().unwrap(), (index - 1, true));
            assert_eq!(told.recv().unwrap(), (index, true));
            wal.prepare_spares().unwrap();
        }
    }
    wal.append(
        vec![entry(201, 1, 500)],
        Box::new(move |result| tell.send((201, result.is_ok())).unwrap()),
    );
    drop(wal);
    thread.join().unwrap();
    assert_eq!(told.recv().unwrap(), (201, true));
    let (wal, _writer, recovered) = open();
    assert_eq!(recovered.last, Some(id(1, 201)));
    let expected: Vec<_> = (1..=201).map(|index| entry(index, 1, 500)).collect();
    assert_eq!(
        wal.read(LogIndex(1), LogIndex(202), usize::MAX).unwrap(),
        expected
    );
}
