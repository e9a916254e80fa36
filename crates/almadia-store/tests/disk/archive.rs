//! A backup: the same state comes back, elsewhere and as a new cluster's beginning, and no damage passes.

use crate::common::{Member, compact, delete, noise, open, put, small, state_of};
use almadia_command::{LogIndex, Revision, Term};
use almadia_disk::MemDisk;
use almadia_store::disk::{Archive, ArchiveSource, Beginning, KeeperError};
use almadia_store::{Store, View};
use bytes::Bytes;
use std::sync::Arc;

fn written() -> (Member, Vec<u8>) {
    let mut member = Member::new(small());
    for number in 0..60 {
        member.apply(put(&format!("key-{:02}", number % 20), &noise(number, 100)));
    }
    member.apply(delete("key-03"));
    member.apply(compact(30));
    let view = member.store.publish();
    let archive = ArchiveSource::new(member.keeper.snapshot(&view).unwrap());
    let mut bytes = Vec::new();
    // An odd piece length, so that pieces end everywhere.
    while let piece = archive.read(bytes.len() as u64, 333).unwrap()
        && !piece.is_empty()
    {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len() as u64, archive.bytes());
    assert_eq!(
        bytes.len() % 512,
        0,
        "etcdctl tells by the length that a checksum follows"
    );
    drop(archive);
    (member, bytes)
}

fn unpack(bytes: &[u8], beginning: Option<Beginning>) -> Result<(MemDisk, Store), KeeperError> {
    let disk = MemDisk::new();
    let store = Archive::open(bytes)?.unpack(Arc::new(disk.clone()), small(), beginning, |_| {})?;
    Ok((disk, store))
}

fn keys_of(view: &View) -> Vec<(Vec<u8>, i64)> {
    let records = view.records_after(Revision(0));
    records
        .map(|record| (record.key().to_vec(), record.mod_revision().0))
        .collect()
}

#[test]
fn b5_2_a_backup_comes_back_as_it_was() {
    let (mut member, bytes) = written();
    let (disk, mut store) = unpack(&bytes, None).unwrap();
    let before = member.store.publish();
    assert_eq!(state_of(&store.publish()), state_of(&before));
    let (_, mut reopened) = open(&disk, small()).unwrap();
    assert_eq!(state_of(&reopened.publish()), state_of(&before));
    let hash = |view: &View| view.hash_at(view.revision()).unwrap();
    assert_eq!(hash(&reopened.publish()), hash(&before));
}

#[test]
fn a_new_cluster_begins_where_it_is_told() {
    let (mut member, bytes) = written();
    let before = member.store.publish();
    let beginning = Beginning {
        applied: (LogIndex(1), Term(1)),
        membership: Bytes::from_static(b"new members"),
        revisions_more: 1000,
        mark_compacted: true,
    };
    let (disk, _) = unpack(&bytes, Some(beginning)).unwrap();
    let (keeper, mut store) = open(&disk, small()).unwrap();
    let view = store.publish();
    assert_eq!(keeper.checkpointed(), (LogIndex(1), Term(1)));
    assert_eq!(view.revision().0, before.revision().0 + 1000);
    assert_eq!(view.compacted(), view.revision());
    assert_eq!(view.membership(), &Bytes::from_static(b"new members"));
    assert_eq!(view.sizes().keys, before.sizes().keys);
    assert!(
        keys_of(&view).is_empty(),
        "nothing before the beginning can be watched"
    );
}

#[test]
fn a_directory_with_a_store_is_left_alone() {
    let (member, bytes) = written();
    let disk = Arc::new(member.disk.clone());
    let refused = Archive::open(&bytes[..])
        .unwrap()
        .unpack(disk, small(), None, |_| {});
    assert!(matches!(refused, Err(KeeperError::Transfer(_))), "{refused:?}");
}

/// One flipped bit in any byte, and a cut at any length, is an error and nothing else.
#[test]
fn no_damage_passes() {
    let (_, bytes) = written();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(unpack(&damaged, None).is_err(), "byte {at}");
    }
    let content = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (0..=content).step_by(7) {
        assert!(unpack(&bytes[..at], None).is_err(), "cut to {at} bytes");
    }
    let more = [&bytes[..], &[0; 512]].concat();
    assert!(unpack(&more, None).is_err(), "more follows");
}
