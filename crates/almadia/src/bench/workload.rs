//! What the clients of the benchmark call.
//!
//! The same seed gives the same calls. Never talks to anybody; the engine does.

use std::sync::Arc;

use super::engine::load::{Verdict, Workload};
use super::message::{self, Range};

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
/// Keys written by one transaction while the keys are laid out; etcd allows 128.
const PRELOAD_BATCH: u64 = 100;
/// Random bytes that values are cut from.
const POOL_BYTES: usize = 1 << 16;

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Write random keys.
    Put,
    /// Read random keys, linearizable.
    Get,
    /// Read random keys as the asked member has them.
    SerializableGet,
    /// Read 500 keys in a row.
    Range,
    /// Write a key if nobody else has (compare-and-swap).
    Txn,
    /// Read a page of 500 of a list that goes on to the end of the prefix, as Kubernetes does.
    List,
    /// Count all keys of the prefix.
    Count,
    /// Half txn, four tenths get, one tenth list: roughly what kube-apiserver does.
    Mix,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Self::Put,
        Self::Get,
        Self::SerializableGet,
        Self::Range,
        Self::Txn,
        Self::List,
        Self::Count,
        Self::Mix,
    ];

    /// As it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::SerializableGet => "serializable get",
            Self::Range => "range of 500",
            Self::Txn => "compare-and-swap txn",
            Self::List => "list, limit 500",
            Self::Count => "count_only",
            Self::Mix => "mix",
        }
    }

    /// How many clients when nothing else is said.
    pub fn clients_default(self) -> &'static [usize] {
        match self {
            Self::Put => &[1, 64, 256, 1024],
            Self::Get | Self::SerializableGet | Self::Txn | Self::Mix => &[64],
            Self::Range | Self::List => &[16],
            Self::Count => &[4],
        }
    }

    /// Whether the size of values makes a difference to be told.
    pub fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Txn | Self::Mix)
    }
}

/// A load with its sizes.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What to call.
    pub kind: Kind,
    /// How many keys there are.
    pub keys: u64,
    /// Size of written values.
    pub value_bytes: usize,
    /// Random bytes that values are cut from.
    pub pool: Arc<[u8]>,
}

/// Random bytes, at least twice a value long.
pub fn pool(value_bytes: usize) -> Arc<[u8]> {
    let mut random = Random(7);
    let words = POOL_BYTES.max(2 * value_bytes) / 8 + 1;
    (0..words).flat_map(|_| random.next().to_le_bytes()).collect()
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

/// A small generator (splitmix64): its only task is to spread calls over keys.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// What a client's outstanding call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Put,
    /// Learns the revision of the client's own key.
    Prepare,
    Swap,
    Read {
        pairs_min: u64,
    },
    Count,
}

/// Calls of one kind for all clients of a thread.
pub struct Calls {
    spec: Spec,
    random: Random,
    /// First client of this thread, so that no two threads swap the same key.
    first_client: usize,
    /// Of each client: the call under way, and the revision of its own key (0: unknown).
    clients: Vec<(Pending, u64)>,
    key: Vec<u8>,
    end: Vec<u8>,
}

impl Calls {
    /// Calls for `clients` clients, the first of which has the number `first_client`.
    pub fn new(spec: Spec, first_client: usize, clients: usize, seed: u64) -> Self {
        assert!(spec.keys > 0, "there is at least one key");
        Self {
            spec,
            random: Random(seed ^ (first_client as u64) << 32),
            first_client,
            clients: vec![(Pending::Put, 0); clients],
            key: Vec::new(),
            end: Vec::new(),
        }
    }

    fn random_key(&mut self) {
        let number = self.random.below(self.spec.keys);
        self.key.clear();
        key(&mut self.key, KEY_PREFIX, number);
    }

    fn put(&mut self, message: &mut Vec<u8>) -> Pending {
        self.random_key();
        let value = value(&self.spec, &mut self.random);
        message::put(message, &self.key, value);
        Pending::Put
    }

    fn get(&mut self, serializable: bool, message: &mut Vec<u8>) -> Pending {
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
    fn page(&mut self, limit: bool, message: &mut Vec<u8>) -> Pending {
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
        let value = value(&self.spec, &mut self.random);
        if revision == 0 {
            message::put(message, &self.key, value);
            return Pending::Prepare;
        }
        message::swap(message, &self.key, revision, value);
        Pending::Swap
    }
}

impl Workload for Calls {
    fn request(&mut self, client: usize, message: &mut Vec<u8>) -> Option<&'static str> {
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
        };
        self.clients[client].0 = pending;
        Some(match pending {
            Pending::Put | Pending::Prepare => message::PUT,
            Pending::Swap => message::TXN,
            Pending::Read { .. } | Pending::Count => message::RANGE,
        })
    }

    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict {
        let (pending, revision) = &mut self.clients[client];
        match *pending {
            Pending::Put if answer.is_empty() => Verdict::Wrong("empty answer"),
            Pending::Put => Verdict::Counted,
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
            Pending::Read { pairs_min: 1 } if !answer.is_empty() && message::count_of(answer, 2) == 1 => {
                Verdict::Counted
            }
            Pending::Read { pairs_min } if message::count_of(answer, 2) as u64 >= pairs_min => {
                Verdict::Counted
            }
            Pending::Read { .. } => Verdict::Wrong("keys are missing in the answer"),
            Pending::Count if message::find_number(answer, 4) >= self.spec.keys => Verdict::Counted,
            Pending::Count => Verdict::Wrong("the count is too small"),
        }
    }

    fn message_bytes_max(&self) -> usize {
        self.spec.value_bytes + 256
    }
}

