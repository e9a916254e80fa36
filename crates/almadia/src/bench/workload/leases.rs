//! Calls about leases: renewals without end, and passes over many leases once each.

use std::time::Instant;

use super::{Calls, key};
use crate::bench::engine::load::{Verdict, Workload};
use crate::bench::engine::method::Method;
use crate::bench::message;

/// Keys that go with leases.
pub const LEASED_PREFIX: &[u8] = b"almadia-bench-lease/";
/// The first key after them.
pub const LEASED_PREFIX_END: &[u8] = b"almadia-bench-lease0";
/// The time to live of a lease that is renewed all the time; it outlives the measurement a little.
const RENEWED_TTL_SECONDS: u64 = 60;
/// No message about a lease is longer.
const MESSAGE_BYTES_MAX: usize = 64;

/// Each client renews a lease of its own, on a stream of its own.
pub struct Keepalives {
    /// Of each client: its lease; 0: it has none yet.
    leases: Vec<u64>,
    is_granting: Vec<bool>,
}

impl Keepalives {
    /// Renewals for `clients` clients.
    pub fn new(clients: usize) -> Self {
        Self {
            leases: vec![0; clients],
            is_granting: vec![false; clients],
        }
    }
}

impl Workload for Keepalives {
    fn request(&mut self, client: usize, _began: Instant, message: &mut Vec<u8>) -> Option<Method> {
        let lease = self.leases[client];
        self.is_granting[client] = lease == 0;
        if lease == 0 {
            message::lease_grant(message, 0, RENEWED_TTL_SECONDS);
            return Some(message::LEASE_GRANT);
        }
        message::lease_id(message, lease);
        Some(message::LEASE_KEEP_ALIVE)
    }

    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict {
        let (lease, ttl) = (message::find_number(answer, 2), message::find_number(answer, 3));
        if self.is_granting[client] {
            self.leases[client] = lease;
            return match lease {
                0 => Verdict::Wrong("a lease was not granted"),
                _ => Verdict::Prepared,
            };
        }
        if lease == self.leases[client] && ttl > 0 {
            return Verdict::Counted;
        }
        self.leases[client] = 0;
        Verdict::Wrong("a lease is gone")
    }

    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }
}

impl Calls for Keepalives {}

/// What a pass does with each lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Grants it.
    Grant {
        /// Its time to live.
        ttl_seconds: u64,
    },
    /// Writes a key that goes with it.
    Attach,
    /// Renews it.
    Renew,
    /// Revokes it.
    Revoke,
}

/// Does something with each of many leases once.
pub struct Pass {
    action: Action,
    next: u64,
    end: u64,
    key: Vec<u8>,
    /// Of each client: the lease of the call under way.
    asked: Vec<u64>,
    /// The longest time to live that an answer told.
    pub ttl_seconds: u64,
}

impl Pass {
    /// Over `count` leases, numbered from `first` on.
    pub fn new(action: Action, first: u64, count: u64, clients: usize) -> Self {
        Self {
            action,
            next: first,
            end: first + count,
            key: Vec::new(),
            asked: vec![0; clients],
            ttl_seconds: 0,
        }
    }
}

impl Workload for Pass {
    fn request(&mut self, client: usize, _began: Instant, message: &mut Vec<u8>) -> Option<Method> {
        if self.next == self.end {
            return None;
        }
        let lease = self.next;
        self.next += 1;
        self.asked[client] = lease;
        Some(match self.action {
            Action::Grant { ttl_seconds } => {
                message::lease_grant(message, lease, ttl_seconds);
                message::LEASE_GRANT
            }
            Action::Attach => {
                self.key.clear();
                key(&mut self.key, LEASED_PREFIX, lease % 10_000_000_000);
                message::put_with_lease(message, &self.key, b"", lease);
                message::PUT
            }
            Action::Renew => {
                message::lease_id(message, lease);
                message::LEASE_KEEP_ALIVE
            }
            Action::Revoke => {
                message::lease_id(message, lease);
                message::LEASE_REVOKE
            }
        })
    }

    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict {
        if matches!(self.action, Action::Attach | Action::Revoke) {
            return Verdict::Counted;
        }
        let (lease, ttl) = (message::find_number(answer, 2), message::find_number(answer, 3));
        if lease != self.asked[client] || ttl == 0 {
            return Verdict::Wrong("a lease is gone");
        }
        self.ttl_seconds = self.ttl_seconds.max(ttl);
        Verdict::Counted
    }

    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::etcdserverpb::{
        LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest,
    };
    use prost::Message;

    fn answer(id: i64, ttl: i64) -> Vec<u8> {
        let header = None;
        LeaseKeepAliveResponse { header, id, ttl }.encode_to_vec()
    }

    /// Promise: a client whose lease has gone says so and takes a new one.
    #[test]
    fn a_renewal_that_comes_too_late_is_told() {
        let mut calls = Keepalives::new(1);
        let ask = |calls: &mut Keepalives| {
            let mut message = Vec::new();
            let method = calls.request(0, Instant::now(), &mut message);
            (method.expect("endless"), message)
        };
        assert_eq!(ask(&mut calls).0, message::LEASE_GRANT);
        assert_eq!(calls.answer(0, &answer(5, 60)), Verdict::Prepared);
        for (ttl, verdict) in [(60, Verdict::Counted), (0, Verdict::Wrong("a lease is gone"))] {
            let (method, message) = ask(&mut calls);
            assert_eq!(method, message::LEASE_KEEP_ALIVE);
            assert_eq!(LeaseKeepAliveRequest::decode(&message[..]).expect("valid").id, 5);
            assert_eq!(calls.answer(0, &answer(5, ttl)), verdict);
        }
        assert_eq!(ask(&mut calls).0, message::LEASE_GRANT);
    }

    #[test]
    fn a_pass_takes_each_lease_once() {
        let mut pass = Pass::new(Action::Grant { ttl_seconds: 9 }, 100, 3, 2);
        let mut seen = Vec::new();
        let mut message = Vec::new();
        while pass.request(1, Instant::now(), &mut message).is_some() {
            let read = LeaseGrantRequest::decode(&message[..]).expect("valid");
            assert_eq!(
                (read.ttl, pass.answer(1, &answer(read.id, 11))),
                (9, Verdict::Counted)
            );
            seen.push(read.id);
            message.clear();
        }
        assert_eq!((seen, pass.ttl_seconds), (vec![100, 101, 102], 11));
        let mut renewal = Pass::new(Action::Renew, 100, 3, 1);
        renewal.request(0, Instant::now(), &mut message);
        assert!(matches!(renewal.answer(0, &answer(100, 0)), Verdict::Wrong(_)));
        message.clear();
        Pass::new(Action::Attach, u64::from(u32::MAX) << 20, 1, 1).request(0, Instant::now(), &mut message);
        let put = PutRequest::decode(&message[..]).expect("valid");
        assert_eq!(put.lease, i64::from(u32::MAX) << 20);
        assert!(put.key.starts_with(LEASED_PREFIX) && &put.key[..] < LEASED_PREFIX_END);
        assert!(message.len() <= MESSAGE_BYTES_MAX);
    }
}
