//! Random KV requests over few keys, so that they meet. Everything comes from one number.

// Each test program uses its own part of this.
#![allow(dead_code)]

use almadia_etcd::proto::etcdserverpb::{self as pb, kv_client::KvClient};
use almadia_etcd::proto::mvccpb::KeyValue;
use bytes::Bytes;
use tonic::Code;
use tonic::transport::Channel;

/// SplitMix64: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    /// Everything follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but without `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// True in one of `of` cases.
    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// One of `from`, which is not empty.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64) as usize;
        from[at].clone()
    }
}

/// At most eleven keys: etcd's order among equals is only defined up to twelve.
const KEYS: [&[u8]; 11] = [
    b"a",
    b"ab",
    b"b",
    b"b\0",
    b"bc",
    b"c",
    b"d",
    b"\0",
    b"e",
    b"\xff",
    b"\xff\xff",
];
const VALUES: [&[u8]; 6] = [b"", b"x", b"y", b"xx", b"\0", b"a longer value"];

/// One request to the KV service.
#[derive(Clone, Debug)]
pub enum Request {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    DeleteRange(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
}

/// One answer, without what differs between servers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Range(pb::RangeResponse),
    Put(pb::PutResponse),
    DeleteRange(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compact(pb::CompactionResponse),
    Refused(Code, String),
}

/// Draws requests; knows what must not be combined.
struct Drawer<'a> {
    random: &'a mut Random,
    revision: i64,
    /// Puts may ask to keep value or lease. Not together with deletes that have no end: that breaks etcd.
    may_keep: bool,
}

impl Request {
    /// Draws a request; `revision` is the store's present one.
    pub fn draw(random: &mut Random, revision: i64) -> Self {
        let may_keep = random.one_in(2);
        let mut drawer = Drawer {
            random,
            revision,
            may_keep,
        };
        match drawer.random.below(100) {
            0..30 => Self::Range(drawer.range()),
            30..50 => Self::Put(drawer.put()),
            50..58 => Self::DeleteRange(drawer.delete_range()),
            58..98 => {
                let depth = drawer.random.below(4);
                Self::Txn(drawer.txn(depth))
            }
            _ => Self::Compact(drawer.compact()),
        }
    }
}

