//! Five of twenty seeds do not draw their faults one by one, but go after a moment that chance rarely meets: everybody's power
//! goes while syncs are under way, the leader is paused while clients ask it. It does nothing itself.

use super::{Fault, LEADER, Planned};
use crate::chance::Chance;
use almadia_disk::Loss;

/// Seeds come in rounds of so many; the last five of each are directed.
const ROUND: u64 = 20;

/// The faults of a directed seed; none for all others.
pub fn directed(seed: u64, size: usize, from_ms: u64, until_ms: u64) -> Option<Vec<Planned>> {
    let kind = (seed % ROUND).checked_sub(ROUND - 5)?;
    let mut plan = Plan {
        chance: Chance::new(seed, "directed"),
        size,
        planned: Vec::new(),
    };
    let (shortest_ms, longest_ms) = if kind == 4 { (700, 2_500) } else { (5_000, 9_000) };
    // The last kind becomes quiet early: what may be late during faults must be in time then.
    let end_ms = if kind == 4 {
        from_ms + (until_ms - from_ms) / 4
    } else {
        until_ms
    };
    let mut at_ms = from_ms + plan.chance.between(500, 2_000);
    while at_ms < end_ms {
        match kind {
            0 => plan.leader_pauses(at_ms),
            1 => plan.slow_follower_loses_power(at_ms),
            2 => plan.syncs_fail_and_the_power_goes(at_ms),
            3 => plan.power_goes_during_an_election(at_ms),
            _ => plan.something(at_ms),
        }
        at_ms += plan.chance.between(shortest_ms, longest_ms);
    }
    plan.planned.sort_by_key(|planned| planned.at_ms);
    plan.planned.retain(|planned| planned.at_ms < until_ms);
    Some(plan.planned)
}

struct Plan {
    chance: Chance,
    size: usize,
    planned: Vec<Planned>,
}

impl Plan {
    fn at(&mut self, at_ms: u64, fault: Fault) {
        self.planned.push(Planned { at_ms, fault });
    }

    fn all_disks_slow(&mut self, at_ms: u64, sync_ms: u64, for_ms: u64) {
        for host in 0..self.size {
            let fault = Fault::SlowDisk {
                host,
                sync_ms,
                for_ms,
            };
            self.at(at_ms, fault);
        }
    }

    /// Whoever led wakes up and does not know that somebody else does now.
    fn leader_pauses(&mut self, at_ms: u64) {
        let for_ms = self.chance.between(1_500, 4_500);
        self.at(at_ms, Fault::Pause { host: LEADER, for_ms });
    }

    /// A follower has applied what the others hold, and loses what its own disk had not synced.
    fn slow_follower_loses_power(&mut self, at_ms: u64) {
        let host = LEADER + 1 + self.chance.below(self.size.max(2) as u64 - 1) as usize;
        let sync_ms = self.chance.between(100, 800);
        self.all_disks_slow_but_leader(at_ms, sync_ms);
        let fault = Fault::PowerLoss {
            host,
            loss: Loss::DropUnsynced,
            down_ms: 100,
        };
        let after_ms = self.chance.between(300, 1_500);
        self.at(at_ms + after_ms, fault);
    }

    fn all_disks_slow_but_leader(&mut self, at_ms: u64, sync_ms: u64) {
        // One follower and the leader stay quick, so that there is a quick majority of three.
        for behind in 1..self.size.max(2) - self.size.max(2) / 2 {
            let fault = Fault::SlowDisk {
                host: LEADER + behind,
                sync_ms,
                for_ms: 2_000,
            };
            self.at(at_ms, fault);
        }
    }

    /// What a failed sync left behind is gone with the power.
    fn syncs_fail_and_the_power_goes(&mut self, at_ms: u64) {
        for host in 0..self.size {
            let skip = self.chance.below(6);
            self.at(at_ms, Fault::SyncError { host, skip });
        }
        let after_ms = self.chance.between(20, 600);
        let loss = Loss::DropUnsynced;
        self.at(at_ms + after_ms, Fault::PowerLossAll { loss, down_ms: 100 });
    }

    /// Votes and entries are on their way to slow disks.
    fn power_goes_during_an_election(&mut self, at_ms: u64) {
        let sync_ms = *self.chance.pick(&[50, 300, 900]);
        self.all_disks_slow(at_ms, sync_ms, 4_000);
        if self.chance.per_mille(600) {
            let fault = Fault::Kill {
                host: LEADER,
                down_ms: 300,
            };
            self.at(at_ms + 100, fault);
        }
        let after_ms = self.chance.between(600, 3_000);
        let down_ms = self.chance.between(50, 200);
        let loss = Loss::DropUnsynced;
        self.at(at_ms + after_ms, Fault::PowerLossAll { loss, down_ms });
    }

    fn something(&mut self, at_ms: u64) {
        let host = self.chance.below(self.size as u64) as usize;
        let fault = match self.chance.below(4) {
            0 => Fault::Kill { host, down_ms: 500 },
            1 => Fault::Purge { host },
            2 => Fault::Transfer { to: host },
            _ => Fault::Reset { host },
        };
        self.at(at_ms, fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_of_twenty_seeds_are_directed_and_in_the_order_of_time() {
        let plans: Vec<_> = (0..ROUND).map(|seed| directed(seed, 3, 3_000, 60_000)).collect();
        assert_eq!(plans.iter().flatten().count(), 5);
        for plan in plans.iter().flatten() {
            assert!(!plan.is_empty());
            assert!(plan.is_sorted_by_key(|planned| planned.at_ms));
            assert!(
                plan.iter()
                    .all(|planned| (3_000..60_000).contains(&planned.at_ms))
            );
        }
        let quiet = plans[ROUND as usize - 1].as_ref().unwrap();
        assert!(quiet.iter().all(|planned| planned.at_ms < 20_000));
        // A cluster of one has no followers, and no plan trips over that.
        for seed in 0..ROUND {
            let _ = directed(seed, 1, 3_000, 60_000);
        }
    }
}
