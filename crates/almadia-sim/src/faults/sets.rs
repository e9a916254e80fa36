//! What happens to the pods of a set, drawn from a seed: the faults that any machine has, from the first moment on, so that
//! founding meets them too, and those that only a platform has. It does nothing.

use super::{Fault, Planned};
use crate::chance::Chance;
use crate::world::set::{PODS_MAX, SPARE};
use almadia_disk::Loss;

/// The sizes that a set goes through again and again.
const SIZES: [u32; 4] = [3, 5, 3, 1];

/// What a seed is after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// Sizes.
    Scaling,
    /// Lost volumes and namesakes.
    Losses,
    /// Everything.
    All,
}

/// Everything that happens to a set in a run.
pub fn draw(seed: u64, founders: usize, until_ms: u64) -> Vec<Planned> {
    let mut chance = Chance::new(seed, "set faults");
    let aim = [Aim::Scaling, Aim::Losses, Aim::All][(seed % 3) as usize];
    let gap_ms = *chance.pick(&[1_000, 2_500, 5_000]);
    let mut drawing = Drawing {
        chance,
        step: SIZES
            .iter()
            .position(|size| *size as usize == founders)
            .unwrap_or(0),
    };
    let mut planned = Vec::new();
    let mut at_ms = 0;
    loop {
        at_ms += drawing.chance.between(1, 2 * gap_ms);
        if at_ms >= until_ms {
            return planned;
        }
        let fault = drawing.fault(aim);
        planned.push(Planned { at_ms, fault });
    }
}

struct Drawing {
    chance: Chance,
    step: usize,
}

impl Drawing {
    fn fault(&mut self, aim: Aim) -> Fault {
        let (scales, losses) = match aim {
            Aim::Scaling => (450, 50),
            Aim::Losses => (50, 500),
            Aim::All => (150, 250),
        };
        let chosen = self.chance.below(1000);
        if chosen < scales {
            return self.scale();
        }
        if chosen < scales + losses {
            return self.loss();
        }
        match self.chance.below(10) {
            0 => Fault::ApiDown {
                for_ms: self.for_ms(),
            },
            1 | 2 => Fault::MovePod {
                ordinal: self.ordinal(),
                down_ms: self.down_ms(),
                stale_ms: *self.chance.pick(&[0, 1_000, 10_000]),
            },
            3 => Fault::SwapVolumes {
                one: self.ordinal(),
                other: self.ordinal(),
                for_ms: self.for_ms(),
            },
            _ => self.common(),
        }
    }

    /// Mostly up and down in turn; now and then anything.
    fn scale(&mut self) -> Fault {
        if self.chance.per_mille(200) {
            let size = self.chance.between(1, PODS_MAX as u64) as u32;
            return Fault::Scale { size };
        }
        self.step = (self.step + 1) % SIZES.len();
        Fault::Scale {
            size: SIZES[self.step],
        }
    }

    fn loss(&mut self) -> Fault {
        let ordinal = self.ordinal();
        if self.chance.per_mille(600) {
            let down_ms = self.down_ms();
            return Fault::LosePod { ordinal, down_ms };
        }
        Fault::Namesake {
            ordinal,
            is_cut: self.chance.per_mille(700),
            for_ms: *self.chance.pick(&[1_000, 4_000, 9_000]),
        }
    }

    fn common(&mut self) -> Fault {
        let host = self.machine();
        match self.chance.below(9) {
            0 | 1 => Fault::Kill {
                host,
                down_ms: self.down_ms(),
            },
            2 => Fault::PowerLoss {
                host,
                loss: Loss::Seeded(self.chance.draw()),
                down_ms: self.down_ms(),
            },
            3 => Fault::PowerLossAll {
                loss: Loss::DropUnsynced,
                down_ms: self.down_ms(),
            },
            4 => Fault::PowerLossInside {
                host,
                calls: self.chance.between(0, 40),
                loss: Loss::Seeded(self.chance.draw()),
            },
            5 => Fault::Pause {
                host,
                for_ms: self.for_ms(),
            },
            6 => Fault::Partition {
                group: self.chance.below(1 << (PODS_MAX + SPARE)),
                resets: self.chance.per_mille(500),
                for_ms: self.for_ms(),
            },
            7 => Fault::OneWay {
                host,
                is_deaf: self.chance.per_mille(500),
                for_ms: self.for_ms(),
            },
            _ => Fault::Purge { host },
        }
    }

    /// Low ones more often: there are always some.
    fn ordinal(&mut self) -> usize {
        *self.chance.pick(&[0, 0, 1, 1, 2, 2, 3, 4])
    }

    fn machine(&mut self) -> usize {
        match self.chance.per_mille(800) {
            true => self.ordinal(),
            false => PODS_MAX + self.chance.below(SPARE as u64) as usize,
        }
    }

    fn down_ms(&mut self) -> u64 {
        *self.chance.pick(&[100, 500, 1_500, 4_000])
    }

    fn for_ms(&mut self) -> u64 {
        *self.chance.pick(&[200, 700, 1_500, 3_000, 8_000])
    }
}
