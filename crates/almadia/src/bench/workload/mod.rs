//! What the clients of the benchmark call.
//!
//! The same seed gives the same calls. Never talks to anybody; the engine does.

pub mod kind;
pub mod kube;
pub mod leases;
pub mod plain;
pub mod preload;
pub mod values;

use std::time::Instant;

use self::kind::Kind;
use self::values::{Random, Values};
use super::engine::load::Workload;
use super::tally::Tally;

/// All keys of the benchmark that are read begin with this.
pub const KEY_PREFIX: &[u8] = b"almadia-bench/";
/// The first key after them.
pub const KEY_PREFIX_END: &[u8] = b"almadia-bench0";
/// Keys that clients swap, one for each client; apart, so that the number of the others stays known.
pub const SWAP_PREFIX: &[u8] = b"almadia-bench-swap/";
/// The first key after them.
pub const SWAP_PREFIX_END: &[u8] = b"almadia-bench-swap0";
/// Keys in a range or a page of a list.
pub const PAGE_KEYS: u64 = 500;
/// Bytes at the beginning of a value that say when its put was due.
pub const STAMP_BYTES: usize = 8;

/// A load with its sizes.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What to call.
    pub kind: Kind,
    /// How many keys there are.
    pub keys: u64,
    /// Size of written values.
    pub value_bytes: usize,
    /// Where values come from.
    pub values: Values,
    /// From when the times in values count.
    pub stamps_from: Instant,
}

impl Spec {
    /// Fills `value`, and writes when it was due into it if there is room.
    fn stamped_value(&self, random: &mut Random, began: Instant, value: &mut [u8]) {
        self.values.fill(random, value);
        if let Some(stamp) = value.first_chunk_mut::<STAMP_BYTES>() {
            let due_ns = began.saturating_duration_since(self.stamps_from).as_nanos() as u64;
            *stamp = due_ns.to_le_bytes();
        }
    }
}

/// The calls of one kind for all clients of a thread.
pub trait Calls: Workload {
    /// What was written and acknowledged where somebody watches, one for each watched range.
    fn written(&self) -> Vec<Tally> {
        Vec::new()
    }
}

/// Calls for `clients` clients, the first of which has the number `first_client`.
pub fn calls(spec: Spec, first_client: usize, clients: usize, seed: u64) -> Box<dyn Calls> {
    match spec.kind {
        Kind::Kube => Box::new(kube::Kube::new(spec, first_client, clients, seed)),
        Kind::Keepalive => Box::new(leases::Keepalives::new(clients)),
        _ => Box::new(plain::Plain::new(spec, first_client, clients, seed)),
    }
}

/// Appends the key with this number.
pub fn key(out: &mut Vec<u8>, prefix: &[u8], number: u64) {
    out.extend_from_slice(prefix);
    let mut digits = [b'0'; 10];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

/// A load of 256-byte values for tests.
#[cfg(test)]
pub fn test_spec(kind: Kind, keys: u64) -> Spec {
    Spec {
        kind,
        keys,
        value_bytes: 256,
        values: Values::Random,
        stamps_from: Instant::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::message;
    use almadia_etcd::proto::etcdserverpb::{PutRequest, RangeRequest};
    use prost::Message;

    #[test]
    fn keys_sort_as_numbers() {
        let text = |number| {
            let mut out = Vec::new();
            key(&mut out, KEY_PREFIX, number);
            out
        };
        assert_eq!(text(42), b"almadia-bench/0000000042");
        assert!(text(9) < text(10) && text(99_999) < text(100_000));
        assert!(&text(9_999_999_999)[..] < KEY_PREFIX_END);
    }

    #[test]
    fn requests_stay_within_their_bounds() {
        for kind in Kind::ALL {
            let mut calls = calls(test_spec(kind, 2_000), 3, 2, 1);
            for _ in 0..200 {
                let mut message = Vec::new();
                let method = calls
                    .request(1, Instant::now(), &mut message)
                    .expect("never exhausted");
                assert!(message.len() <= calls.message_bytes_max());
                if method == message::RANGE {
                    let range = RangeRequest::decode(&message[..]).expect("valid");
                    assert!(range.key.starts_with(KEY_PREFIX));
                } else if method == message::PUT {
                    assert_eq!(PutRequest::decode(&message[..]).expect("valid").value.len(), 256);
                }
            }
        }
    }
}
