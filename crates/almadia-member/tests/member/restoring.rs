//! A backup of a running cluster becomes a new cluster: everything is there, new members can come, and ids are new.

use crate::world::{World, get, put};
use almadia_command::{GroupId, MemberId};
use almadia_disk::MemDisk;
use almadia_member::restoring::{Restored, RestoringError, Wishes, restore};
use almadia_store::disk::Archive;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the program takes from SHA-256.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn wishes(token: u8, name: &str) -> Wishes<'static> {
    let mut life = 100;
    Wishes {
        group: GroupId([token; 16]),
        name: name.to_owned(),
        members: ["a", "b", "c"]
            .map(|name| (name.to_owned(), vec![format!("http://{name}:2380")]))
            .to_vec(),
        revisions_more: 500,
        mark_compacted: true,
        digest: &digest,
        life: Box::new(move || {
            life += 1;
            life
        }),
    }
}

async fn backup_of(world: &World, id: MemberId) -> Vec<u8> {
    let backup = world.member(id).backup().await.unwrap();
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < backup.bytes() {
        bytes.extend_from_slice(&backup.read(bytes.len() as u64, 1000).await.unwrap());
    }
    bytes
}

fn restored(bytes: &[u8], token: u8, name: &str) -> (MemDisk, Restored) {
    let disk = MemDisk::new();
    let archive = Archive::open(bytes).unwrap();
    let restored = restore(Arc::new(disk.clone()), archive, wishes(token, name), |_| {}).unwrap();
    (disk, restored)
}

/// B5.2: what was written before the backup is in the new cluster, what came after is not, and revisions go on above
/// all that were ever seen.
#[tokio::test(start_paused = true)]
async fn b5_2_a_backup_becomes_a_cluster() {
    let world = World::new(3);
    world.start_all().await;
    let ids = world.ids();
    for number in 0..50 {
        let command = put(&format!("key-{number}"), "before");
        world.member(ids[number % 3]).propose(command).await.unwrap();
    }
    world.member(ids[1]).read_barrier().await.unwrap();
    let revision = world.member(ids[1]).view().revision();
    let bytes = backup_of(&world, ids[1]).await;
    world.member(ids[0]).propose(put("key-1", "after")).await.unwrap();

    let made: Vec<(MemDisk, Restored)> = ["a", "b", "c"]
        .iter()
        .map(|name| restored(&bytes, 1, name))
        .collect();
    let clusters: Vec<_> = made.iter().map(|(_, made)| made.identity.cluster).collect();
    assert!(
        clusters.iter().all(|cluster| *cluster == clusters[0]),
        "{clusters:?}"
    );
    let disks: BTreeMap<MemberId, MemDisk> = made
        .iter()
        .map(|(disk, made)| (made.identity.member, disk.clone()))
        .collect();
    assert_eq!(disks.len(), 3, "three ids");
    assert!(disks.keys().all(|id| !ids.contains(id)), "no id comes back");

    let again = world.on_disks(disks);
    again.start_all().await;
    let leader = again.leader().await;
    let applied = again.member(leader).propose(put("new", "value")).await.unwrap();
    assert_eq!(applied.outcome.revision.0, revision.0 + 501);
    for id in again.ids() {
        assert_eq!(
            get(&again.member(id), "key-1").await.as_deref(),
            Some(b"before".as_slice())
        );
        assert_eq!(
            get(&again.member(id), "key-49").await.as_deref(),
            Some(b"before".as_slice())
        );
        assert_eq!(
            get(&again.member(id), "new").await.as_deref(),
            Some(b"value".as_slice())
        );
    }
    let hashes: Vec<u64> = again
        .ids()
        .into_iter()
        .map(|id| {
            let view = again.member(id).view();
            view.hash_at(view.revision()).unwrap().get()
        })
        .collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

/// Another token is another cluster, with other ids.
#[tokio::test(start_paused = true)]
async fn a_token_makes_the_cluster() {
    let world = World::new(1);
    world.start_all().await;
    world.member(world.ids()[0]).propose(put("k", "v")).await.unwrap();
    let bytes = backup_of(&world, world.ids()[0]).await;
    let (_, one) = restored(&bytes, 1, "a");
    let (_, other) = restored(&bytes, 2, "a");
    assert_ne!(one.identity.cluster, other.identity.cluster);
    assert_ne!(one.identity.member, other.identity.member);
}

/// Wrong wishes and a directory in use are refused, and a broken-off restore leaves nobody behind.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_restored_is_refused() {
    let world = World::new(1);
    world.start_all().await;
    world.member(world.ids()[0]).propose(put("k", "v")).await.unwrap();
    let bytes = backup_of(&world, world.ids()[0]).await;

    let archive = Archive::open(&bytes[..]).unwrap();
    let stranger = restore(Arc::new(MemDisk::new()), archive, wishes(1, "z"), |_| {});
    assert!(
        matches!(stranger, Err(RestoringError::NotAMember { .. })),
        "{stranger:?}"
    );

    let (disk, _) = restored(&bytes, 1, "a");
    let archive = Archive::open(&bytes[..]).unwrap();
    let used = restore(Arc::new(disk), archive, wishes(1, "a"), |_| {});
    assert!(matches!(used, Err(RestoringError::NotEmpty(_))), "{used:?}");

    let disk = MemDisk::new();
    // Without the last byte that is no filling.
    let content = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let archive = Archive::open(&bytes[..content]).unwrap();
    let cut = restore(Arc::new(disk.clone()), archive, wishes(1, "a"), |_| {});
    assert!(matches!(cut, Err(RestoringError::Backup(_))), "{cut:?}");
    assert!(
        disk.contents("IDENT").is_none(),
        "nobody starts from half a backup"
    );
}
