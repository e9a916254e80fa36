//! A lease ends neither before its time nor later than stated, and stays ended. What its keys do at its end is checked by
//! linearizability.
//!
//! A client that asked for a renewal at some time, and was answered, has the lease for its whole TTL from that time on: the
//! renewal happened later than it was asked for. It is gone at the latest a TTL after the answer, and what the rules grant on top
//! (`docs/internals/leases.md`, "The bound").

use super::linear::Order;
use super::{Findings, Promise};
use crate::history::{Answer, Body, Call, Disturbance, History, Lease, Outcome, Refusal, Request};
use std::collections::BTreeMap;

/// How exactly the recorder's clock and the members' measure.
#[derive(Clone, Copy, Debug)]
pub struct LeaseBounds {
    /// A lease may end so much earlier on the recorder's clock: more than 0 only where clocks run at different rates.
    pub early_us: u64,
    /// A lease ends at most so much later while nothing is disturbed: what finding and revoking it takes.
    pub late_us: u64,
}

impl Default for LeaseBounds {
    fn default() -> LeaseBounds {
        LeaseBounds {
            early_us: 0,
            late_us: 2_000_000,
        }
    }
}

/// Microseconds.
type Time = u64;

/// An answer that promised a whole TTL.
pub(super) struct Promised {
    invoked_us: Time,
    returned_us: Time,
    ttl_us: Time,
}

/// All that is known of one lease.
#[derive(Default)]
pub(super) struct Life {
    promised: Vec<Promised>,
    grants: usize,
    /// Renewals without an answer: when the client gave up.
    perhaps_renewed: Vec<Time>,
    /// The first time somebody asked to revoke it, with any outcome.
    revoking: Option<Time>,
    /// The first time it had certainly been revoked.
    revoked: Option<Time>,
    /// It was gone at this time at the latest; said by a call that was invoked at the other.
    gone: Vec<(Time, Time)>,
    /// It was there at this time.
    there: Vec<Time>,
}

impl Life {
    /// From calls alone.
    pub(super) fn all(history: &History) -> BTreeMap<Lease, Life> {
        let mut lives: BTreeMap<Lease, Life> = BTreeMap::new();
        for call in &history.calls {
            note(call, &mut lives);
        }
        lives
    }

    /// Its clients may rely on it up to this time.
    pub(super) fn certain_until(&self) -> Time {
        let ends = self
            .promised
            .iter()
            .map(|promised| promised.invoked_us + promised.ttl_us);
        ends.max().unwrap_or(0).min(self.revoking.unwrap_or(Time::MAX))
    }
}

/// Checks every lease that was granted once.
pub(super) fn check(history: &History, order: &Order, bounds: LeaseBounds, findings: &mut Findings) {
    let mut lives = Life::all(history);
    for (revision, lease) in order.lease_ends() {
        let life = lives.entry(lease).or_default();
        let latest_us = order.latest_us(revision);
        if latest_us < Time::MAX {
            life.gone.push((latest_us, Time::MAX));
        }
        life.there.push(order.earliest_us(revision));
    }
    for (lease, life) in &lives {
        // An id that was granted twice has two lives that answers do not tell apart.
        if life.grants > 1 {
            continue;
        }
        let mut add = |what: String| findings.add(Promise::Leases, || format!("lease {lease:x}: {what}"));
        never_early(life, bounds, &mut add);
        stays_ended(life, &mut add);
        never_late(life, &history.disturbances, bounds, &mut add);
    }
}

