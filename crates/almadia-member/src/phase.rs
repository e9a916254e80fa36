//! What a member is doing, in one word: for metrics and the people who read them. Decides nothing.

use crate::member::Member;

/// From an empty directory to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has no cluster, and waits to found one with the others.
    Founding,
    /// It has no cluster, and waits to be let into one.
    Admission,
    /// It belongs to a cluster and reads its log and store.
    Starting,
    /// It receives and has no vote yet.
    Learner,
    /// It takes part.
    Member,
    /// A stop was asked for.
    Stopping,
    /// A stop was asked for and there are to be fewer members: it is taken out first.
    Leaving,
    /// It was removed, or another has taken its place.
    Removed,
}

impl Phase {
    /// All of them, in their usual order.
    pub const ALL: [Self; 8] = [
        Self::Founding,
        Self::Admission,
        Self::Starting,
        Self::Learner,
        Self::Member,
        Self::Stopping,
        Self::Leaving,
        Self::Removed,
    ];

    /// Its name, as metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Founding => "founding",
            Self::Admission => "admission",
            Self::Starting => "starting",
            Self::Learner => "learner",
            Self::Member => "member",
            Self::Stopping => "stopping",
            Self::Leaving => "leaving",
            Self::Removed => "removed",
        }
    }
}

impl Member {
    /// What this member is doing, once it belongs to a cluster and runs.
    pub fn phase(&self) -> Phase {
        if *self.inner.removed.borrow() {
            Phase::Removed
        } else if self.is_stopping() && self.is_surplus() {
            Phase::Leaving
        } else if self.is_stopping() {
            Phase::Stopping
        } else if self.is_learner() {
            Phase::Learner
        } else {
            Phase::Member
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_have_the_same_name() {
        let names: std::collections::BTreeSet<_> = Phase::ALL.into_iter().map(Phase::name).collect();
        assert_eq!(names.len(), Phase::ALL.len());
    }
}
