//! Draws a list of faults from a seed: which kinds, how often, how many at once. It does nothing.

use super::directed::directed;
use super::{Fault, Planned};
use crate::chance::Chance;
use almadia_disk::Loss;

/// The kinds there are to draw from.
const KINDS: u64 = 26;

/// Kinds that leave a disk that cannot be trusted. One such machine at a time, and the next only when the first has been
/// replaced: more is more than any majority can bear.
const REPLACE_PAUSE_MS: u64 = 25_000;

/// Everything that happens in a run.
pub fn draw(seed: u64, size: usize, machines: usize, from_ms: u64, until_ms: u64) -> Vec<Planned> {
    if let Some(directed) = directed(seed, size, from_ms, until_ms) {
        return directed;
    }
    let mut chance = Chance::new(seed, "faults");
    let kinds: Vec<u64> = (0..KINDS).filter(|_| chance.per_mille(350)).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let gap_ms = *chance.pick(&[400, 1_000, 2_500, 6_000]);
    let mut drawing = Drawing {
        chance,
        size,
        machines,
        lasting_after_ms: from_ms,
    };
    let mut planned = Vec::new();
    let mut at_ms = from_ms;
    loop {
        at_ms += drawing.chance.between(1, 2 * gap_ms);
        if at_ms >= until_ms {
            return planned;
        }
        let kind = *drawing.chance.pick(&kinds);
        if let Some(fault) = drawing.fault(kind, at_ms) {
            planned.push(Planned { at_ms, fault });
        }
    }
}

struct Drawing {
    chance: Chance,
    size: usize,
    machines: usize,
    lasting_after_ms: u64,
}

impl Drawing {
    fn host(&mut self) -> usize {
        self.chance.below(self.size as u64) as usize
    }

    fn down_ms(&mut self) -> u64 {
        *self.chance.pick(&[100, 500, 1_500, 4_000, 10_000])
    }

    fn for_ms(&mut self) -> u64 {
        *self.chance.pick(&[200, 700, 1_500, 3_000, 8_000])
    }

    fn loss(&mut self) -> Loss {
        match self.chance.below(4) {
            0 => Loss::DropUnsynced,
            1 => Loss::KeepAll,
            _ => Loss::Seeded(self.chance.draw()),
        }
    }

    /// Whether a machine may be lost for good now.
    fn may_last(&mut self, at_ms: u64) -> bool {
        if self.size < 3 || at_ms < self.lasting_after_ms {
            return false;
        }
        self.lasting_after_ms = at_ms + REPLACE_PAUSE_MS;
        true
    }

    fn fault(&mut self, kind: u64, at_ms: u64) -> Option<Fault> {
        let host = self.host();
        Some(match kind {
            0 | 1 => Fault::Kill {
                host,
                down_ms: self.down_ms(),
            },
            2 | 3 => Fault::PowerLoss {
                host,
                loss: self.loss(),
                down_ms: self.down_ms(),
            },
            4 => Fault::PowerLossAll {
                loss: self.loss(),
                down_ms: self.down_ms(),
            },
            5 => Fault::PowerLossInside {
                host,
                calls: self.chance.between(0, 40),
                loss: self.loss(),
            },
            6 => Fault::Pause {
                host,
                for_ms: self.for_ms(),
            },
            7 | 8 => return self.partition(host),
            9 => Fault::OneWay {
                host,
                is_deaf: self.chance.per_mille(500),
                for_ms: self.for_ms(),
            },
            10 => Fault::Reset { host },
            11 => Fault::LossyNetwork {
                per_mille: self.chance.between(10, 300),
                for_ms: self.for_ms(),
            },
            12 => Fault::SlowNetwork {
                spread_ms: *self.chance.pick(&[20, 60, 200]),
                for_ms: self.for_ms(),
            },
            _ => return self.more(kind, host, at_ms),
        })
    }

    fn partition(&mut self, host: usize) -> Option<Fault> {
        let for_ms = self.for_ms();
        if self.size > 2 && self.chance.per_mille(250) {
            let other = (host + 1 + self.chance.below(self.size as u64 - 1) as usize) % self.size;
            return Some(Fault::Link {
                one: host,
                other,
                for_ms,
            });
        }
        Some(Fault::Partition {
            group: self.chance.below(1 << self.machines),
            resets: self.chance.per_mille(500),
            for_ms,
        })
    }

    fn more(&mut self, kind: u64, host: usize, at_ms: u64) -> Option<Fault> {
        let for_ms = self.for_ms();
        Some(match kind {
            13 => Fault::SlowDisk {
                host,
                sync_ms: *self.chance.pick(&[20, 100, 600]),
                for_ms,
            },
            14 => Fault::FullDisk { host, for_ms },
            15 => Fault::WriteError {
                host,
                skip: self.chance.below(20),
            },
            16 => Fault::SyncError {
                host,
                skip: self.chance.below(10),
            },
            17 => Fault::ReadError {
                host,
                skip: self.chance.below(4),
            },
            18 if self.may_last(at_ms) => Fault::MisdirectedWrite { host },
            19 if self.may_last(at_ms) => Fault::BitFlip {
                host,
                choice: self.chance.draw(),
            },
            20 => Fault::ClockRate {
                host,
                ppm: *self.chance.pick(&[-200_000, -20_000, 20_000, 200_000]),
                for_ms: for_ms * 3,
            },
            21 => Fault::ClockLeap {
                host,
                by_ms: *self.chance.pick(&[100, 1_000, 3_600_000]),
            },
            22 => Fault::Purge { host },
            23 => Fault::Transfer { to: host },
            24 if self.chance.per_mille(500) => Fault::Restart {
                host,
                down_ms: self.down_ms(),
            },
            24 if self.may_last(at_ms) => Fault::Replace { host },
            25 if self.chance.per_mille(500) => Fault::Grow,
            25 => Fault::Shrink {
                host: self.chance.below(self.machines as u64) as usize,
            },
            _ => return None,
        })
    }
}
