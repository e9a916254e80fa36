//! The identity file: its bytes, its errors, and what a power loss leaves of it.

use super::*;
use almadia_disk::{Loss, MemDisk};
use proptest::prelude::*;

fn founded() -> Identity {
    Identity {
        group: GroupId([9; 16]),
        cluster: ClusterId(0xc),
        member: MemberId(0xa),
        name: "a".into(),
        initial: vec![InitialMember {
            id: MemberId(0xa),
            name: "a".into(),
            peer_urls: vec!["p".into()],
            client_urls: vec!["c".into()],
        }],
    }
}

fn counter(mut from: u64) -> impl FnMut() -> u64 {
    move || {
        from += 1;
        from - 1
    }
}

fn open(disk: &MemDisk, from: u64) -> Result<Identity, IdentityError> {
    Identity::open(disk, GroupId([9; 16]), "a", &mut counter(from))
}

/// Released bytes keep their meaning: these are the bytes of version 0.1.
#[test]
fn golden_bytes() {
    let bytes = encode(&founded());
    let mut golden = b"ALMIDENT\x01\0\0\0\x3b\0\0\0\x0a\x10".to_vec();
    golden.extend([9; 16]);
    golden.extend(b"\x11\x0c\0\0\0\0\0\0\0\x19\x0a\0\0\0\0\0\0\0\x22\x01a");
    golden.extend(b"\x2a\x12\x09\x0a\0\0\0\0\0\0\0\x12\x01a\x1a\x01p\x22\x01c");
    golden.extend(crc32c::crc32c(&golden).to_le_bytes());
    assert_eq!(bytes, golden);
    assert_eq!(decode(&bytes).unwrap(), founded());
}

/// An id is drawn once for an empty directory, is never 0, and is kept across restarts.
#[test]
fn an_id_is_drawn_once() {
    let disk = MemDisk::new();
    let first = open(&disk, 0).unwrap();
    assert_eq!(first.member, MemberId(1), "0 is nobody and was drawn again");
    assert!(!first.is_founded());
    disk.power_loss(Loss::DropUnsynced);
    assert_eq!(open(&disk, 50).unwrap(), first);
    assert_eq!(
        open(&MemDisk::new(), 50).unwrap().member,
        MemberId(50),
        "an empty directory is a new member"
    );
}

#[test]
fn a_directory_of_another_group_or_name_is_refused() {
    let disk = MemDisk::new();
    open(&disk, 1).unwrap();
    let other = Identity::open(&disk, GroupId([1; 16]), "a", &mut counter(1));
    assert!(matches!(other, Err(IdentityError::AnotherGroup { .. })));
    let other = Identity::open(&disk, GroupId([9; 16]), "b", &mut counter(1));
    assert!(matches!(other, Err(IdentityError::AnotherName { .. })));
}

/// A log whose owner is unknown is not given a new owner.
#[test]
fn a_log_without_identity_is_refused() {
    let disk = MemDisk::new();
    disk.create_dir("wal").unwrap();
    assert!(open(&disk, 1).is_ok());
    let disk = MemDisk::new();
    disk.create_dir("wal").unwrap();
    disk.create("wal/1.wal").unwrap();
    assert!(matches!(
        open(&disk, 1),
        Err(IdentityError::Missing { directory: "wal" })
    ));
}

#[test]
fn a_newer_format_is_named() {
    let mut bytes = encode(&founded());
    bytes[8] = 2;
    assert!(matches!(
        decode(&bytes),
        Err(IdentityError::NewerFormat { found: 2 })
    ));
}

/// Each bit is under the checksum.
#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = encode(&founded());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
}

/// Whatever moment the power goes: the old identity or the new one is there, and it can be replaced again.
#[test]
fn a_power_loss_leaves_the_old_or_the_new() {
    let disk = MemDisk::new();
    let before = open(&disk, 5).unwrap();
    let after = Identity {
        cluster: ClusterId(7),
        ..before.clone()
    };
    disk.start_recording();
    after.save(&disk).unwrap();
    let recording = disk.recording().unwrap();
    for step in 0..=recording.steps() {
        for loss in (0..20)
            .map(Loss::Seeded)
            .chain([Loss::DropUnsynced, Loss::KeepAll])
        {
            let image = recording.image_at_step(step, loss);
            let read = Identity::load(&image).unwrap().unwrap();
            assert!(read == before || read == after, "step {step}: {read:?}");
            after.save(&image).unwrap();
            assert_eq!(Identity::load(&image).unwrap(), Some(after.clone()));
        }
    }
    let image = recording.image_at_step(recording.steps(), Loss::DropUnsynced);
    assert_eq!(
        Identity::load(&image).unwrap(),
        Some(after),
        "what was saved is durable"
    );
}

/// Whatever moment the power goes while a directory is emptied: the member is there with all that it had, or an empty one
/// starts, and never one without the other's log.
#[test]
fn a_retired_directory_is_emptied_or_whole() {
    let disk = MemDisk::new();
    let before = open(&disk, 5).unwrap();
    let files = ["wal/1.wal", "wal/2.wal", "seg/1.seg", "MANIFEST-1"];
    for directory in ["wal", "seg"] {
        disk.create_dir(directory).unwrap();
    }
    for name in files {
        disk.create(name).unwrap().sync_all().unwrap();
    }
    for directory in ["wal", "seg", ""] {
        disk.sync_dir(directory).unwrap();
    }
    disk.start_recording();
    Identity::retire(&disk).unwrap();
    let recording = disk.recording().unwrap();
    for step in 0..=recording.steps() {
        for loss in (0..20)
            .map(Loss::Seeded)
            .chain([Loss::DropUnsynced, Loss::KeepAll])
        {
            let image = recording.image_at_step(step, loss);
            let opened = open(&image, 50).unwrap();
            let count = |directory| image.list(directory).unwrap().len();
            let manifests = image.list("").unwrap();
            let manifests = manifests
                .iter()
                .filter(|name| name.starts_with("MANIFEST"))
                .count();
            let left = count("wal") + count("seg") + manifests;
            let expected = if opened == before { files.len() } else { 0 };
            assert_eq!(left, expected, "step {step}: {opened:?}");
            assert!(opened == before || opened.member == MemberId(50));
        }
    }
    Identity::retire(&disk).unwrap();
    assert!(Identity::load(&disk).unwrap().is_none(), "it can be said again");
}

proptest! {
    /// No bytes make the reader panic.
    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes).is_err());
    }

    /// Any single damaged byte is noticed.
    #[test]
    fn damage_is_noticed(at in any::<usize>(), change in 1u8..) {
        let mut bytes = encode(&founded());
        let at = at % bytes.len();
        bytes[at] ^= change;
        prop_assert!(decode(&bytes).is_err());
    }

    /// A right checksum over wrong content is an error too, not a panic.
    #[test]
    fn wrong_content_is_an_error_or_an_identity(body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = b"ALMIDENT\x01\0\0\0".to_vec();
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(body);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        let _ = decode(&bytes);
    }
}