fn note(call: &Call, lives: &mut BTreeMap<Lease, Life>) {
    let (invoked_us, returned_us) = (call.invoked_us, call.returned_us);
    match (&call.request, &call.outcome) {
        (Request::LeaseGrant { lease, .. }, outcome) => {
            let life = lives.entry(*lease).or_default();
            if !matches!(outcome, Outcome::Refused(_)) {
                life.grants += 1;
            }
            life.promise(call);
        }
        (Request::LeaseKeepAlive { lease }, outcome) => {
            let life = lives.entry(*lease).or_default();
            match outcome {
                Outcome::Done(Answer {
                    body: Body::Lease { ttl_s: ..=0 },
                    ..
                })
                | Outcome::Refused(Refusal::LeaseNotFound) => life.gone.push((returned_us, invoked_us)),
                Outcome::Unknown => life.perhaps_renewed.push(returned_us),
                Outcome::Refused(_) => {}
                Outcome::Done(_) => {
                    life.there.push(invoked_us);
                    life.promise(call);
                }
            }
        }
        (Request::LeaseRevoke { lease }, outcome) => {
            let life = lives.entry(*lease).or_default();
            match outcome {
                Outcome::Refused(Refusal::LeaseNotFound) => life.gone.push((returned_us, invoked_us)),
                Outcome::Refused(_) => return,
                Outcome::Unknown => {}
                Outcome::Done(_) => {
                    life.revoked = Some(life.revoked.map_or(returned_us, |at| at.min(returned_us)))
                }
            }
            life.revoking = Some(life.revoking.map_or(invoked_us, |at| at.min(invoked_us)));
        }
        (Request::LeaseTimeToLive { lease }, Outcome::Done(answer)) => {
            let life = lives.entry(*lease).or_default();
            match answer.body {
                Body::TimeToLive { left_s: ..0, .. } => life.gone.push((returned_us, invoked_us)),
                _ => life.there.push(invoked_us),
            }
        }
        (Request::Put { lease, .. }, Outcome::Refused(Refusal::LeaseNotFound)) => {
            lives
                .entry(*lease)
                .or_default()
                .gone
                .push((returned_us, invoked_us));
        }
        (Request::Range(range), Outcome::Done(answer)) if !range.serializable && range.revision == 0 => {
            if let Body::Range { kvs, .. } = &answer.body {
                for kv in kvs.iter().filter(|kv| kv.lease != 0) {
                    lives.entry(kv.lease).or_default().there.push(invoked_us);
                }
            }
        }
        _ => {}
    }
}

impl Life {
    fn promise(&mut self, call: &Call) {
        if let Outcome::Done(answer) = &call.outcome
            && let Body::Lease { ttl_s } = answer.body
        {
            self.promised.push(Promised {
                invoked_us: call.invoked_us,
                returned_us: call.returned_us,
                ttl_us: ttl_s.max(0) as Time * 1_000_000,
            });
        }
    }
}

fn never_early(life: &Life, bounds: LeaseBounds, add: &mut impl FnMut(String)) {
    let Some(first_answer) = life.promised.iter().map(|promised| promised.returned_us).min() else {
        return;
    };
    for (gone_us, asked_us) in &life.gone {
        let before_it_was = *asked_us < first_answer;
        let was_revoked = life.revoking.is_some_and(|revoking| revoking <= *gone_us);
        if before_it_was || was_revoked {
            continue;
        }
        for promised in &life.promised {
            let due_us = promised.invoked_us + promised.ttl_us;
            if gone_us + bounds.early_us < due_us {
                add(format!(
                    "gone at {gone_us} us, though it was promised at {} us for {} us",
                    promised.invoked_us, promised.ttl_us
                ));
                return;
            }
        }
    }
}

fn stays_ended(life: &Life, add: &mut impl FnMut(String)) {
    let first_answer = life.promised.iter().map(|promised| promised.returned_us).min();
    let gone = life
        .gone
        .iter()
        .filter(|(_, asked_us)| first_answer.is_some_and(|first| *asked_us >= first));
    let ended = gone.map(|(gone_us, _)| *gone_us).chain(life.revoked).min();
    let last = life.there.iter().max();
    if let (Some(ended), Some(last)) = (ended, last)
        && *last > ended
    {
        add(format!("gone at {ended} us, but there again at {last} us"));
    }
}

