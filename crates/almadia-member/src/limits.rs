//! Bounds on what a member holds: the memory it may use and the operator's quota. When one is reached, the gate refuses what
//! stores data; when there is room again, by deletions and compaction, it opens by itself.
//!
//! Measures nothing itself and applies to proposing only, never to what is in the log.

use crate::gate::{Limit, SpaceGate};

/// The gate closes when this much of the memory is used, in hundredths: what is in flight and what the next checkpoint
/// and reads need must fit into the rest.
const MEMORY_PERCENT: u64 = 85;

/// A limit is far when less than this much of it is used, in hundredths.
const FAR_PERCENT: u64 = 70;

/// What a member may hold. The default is no bound.
#[derive(Default)]
pub struct Limits {
    /// Bytes of live keys and values at most (`--quota-backend-bytes`).
    pub live_bytes_max: Option<u64>,
    /// Memory at most.
    pub memory: Option<MemoryBudget>,
}

/// How much memory this member may use, and how to find out how much it does.
pub struct MemoryBudget {
    /// Bytes at most.
    pub bytes_max: u64,
    /// Bytes in use now; `None` when the system does not tell.
    pub used: Box<dyn Fn() -> Option<u64> + Send + Sync>,
}

impl Limits {
    /// Sets the gate by what is held now. Whether all limits are far.
    pub(crate) fn look(&self, gate: &SpaceGate, live_bytes: u64) -> bool {
        let quota = self.live_bytes_max.map(|max| (Limit::Quota, live_bytes, max));
        let memory = self.memory.as_ref().and_then(|budget| {
            let used = (budget.used)()?;
            Some((Limit::Memory, used, budget.bytes_max / 100 * MEMORY_PERCENT))
        });
        let mut is_far = true;
        for (limit, used, max) in quota.into_iter().chain(memory) {
            let was_reached = gate.is_reached(limit);
            let is_reached = is_reached(used, max, was_reached);
            gate.set_reached(limit, is_reached);
            if is_reached != was_reached {
                tell(limit, is_reached, used, max);
            }
            is_far &= used < max / 100 * FAR_PERCENT;
        }
        is_far
    }
}

/// It takes a sixteenth less to open the gate than to keep it open: it shall not flap.
fn is_reached(used: u64, max: u64, was_reached: bool) -> bool {
    let opens_below = if was_reached { max - max / 16 } else { max };
    used >= opens_below
}

fn tell(limit: Limit, is_reached: bool, used: u64, max: u64) {
    match (limit, is_reached) {
        (Limit::Memory, true) => tracing::error!(
            used_bytes = used,
            max_bytes = max,
            "memory is nearly full: puts are refused until keys are deleted and compacted, or there is more"
        ),
        (Limit::Quota, true) => tracing::error!(
            used_bytes = used,
            max_bytes = max,
            "the quota of --quota-backend-bytes is reached: puts are refused until keys are deleted"
        ),
        (Limit::Memory, false) => {
            tracing::info!(used_bytes = used, "there is memory again: writes are accepted");
        }
        (Limit::Quota, false) => {
            tracing::info!(used_bytes = used, "the quota has room again: writes are accepted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_limit_closes_at_once_and_opens_a_little_later() {
        assert!(!is_reached(99, 100, false) && is_reached(100, 100, false));
        assert!(is_reached(94, 100, true) && !is_reached(93, 100, true));
        assert!(is_reached(0, 0, false), "nothing at all may be stored");
    }

    #[test]
    fn each_limit_is_looked_at() {
        let used = Arc::new(AtomicU64::new(0));
        let seen = used.clone();
        let limits = Limits {
            live_bytes_max: Some(1000),
            memory: Some(MemoryBudget {
                bytes_max: 10_000,
                used: Box::new(move || Some(seen.load(Ordering::Relaxed))),
            }),
        };
        let gate = SpaceGate::default();
        assert!(limits.look(&gate, 699) && !gate.is_closed());
        assert!(!limits.look(&gate, 701) && !gate.is_closed());
        assert!(!limits.look(&gate, 1000) && gate.is_reached(Limit::Quota));
        used.store(8500, Ordering::Relaxed);
        limits.look(&gate, 0);
        assert!(gate.is_reached(Limit::Memory) && !gate.is_reached(Limit::Quota));
        used.store(7000, Ordering::Relaxed);
        limits.look(&gate, 0);
        assert!(!gate.is_closed());
        assert!(Limits::default().look(&gate, u64::MAX) && !gate.is_closed());
    }
}
