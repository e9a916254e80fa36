//! The faults of a seed that has a theme (`theme.rs`): the same again and again, with other times. It does nothing itself.

use super::{Fault, LEADER, Planned};
use crate::chance::Chance;
use crate::theme::Theme;
use almadia_disk::Loss;

/// Between two disks that rot: the first has to be replaced before.
const ROT_PAUSE_MS: (u64, u64) = (10_000, 14_000);

/// Everything that happens in a run about this.
pub fn draw(theme: Theme, seed: u64, size: usize, from_ms: u64, until_ms: u64) -> Vec<Planned> {
    let mut plan = Plan {
        chance: Chance::new(seed, "theme"),
        size,
        planned: Vec::new(),
    };
    let (shortest_ms, longest_ms) = match theme {
        Theme::Votes | Theme::Restarts => (5_000, 8_000),
        Theme::Leases | Theme::Watches => (9_000, 12_000),
        Theme::LogRot | Theme::SegmentRot => ROT_PAUSE_MS,
    };
    let mut at_ms = from_ms + plan.chance.between(1_000, 4_000);
    while at_ms < until_ms {
        match theme {
            Theme::Votes => plan.power_goes_at_a_vote(at_ms),
            Theme::LogRot => plan.rot(at_ms + 2_000, true),
            Theme::SegmentRot => plan.rot(at_ms, false),
            Theme::Leases => plan.leader_is_cut_off(at_ms),
            Theme::Watches => plan.follower_misses_much(at_ms),
            Theme::Restarts => plan.follower_comes_back_slowly(at_ms),
        }
        at_ms += plan.chance.between(shortest_ms, longest_ms);
    }
    plan.planned.sort_by_key(|planned| planned.at_ms);
    plan.planned.retain(|planned| planned.at_ms < until_ms);
    plan.planned
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

    /// Whoever does not lead.
    fn follower(&mut self) -> usize {
        LEADER + 1 + self.chance.below(self.size as u64 - 1) as usize
    }

    /// Disks are slow, so that a vote is long on its way to them; there has to be an election; and one of those who vote goes.
    fn power_goes_at_a_vote(&mut self, at_ms: u64) {
        let sync_ms = *self.chance.pick(&[20, 100, 400]);
        for host in 0..self.size {
            let slow = Fault::SlowDisk {
                host,
                sync_ms,
                for_ms: 4_000,
            };
            self.at(at_ms, slow);
        }
        let host = self.follower();
        let vote = Fault::PowerLossAtVote {
            host,
            within_ms: 4_000,
            down_ms: self.chance.between(20, 500),
        };
        self.at(at_ms + 100, vote);
        let kill = Fault::Kill {
            host: LEADER,
            down_ms: 2_500,
        };
        self.at(at_ms + 100, kill);
    }

    fn rot(&mut self, at_ms: u64, in_log: bool) {
        let host = self.chance.below(self.size as u64) as usize;
        if !in_log {
            self.at(at_ms - 500, Fault::Purge { host });
        }
        let choice = self.chance.draw();
        self.at(at_ms, Fault::Rot { host, in_log, choice });
    }

    /// Longer than the shortest leases last.
    fn leader_is_cut_off(&mut self, at_ms: u64) {
        let cut = Fault::Partition {
            group: 1 << LEADER,
            resets: self.chance.per_mille(300),
            for_ms: self.chance.between(3_000, 7_500),
        };
        self.at(at_ms, cut);
    }

    /// When it hears of the others again, they have dropped what it would need, and compacted past it.
    fn follower_misses_much(&mut self, at_ms: u64) {
        let cut_off = self.follower();
        let for_ms = self.chance.between(4_000, 7_000);
        let cut = Fault::Partition {
            group: 1 << cut_off,
            resets: false,
            for_ms,
        };
        self.at(at_ms, cut);
        for behind in 0..self.size {
            let host = LEADER + behind;
            let soon_ms = self.chance.between(0, 3_000);
            self.at(at_ms + soon_ms, Fault::Purge { host });
            if host != cut_off {
                self.at(at_ms + for_ms - 300, Fault::Purge { host });
            }
        }
    }

    /// What it has shown was not on its disk yet, and what the others say is long on its way.
    fn follower_comes_back_slowly(&mut self, at_ms: u64) {
        let host = self.follower();
        let slow = Fault::SlowDisk {
            host,
            sync_ms: self.chance.between(200, 900),
            for_ms: 2_500,
        };
        self.at(at_ms, slow);
        let weather = Fault::SlowNetwork {
            spread_ms: *self.chance.pick(&[60, 120, 200]),
            for_ms: 2_000,
        };
        let after_ms = self.chance.between(600, 1_500);
        self.at(at_ms + after_ms, weather);
        let power = Fault::PowerLoss {
            host,
            loss: Loss::DropUnsynced,
            down_ms: self.chance.between(20, 200),
        };
        self.at(at_ms + after_ms + 20, power);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_theme_has_faults_in_the_order_of_time() {
        for theme in Theme::ALL {
            let plan = draw(theme, 9, 3, 3_000, 40_000);
            assert!(!plan.is_empty(), "{theme:?}");
            assert!(plan.is_sorted_by_key(|planned| planned.at_ms));
            assert!(plan.iter().all(|one| (3_000..40_000).contains(&one.at_ms)));
        }
    }
}
