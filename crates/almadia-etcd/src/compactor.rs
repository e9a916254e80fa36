//! Compaction by itself (`--auto-compaction-mode`, `--auto-compaction-retention`, row B11.2), with etcd's schedules: by age or by
//! number of revisions. The leader proposes it like a client would, through the log; every other member only keeps count, to
//! go on where a leader stops.

use crate::backend::Backend;
use almadia_command::{Actor, Command, Compact, Kind, Revision};
use almadia_store::Refusal;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two compactions by revision, as in etcd.
const REVISION_PAUSE: Duration = Duration::from_secs(5 * 60);

/// By age: however long history is kept, it is compacted this often, as in etcd.
const PERIOD_MAX: Duration = Duration::from_secs(60 * 60);

/// By age: looks in one period.
const LOOKS: u32 = 10;

/// Which history is dropped without anybody asking for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoCompaction {
    /// None.
    #[default]
    Off,
    /// What is older than this.
    Age(Duration),
    /// All but so many revisions.
    Revisions(i64),
}

/// When to compact, and up to where. It reads no clock and proposes nothing.
#[derive(Debug)]
struct Schedule {
    kind: AutoCompaction,
    /// By age: what the revision was at the last looks, oldest first; the first is one age ago once there are enough.
    seen: VecDeque<Revision>,
    last_revision: Revision,
    last_success: Instant,
    has_compacted: bool,
}

impl Schedule {
    fn new(kind: AutoCompaction, now: Instant) -> Self {
        Self {
            kind,
            seen: VecDeque::new(),
            last_revision: Revision(0),
            last_success: now,
            has_compacted: false,
        }
    }

    /// How long to wait until the next look; none when there is nothing to look for.
    fn pause(&self) -> Option<Duration> {
        match self.kind {
            AutoCompaction::Off => None,
            AutoCompaction::Age(age) => Some(age.min(PERIOD_MAX) / LOOKS),
            AutoCompaction::Revisions(_) => Some(REVISION_PAUSE),
        }
    }

    /// Keeps count of the revision; before each pause.
    fn note(&mut self, revision: Revision) {
        let AutoCompaction::Age(age) = self.kind else {
            return;
        };
        let pause = age.min(PERIOD_MAX) / LOOKS;
        let looks = age.as_nanos() / pause.as_nanos().max(1) + 1;
        self.seen.push_back(revision);
        while self.seen.len() as u128 > looks {
            self.seen.pop_front();
        }
    }

    /// What to compact to; after each pause.
    fn due(&self, revision: Revision, now: Instant) -> Option<Revision> {
        let (target, is_time) = match self.kind {
            AutoCompaction::Off => return None,
            AutoCompaction::Revisions(kept) => (Revision(revision.get() - kept), true),
            AutoCompaction::Age(age) => {
                // The first time only once history is as old as it may get.
                let interval = if self.has_compacted {
                    age.min(PERIOD_MAX)
                } else {
                    age
                };
                let is_time = now.saturating_duration_since(self.last_success) >= interval;
                (*self.seen.front()?, is_time)
            }
        };
        (is_time && target > Revision(0) && target != self.last_revision).then_some(target)
    }

    fn done(&mut self, target: Revision, now: Instant) {
        self.last_revision = target;
        self.last_success = now;
        self.has_compacted = true;
    }
}

/// Compacts for as long as it is polled.
pub(crate) async fn run<B: Backend>(backend: Arc<B>, kind: AutoCompaction) {
    let mut schedule = Schedule::new(kind, now());
    while let Some(pause) = schedule.pause() {
        schedule.note(backend.view().revision());
        tokio::time::sleep(pause).await;
        if !backend.status().is_leader {
            continue;
        }
        let Some(target) = schedule.due(backend.view().revision(), now()) else {
            continue;
        };
        let command = Command {
            kind: Some(Kind::Compact(Compact {
                revision: target.get(),
                physical: false,
            })),
            actor: Some(Actor::internal()),
        };
        match backend.propose(command).await {
            Ok(applied) => match applied.outcome.result {
                Ok(_) | Err(Refusal::Compacted) => {
                    schedule.done(target, now());
                    tracing::info!(revision = target.get(), "compacted by itself");
                }
                Err(refusal) => tracing::warn!(revision = target.get(), %refusal, "cannot compact"),
            },
            Err(error) => tracing::warn!(revision = target.get(), ?error, "cannot compact now"),
        }
    }
}

/// tokio's clock, which tests can move.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// Runs a store that writes once a second; says at which second it was compacted to which revision.
    fn compactions(kind: AutoCompaction, seconds: u64) -> Vec<(u64, i64)> {
        let start = Instant::now();
        let mut schedule = Schedule::new(kind, start);
        let (mut second, mut compactions) = (0, Vec::new());
        let pause = schedule.pause().expect("it is on").as_secs();
        while second < seconds {
            schedule.note(Revision(second as i64));
            second += pause;
            let now = start + Duration::from_secs(second);
            if let Some(target) = schedule.due(Revision(second as i64), now) {
                compactions.push((second, target.get()));
                schedule.done(target, now);
            }
        }
        compactions
    }

    #[test]
    fn b11_2_by_age() {
        let age = |seconds| AutoCompaction::Age(Duration::from_secs(seconds));
        // 10 minutes: every 10 minutes, to about 10 minutes ago.
        let short = compactions(age(600), 1800);
        assert_eq!(short, [(720, 60), (1320, 660)]);
        // 3 hours: every hour from the third on, to 3 hours ago.
        let long = compactions(age(3 * HOUR), 6 * HOUR + 1);
        assert_eq!(long.len(), 3);
        for (second, revision) in long {
            let kept = second - u64::try_from(revision).unwrap();
            assert!((3 * HOUR..=3 * HOUR + 360).contains(&kept), "{second} {revision}");
        }
    }

    #[test]
    fn b11_2_by_revisions() {
        let found = compactions(AutoCompaction::Revisions(1000), 1800);
        assert_eq!(found, [(1200, 200), (1500, 500), (1800, 800)]);
    }

    #[test]
    fn nothing_new_is_not_compacted_again() {
        let start = Instant::now();
        let mut schedule = Schedule::new(AutoCompaction::Revisions(10), start);
        assert_eq!(schedule.due(Revision(50), start), Some(Revision(40)));
        schedule.done(Revision(40), start);
        assert_eq!(schedule.due(Revision(50), start), None);
        assert_eq!(Schedule::new(AutoCompaction::Off, start).pause(), None);
    }
}
