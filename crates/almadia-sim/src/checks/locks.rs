//! A lock has one holder at a time, as long as the holder's lease certainly lives. It says nothing about who waited longest.
//!
//! A holder has the lock from the answer on, until it gives it back, its lease is revoked, or the time is over that
//! the lease was last promised for: what comes after that is not promised (and why a lock comes with a fencing token).

use super::leases::Life;
use super::{Findings, Promise};
use crate::history::{Body, History, Outcome, Request, Text};
use std::collections::BTreeMap;

struct Holding<'a> {
    key: &'a Text,
    from_us: u64,
    until_us: u64,
}

/// Checks every lock.
pub(super) fn check(history: &History, findings: &mut Findings) {
    let lives = Life::all(history);
    let mut given_back: BTreeMap<&Text, Vec<u64>> = BTreeMap::new();
    for call in &history.calls {
        if let Request::Unlock { key } = &call.request {
            given_back.entry(key).or_default().push(call.invoked_us);
        }
    }
    let mut locks: BTreeMap<&Text, Vec<Holding>> = BTreeMap::new();
    for call in &history.calls {
        let (Request::Lock { name, lease }, Outcome::Done(answer)) = (&call.request, &call.outcome) else {
            continue;
        };
        let Body::Lock { key } = &answer.body else {
            continue;
        };
        let back = given_back.get(key).into_iter().flatten().copied();
        let back = back.filter(|at| *at >= call.returned_us).min();
        let lease_us = lives.get(lease).map_or(0, Life::certain_until);
        locks.entry(name).or_default().push(Holding {
            key,
            from_us: call.returned_us,
            until_us: lease_us.min(back.unwrap_or(u64::MAX)),
        });
    }
    for (name, mut holdings) in locks {
        holdings.retain(|holding| holding.from_us < holding.until_us);
        holdings.sort_by_key(|holding| holding.from_us);
        let mut longest: Option<&Holding> = None;
        for holding in &holdings {
            if let Some(other) = longest
                && other.key != holding.key
                && holding.from_us < other.until_us
            {
                findings.add(Promise::Locks, || {
                    format!(
                        "{name} was held by {} from {} to {} us and by {} from {} us on",
                        other.key, other.from_us, other.until_us, holding.key, holding.from_us
                    )
                });
            }
            if longest.is_none_or(|other| holding.until_us > other.until_us) {
                longest = Some(holding);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{done, found};
    use crate::history::{Call, Lease};

    const SECOND: u64 = 1_000_000;

    fn grant(lease: Lease, at: u64) -> Call {
        let request = Request::LeaseGrant { lease, ttl_s: 10 };
        done(
            request,
            at * SECOND,
            at * SECOND + 1,
            1,
            Body::Lease { ttl_s: 10 },
        )
    }

    fn lock(lease: Lease, at: u64) -> Call {
        let key = Text::from(format!("l/{lease:x}"));
        let request = Request::Lock {
            name: "l".into(),
            lease,
        };
        done(request, 0, at * SECOND, 9, Body::Lock { key })
    }

    fn unlock(lease: Lease, at: u64) -> Call {
        let key = Text::from(format!("l/{lease:x}"));
        done(
            Request::Unlock { key },
            at * SECOND,
            at * SECOND + 1,
            9,
            Body::Nothing,
        )
    }

    #[track_caller]
    fn check_calls(calls: Vec<Call>, expected: usize) {
        let history = History {
            calls,
            ..History::default()
        };
        assert_eq!(found(|findings| check(&history, findings)), expected);
    }

    #[test]
    fn one_after_the_other_passes() {
        check_calls(
            vec![grant(1, 0), grant(2, 0), lock(1, 1), unlock(1, 3), lock(2, 4)],
            0,
        );
        check_calls(vec![grant(1, 0), grant(2, 5), lock(1, 1), lock(2, 11)], 0);
        let revoke = done(
            Request::LeaseRevoke { lease: 1 },
            2 * SECOND,
            3 * SECOND,
            9,
            Body::Nothing,
        );
        check_calls(vec![grant(1, 0), grant(2, 0), lock(1, 1), revoke, lock(2, 4)], 0);
    }

    #[test]
    fn planted_second_holders_are_found() {
        check_calls(vec![grant(1, 0), grant(2, 0), lock(1, 1), lock(2, 4)], 1);
        check_calls(
            vec![grant(1, 0), grant(2, 0), lock(1, 1), unlock(1, 5), lock(2, 4)],
            1,
        );
        check_calls(
            vec![grant(1, 0), grant(2, 0), lock(2, 1), lock(1, 2), unlock(2, 3)],
            1,
        );
    }
}