fn never_late(life: &Life, disturbances: &[Disturbance], bounds: LeaseBounds, add: &mut impl FnMut(String)) {
    let Some(ttl_us) = life.promised.iter().map(|promised| promised.ttl_us).max() else {
        return;
    };
    for there_us in &life.there {
        let answered = life
            .promised
            .iter()
            .filter(|promised| promised.invoked_us <= *there_us);
        let perhaps = life
            .perhaps_renewed
            .iter()
            .filter(|gave_up| **gave_up <= *there_us);
        let renewed = answered
            .map(|promised| promised.returned_us)
            .chain(perhaps.copied())
            .max();
        let Some(renewed_us) = renewed else {
            continue;
        };
        let mut due_us = renewed_us + ttl_us + bounds.late_us;
        let met = disturbances
            .iter()
            .filter(|disturbance| disturbance.until_us >= renewed_us && disturbance.from_us <= *there_us);
        let mut is_first = true;
        for disturbance in met {
            // A new leader may start it over by half once, then by tenths, and nobody counts while there is none.
            due_us += disturbance.until_us - disturbance.from_us + (ttl_us / 10).max(1_000_000);
            if is_first {
                due_us += ttl_us / 2;
            }
            is_first = false;
        }
        if *there_us > due_us {
            add(format!(
                "there at {there_us} us, though last renewed at {renewed_us} us for {ttl_us} us and due by {due_us} us"
            ));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::sample::{done, found};

    const SECOND: Time = 1_000_000;

    fn lease(request: Request, from: Time, to: Time, body: Body) -> Call {
        done(request, from * SECOND, to * SECOND, 1, body)
    }

    fn grant(from: Time, to: Time) -> Call {
        lease(
            Request::LeaseGrant { lease: 7, ttl_s: 10 },
            from,
            to,
            Body::Lease { ttl_s: 10 },
        )
    }

    fn keep(from: Time, to: Time, ttl_s: i64) -> Call {
        lease(
            Request::LeaseKeepAlive { lease: 7 },
            from,
            to,
            Body::Lease { ttl_s },
        )
    }

    fn left(from: Time, to: Time, left_s: i64) -> Call {
        let body = Body::TimeToLive {
            left_s,
            granted_s: 10,
        };
        lease(Request::LeaseTimeToLive { lease: 7 }, from, to, body)
    }

    fn revoke(from: Time, to: Time) -> Call {
        lease(Request::LeaseRevoke { lease: 7 }, from, to, Body::Nothing)
    }

    #[track_caller]
    fn check_calls(calls: Vec<Call>, expected: usize) {
        check_disturbed(calls, vec![], expected);
    }

    #[track_caller]
    fn check_disturbed(calls: Vec<Call>, disturbances: Vec<Disturbance>, expected: usize) {
        let history = History {
            calls,
            disturbances,
            ..History::default()
        };
        let found = found(|findings| check(&history, &Order::default(), LeaseBounds::default(), findings));
        assert_eq!(found, expected);
    }

    #[test]
    fn leases_that_live_their_time_pass() {
        check_calls(vec![grant(0, 1), left(5, 6, 5), left(9, 10, -1)], 0);
        check_calls(
            vec![grant(0, 1), keep(8, 9, 10), left(15, 16, 3), keep(18, 19, 0)],
            0,
        );
        check_calls(vec![grant(0, 1), revoke(2, 3), left(4, 5, -1)], 0);
        check_calls(vec![left(0, 1, -1), grant(2, 3), left(4, 5, 8)], 0);
        check_calls(vec![grant(0, 1), left(13, 14, 0)], 0);
    }

    #[test]
    fn planted_early_ends_are_found() {
        check_calls(vec![grant(0, 1), left(4, 5, -1)], 1);
        check_calls(vec![grant(0, 1), keep(8, 9, 10), keep(16, 17, 0)], 1);
        check_calls(vec![grant(0, 1), left(4, 5, -1), revoke(6, 7)], 1);
    }

    #[test]
    fn planted_late_ends_are_found_but_not_after_a_disturbance() {
        let late = vec![grant(0, 1), left(14, 15, 0)];
        check_calls(late.clone(), 1);
        let killed = Disturbance {
            from_us: 4 * SECOND,
            until_us: 6 * SECOND,
            what: "leader killed".into(),
        };
        check_disturbed(late, vec![killed.clone()], 0);
        check_disturbed(vec![grant(0, 1), left(60, 61, 0)], vec![killed], 1);
    }

    #[test]
    fn planted_lives_after_the_end_are_found() {
        check_calls(vec![grant(0, 1), revoke(2, 3), keep(4, 5, 10)], 1);
        check_calls(vec![grant(0, 1), left(11, 12, -1), left(13, 13, 5)], 1);
    }
}
