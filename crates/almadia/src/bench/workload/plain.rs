//! Calls of a single kind, or of a few at random: everything but leases and what kube-apiservers do.

use std::time::Instant;

use super::kind::Kind;
use super::values::Random;
use super::{Calls, KEY_PREFIX, KEY_PREFIX_END, PAGE_KEYS, SWAP_PREFIX, Spec, key};
use crate::bench::engine::load::{Verdict, Workload};
use crate::bench::engine::method::Method;
use crate::bench::message::{self, Range};
use crate::bench::tally::Tally;

/// What a client's outstanding call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Put,
    /// A put that watchers are told of.
    WatchedPut,
    /// Learns the revision of the client's own key.
    Prepare,
    Swap,
    Read {
        pairs_min: u64,
    },
    Count,
}

/// Calls of one kind for all clients of a thread.
pub struct Plain {
    pub(super) spec: Spec,
    pub(super) random: Random,
    /// First client of this thread, so that no two threads swap the same key.
    first_client: usize,
    /// Of each client: the call under way, and the revision of its own key (0: unknown).
    clients: Vec<(Pending, u64)>,
    pub(super) key: Vec<u8>,
    end: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Of the watched puts: what was acknowledged.
    written: Tally,
}

impl Plain {
    /// Calls for `clients` clients, the first of which has the number `first_client`.
    pub fn new(spec: Spec, first_client: usize, clients: usize, seed: u64) -> Self {
        assert!(spec.keys > 0, "there is at least one key");
        let value = vec![0; spec.value_bytes];
        Self {
            spec,
            random: Random(seed ^ (first_client as u64) << 32),
            first_client,
            clients: vec![(Pending::Put, 0); clients],
            key: Vec::new(),
            end: Vec::new(),
            value,
            written: Tally::default(),
        }
    }

    fn random_key(&mut self) {
        let number = self.random.below(self.spec.keys);
        self.key.clear();
        key(&mut self.key, KEY_PREFIX, number);
    }

    fn put(&mut self, message: &mut Vec<u8>) -> Pending {
        self.random_key();
        self.spec.values.fill(&mut self.random, &mut self.value);
        message::put(message, &self.key, &self.value);
        Pending::Put
    }

    /// A put that tells when it was due.
    fn watched_put(&mut self, began: Instant, message: &mut Vec<u8>) -> Pending {
        self.random_key();
        self.spec.stamped_value(&mut self.random, began, &mut self.value);
        message::put(message, &self.key, &self.value);
        Pending::WatchedPut
    }

    pub(super) fn get(&mut self, serializable: bool, message: &mut Vec<u8>) -> Pending {
        self.random_key();
        message::range(
            message,
            &Range {
                key: &self.key,
                serializable,
                ..Range::default()
            },
        );
        Pending::Read { pairs_min: 1 }
    }

    /// A page that begins anywhere; with `limit` it could go on to the end of the prefix.
    pub(super) fn page(&mut self, limit: bool, message: &mut Vec<u8>) -> Pending {
        let keys = PAGE_KEYS.min(self.spec.keys);
        let first = self.random.below(self.spec.keys - keys + 1);
        self.key.clear();
        self.end.clear();
        key(&mut self.key, KEY_PREFIX, first);
        if limit {
            self.end.extend_from_slice(KEY_PREFIX_END);
        } else {
            key(&mut self.end, KEY_PREFIX, first + keys);
        }
        let limit = if limit { PAGE_KEYS } else { 0 };
        message::range(
            message,
            &Range {
                key: &self.key,
                end: &self.end,
                limit,
                ..Range::default()
            },
        );
        Pending::Read { pairs_min: keys }
    }

    fn count(message: &mut Vec<u8>) -> Pending {
        let range = Range {
            key: KEY_PREFIX,
            end: KEY_PREFIX_END,
            count_only: true,
            ..Range::default()
        };
        message::range(message, &range);
        Pending::Count
    }

    /// Swaps the client's own key, or writes it to learn its revision.
    fn swap(&mut self, client: usize, message: &mut Vec<u8>) -> Pending {
        self.key.clear();
        key(&mut self.key, SWAP_PREFIX, (self.first_client + client) as u64);
        let revision = self.clients[client].1;
        self.spec.values.fill(&mut self.random, &mut self.value);
        if revision == 0 {
            message::put(message, &self.key, &self.value);
            return Pending::Prepare;
        }
        message::guarded_put(message, &self.key, revision, &self.value, 0);
        Pending::Swap
    }
}

