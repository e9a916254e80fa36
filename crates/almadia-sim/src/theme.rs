//! What a seed is about, where that takes faults and clients that fit together: three of twenty seeds have a theme, all others draw
//! whatever comes.

/// Seeds come in rounds of so many.
const ROUND: u64 = 20;

/// These of each round have a theme.
const THEMED: std::ops::RangeInclusive<u64> = 9..=11;

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// A member loses power right after it has given its vote.
    Votes,
    /// A bit turns over in the midst of the newest log.
    LogRot,
    /// A bit turns over in what a member restores its state from.
    SegmentRot,
    /// Whoever leads and keeps the leases is cut off, and clients of both sides keep theirs alive.
    Leases,
    /// Watchers follow a member that misses so much that it gets a snapshot; they ask for progress and for the oldest revision.
    Watches,
    /// Clients read from a member that comes back and hears of the others late.
    Restarts,
}

impl Theme {
    /// All of them.
    pub const ALL: [Theme; 6] = [
        Theme::Votes,
        Theme::LogRot,
        Theme::SegmentRot,
        Theme::Leases,
        Theme::Watches,
        Theme::Restarts,
    ];

    /// A seed's theme.
    pub fn of(seed: u64) -> Option<Self> {
        let place = THEMED
            .contains(&(seed % ROUND))
            .then(|| seed % ROUND - THEMED.start())?;
        let number = seed / ROUND * 3 + place;
        Some(Self::ALL[number as usize % Self::ALL.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_twenty_seeds_have_a_theme_and_forty_have_all() {
        let themes: Vec<Theme> = (0..40).filter_map(Theme::of).collect();
        assert_eq!(themes, Theme::ALL);
    }
}
