//! A client that holds one lease after another, with a key at it, and keeps it alive for as long as somebody lets it. Half of them stay
//! with one machine, whatever it says; the others go elsewhere when they are not answered. It judges nothing.

use super::Common;
use crate::chance::Chance;
use crate::history::{Body, Outcome, Refusal, Request};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Holders are counted from here among all clients.
const FIRST: u64 = 100;

/// Between two renewals, at least and at most; less than a third of the shortest lease.
const RENEWAL_MS: (u64, u64) = (150, 500);

/// Holds leases until it is told to stop.
pub(super) async fn hold_on(common: Common, number: u64, mut chance: Chance) {
    let stays = number.is_multiple_of(2);
    let mut machine = (number / 2) as usize % common.machines;
    while !common.stops() {
        let lease = common.ids.fetch_add(1, Ordering::Relaxed) as i64;
        let ttl_s = chance.between(2, 3) as i64;
        let put = Request::Put {
            key: format!("lease-{number}").into(),
            value: format!("held-{lease}").into(),
            lease,
            prev_kv: false,
        };
        let mut next = vec![put, Request::LeaseGrant { lease, ttl_s }];
        while !common.stops() {
            let request = next.pop().unwrap_or(Request::LeaseKeepAlive { lease });
            let outcome = common.call(FIRST + number, machine, request).await;
            match outcome {
                Outcome::Done(answer) if matches!(answer.body, Body::Lease { ttl_s: 0 }) => break,
                Outcome::Refused(Refusal::LeaseNotFound) => break,
                Outcome::Done(_) => {}
                _ if stays => {}
                _ => machine = chance.below(common.machines as u64) as usize,
            }
            let pause_ms = chance.between(RENEWAL_MS.0, RENEWAL_MS.1);
            sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}
