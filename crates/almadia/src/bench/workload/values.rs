//! Random numbers, and the values that are made of them.

use std::sync::Arc;

/// Random bytes that values are cut from when they are to be compressible.
const POOL_BYTES: usize = 1 << 16;

/// A small generator (splitmix64): its only task is to spread calls over keys and to fill values.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// Where values come from.
#[derive(Clone, Debug)]
pub enum Values {
    /// Each is random from its first byte to its last: no compression gains anything, within a value or across values.
    /// Costs about a nanosecond for eight bytes.
    Random,
    /// Each is cut from the same random bytes: compression across values gains something.
    Compressible(Arc<[u8]>),
}

impl Values {
    /// Values of at most `value_bytes` that compression across values can make smaller.
    pub fn compressible(value_bytes: usize) -> Self {
        let mut pool = vec![0; POOL_BYTES.max(2 * value_bytes)];
        Self::Random.fill(&mut Random(7), &mut pool);
        Self::Compressible(pool.into())
    }

    /// Writes a value into `value`, which it fills.
    pub fn fill(&self, random: &mut Random, value: &mut [u8]) {
        match self {
            Self::Random => {
                let mut words = value.chunks_exact_mut(8);
                for word in &mut words {
                    word.copy_from_slice(&random.next().to_le_bytes());
                }
                let rest = words.into_remainder();
                let last = random.next().to_le_bytes();
                rest.copy_from_slice(&last[..rest.len()]);
            }
            Self::Compressible(pool) => {
                let start = random.below((pool.len() - value.len()) as u64) as usize;
                value.copy_from_slice(&pool[start..start + value.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn random_numbers_spread() {
        let mut random = Random(1);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }

    /// How many positions of 256 KiB of values repeat the eight bytes of an earlier one, which is what LZ4 and its kin
    /// live on.
    fn repeats(values: &Values) -> usize {
        let mut random = Random(3);
        let mut block = vec![0; 256 * 1024];
        block
            .chunks_mut(256)
            .for_each(|value| values.fill(&mut random, value));
        let positions = block.len() - 7;
        let distinct: BTreeSet<&[u8]> = block.windows(8).collect();
        positions - distinct.len()
    }

    /// Promise: a store gains nothing by compressing values, unless that was asked for.
    #[test]
    fn values_do_not_repeat_unless_asked_for() {
        assert_eq!(repeats(&Values::Random), 0);
        assert!(repeats(&Values::compressible(256)) > 100_000);
    }

    #[test]
    fn values_of_all_sizes_are_filled() {
        for values in [Values::Random, Values::compressible(60_000)] {
            let mut random = Random(1);
            for bytes in [1, 7, 8, 9, 60_000] {
                let (mut one, mut other) = (vec![0; bytes], vec![0; bytes]);
                values.fill(&mut random, &mut one);
                values.fill(&mut random, &mut other);
                assert!(bytes < 7 || one != other, "{bytes}");
            }
        }
    }
}
