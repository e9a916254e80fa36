//! Many leases expire together, each with a key, while clients write.
//!
//! They are granted and then all renewed in one go, so that they are due within the time that the renewals took. The other
//! leases only exist.

use std::time::{Duration, Instant};

use super::{Course, Disturber, Done};
use crate::bench::slice::complete;
use crate::bench::workload::leases::{Action, LEASED_PREFIX, LEASED_PREFIX_END, Pass};
use crate::commands::error::CommandError;
use crate::commands::global::Address;

/// Clients that grant, attach, renew and revoke.
const PASS_CLIENTS: usize = 64;
/// Time to live of the leases that do not expire.
const LASTING_TTL_SECONDS: u64 = 3600;
/// Leases that every server surely grants, attaches and renews in a second.
const PASSES_PER_SECOND: u64 = 1_500;
/// Pause between two looks whether the leases have gone.
const LOOK: Duration = Duration::from_millis(100);

/// Lets leases expire.
pub struct LeaseExpiry {
    /// Leases that last.
    lasting: u64,
    /// Leases that expire in each round.
    due: u64,
    /// The first lease of all; the lasting ones come first, then those of each round.
    first: u64,
    rounds: u64,
    due_at: Option<Instant>,
}

impl LeaseExpiry {
    /// `due` of `leases` leases expire together. `seed` makes their ids differ from those of an earlier run.
    pub fn new(leases: u64, due: u64, seed: u64) -> Self {
        Self {
            lasting: leases - due,
            due,
            first: (seed & ((1 << 50) - 1)) + 1,
            rounds: 0,
            due_at: None,
        }
    }
}

impl Disturber for LeaseExpiry {
    fn prepare(&mut self, course: &Course<'_>) -> Result<(), CommandError> {
        eprintln!(
            "{}: granting {} leases",
            course.target.name,
            self.lasting + self.due
        );
        if self.rounds == 0 {
            let ttl_seconds = LASTING_TTL_SECONDS;
            pass(
                Action::Grant { ttl_seconds },
                self.first,
                self.lasting,
                &course.places,
            )?;
        }
        let first = self.first + self.lasting + self.rounds * self.due;
        self.rounds += 1;
        let ttl_seconds = ttl_seconds(course.warm_up + course.duration, self.due);
        pass(Action::Grant { ttl_seconds }, first, self.due, &course.places)?;
        pass(Action::Attach, first, self.due, &course.places)?;
        let renewed_from = Instant::now();
        let ttl_seconds = pass(Action::Renew, first, self.due, &course.places)?;
        let due_at = renewed_from + Duration::from_secs(ttl_seconds);
        if Instant::now() + course.warm_up + course.duration > due_at {
            return Err(CommandError::failed(format!(
                "{} renews leases too slowly: the first would expire before writes were measured",
                course.target.name
            )));
        }
        self.due_at = Some(due_at);
        Ok(())
    }

    fn begins_at(&self) -> Option<Instant> {
        self.due_at
    }

    fn disturb(&mut self, course: &Course<'_>) -> Result<Done, CommandError> {
        let until = Instant::now() + course.done_max;
        loop {
            let keys = course.target.count((LEASED_PREFIX, LEASED_PREFIX_END));
            if course.runtime.block_on(keys)? == 0 {
                return Ok(Done::now());
            }
            if Instant::now() >= until {
                return Ok(Done::given_up());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn clean_up(&mut self, places: &[Address]) -> Result<(), CommandError> {
        // Left alone they would all expire together in the middle of a later measurement.
        pass(Action::Revoke, self.first, self.lasting, places).map(|_| ())
    }
}

/// A time to live that lasts until leases are granted, attached and renewed, and from then on until writes were measured
/// for `quiet`.
fn ttl_seconds(quiet: Duration, due: u64) -> u64 {
    let until_renewed = 4 + due / PASSES_PER_SECOND;
    (quiet.as_secs() + 3).max(until_renewed)
}

/// Does something with `count` leases; the longest time to live that was told.
fn pass(action: Action, first: u64, count: u64, places: &[Address]) -> Result<u64, CommandError> {
    let mut pass = Pass::new(action, first, count, PASS_CLIENTS);
    let load = complete(&mut pass, places, PASS_CLIENTS);
    match load.failures.iter().next() {
        None => Ok(pass.ttl_seconds),
        Some((reason, count)) => Err(CommandError::failed(format!(
            "leases, {action:?}: {count} × {reason}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_leave_time_for_everything() {
        assert_eq!(ttl_seconds(Duration::from_millis(3_500), 1_000), 6);
        assert_eq!(ttl_seconds(Duration::from_millis(3_500), 10_000), 10);
        assert_eq!(ttl_seconds(Duration::from_secs(30), 10_000), 33);
    }
}
