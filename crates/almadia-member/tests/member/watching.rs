//! Watching on every member of a cluster, over changes of leader and snapshots (etcd-surface.md B2.10, B2.12; rows 11 and 17
//! of known-failures.md), in virtual time.

use crate::world::{World, put};
use almadia_command::{Compact, Kind, LogIndex, MemberId, Revision};
use almadia_member::Member;
use almadia_store::watch::{KeyRange, Told, Watch, Watches};
use std::time::Duration;

/// A watcher of everything from the beginning, and what it was told.
struct Follower {
    watches: Watches,
    told: Vec<(i64, u32)>,
    compacted: Option<i64>,
}

impl Follower {
    fn on(member: &Member) -> Self {
        let mut watches = member.watches().watches();
        watches.add(Watch {
            from: Some(Revision(1)),
            prev: true,
            ..Watch::all(KeyRange::new(&[0], &[0]))
        });
        Self {
            watches,
            told: Vec::new(),
            compacted: None,
        }
    }

    /// Reads until it has been told of `revision`, or that it never will.
    async fn read_to(&mut self, revision: i64) {
        let reading = async {
            while self.compacted.is_none() && self.told.last().is_none_or(|(last, _)| *last < revision) {
                match self.watches.next().await.expect("the member is up") {
                    Told::Events { events, .. } => {
                        for event in events.iter() {
                            let position = (event.record.mod_revision().0, event.record.sub());
                            assert!(
                                self.told.last().is_none_or(|last| *last < position),
                                "ordered, unique"
                            );
                            self.told.push(position);
                            let is_creation = event.record.version() == 1;
                            assert_eq!(event.prev.is_none(), is_creation, "{event:?}");
                        }
                    }
                    Told::Compacted { compacted, .. } => self.compacted = Some(compacted.0),
                    Told::Reached { .. } => unreachable!("nobody asked"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reading)
            .await
            .expect("everything is told in time");
    }

    /// Every revision up to `revision`, each once.
    fn has_all(&self, revision: i64) {
        let told: Vec<i64> = self.told.iter().map(|(revision, _)| *revision).collect();
        assert_eq!(told, (2..=revision).collect::<Vec<_>>());
    }
}

async fn write(member: &Member, count: usize) -> i64 {
    let mut revision = 0;
    for number in 0..count {
        let applied = member.propose(put(&format!("{}", number % 3), "value")).await;
        revision = applied.expect("a majority is up").outcome.revision.0;
    }
    revision
}

fn others(world: &World, one: MemberId) -> Vec<MemberId> {
    world.ids().into_iter().filter(|id| *id != one).collect()
}

/// B2.10, B2.12: on every member a watcher is told of everything once and in order while the leader is cut off, another
/// one leads, and the old one comes back.
#[tokio::test(start_paused = true)]
async fn a_change_of_leader_loses_and_repeats_nothing() {
    let world = World::new(3);
    world.start_all().await;
    let old = world.leader().await;
    let mut followers: Vec<Follower> = world
        .ids()
        .iter()
        .map(|id| Follower::on(&world.member(*id)))
        .collect();
    write(&world.member(old), 20).await;
    world.isolate(old, true);
    write(&world.member(others(&world, old)[0]), 20).await;
    world.isolate(old, false);
    let last = write(&world.member(old), 20).await;
    for follower in &mut followers {
        follower.read_to(last).await;
        follower.has_all(last);
    }
}

/// Drops the log up to beyond `index`. What replication is reading is not dropped at once.
async fn purge_beyond(member: &Member, index: LogIndex) {
    let purging = async {
        loop {
            member.checkpoint_and_purge_all().await.unwrap();
            let page = member.log(LogIndex(0), 1).await.unwrap();
            if page.first.0 == 0 || page.first > index.next() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), purging)
        .await
        .expect("the log goes in time");
}

/// A member that was cut off while the others dropped their logs: it gets a snapshot, not entries.
async fn after_a_snapshot(compact: bool) -> (Follower, i64) {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let late = others(&world, leader)[0];
    let member = world.member(late);
    let before = write(&member, 10).await;
    let mut follower = Follower::on(&member);
    follower.read_to(before).await;
    world.isolate(late, true);
    let leading = world.member(leader);
    let there = write(&leading, 200).await;
    if compact {
        let compact = Compact {
            revision: there - 50,
            physical: true,
        };
        let applied = leading.propose(Kind::Compact(compact).into()).await;
        assert!(applied.expect("a majority is up").outcome.result.is_ok());
    }
    let here = member.log(LogIndex(0), 1).await.unwrap().last;
    for id in others(&world, late) {
        purge_beyond(&world.member(id), here).await;
    }
    world.isolate(late, false);
    let last = write(&leading, 10).await;
    follower.read_to(last).await;
    let first = member.log(LogIndex(0), 1).await.unwrap().first;
    assert!(
        first.0 == 0 || first > here,
        "it was a snapshot: its log begins at {first}, and ended at {here}"
    );
    (follower, last)
}

/// Row 11: a snapshot takes the place of the store under a live watcher, which is told of everything that it skips.
#[tokio::test(start_paused = true)]
async fn a_snapshot_loses_and_repeats_nothing() {
    let (follower, last) = after_a_snapshot(false).await;
    assert_eq!(follower.compacted, None);
    follower.has_all(last);
}

/// When what it skips is compacted, the watcher is told so instead.
#[tokio::test(start_paused = true)]
async fn a_snapshot_beyond_a_compaction_ends_the_watch() {
    let (follower, last) = after_a_snapshot(true).await;
    assert_eq!(follower.compacted, Some(last - 60));
    follower.has_all(11);
}

/// Row 17: a watch on a revision that is not there yet, on a member that lags, hears of nothing before it.
#[tokio::test(start_paused = true)]
async fn a_future_revision_is_waited_for_on_every_member() {
    let world = World::new(3);
    world.start_all().await;
    let leader = world.leader().await;
    let mut watching = Vec::new();
    for id in world.ids() {
        let mut watches = world.member(id).watches().watches();
        let (slot, _) = watches.add(Watch {
            from: Some(Revision(40)),
            ..Watch::all(KeyRange::new(&[0], &[0]))
        });
        watching.push((watches, slot));
    }
    world.isolate(others(&world, leader)[0], true);
    write(&world.member(leader), 30).await;
    world.isolate(others(&world, leader)[0], false);
    write(&world.member(leader), 20).await;
    for (watches, slot) in &mut watching {
        watches.ask_progress(Some(*slot));
        let told = tokio::time::timeout(Duration::from_secs(60), watches.next()).await;
        let Some(Told::Events { events, .. }) = told.expect("it comes") else {
            panic!("events come first");
        };
        assert_eq!(events[0].record.mod_revision(), Revision(40));
    }
}
