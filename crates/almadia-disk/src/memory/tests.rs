//! What a memory disk promises: the same answers as a real one, and exactly the losses and faults asked for.

use super::*;
use crate::RealDisk;

fn put(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    file
}

/// Promise: a test that passes on the one disk means something for the other.
fn check_disk(disk: &dyn Disk) {
    assert!(disk.create("wal/1").is_err(), "no directory yet");
    disk.create_dir("wal/deep").unwrap();
    disk.create_dir("wal/deep").unwrap();
    let file = put(disk, "wal/1", b"hello");
    assert!(disk.create("wal/1").is_err(), "exists");
    assert!(disk.open("wal/2").is_err(), "is not there");
    file.write_at(8, b"!").unwrap();
    assert_eq!(file.len().unwrap(), 9);
    let mut all = [1; 9];
    file.read_at(0, &mut all).unwrap();
    assert_eq!(&all, b"hello\0\0\0!");
    assert!(file.read_at(1, &mut all).is_err(), "behind the end");
    file.set_len(2).unwrap();
    file.set_len(4).unwrap();
    file.read_at(0, &mut all[..4]).unwrap();
    assert_eq!(&all[..4], b"he\0\0");
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    disk.link("wal/1", "wal/2").unwrap();
    put(disk, "wal/3", b"x");
    assert!(disk.link("wal/1", "wal/3").is_err(), "exists");
    disk.rename("wal/3", "wal/2").unwrap();
    disk.rename("wal/1", "wal/deep/1").unwrap();
    assert_eq!(disk.list("wal").unwrap(), ["2"]);
    assert_eq!(disk.list("wal/deep").unwrap(), ["1"]);
    assert_eq!(disk.list("nowhere").unwrap(), Vec::<String>::new());
    disk.remove("wal/2").unwrap();
    assert!(disk.remove("wal/2").is_err(), "is gone");
    disk.sync_dir("wal").unwrap();
    disk.sync_dir("").unwrap();
    assert!(disk.sync_dir("nowhere").is_err());
    for name in ["../x", "/x", "wal/../../x", "wal//x", "./x", "wal/"] {
        assert!(disk.create(name).is_err(), "{name}");
    }
}

#[test]
fn both_disks_answer_alike() {
    check_disk(&MemDisk::new());
    let place = tempfile::tempdir().unwrap();
    check_disk(&RealDisk::open(place.path()).unwrap());
}

#[test]
fn a_power_loss_takes_what_was_not_synced() {
    let disk = MemDisk::new();
    disk.create_dir("a").unwrap();
    disk.sync_dir("").unwrap();
    let file = put(&disk, "a/1", b"old");
    file.sync_data().unwrap();
    assert_eq!(
        disk.after_power_loss(Loss::DropUnsynced).list("a").unwrap().len(),
        0,
        "no name yet"
    );
    disk.sync_dir("a").unwrap();
    file.write_at(0, b"new and longer").unwrap();
    disk.rename("a/1", "a/2").unwrap();
    let dropped = disk.after_power_loss(Loss::DropUnsynced);
    assert_eq!(dropped.contents("a/1").unwrap(), b"old");
    assert_eq!(dropped.contents("a/2"), None);
    let kept = disk.after_power_loss(Loss::KeepAll);
    assert_eq!(
        (kept.contents("a/1"), kept.contents("a/2").unwrap().as_slice()),
        (None, b"new and longer".as_slice())
    );
    disk.power_loss(Loss::DropUnsynced);
    assert!(
        file.write_at(0, b"x").is_err(),
        "opened by a process that is gone"
    );
    assert_eq!(disk.contents("a/1").unwrap(), b"old");
}

#[test]
fn a_directory_that_was_not_synced_takes_its_files_along() {
    let disk = MemDisk::new();
    disk.create_dir("a/b").unwrap();
    put(&disk, "a/b/1", b"x").sync_all().unwrap();
    disk.sync_dir("a/b").unwrap();
    disk.sync_dir("a").unwrap();
    assert_eq!(disk.after_power_loss(Loss::DropUnsynced).contents("a/b/1"), None);
    disk.sync_dir("").unwrap();
    assert!(
        disk.after_power_loss(Loss::DropUnsynced)
            .contents("a/b/1")
            .is_some()
    );
}

#[test]
fn seeds_tear_writes_at_sectors_and_names_on_their_own() {
    let disk = MemDisk::new();
    let file = put(&disk, "1", &[1; 8192]);
    file.sync_all().unwrap();
    disk.sync_dir("").unwrap();
    file.write_at(100, &[2; 8000]).unwrap();
    put(&disk, "2", b"x");
    let mut torn = 0;
    let mut names = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let image = disk.after_power_loss(Loss::Seeded(seed));
        let bytes = image.contents("1").unwrap();
        for (sector, old) in bytes.chunks(512).zip(disk.contents("1").unwrap().chunks(512)) {
            assert!(
                sector == [1; 512] || sector == old,
                "a sector is one or the other"
            );
        }
        torn += usize::from(bytes.contains(&1) && bytes[200..].contains(&2));
        names.insert(image.contents("2").is_some());
        let again = disk.after_power_loss(Loss::Seeded(seed));
        assert_eq!(
            again.contents("1"),
            image.contents("1"),
            "the same seed, the same loss"
        );
    }
    assert!(torn > 32 && names.len() == 2);
}

