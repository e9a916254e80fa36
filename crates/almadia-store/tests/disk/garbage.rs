//! Disk space comes back by itself: files stay few, and no larger than about twice what is live.

use crate::common::{Member, delete, delete_all, noise, put, small};
use almadia_command::Revision;
use almadia_disk::Disk;
use almadia_store::disk::Options;

fn options() -> Options {
    Options {
        segment_bytes: 20_000,
        block_bytes: 2000,
        small_segments_max: 8,
        slice_keys: 50,
        ..small()
    }
}

/// Checks that what is on disk is the state and amounts to what it should.
fn check(member: &mut Member, disk_bytes_max: u64) {
    member.collect_garbage();
    // Both kept manifests are to do without what was rewritten.
    member.apply(put("settled", b""));
    member.checkpoint().unwrap();
    member.apply(put("settled", b""));
    let expected = member.checkpoint().unwrap();
    let (disk, live) = (member.keeper.disk_bytes(), member.keeper.disk_live_bytes());
    assert!(
        disk <= disk_bytes_max,
        "{disk} bytes on disk, {live} of them live, {disk_bytes_max} allowed"
    );
    assert!(live <= disk);
    assert_eq!(member.restart(), expected);
}

/// The same keys over and over, as leases and node heartbeats are.
#[test]
fn overwritten_versions_go() {
    let mut member = Member::new(options());
    for round in 0..100 {
        for key in 0..20 {
            member.apply(put(&format!("key-{key}"), &noise(round * 20 + key, 200)));
        }
        member.compact(member.state_revision() - 40);
        member.checkpoint().unwrap();
        member.collect_garbage();
        assert!(
            member.keeper.segment_count() <= 10,
            "{} segments",
            member.keeper.segment_count()
        );
    }
    member.compact(member.state_revision());
    check(&mut member, 20 * 250 * 3);
}

/// Keys that come and go, as events do, above keys that stay: the tombstones must go too, although the oldest
/// segment, which they might concern, is mostly alive.
#[test]
fn tombstones_do_not_pile_up() {
    let mut member = Member::new(options());
    for key in 0..100 {
        member.apply(put(&format!("stays-{key}"), &noise(key, 200)));
    }
    for key in 0..30 {
        member.apply(put(&format!("key-{key}"), &noise(key, 200)));
    }
    member.checkpoint().unwrap();
    let stays_bytes = member.keeper.disk_bytes();
    for round in 0..150_u64 {
        for key in 0..20 {
            member.apply(put(&format!("event-{round}-{key}"), &noise(key, 100)));
        }
        for key in 0..20 {
            member.apply(delete(&format!("event-{round}-{key}")));
        }
        member.compact(member.state_revision() - 10);
        member.checkpoint().unwrap();
        member.collect_garbage();
        let disk = member.keeper.disk_bytes();
        assert!(
            disk < stays_bytes * 3,
            "round {round}: {disk} bytes, {stays_bytes} of them stay"
        );
    }
    check(&mut member, stays_bytes * 2);
}

/// A store that was emptied is small again.
#[test]
fn an_emptied_store_is_small() {
    let mut member = Member::new(options());
    for key in 0..500 {
        member.apply(put(&format!("key-{key}"), &noise(key, 200)));
    }
    member.checkpoint().unwrap();
    assert!(member.keeper.disk_bytes() > 100_000);
    member.apply(delete_all());
    // What the compacted revision itself changed stays for those who watch from it on: so one beyond the deletion.
    member.apply(put("settled", b""));
    member.compact(member.state_revision());
    member.checkpoint().unwrap();
    check(&mut member, 2000);
}

/// Without garbage nothing is rewritten, and the second call has nothing to do.
#[test]
fn live_segments_are_left_alone() {
    let mut member = Member::new(options());
    for key in 0..500 {
        member.apply(put(&format!("key-{key}"), &noise(key, 200)));
    }
    member.checkpoint().unwrap();
    member.compact(member.state_revision());
    member.checkpoint().unwrap();
    assert_eq!(member.collect_garbage(), 0);
    for key in 0..100 {
        member.apply(put(&format!("key-{key}"), &noise(key, 200)));
    }
    member.compact(member.state_revision());
    member.checkpoint().unwrap();
    let files = member.disk.list("seg").unwrap();
    assert!(
        member.collect_garbage() > 0,
        "a sixth is dead: it is counted, in pieces"
    );
    assert_eq!(
        member.disk.list("seg").unwrap(),
        files,
        "but no segment is mostly dead"
    );
    assert_eq!(member.collect_garbage(), 0, "and not counted again");
}

/// What compaction keeps for a checkpoint leaves the memory when the checkpoint is there.
#[test]
fn memory_is_given_back_after_a_checkpoint() {
    let mut member = Member::new(options());
    let count = |member: &mut Member| member.view().records_after(Revision(0)).count();
    for key in 0..200 {
        member.apply(put("key", &noise(key, 10)));
    }
    member.compact(member.state_revision());
    assert_eq!(count(&mut member), 200);
    member.checkpoint().unwrap();
    while member.store.compact_slice(100) {}
    assert_eq!(
        count(&mut member),
        1,
        "what the compacted revision itself changed"
    );
}

/// The number of segments stays bounded however many checkpoints there are.
#[test]
fn segments_stay_few() {
    let mut member = Member::new(options());
    for key in 0..600 {
        member.apply(put(&format!("key-{}", key % 150), &noise(key, 100)));
        member.checkpoint().unwrap();
        member.collect_garbage();
        let full = member.keeper.disk_bytes() / 20_000;
        assert!(
            member.keeper.segment_count() as u64 <= 2 * full + 10,
            "{}",
            member.keeper.segment_count()
        );
    }
    let expected = member.state();
    assert_eq!(member.restart(), expected);
}

/// B2.4, row 14: what the compacted revision itself changed, its deletions too, outlives rewriting, merging and restarts, so
/// that a watch may start there; and goes with the next compaction.
#[test]
fn the_compacted_revisions_own_changes_stay() {
    let mut member = Member::new(options());
    for key in 0..200 {
        member.apply(put(&format!("key-{key}"), &noise(key, 200)));
        if key % 20 == 0 {
            member.checkpoint().unwrap();
        }
    }
    member.apply(delete_all());
    let deleted_at = member.state_revision();
    let deletions = |member: &mut Member| {
        let view = member.view();
        let records = view.records_after(Revision(deleted_at - 1));
        records.filter(|record| record.is_tombstone()).count()
    };
    for key in 0..50 {
        member.apply(put(&format!("key-{key}"), &noise(key, 200)));
    }
    member.compact(deleted_at);
    for _ in 0..3 {
        member.checkpoint().unwrap();
        member.collect_garbage();
        let expected = member.state();
        assert_eq!(member.restart(), expected);
        assert_eq!(deletions(&mut member), 200);
        member.apply(put("more", b""));
    }
    member.compact(deleted_at + 1);
    member.checkpoint().unwrap();
    member.collect_garbage();
    member.apply(put("more", b""));
    member.checkpoint().unwrap();
    while member.store.compact_slice(100) {}
    member.restart();
    assert_eq!(deletions(&mut member), 0);
}
