//! Where a request's time went: moments to parts, and parts to words. Reads no clock.

use almadia_member::Stages;
use std::time::Duration;
use tokio::time::Instant;

/// The parts of a request's time; together they are all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Until it left this member's queue.
    pub queue: Duration,
    /// Until its entry was synced on this member's disk.
    pub disk: Duration,
    /// Until a majority had it, or had confirmed that the leader leads.
    pub quorum: Duration,
    /// Until it was applied.
    pub apply: Duration,
    /// Reading what was asked for.
    pub read: Duration,
    /// Until the answer was laid down and, for a large one, taken.
    pub send: Duration,
}

/// A part, by its name in logs and metrics.
pub type Part = &'static str;

/// All parts, in the order in which they come.
pub const PARTS: [Part; 6] = ["queue", "disk", "quorum", "apply", "read", "send"];

impl Parts {
    /// Of a write that stands in the log.
    pub(super) fn of_write(begun: Instant, stages: &Stages, ended: Instant) -> Self {
        let mut last = begun;
        // Each ends not before the one before it: this member's own disk may be later than the majority.
        let mut until = |moment: Option<Instant>, latest: Instant| {
            let moment = moment.unwrap_or(last).clamp(last, latest.max(last));
            let part = moment.duration_since(last);
            last = moment;
            part
        };
        let applied = stages.applied.unwrap_or(ended).min(ended);
        let committed = stages.committed.unwrap_or(applied).min(applied);
        let queue = until(stages.entered, committed);
        // To the leader and back: not this member's disk's fault.
        let way = until(stages.received, committed);
        let disk = until(stages.persisted, committed);
        Self {
            queue,
            disk,
            quorum: way + until(Some(committed), committed),
            apply: until(Some(applied), applied),
            read: Duration::ZERO,
            send: until(Some(ended), ended),
        }
    }

    /// Of a read; `answered` is when its answer was there.
    pub(super) fn of_read(
        begun: Instant,
        confirmed: (Instant, Instant),
        answered: Instant,
        ended: Instant,
    ) -> Self {
        Self {
            queue: confirmed.0.saturating_duration_since(begun),
            quorum: confirmed.1.saturating_duration_since(confirmed.0),
            read: answered.saturating_duration_since(confirmed.1),
            send: ended.saturating_duration_since(answered),
            ..Self::default()
        }
    }

    /// Of what neither came to stand in the log nor was confirmed: it waited for a majority, or read at once.
    pub(super) fn of_other(begun: Instant, answered: Instant, ended: Instant, failed: bool) -> Self {
        let until_answered = answered.saturating_duration_since(begun);
        let send = ended.saturating_duration_since(answered);
        if failed {
            Self {
                quorum: until_answered,
                send,
                ..Self::default()
            }
        } else {
            Self {
                read: until_answered,
                send,
                ..Self::default()
            }
        }
    }

    /// Each with its name, in order.
    pub fn each(&self) -> [(Part, Duration); 6] {
        let times = [
            self.queue,
            self.disk,
            self.quorum,
            self.apply,
            self.read,
            self.send,
        ];
        std::array::from_fn(|at| (PARTS[at], times[at]))
    }

    /// The longest.
    pub fn longest(&self) -> Part {
        let longest = self.each().into_iter().max_by_key(|(_, time)| *time);
        longest.map_or(PARTS[0], |(part, _)| part)
    }
}

/// What it means that a part was the longest.
pub fn in_words(part: Part) -> &'static str {
    match part {
        "queue" => "it waited for its turn: nobody led for a while, or more is asked than the log takes",
        "disk" => "this member's disk took long to sync the log",
        "quorum" => "a majority took long to answer",
        "apply" => "it waited to be applied: something large was before it, or it was large itself",
        "read" => "reading took long: many or large keys",
        _ => "the answer was large, or its client took it slowly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[track_caller]
    fn check(stages: [Option<u64>; 5], ended: u64, expected: [u64; 6]) {
        let begun = Instant::now();
        let at = |moment: Option<u64>| moment.map(|after| begun + ms(after));
        let stages = Stages {
            entered: at(stages[0]),
            received: at(stages[1]),
            persisted: at(stages[2]),
            committed: at(stages[3]),
            applied: at(stages[4]),
        };
        let parts = Parts::of_write(begun, &stages, begun + ms(ended));
        assert_eq!(parts.each().map(|(_, time)| time), expected.map(ms));
        let total: Duration = parts.each().iter().map(|(_, time)| *time).sum();
        assert_eq!(total, ms(ended), "nothing is lost");
    }

    #[test]
    fn the_parts_of_a_write() {
        check(
            [Some(5), Some(5), Some(25), Some(125), Some(126)],
            130,
            [5, 20, 100, 1, 0, 4],
        );
        // The majority was quicker than this member's own disk.
        check(
            [Some(5), Some(5), Some(300), Some(25), Some(26)],
            30,
            [5, 20, 0, 1, 0, 4],
        );
        // On a follower: the leader was silent for 400 ms before it sent the entry.
        check(
            [Some(5), Some(405), Some(410), Some(430), Some(431)],
            432,
            [5, 5, 420, 1, 0, 1],
        );
        // What is no longer known counts with what comes after it.
        check(
            [None, None, None, Some(100), Some(101)],
            102,
            [0, 0, 100, 1, 0, 1],
        );
        check([None, None, None, None, None], 50, [0, 0, 50, 0, 0, 0]);
        // The batch it belongs to was begun before it came.
        check(
            [Some(0), Some(0), Some(0), Some(2), Some(400)],
            401,
            [0, 0, 2, 398, 0, 1],
        );
    }

    #[test]
    fn the_parts_of_a_read() {
        let begun = Instant::now();
        let at = |after| begun + ms(after);
        let parts = Parts::of_read(begun, (at(1), at(51)), at(52), at(60));
        assert_eq!(parts.each().map(|(_, time)| time), [1, 0, 50, 0, 1, 8].map(ms));
        assert_eq!(parts.longest(), "quorum");
        let failed = Parts::of_other(begun, at(7000), at(7000), true);
        assert_eq!((failed.quorum, failed.longest()), (ms(7000), "quorum"));
        assert_eq!(Parts::of_other(begun, at(9), at(10), false).longest(), "read");
    }

    #[test]
    fn every_part_has_words_of_its_own() {
        let words: std::collections::BTreeSet<_> = PARTS.into_iter().map(in_words).collect();
        assert_eq!(words.len(), PARTS.len());
    }
}
