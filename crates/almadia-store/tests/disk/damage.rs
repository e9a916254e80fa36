//! Rot: no byte of any file can change without being found at open or by scrubbing, and what is found is never
//! answered with wrong data.

use crate::common::{Member, State, compact, delete, open, put, small, state_of};
use almadia_disk::{Disk, MemDisk};
use almadia_store::disk::{KeeperError, Scrubbed};

/// A small store with two different manifests, and their states: (older, newest).
fn two_checkpoints() -> (Member, State, State) {
    let mut member = Member::new(small());
    for round in 0..3_u8 {
        for key in 0..4_u8 {
            member.apply(put(&format!("key-{key}"), &[round; 40]));
        }
        member.apply(delete("key-1"));
        // Its version and its tombstone are in different segments.
        member.apply(if round == 0 {
            put("gone", b"long ago")
        } else {
            delete("gone")
        });
        member.checkpoint().unwrap();
    }
    member.compact(6);
    let older = member.checkpoint().unwrap();
    member.apply(put("newest", b"x"));
    let newest = member.checkpoint().unwrap();
    (member, older, newest)
}

/// The keeper's files, with directories.
fn files(disk: &MemDisk) -> Vec<String> {
    let segments = disk
        .list("seg")
        .unwrap()
        .into_iter()
        .map(|name| format!("seg/{name}"));
    disk.list("").unwrap().into_iter().chain(segments).collect()
}

