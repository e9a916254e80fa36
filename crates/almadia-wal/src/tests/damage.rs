//! Cuts, rot and stale bytes: never wrong data, never silence about damage.

use almadia_disk::{Disk, Loss, MemDisk};

use super::support::*;
use crate::format::{FrameBuilder, Header};
use crate::*;

/// Three small segments with a frame in each block, and the entries of each frame.
fn small_log() -> (MemDisk, Vec<Vec<Entry>>) {
    let disk = MemDisk::new();
    let options = Options {
        segment_bytes_min: 16 * 1024,
        segment_bytes_max: 16 * 1024,
        ..small_options()
    };
    let mut log = open_with(&disk, options).unwrap();
    log.wal.save_vote(vote(3, 2), log.done(0));
    let mut frames = Vec::new();
    for group in 0..8 {
        let entries: Vec<_> = (1..=3)
            .map(|n| entry(group * 3 + n, 1, 20 + group as usize))
            .collect();
        log.append(&entries);
        log.flush();
        frames.push(entries);
    }
    assert_eq!(segments(&disk).len(), 3);
    (disk, frames)
}

/// What opening says: the entries, or that it is refused as damaged.
fn reopen(disk: &MemDisk) -> Option<Vec<Entry>> {
    match open(disk) {
        Ok(log) => {
            assert_eq!(log.recovered.vote, Some(vote(3, 2)));
            Some(log.read_all())
        }
        Err(WalError::Damaged { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Promise: a cut file gives a prefix that ends with a whole frame, or is refused; and the log goes on from there.
#[test]
fn the_last_segment_may_be_cut_anywhere() {
    let (disk, frames) = small_log();
    let last = segments(&disk).pop().unwrap();
    // Frames 7 and 8 are in the last segment, a block each.
    let cuts = (0..=4).map(|block| block * 4096).chain(2 * 4096..3 * 4096);
    for cut in cuts {
        let disk = disk.copy();
        disk.open(&last).unwrap().set_len(cut).unwrap();
        let Some(entries) = reopen(&disk) else {
            assert!(cut < 4096, "a cut at {cut} was refused");
            continue;
        };
        let whole = 6 + (cut / 4096 - 1).min(2) as usize;
        assert_eq!(entries, frames[..whole].concat(), "cut at {cut}");
        let mut log = open(&disk).unwrap();
        let next = entries.len() as u64 + 1;
        log.append_range(next, next + 5, 9, 2000);
        log.flush();
        disk.power_loss(Loss::DropUnsynced);
        let again = reopen(&disk).unwrap();
        assert_eq!(
            (&again[..entries.len()], again.len()),
            (&entries[..], entries.len() + 6)
        );
    }
}

/// Promise: the last frame counts wholly or not at all, wherever its write stopped, whatever was there before.
#[test]
fn the_last_frame_may_be_torn_at_every_byte() {
    let (disk, frames) = small_log();
    let last = segments(&disk).pop().unwrap();
    let (start, end) = (2 * 4096, 3 * 4096);
    let bytes = disk.contents(&last).unwrap();
    for before in [0x00, 0xff] {
        for torn in start..end {
            let disk = disk.copy();
            disk.open(&last)
                .unwrap()
                .write_at(torn as u64, &vec![before; end - torn])
                .unwrap();
            let is_same = bytes[torn..end].iter().all(|byte| *byte == before);
            let expected = if is_same { 8 } else { 7 };
            let log = open(&disk).unwrap();
            assert_eq!(log.read_all(), frames[..expected].concat(), "torn at {torn}");
            // Before its header is written the frame cannot be told from what was there before.
            let is_torn = log.recovered.torn.is_some();
            assert!(is_torn || is_same || torn < start + 20, "torn at {torn}");
            assert!(!is_torn || !is_same, "torn at {torn}");
        }
    }
}

#[test]
fn a_cut_older_segment_is_damage() {
    let (disk, _) = small_log();
    for name in &segments(&disk)[..2] {
        for block in 0..4 {
            let disk = disk.copy();
            disk.open(name).unwrap().set_len(block * 4096).unwrap();
            assert_eq!(reopen(&disk), None, "{name} cut at block {block}");
        }
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let (disk, frames) = small_log();
    let names = segments(&disk);
    for name in &names[..2] {
        let disk = disk.copy();
        disk.remove(name).unwrap();
        assert_eq!(reopen(&disk), None, "without {name}");
    }
    assert_eq!(reopen(&disk).unwrap(), frames.concat());
}

/// Promise: a flipped bit, whichever it is, is never read as data. It is damage, or in the last frame a torn end, or where nothing is.
#[test]
fn every_bit_may_rot() {
    let (disk, frames) = small_log();
    let names = segments(&disk);
    for (position, name) in names.iter().enumerate() {
        let len = disk.open(name).unwrap().len().unwrap();
        for (offset, bit) in (0..len).flat_map(|offset| (0..8).map(move |bit| (offset, bit))) {
            let image = disk.copy();
            image.flip_bit(name, offset, bit);
            let found = reopen(&image);
            let expected = match (position, offset / 4096) {
                (2, 2) => Some(frames[..7].concat()),
                (2, 3) => Some(frames.concat()),
                _ => None,
            };
            assert_eq!(found, expected, "{name} at byte {offset}, bit {bit}");
        }
    }
}

/// Promise: the chain of checksums notices even a loss that changes nothing.
#[test]
fn a_repeated_vote_is_missed_too() {
    let disk = MemDisk::new();
    let options = Options {
        segment_bytes_min: 16 * 1024,
        segment_bytes_max: 16 * 1024,
        ..small_options()
    };
    let mut log = open_with(&disk, options).unwrap();
    for _ in 0..4 {
        log.wal.save_vote(vote(3, 2), log.done(0));
        log.flush();
    }
    assert_eq!(reopen(&disk), Some(Vec::new()));
    disk.flip_bit("wal/0000000000000001.wal", 3 * 4096, 0);
    assert_eq!(reopen(&disk), None);
}

/// Promise: rot that comes while running is found when the bytes are read.
#[test]
fn rot_is_found_when_reading() {
    let (disk, frames) = small_log();
    let log = open(&disk).unwrap();
    for offset in 2 * 4096..3 * 4096 {
        disk.flip_bit("wal/0000000000000002.wal", offset, 3);
        let error = log.wal.read(4.into(), 99.into(), usize::MAX).unwrap_err();
        assert!(matches!(error, WalError::Damaged { .. }), "{error}");
        disk.flip_bit("wal/0000000000000002.wal", offset, 3);
    }
    assert_eq!(log.read_all(), frames.concat());
}

/// Promise: what was bent in memory before it was written is found by the checksum that came with it.
#[test]
fn an_entry_that_was_bent_before_is_found_when_reading() {
    let disk = MemDisk::new();
    let mut log = open(&disk).unwrap();
    let mut bent = entry(2, 1, 100);
    bent.checksum ^= 1;
    log.append(&[entry(1, 1, 100), bent, entry(3, 1, 100)]);
    log.flush();
    let log = open(&disk).unwrap();
    let error = log.wal.read(1.into(), 4.into(), usize::MAX).unwrap_err();
    assert!(
        error.to_string().contains("does not match its checksum"),
        "{error}"
    );
    assert_eq!(
        log.wal.read(3.into(), 4.into(), usize::MAX).unwrap(),
        [entry(3, 1, 100)]
    );
}

/// Promise: frames that verify but make no sense are refused, not obeyed: a bug wrote them, or a newer release.
#[test]
fn senseless_frames_are_refused() {
    let (disk, frames) = small_log();
    let last = segments(&disk).pop().unwrap();
    let life = Header::decode(&disk.contents(&last).unwrap()[..4096])
        .unwrap()
        .life;
    let reopen_with = |index: u64, bend: fn(&mut Vec<u8>)| {
        let mut frame = FrameBuilder::new();
        frame.entry(&entry(index, 1, 10));
        frame.seal(life, 3 * 4096);
        let mut bytes = frame.bytes().to_vec();
        bend(&mut bytes);
        let mixed = life ^ (3 * 4096);
        let crc = crc32c::crc32c_append((mixed ^ (mixed >> 32)) as u32, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        let disk = disk.copy();
        disk.open(&last).unwrap().write_at(3 * 4096, &bytes).unwrap();
        reopen(&disk)
    };
    let next = frames.concat().len() as u64 + 1;
    assert_eq!(reopen_with(next, |_| ()).unwrap().len() as u64, next);
    assert_eq!(reopen_with(next + 1, |_| ()), None, "a gap");
    assert_eq!(reopen_with(next - 1, |_| ()), None, "an entry again");
    assert_eq!(reopen_with(next, |bytes| bytes[40] = 77), None, "an unknown item");
    assert_eq!(
        reopen_with(next, |bytes| bytes[41] = 77),
        None,
        "an unknown kind of entry"
    );
    assert_eq!(
        reopen_with(next, |bytes| bytes[20] = 2),
        None,
        "an item that is not there"
    );
}

#[test]
fn a_newer_format_is_named() {
    let (disk, _) = small_log();
    let name = &segments(&disk)[0];
    let mut block = disk.contents(name).unwrap()[..4096].to_vec();
    block[8] = 2;
    let crc = crc32c::crc32c(&block[..4092]);
    block[4092..].copy_from_slice(&crc.to_le_bytes());
    disk.open(name).unwrap().write_at(0, &block).unwrap();
    let error = open(&disk).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("has log format 2, this release reads up to 1"),
        "{error}"
    );
}

/// Runs until a recycled segment is in use with old frames behind its end.
fn recycle(disk: &MemDisk, life: impl FnMut() -> u64 + Send + 'static) -> Log {
    let options = Options {
        segment_bytes_min: 16 * 1024,
        segment_bytes_max: 16 * 1024,
        life: Box::new(life),
        ..small_options()
    };
    let mut log = open_with(disk, options).unwrap();
    for index in 1..=20 {
        log.append_range(index, index, 1, 50);
        log.flush();
        log.wal.purge_to(id(1, index - 1));
        log.flush();
        log.wal.prepare_spares().unwrap();
    }
    while log.wal.counters().rotations < 15 {
        let next = log.wal.last().unwrap().index.get() + 1;
        log.append_range(next, next, 1, 50);
        log.flush();
        log.wal.purge_to(id(1, next - 1));
        log.flush();
        log.wal.prepare_spares().unwrap();
    }
    log
}

/// Promise: what a recycled segment held before never comes back. The planted bug: lives that repeat.
#[test]
fn stale_bytes_of_a_recycled_segment_stay_dead() {
    let disk = MemDisk::new();
    let mut life = 0;
    let log = recycle(&disk, move || {
        life += 1;
        life
    });
    let bytes = disk.contents(segments(&disk).last().unwrap()).unwrap();
    assert_eq!(
        &bytes[3 * 4096..3 * 4096 + 4],
        b"AWFR",
        "there are old frames behind the end"
    );
    let (last, all) = (log.wal.last(), log.read_all());
    drop(log);
    let log = open(&disk).unwrap();
    assert_eq!((log.recovered.last, log.read_all()), (last, all));
    drop(log);

    let disk = MemDisk::new();
    let last = recycle(&disk, || 7).wal.last();
    let is_fooled = open(&disk).map_or(true, |log| log.recovered.last != last);
    assert!(
        is_fooled,
        "only the life tells old frames from new ones, so this must go wrong"
    );
}