impl Drawer<'_> {
    fn key(&mut self) -> Bytes {
        if self.random.one_in(60) {
            Bytes::new()
        } else {
            Bytes::from_static(self.random.pick(&KEYS))
        }
    }

    fn range_end(&mut self) -> Bytes {
        match self.random.below(10) {
            0..5 => Bytes::new(),
            5 => Bytes::from_static(b"\0"),
            _ => Bytes::from_static(self.random.pick(&KEYS)),
        }
    }

    fn some_revision(&mut self) -> i64 {
        match self.random.below(20) {
            0..10 => 0,
            10 => -1,
            11 => i64::MIN,
            12 => self.revision + 1,
            13 => self.revision + 2,
            14 => self.revision,
            15 => 1,
            _ => self.revision - self.random.below(20) as i64,
        }
    }

    fn bound(&mut self) -> i64 {
        if self.random.one_in(8) {
            self.some_revision()
        } else {
            0
        }
    }

    fn range(&mut self) -> pb::RangeRequest {
        pb::RangeRequest {
            key: self.key(),
            range_end: self.range_end(),
            limit: if self.random.one_in(3) {
                self.random.below(6) as i64 - 1
            } else {
                0
            },
            revision: if self.random.one_in(4) {
                self.some_revision()
            } else {
                0
            },
            sort_order: if self.random.one_in(20) {
                7
            } else {
                self.random.below(3) as i32
            },
            sort_target: self.random.below(5) as i32,
            serializable: self.random.one_in(4),
            keys_only: self.random.one_in(4),
            count_only: self.random.one_in(6),
            min_mod_revision: self.bound(),
            max_mod_revision: self.bound(),
            min_create_revision: self.bound(),
            max_create_revision: self.bound(),
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        let keep = |drawer: &mut Self| drawer.may_keep && drawer.random.one_in(6);
        let (ignore_value, ignore_lease) = (keep(self), keep(self));
        let odd = self.random.one_in(30);
        let value = Bytes::from_static(self.random.pick(&VALUES));
        pb::PutRequest {
            key: self.key(),
            value: if ignore_value && !odd { Bytes::new() } else { value },
            lease: if self.random.one_in(40) { 77 } else { 0 },
            prev_kv: self.random.one_in(2),
            ignore_value,
            ignore_lease,
        }
    }

    fn delete_range(&mut self) -> pb::DeleteRangeRequest {
        pb::DeleteRangeRequest {
            key: self.key(),
            range_end: self.range_end(),
            prev_kv: self.random.one_in(2),
        }
    }

    fn compact(&mut self) -> pb::CompactionRequest {
        let revision = if self.random.one_in(2) {
            self.some_revision()
        } else {
            self.revision - 10 - self.random.below(30) as i64
        };
        pb::CompactionRequest {
            revision,
            physical: self.random.one_in(2),
        }
    }

    fn txn(&mut self, depth: u64) -> pb::TxnRequest {
        let list = |drawer: &mut Self| {
            let count = drawer.random.below(4);
            (0..count).map(|_| drawer.operation(depth)).collect()
        };
        let compares = self.random.below(3);
        pb::TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: list(self),
            failure: list(self),
        }
    }

    fn operation(&mut self, depth: u64) -> pb::RequestOp {
        use pb::request_op::Request;
        let request = match self.random.below(20) {
            0..6 => Some(Request::RequestRange(self.range())),
            6..12 => Some(Request::RequestPut(self.put())),
            12..15 => Some(Request::RequestDeleteRange(self.delete_in_txn())),
            15..19 if depth > 0 => Some(Request::RequestTxn(self.txn(depth - 1))),
            15..19 => Some(Request::RequestRange(self.range())),
            _ if self.random.one_in(4) => None,
            _ => Some(Request::RequestTxn(pb::TxnRequest::default())),
        };
        pb::RequestOp { request }
    }

    fn delete_in_txn(&mut self) -> pb::DeleteRangeRequest {
        let mut request = self.delete_range();
        if self.may_keep && request.range_end == b"\0".as_slice() {
            request.range_end = Bytes::new();
        }
        request
    }

    fn compare(&mut self) -> pb::Compare {
        use pb::compare::TargetUnion;
        let small = self.random.below(4) as i64;
        let revision = self.revision - self.random.below(30) as i64;
        let target = self.random.below(5);
        let fitting = match if self.random.one_in(8) {
            self.random.below(6)
        } else {
            target
        } {
            0 => Some(TargetUnion::Version(small)),
            1 => Some(TargetUnion::CreateRevision(if self.random.one_in(2) {
                0
            } else {
                revision
            })),
            2 => Some(TargetUnion::ModRevision(if self.random.one_in(2) {
                0
            } else {
                revision
            })),
            3 => Some(TargetUnion::Value(Bytes::from_static(self.random.pick(&VALUES)))),
            4 => Some(TargetUnion::Lease(small - 1)),
            _ => None,
        };
        pb::Compare {
            result: if self.random.one_in(30) {
                9
            } else {
                self.random.below(4) as i32
            },
            target: if self.random.one_in(30) { 8 } else { target as i32 },
            key: self.key(),
            range_end: if self.random.one_in(3) {
                self.range_end()
            } else {
                Bytes::new()
            },
            target_union: fitting,
        }
    }
}

/// Sends a request and returns the answer without ids and terms.
pub async fn send(client: &mut KvClient<Channel>, request: Request) -> Answer {
    let answer = match request {
        Request::Range(request) => client
            .range(request)
            .await
            .map(|answer| Answer::Range(answer.into_inner())),
        Request::Put(request) => client
            .put(request)
            .await
            .map(|answer| Answer::Put(answer.into_inner())),
        Request::DeleteRange(request) => client
            .delete_range(request)
            .await
            .map(|answer| Answer::DeleteRange(answer.into_inner())),
        Request::Txn(request) => client
            .txn(request)
            .await
            .map(|answer| Answer::Txn(answer.into_inner())),
        Request::Compact(request) => client
            .compact(request)
            .await
            .map(|answer| Answer::Compact(answer.into_inner())),
    };
    match answer {
        Ok(mut answer) => {
            if let Some(header) = header_of(&mut answer) {
                (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
            }
            answer
        }
        Err(status) => Answer::Refused(status.code(), status.message().to_owned()),
    }
}

fn header_of(answer: &mut Answer) -> Option<&mut pb::ResponseHeader> {
    match answer {
        Answer::Range(answer) => answer.header.as_mut(),
        Answer::Put(answer) => answer.header.as_mut(),
        Answer::DeleteRange(answer) => answer.header.as_mut(),
        Answer::Txn(answer) => answer.header.as_mut(),
        Answer::Compact(answer) => answer.header.as_mut(),
        Answer::Refused(..) => None,
    }
}

/// The store's revision after an answer.
pub fn revision_of(answer: &Answer) -> Option<i64> {
    header_of(&mut answer.clone()).map(|header| header.revision)
}

/// A key-value pair, for tests.
pub fn key_value(
    key: &'static str,
    value: &'static str,
    create: i64,
    modified: i64,
    version: i64,
) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: create,
        mod_revision: modified,
        version,
        lease: 0,
    }
}