/// What opening a damaged disk may lead to: one of the two states, the older one only with a report.
fn check_open(disk: &MemDisk, older: &State, newest: &State, what: &str) {
    match open(disk, small()) {
        Ok((keeper, mut store)) => {
            let found = state_of(&store.publish());
            if found == *newest {
                assert!(keeper.damages().is_empty(), "{what}");
            } else {
                assert_eq!(found, *older, "{what}");
                assert_eq!(keeper.damages().len(), 1, "{what}");
            }
        }
        Err(KeeperError::NothingValid(damages)) => assert_eq!(damages.len(), 2, "{what}"),
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Each bit of each file is under a checksum that is looked at.
#[test]
fn each_flipped_bit_is_found() {
    let (member, older, newest) = two_checkpoints();
    let files = files(&member.disk);
    assert!(files.len() >= 6, "{files:?}");
    for name in files {
        let is_needed = name.starts_with("seg/") || name == "MANIFEST-6";
        let len = member.disk.contents(&name).unwrap().len() as u64;
        for (offset, bit) in (0..len).flat_map(|offset| (0..8).map(move |bit| (offset, bit))) {
            let disk = member.disk.copy();
            disk.flip_bit(&name, offset, bit);
            let what = format!("{name} at {offset}, bit {bit}");
            check_open(&disk, &older, &newest, &what);
            if let Ok((keeper, _)) = open(&disk, small()) {
                assert_eq!(keeper.damages().is_empty(), !is_needed, "{what}");
            }
        }
    }
}

/// A file that is shorter, empty or gone is damage like any other.
#[test]
fn each_missing_part_is_found() {
    let (member, older, newest) = two_checkpoints();
    for name in files(&member.disk) {
        let len = member.disk.contents(&name).unwrap().len() as u64;
        for shorter in [0, 1, len / 2, len - 1] {
            let disk = member.disk.copy();
            disk.open(&name).unwrap().set_len(shorter).unwrap();
            check_open(&disk, &older, &newest, &format!("{name} cut to {shorter}"));
        }
        let disk = member.disk.copy();
        disk.open(&name).unwrap().set_len(len + 1).unwrap();
        check_open(&disk, &older, &newest, &format!("{name} with a byte more"));
        if name.starts_with("seg/") {
            let disk = member.disk.copy();
            disk.remove(&name).unwrap();
            check_open(&disk, &older, &newest, &format!("{name} removed"));
        }
    }
}

/// After falling back, the log leads to where the store was, and the next checkpoints heal the disk.
#[test]
fn a_damaged_manifest_is_passed_over_and_healed() {
    let (mut member, older, newest) = two_checkpoints();
    assert_eq!(
        member.keeper.purgeable(),
        older.applied,
        "the log since the older one is kept"
    );
    member.disk.flip_bit("MANIFEST-6", 30, 0);
    assert_eq!(member.restart(), older);
    assert_eq!(
        member.keeper.damages()[0].to_string(),
        "MANIFEST-6: its checksum is wrong"
    );
    assert_eq!(member.keeper.purgeable(), older.applied, "there is no other");
    assert_eq!(member.state(), newest);
    member.checkpoint().unwrap();
    assert_eq!(member.restart(), newest);
    assert!(member.keeper.damages().is_empty());
    assert!(
        member.disk.contents("MANIFEST-6").is_none(),
        "it was removed when all was well again"
    );
}

/// Segments that only the older manifest names stay as long as it may be fallen back to.
#[test]
fn a_rewrite_leaves_the_older_manifest_whole() {
    let (mut member, ..) = two_checkpoints();
    for round in 0..20_u8 {
        member.apply(put("hot", &[round; 90]));
        member.checkpoint().unwrap();
    }
    member.compact(member.state_revision());
    member.apply(put("newest", b"y"));
    let older = member.checkpoint().unwrap();
    member.apply(put("newest", b"z"));
    let view = member.view();
    let segments = member.keeper.segment_count();
    while member.keeper.segment_count() >= segments {
        assert!(member.keeper.collect_garbage(&view).unwrap());
    }
    let newest = member.state();
    let mut manifests = member.disk.list("").unwrap();
    manifests.sort_by_key(|name| name.len());
    member.disk.flip_bit(manifests.last().unwrap(), 30, 0);
    assert_eq!(member.restart(), older);
    assert_eq!(member.state(), newest);
}

/// Segments whose manifest was taken away are not taken for a beginning.
#[test]
fn a_missing_manifest_is_an_error() {
    let (member, ..) = two_checkpoints();
    for name in member.disk.list("").unwrap() {
        member.disk.remove(&name).unwrap();
    }
    let error = open(&member.disk, small()).unwrap_err();
    assert!(matches!(error, KeeperError::ManifestMissing(_)), "{error}");
}

/// A file of a newer release is refused by name, even where an older manifest would do: starting from that would
/// undo what the newer release had acknowledged as checkpointed.
#[test]
fn a_newer_format_is_refused() {
    let (member, ..) = two_checkpoints();
    let mut bytes = member.disk.contents("MANIFEST-6").unwrap();
    bytes[8] = 9;
    let end = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    member
        .disk
        .open("MANIFEST-6")
        .unwrap()
        .write_at(0, &bytes)
        .unwrap();
    let error = open(&member.disk, small()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "MANIFEST-6 has format version 9, this release knows up to 1: start a newer release"
    );
}

/// Rot in a segment while the member runs is found within one round of scrubbing, and what is written again is
/// exactly the state, also when the rotten file held tombstones that hide records in an older one.
#[test]
fn scrubbing_heals_every_segment() {
    let (member, ..) = two_checkpoints();
    for name in files(&member.disk)
        .into_iter()
        .filter(|name| name.starts_with("seg/"))
    {
        let (mut member, ..) = two_checkpoints();
        member.compact(member.state_revision());
        member.apply(put("after", b"the last checkpoint"));
        member.disk.flip_bit(&name, 25, 3);
        let view = member.view();
        let mut repaired = 0;
        for _ in 0..10 {
            if let Scrubbed::Repaired(damage) = member.keeper.scrub(&view).unwrap() {
                assert_eq!(damage.name, name);
                repaired += 1;
            }
        }
        assert_eq!(repaired, 1);
        let expected = member.state();
        member.checkpoint().unwrap();
        assert_eq!(member.restart(), expected, "{name}");
        assert!(member.keeper.damages().is_empty());
    }
}

/// A rewrite that meets rot does the same.
#[test]
fn a_rewrite_that_meets_rot_heals_it() {
    let (mut member, ..) = two_checkpoints();
    for round in 0..20_u8 {
        member.apply(put("more", &[round; 30]));
        member.checkpoint().unwrap();
    }
    let rotten = files(&member.disk)
        .into_iter()
        .filter(|name| name.starts_with("seg/"))
        .nth(6)
        .unwrap();
    member.disk.flip_bit(&rotten, 25, 3);
    member.apply(compact(20));
    member.collect_garbage();
    let expected = member.checkpoint().unwrap();
    assert_eq!(member.restart(), expected);
    assert!(member.keeper.damages().is_empty());
    assert!(member.disk.contents(&rotten).is_none());
}
