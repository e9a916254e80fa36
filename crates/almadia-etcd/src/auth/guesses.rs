//! Password guessing, slowed down: who has failed too often waits before another password is looked at, by user and address,
//! by address, and by user from anywhere.
//!
//! A refused login costs no hashing. What is remembered has a bound; what is forgotten first is what has been quiet longest.

use crate::error::Fault;
use prometheus::IntCounter;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Names and addresses remembered at most.
const REMEMBERED_MAX: usize = 16 * 1024;

/// An address may fail this often for each user it may fail at: others may sit behind the same one.
const PER_ADDRESS: u32 = 10;

/// A user may be failed at from anywhere this often for each address: more would let anybody lock the user out.
const PER_USER: u32 = 100;

/// Failed logins, lately.
#[derive(Debug)]
pub(crate) struct Guesses {
    /// Failures of one user at one address in a minute; 0 is no bound.
    failures_max: u32,
    refused: IntCounter,
    recent: Mutex<BTreeMap<Key, Failures>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Pair(String, Option<IpAddr>),
    Address(IpAddr),
    User(String),
}

/// Failures, each of which is forgiven with time.
#[derive(Debug)]
struct Failures {
    count: f64,
    since: Instant,
}

impl Guesses {
    pub(crate) fn new(failures_max: u32, refused: IntCounter) -> Self {
        Self {
            failures_max,
            refused,
            recent: Mutex::default(),
        }
    }

    /// Whether a password of this user may be looked at now, for somebody at this address.
    ///
    /// # Errors
    /// Too many were wrong lately.
    pub(crate) fn permit(&self, user: &str, address: Option<IpAddr>, now: Instant) -> Result<(), Fault> {
        if self.failures_max == 0 {
            return Ok(());
        }
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, max) in self.keys(user, address) {
            let count = recent.get(&key).map_or(0.0, |failures| failures.left(max, now));
            if count + 1.0 > f64::from(max) {
                self.refused.inc();
                return Err(Fault::TooManyLogins);
            }
        }
        Ok(())
    }

    /// Notes a password that was wrong.
    pub(crate) fn note_wrong(&self, user: &str, address: Option<IpAddr>, now: Instant) {
        if self.failures_max == 0 {
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, max) in self.keys(user, address) {
            if recent.len() >= REMEMBERED_MAX && !recent.contains_key(&key) {
                forget(&mut recent, now);
            }
            let failures = recent.entry(key).or_insert(Failures {
                count: 0.0,
                since: now,
            });
            failures.count = failures.left(max, now) + 1.0;
            failures.since = now;
        }
    }

    fn keys(&self, user: &str, address: Option<IpAddr>) -> impl Iterator<Item = (Key, u32)> {
        // Names that are none must not fill the memory by their length.
        let user: String = user.chars().take(128).collect();
        let max = self.failures_max;
        let by_address = address.map(|address| (Key::Address(address), max.saturating_mul(PER_ADDRESS)));
        [
            (Key::Pair(user.clone(), address), max),
            (Key::User(user), max.saturating_mul(PER_USER)),
        ]
        .into_iter()
        .chain(by_address)
    }
}

impl Failures {
    /// What is not forgiven yet: all of `max` are after a minute.
    fn left(&self, max: u32, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(self.since).as_secs_f64() / 60.0;
        (self.count - minutes * f64::from(max)).max(0.0)
    }
}

/// Makes room: what is older than a minute counts no more; else the oldest quarter goes.
fn forget(recent: &mut BTreeMap<Key, Failures>, now: Instant) {
    let age = |failures: &Failures| now.saturating_duration_since(failures.since);
    recent.retain(|_, failures| age(failures) < Duration::from_secs(60));
    if recent.len() < REMEMBERED_MAX {
        return;
    }
    let mut ages: Vec<Duration> = recent.values().map(age).collect();
    ages.sort_unstable();
    let oldest = ages[ages.len() / 4 * 3];
    recent.retain(|_, failures| age(failures) < oldest);
    // All of one age: which go does not matter.
    while recent.len() >= REMEMBERED_MAX {
        recent.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn guesses(failures_max: u32) -> Guesses {
        Guesses::new(failures_max, Metrics::default().bounds.logins_refused)
    }

    /// Wrong passwords until none is looked at.
    fn wrong_until_refused(guesses: &Guesses, user: &str, address: Option<IpAddr>, now: Instant) -> usize {
        (0..100_000)
            .find(|_| {
                let refused = guesses.permit(user, address, now).is_err();
                if !refused {
                    guesses.note_wrong(user, address, now);
                }
                refused
            })
            .expect("there is an end")
    }

    #[test]
    fn guessing_is_slowed_down_and_others_are_not() {
        let (guesses, start) = (guesses(10), Instant::now());
        let address = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
        assert_eq!(wrong_until_refused(&guesses, "root", address(1), start), 10);
        assert!(
            guesses.permit("root", address(2), start).is_ok(),
            "from elsewhere"
        );
        assert!(guesses.permit("ann", address(1), start).is_ok(), "somebody else");
        let later = start + Duration::from_secs(6);
        assert_eq!(
            wrong_until_refused(&guesses, "root", address(1), later),
            1,
            "one is forgiven"
        );
        let much_later = start + Duration::from_secs(120);
        assert_eq!(wrong_until_refused(&guesses, "root", address(1), much_later), 10);
        assert!(guesses.refused.get() > 2);
    }

    #[test]
    fn many_names_from_one_address_and_one_name_from_many_are_slowed_down_too() {
        let (guesses, start) = (guesses(10), Instant::now());
        let address = Some(IpAddr::from([10, 0, 0, 1]));
        let names = (0..1000).take_while(|name| {
            let name = format!("user{name}");
            guesses.note_wrong(&name, address, start);
            guesses.permit(&name, address, start).is_ok()
        });
        assert_eq!(names.count(), 99);
        let from = |number: u32| Some(IpAddr::from(number.to_be_bytes()));
        let addresses = (1000..10_000).take_while(|number| {
            guesses.note_wrong("root", from(*number), start);
            guesses.permit("root", from(*number), start).is_ok()
        });
        assert_eq!(addresses.count(), 999);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let (guesses, start) = (guesses(10), Instant::now());
        for number in 0..40_000u32 {
            guesses.note_wrong(
                &number.to_string(),
                Some(IpAddr::from(number.to_be_bytes())),
                start,
            );
        }
        assert!(guesses.recent.lock().unwrap().len() <= REMEMBERED_MAX);
        let off = super::tests::guesses(0);
        off.note_wrong("root", None, start);
        assert!(off.recent.lock().unwrap().is_empty());
    }
}
