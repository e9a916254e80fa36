//! A client that asks one machine all the time for what it has, be it old: what was shown once must not be taken back. It
//! judges nothing.

use super::Common;
use crate::chance::Chance;
use crate::history::{Range, Request, Span};
use std::time::Duration;
use tokio::time::sleep;

/// Readers are counted from here among all clients.
const FIRST: u64 = 200;

/// Between two reads, at most.
const PAUSE_MS_MAX: u64 = 40;

/// Reads until it is told to stop.
pub(super) async fn read_on(common: Common, number: u64, mut chance: Chance) {
    let machine = number as usize % common.machines;
    while !common.stops() {
        let read = Range {
            serializable: true,
            ..Range::of(Span::one(format!("k{}", chance.below(10))))
        };
        common.call(FIRST + number, machine, Request::Range(read)).await;
        sleep(Duration::from_millis(chance.between(1, PAUSE_MS_MAX))).await;
    }
}