/// Lays out the keys that are read later.
pub struct Preload {
    spec: Spec,
    random: Random,
    next: u64,
    key: Vec<u8>,
}

impl Preload {
    /// All keys of `spec`.
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            random: Random(1),
            next: 0,
            key: Vec::new(),
        }
    }

    fn batch(&self) -> u64 {
        // One transaction stays well below the sizes that every server accepts in one go.
        PRELOAD_BATCH
            .min(32 * 1024 / (self.spec.value_bytes as u64 + 64))
            .max(1)
    }
}

impl Workload for Preload {
    fn request(&mut self, _client: usize, message: &mut Vec<u8>) -> Option<&'static str> {
        if self.next >= self.spec.keys {
            return None;
        }
        let until = (self.next + self.batch()).min(self.spec.keys);
        for number in self.next..until {
            self.key.clear();
            key(&mut self.key, KEY_PREFIX, number);
            let value = value(&self.spec, &mut self.random);
            message::put_in_txn(message, &self.key, value);
        }
        self.next = until;
        Some(message::TXN)
    }

    fn answer(&mut self, _client: usize, answer: &[u8]) -> Verdict {
        if message::find_number(answer, 2) == 1 {
            Verdict::Counted
        } else {
            Verdict::Wrong("not written")
        }
    }

    fn message_bytes_max(&self) -> usize {
        (self.batch() as usize) * (self.spec.value_bytes + 64)
    }
}

fn value<'a>(spec: &'a Spec, random: &mut Random) -> &'a [u8] {
    let start = random.below((spec.pool.len() - spec.value_bytes) as u64) as usize;
    &spec.pool[start..start + spec.value_bytes]
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::etcdserverpb::{
        PutRequest, RangeRequest, ResponseHeader, TxnRequest, TxnResponse,
    };
    use prost::Message;

    fn spec(kind: Kind, keys: u64) -> Spec {
        Spec {
            kind,
            keys,
            value_bytes: 256,
            pool: pool(256),
        }
    }

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
    fn preload_writes_every_key_once() {
        let mut preload = Preload::new(spec(Kind::Put, 250));
        let mut keys = Vec::new();
        let mut message = Vec::new();
        while preload.request(0, &mut message).is_some() {
            assert!(message.len() <= preload.message_bytes_max());
            let txn = TxnRequest::decode(&message[..]).expect("valid");
            keys.extend(txn.success.into_iter().map(|operation| match operation.request {
                Some(almadia_etcd::proto::etcdserverpb::request_op::Request::RequestPut(put)) => put.key,
                other => panic!("{other:?}"),
            }));
            message.clear();
        }
        assert_eq!(keys.len(), 250);
        assert!(keys.is_sorted());
    }

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
        let mut calls = Calls::new(spec(Kind::Txn, 10), 0, 1, 1);
        let mut message = Vec::new();
        assert_eq!(calls.request(0, &mut message), Some(message::PUT));
        assert_eq!(calls.answer(0, &answer(7, false)), Verdict::Prepared);
        message.clear();
        assert_eq!(calls.request(0, &mut message), Some(message::TXN));
        assert_eq!(calls.answer(0, &answer(9, true)), Verdict::Counted);
        message.clear();
        assert_eq!(calls.request(0, &mut message), Some(message::TXN));
        assert!(matches!(calls.answer(0, &answer(9, false)), Verdict::Wrong(_)));
        message.clear();
        assert_eq!(calls.request(0, &mut message), Some(message::PUT));
    }

    #[test]
    fn requests_stay_within_their_bounds() {
        for kind in Kind::ALL {
            let mut calls = Calls::new(spec(kind, 2_000), 3, 2, 1);
            for _ in 0..200 {
                let mut message = Vec::new();
                let path = calls.request(1, &mut message).expect("never exhausted");
                assert!(message.len() <= calls.message_bytes_max());
                if path == message::RANGE {
                    let range = RangeRequest::decode(&message[..]).expect("valid");
                    assert!(range.key.starts_with(KEY_PREFIX));
                } else if path == message::PUT {
                    assert_eq!(PutRequest::decode(&message[..]).expect("valid").value.len(), 256);
                }
            }
        }
    }

    #[test]
    fn random_numbers_spread() {
        let mut random = Random(1);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }
}
