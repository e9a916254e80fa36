//! Sets of revisions in two numbers, so that what watchers were told can be compared with what was written.

/// How many revisions there were, and which: two tallies with the same count and sum are of the same revisions, but for one
/// chance in 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    sum: u64,
}

impl Tally {
    /// Counts a revision, in any order.
    pub fn add(&mut self, revision: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed(revision));
    }

    /// Counts all of another's.
    pub fn add_all(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// Spreads a number over all 64 bits (the finish of splitmix64), so that sums of different sets differ.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(revisions: &[u64]) -> Tally {
        let mut tally = Tally::default();
        revisions.iter().for_each(|revision| tally.add(*revision));
        tally
    }

    #[test]
    fn the_order_does_not_matter_and_the_revisions_do() {
        assert_eq!(tally(&[5, 9, 7]), tally(&[7, 5, 9]));
        assert_ne!(tally(&[5, 9, 7]), tally(&[5, 8, 8]));
        assert_ne!(tally(&[5, 9]), tally(&[5, 9, 9]));
        let mut sum = tally(&[1, 2]);
        sum.add_all(tally(&[3]));
        assert_eq!(sum, tally(&[1, 2, 3]));
    }
}