#[test]
fn a_failed_sync_forgets_what_was_dirty() {
    let disk = MemDisk::new();
    let file = put(&disk, "1", b"x");
    disk.sync_dir("").unwrap();
    disk.inject(Fault::once(Operation::Sync, 0, Failure::Io));
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(disk.contents("1").unwrap(), b"x");
    assert_eq!(disk.after_power_loss(Loss::KeepAll).contents("1").unwrap(), b"\0");
}

#[test]
fn faults_hit_the_call_they_name() {
    let disk = MemDisk::new();
    let file = put(&disk, "wal-1", b"x");
    let other = put(&disk, "seg-1", b"x");
    disk.inject(Fault {
        operation: Operation::Write,
        prefix: "wal".into(),
        skip: 1,
        failure: Failure::ShortWrite { bytes: 2 },
        forever: false,
    });
    file.write_at(0, b"aaaa").unwrap();
    other.write_at(0, b"bbbb").unwrap();
    let error = file.write_at(0, b"cccc").unwrap_err();
    assert_eq!(error.cause.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.contents("wal-1").unwrap(), b"ccaa");
    file.write_at(0, b"dddd").unwrap();
    let operations = [
        Operation::Create,
        Operation::Open,
        Operation::List,
        Operation::Rename,
        Operation::Link,
    ];
    for operation in operations
        .into_iter()
        .chain([Operation::Remove, Operation::SyncDir])
    {
        disk.inject(Fault {
            forever: true,
            ..Fault::once(operation, 0, Failure::Io)
        });
    }
    assert!(disk.create("x").is_err() && disk.open("wal-1").is_err() && disk.list("").is_err());
    assert!(disk.rename("wal-1", "x").is_err() && disk.link("wal-1", "x").is_err());
    assert!(disk.remove("wal-1").is_err() && disk.sync_dir("").is_err());
    disk.clear_faults();
    disk.remove("wal-1").unwrap();
}

#[test]
fn a_full_volume_refuses_growth_only() {
    let disk = MemDisk::new();
    let file = put(&disk, "1", &[1; 100]);
    disk.set_capacity(100);
    assert_eq!(
        disk.space().unwrap(),
        Space {
            free_bytes: 0,
            total_bytes: 100
        }
    );
    file.write_at(0, &[2; 100]).unwrap();
    assert_eq!(
        file.write_at(1, &[2; 100]).unwrap_err().cause.kind(),
        ErrorKind::StorageFull
    );
}

/// Promise: an image of the n-th sync is what a power loss at that moment would have left.
#[test]
fn a_recording_makes_every_moment_again() {
    let disk = MemDisk::new();
    let before = put(&disk, "0", b"before");
    disk.start_recording();
    let mut expected = vec![disk.after_power_loss(Loss::DropUnsynced)];
    let file = put(&disk, "1", b"abc");
    before.write_at(0, b"B").unwrap();
    before.sync_data().unwrap();
    expected.push(disk.after_power_loss(Loss::DropUnsynced));
    disk.sync_dir("").unwrap();
    expected.push(disk.after_power_loss(Loss::DropUnsynced));
    file.set_len(2).unwrap();
    disk.rename("1", "2").unwrap();
    file.sync_all().unwrap();
    expected.push(disk.after_power_loss(Loss::DropUnsynced));
    disk.remove("0").unwrap();
    disk.sync_dir("").unwrap();
    expected.push(disk.after_power_loss(Loss::DropUnsynced));
    let recording = disk.recording().unwrap();
    assert_eq!(recording.syncs(), 4);
    for (n, expected) in expected.iter().enumerate() {
        let image = disk.image_at_sync(n);
        for name in ["0", "1", "2"] {
            assert_eq!(
                image.contents(name),
                expected.contents(name),
                "{name} after sync {n}"
            );
        }
    }
    let end = recording.image_at_step(recording.steps(), Loss::KeepAll);
    assert_eq!(end.contents("2").unwrap(), b"ab");
}

#[test]
fn rot_is_in_the_cache_and_on_the_medium() {
    let disk = MemDisk::new();
    put(&disk, "1", &[0; 10]).sync_all().unwrap();
    disk.sync_dir("").unwrap();
    disk.flip_bit("1", 3, 7);
    disk.flip_bit("1", 10, 0);
    disk.power_loss(Loss::DropUnsynced);
    assert_eq!(disk.contents("1").unwrap(), [0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_dead_disk_fails_from_the_chosen_call_on() {
    let disk = MemDisk::new();
    let file = disk.create("a").unwrap();
    disk.die_after(2);
    file.write_at(0, b"one").unwrap();
    assert!(!disk.is_dead());
    file.write_at(3, b"two").unwrap();
    assert!(disk.is_dead());
    assert!(file.write_at(6, b"three").is_err());
    assert!(file.sync_data().is_err());
    assert_eq!(disk.contents("a").unwrap(), b"onetwo");
    disk.power_loss(Loss::KeepAll);
    assert!(!disk.is_dead(), "the next process finds a disk that works");
}

#[test]
fn a_misdirected_write_lands_elsewhere_and_a_lost_one_nowhere() {
    let disk = MemDisk::new();
    let file = disk.create("a").unwrap();
    file.write_at(0, b"........").unwrap();
    let misdirected = Failure::Misdirected { by_bytes: 4 };
    disk.inject(Fault::once(Operation::Write, 0, misdirected));
    file.write_at(0, b"ab").unwrap();
    disk.inject(Fault::once(Operation::Write, 0, Failure::Lost));
    file.write_at(0, b"cd").unwrap();
    assert_eq!(disk.contents("a").unwrap(), b"....ab..");
}
