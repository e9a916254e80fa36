//! Power loss at every moment that matters: what was acknowledged is there afterwards, and no revision goes back.
//!
//! The file operations of a run are recorded; for each sync the disk is rebuilt as a power loss right after it would
//! leave it, unsynced bytes dropped, and the member is started on that. A write that was acknowledged when `n` syncs
//! had been made must be found on every image from the `n`-th on.

use crate::world::{World, get, put};
use almadia_command::{Command, Compact, Kind, MemberId, Revision};
use almadia_disk::MemDisk;
use std::collections::BTreeMap;

/// What was acknowledged when the disks had made this many syncs.
struct Acknowledged {
    key: String,
    revision: Revision,
    syncs: BTreeMap<MemberId, usize>,
}

/// Writes, compacts and makes checkpoints, and notes what was acknowledged when.
async fn run(world: &World, writes: usize) -> Vec<Acknowledged> {
    for id in world.ids() {
        world.disk(id).start_recording();
    }
    world.start_all().await;
    let leader = world.member(world.leader().await);
    let mut acknowledged = Vec::new();
    for number in 0..writes {
        let key = format!("key-{number}");
        let applied = leader
            .propose(put(&key, "value"))
            .await
            .expect("a put is carried out");
        let syncs = world
            .ids()
            .into_iter()
            .map(|id| (id, world.disk(id).recorded_syncs()))
            .collect();
        acknowledged.push(Acknowledged {
            key,
            revision: applied.outcome.revision,
            syncs,
        });
        if number % 16 == 15 {
            leader
                .checkpoint_and_purge_all()
                .await
                .expect("a checkpoint is made");
        }
        if number % 20 == 19 {
            let revision = applied.outcome.revision.get() - 5;
            let compact: Command = Kind::Compact(Compact {
                revision,
                physical: true,
            })
            .into();
            leader
                .propose(compact)
                .await
                .expect("a compaction is carried out");
        }
    }
    acknowledged
}

async fn check(world: &World, expected: &[&Acknowledged], moment: &str) {
    world.start_all().await;
    let member = world.member(world.leader().await);
    for write in expected {
        let found = get(&member, &write.key).await;
        assert_eq!(
            found.as_deref(),
            Some(b"value".as_slice()),
            "{} after {moment}",
            write.key
        );
        let revision = member.view().revision();
        assert!(
            revision >= write.revision,
            "revision {revision} after {moment}, before it {}",
            write.revision
        );
    }
    for id in world.ids() {
        world.crash(id).await;
    }
}

/// One member: a power loss right after every single sync (etcd#14370 lost writes here).
#[tokio::test(start_paused = true)]
async fn one_member_loses_power_after_every_sync() {
    let world = World::new(1);
    let acknowledged = run(&world, 48).await;
    let id = world.ids()[0];
    let recording = world.disk(id).recording().expect("it was started");
    let syncs = recording.syncs();
    assert!(
        syncs > acknowledged.len(),
        "every write was synced: {syncs} syncs"
    );
    for sync in 0..=syncs {
        let image = recording.image_at_sync(sync);
        let expected: Vec<_> = acknowledged
            .iter()
            .filter(|write| write.syncs[&id] <= sync)
            .collect();
        check(
            &world.on_disks(BTreeMap::from([(id, image)])),
            &expected,
            &format!("sync {sync}"),
        )
        .await;
    }
}

/// Three members lose power at the same moment: right after each acknowledged write.
#[tokio::test(start_paused = true)]
async fn three_members_lose_power_at_once() {
    let world = World::new(3);
    let acknowledged = run(&world, 48).await;
    for last in 0..acknowledged.len() {
        let image =
            |id: &MemberId| -> MemDisk { world.disk(*id).image_at_sync(acknowledged[last].syncs[id]) };
        let disks = world.ids().iter().map(|id| (*id, image(id))).collect();
        let expected: Vec<_> = acknowledged[..=last].iter().collect();
        check(&world.on_disks(disks), &expected, &format!("write {last}")).await;
    }
}
