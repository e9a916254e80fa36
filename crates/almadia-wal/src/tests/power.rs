//! Power loss at every moment of a workload, with every kind of loss.

use almadia_disk::{Loss, MemDisk};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::model::*;
use super::support::*;

/// How much was acknowledged and asked when so many syncs had been made.
struct Moment {
    syncs: usize,
    acknowledged: usize,
    asked: usize,
}

fn check_every_moment(ops: &[Op], seed: u64) {
    let disk = MemDisk::new();
    disk.start_recording();
    let mut pair = Pair::new(disk.clone());
    let mut moments = vec![Moment {
        syncs: 0,
        acknowledged: 0,
        asked: 0,
    }];
    for op in ops {
        pair.apply(op).unwrap();
        let (acknowledged, asked) = (pair.history.acknowledged, pair.history.len());
        moments.push(Moment {
            syncs: disk.recorded_syncs(),
            acknowledged,
            asked,
        });
    }
    let recording = disk.recording().unwrap();
    let mut replay = recording.replay();
    let mut syncs = 0;
    for step in 0.. {
        let acknowledged = moments
            .iter()
            .filter(|moment| moment.syncs <= syncs)
            .map(|moment| moment.acknowledged)
            .max();
        let asked = moments
            .iter()
            .find(|moment| moment.syncs > syncs)
            .map_or(pair.history.len(), |moment| moment.asked);
        for loss in [
            Loss::DropUnsynced,
            Loss::KeepAll,
            Loss::Seeded(seed ^ step),
            Loss::Seeded(!seed ^ step),
        ] {
            let image = replay.image(loss);
            let mut log = open(&image).unwrap_or_else(|error| panic!("{error} at step {step}, {loss:?}"));
            pair.history.expect_prefix(&log, acknowledged.unwrap_or(0), asked);
            // The cut end must be good to go on from.
            let next = log.wal.last().map_or(1, |last| last.index.get() + 1);
            let before = log.read_all();
            log.append_range(next, next + 1, 999, 3000);
            log.flush();
            image.power_loss(Loss::DropUnsynced);
            let after = open(&image).unwrap().read_all();
            assert_eq!(&after[..before.len()], before);
            assert_eq!(
                after[before.len()..],
                [entry(next, 999, 3000), entry(next + 1, 999, 3000)]
            );
        }
        if replay.next_is_sync() {
            syncs += 1;
        }
        if !replay.step() {
            break;
        }
    }
}

/// Promise: whenever the power goes, all that was acknowledged is there and the log goes on.
#[test]
fn power_may_go_at_every_moment() {
    let is_life = |op: &Op| !matches!(op, Op::Kill | Op::PowerLoss { .. });
    let strategy = prop::collection::vec(any_op().prop_filter("no crash", is_life), 60);
    let mut runner = TestRunner::deterministic();
    for seed in 0..12 {
        let ops = strategy.new_tree(&mut runner).unwrap().current();
        check_every_moment(&ops, seed);
    }
}