impl Workload for Plain {
    fn request(&mut self, client: usize, began: Instant, message: &mut Vec<u8>) -> Option<Method> {
        let pending = match self.spec.kind {
            Kind::Put => self.put(message),
            Kind::Get => self.get(false, message),
            Kind::SerializableGet => self.get(true, message),
            Kind::Range => self.page(false, message),
            Kind::List => self.page(true, message),
            Kind::Count => Self::count(message),
            Kind::Txn => self.swap(client, message),
            Kind::Mix => match self.random.below(10) {
                0..5 => self.swap(client, message),
                5..9 => self.get(false, message),
                _ => self.page(true, message),
            },
            Kind::Watch => self.watched_put(began, message),
            Kind::Kube | Kind::Keepalive => unreachable!("they have calls of their own"),
        };
        self.clients[client].0 = pending;
        Some(match pending {
            Pending::Put | Pending::WatchedPut | Pending::Prepare => message::PUT,
            Pending::Swap => message::TXN,
            Pending::Read { .. } | Pending::Count => message::RANGE,
        })
    }

    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict {
        let (pending, revision) = &mut self.clients[client];
        match *pending {
            Pending::Put | Pending::WatchedPut if answer.is_empty() => Verdict::Wrong("empty answer"),
            Pending::Put => Verdict::Counted,
            Pending::WatchedPut => {
                self.written.add(message::revision(answer));
                Verdict::Counted
            }
            Pending::Prepare => {
                *revision = message::revision(answer);
                Verdict::Prepared
            }
            Pending::Swap if message::find_number(answer, 2) == 1 => {
                *revision = message::revision(answer);
                Verdict::Counted
            }
            Pending::Swap => {
                *revision = 0;
                Verdict::Wrong("somebody else wrote the key of a client")
            }
            Pending::Read { pairs_min } => judge_read(pairs_min, answer),
            Pending::Count if message::find_number(answer, 4) >= self.spec.keys => Verdict::Counted,
            Pending::Count => Verdict::Wrong("the count is too small"),
        }
    }

    fn message_bytes_max(&self) -> usize {
        self.spec.value_bytes + 256
    }
}

/// Judges the answer to a read of at least `pairs_min` pairs.
pub(super) fn judge_read(pairs_min: u64, answer: &[u8]) -> Verdict {
    match message::count_of(answer, 2) as u64 >= pairs_min {
        true => Verdict::Counted,
        false => Verdict::Wrong("keys are missing in the answer"),
    }
}

impl Calls for Plain {
    fn written(&self) -> Vec<Tally> {
        vec![self.written]
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_spec;
    use super::*;
    use almadia_etcd::proto::etcdserverpb::{PutRequest, PutResponse, ResponseHeader, TxnResponse};
    use prost::Message;
    use std::time::Duration;

    /// Promise: a client learns the revision of its key, swaps on it, and starts anew after a lost swap.
    #[test]
    fn swaps_follow_their_revision() {
        let answer = |revision, succeeded| {
            let header = Some(ResponseHeader {
                revision,
                ..Default::default()
            });
            TxnResponse {
                header,
                succeeded,
                responses: Vec::new(),
            }
            .encode_to_vec()
        };
        let mut calls = Plain::new(test_spec(Kind::Txn, 10), 0, 1, 1);
        let (mut message, now) = (Vec::new(), Instant::now());
        assert_eq!(calls.request(0, now, &mut message), Some(message::PUT));
        assert_eq!(calls.answer(0, &answer(7, false)), Verdict::Prepared);
        message.clear();
        assert_eq!(calls.request(0, now, &mut message), Some(message::TXN));
        assert_eq!(calls.answer(0, &answer(9, true)), Verdict::Counted);
        message.clear();
        assert_eq!(calls.request(0, now, &mut message), Some(message::TXN));
        assert!(matches!(calls.answer(0, &answer(9, false)), Verdict::Wrong(_)));
        message.clear();
        assert_eq!(calls.request(0, now, &mut message), Some(message::PUT));
    }

    /// Promise: a watched put says when it was due and is remembered once it is acknowledged.
    #[test]
    fn watched_puts_are_stamped_and_remembered() {
        let spec = test_spec(Kind::Watch, 10);
        let began = spec.stamps_from + Duration::from_nanos(12_345);
        let mut calls = Plain::new(spec, 0, 1, 1);
        let mut message = Vec::new();
        assert_eq!(calls.request(0, began, &mut message), Some(message::PUT));
        let put = PutRequest::decode(&message[..]).expect("valid");
        assert_eq!(put.value[..8], 12_345_u64.to_le_bytes());
        let header = Some(ResponseHeader {
            revision: 9,
            ..ResponseHeader::default()
        });
        let answer = PutResponse {
            header,
            prev_kv: None,
        }
        .encode_to_vec();
        assert_eq!(calls.written()[0].count, 0);
        assert_eq!(calls.answer(0, &answer), Verdict::Counted);
        let mut expected = Tally::default();
        expected.add(9);
        assert_eq!(calls.written(), [expected]);
    }
}
