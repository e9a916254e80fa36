//! What a client asks next. It judges nothing.

use super::Common;
use crate::chance::Chance;
use crate::history::{Body, Compare, Operand, Outcome, Range, Request, Span, Text, Txn, Verdict};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// So few keys that they are always fought over.
const KEYS: u64 = 10;

/// A lease that a client holds.
#[derive(Clone, Copy)]
struct Held {
    lease: i64,
    ttl_s: i64,
    /// How often it is still kept alive; then it may expire.
    renewals: u64,
}

struct Caller {
    common: Common,
    number: u64,
    chance: Chance,
    /// Most clients stay with one machine.
    machine: usize,
    values: u64,
    held: Option<Held>,
    /// A key and the revision at which this client saw it.
    seen: Option<(Text, i64)>,
}

/// Calls until it is told to stop.
pub async fn call_on(common: Common, number: u64, mut chance: Chance) {
    let machine = chance.below(common.machines as u64) as usize;
    let mut caller = Caller {
        common,
        number,
        chance,
        machine,
        values: 0,
        held: None,
        seen: None,
    };
    while !caller.common.stops() {
        let pause_ms = caller.chance.between(1, caller.common.manner.think_ms_max);
        sleep(Duration::from_millis(pause_ms)).await;
        if caller.common.stops() {
            return;
        }
        caller.once().await;
    }
}

impl Caller {
    async fn once(&mut self) {
        if self.chance.per_mille(100) {
            self.machine = self.chance.below(self.common.machines as u64) as usize;
        }
        let request = self.next();
        let outcome = self.common.call(self.number, self.machine, request.clone()).await;
        self.learn(&request, &outcome);
    }

    fn learn(&mut self, request: &Request, outcome: &Outcome) {
        match outcome {
            Outcome::Done(answer) => {
                if let Body::Range { kvs, .. } = &answer.body
                    && let Some(kv) = kvs.first()
                {
                    self.seen = Some((kv.key.clone(), kv.mod_revision));
                }
                if let (Request::LeaseKeepAlive { .. }, Body::Lease { ttl_s: 0 }) = (request, &answer.body) {
                    self.held = None;
                }
            }
            // Elsewhere it may go better.
            Outcome::Unknown | Outcome::Refused(crate::history::Refusal::Other(_)) => {
                self.machine = self.chance.below(self.common.machines as u64) as usize;
            }
            Outcome::Refused(crate::history::Refusal::LeaseNotFound) => self.held = None,
            Outcome::Refused(_) => {}
        }
    }

    fn key(&mut self) -> Text {
        format!("k{}", self.chance.below(KEYS)).into()
    }

    /// A value that nobody has ever written.
    fn value(&mut self) -> Text {
        self.values += 1;
        format!("{}-{}", self.number, self.values).into()
    }

    fn span(&mut self) -> Span {
        match self.chance.below(4) {
            0 => Span::between("k", "l"),
            1 => Span::between(format!("k{}", self.chance.below(5)), "k7"),
            _ => Span::one(self.key()),
        }
    }

    fn put(&mut self) -> Request {
        let lease = match self.held {
            Some(held) if self.chance.per_mille(300) => held.lease,
            _ => 0,
        };
        Request::Put {
            key: self.key(),
            value: self.value(),
            lease,
            prev_kv: self.chance.per_mille(200),
        }
    }

    fn next(&mut self) -> Request {
        match self.chance.below(100) {
            0..=34 => self.put(),
            35..=59 => self.read(),
            60..=67 => Request::Delete {
                span: if self.chance.per_mille(100) {
                    self.span()
                } else {
                    Span::one(self.key())
                },
                prev_kv: self.chance.per_mille(200),
            },
            68..=82 => self.txn(),
            83..=86 => Request::Compact {
                revision: (self.common.newest() - self.chance.between(0, 40) as i64).max(1),
            },
            _ => self.lease(),
        }
    }

    fn read(&mut self) -> Request {
        let revision = if self.chance.per_mille(150) {
            (self.common.newest() - self.chance.between(0, 30) as i64).max(1)
        } else {
            0
        };
        Request::Range(Range {
            revision,
            limit: *self.chance.pick(&[0, 0, 0, 2]),
            serializable: self.chance.per_mille(200),
            keys_only: self.chance.per_mille(50),
            ..Range::of(self.span())
        })
    }

    fn txn(&mut self) -> Request {
        let (key, revision) = match self.seen.take() {
            Some(seen) => seen,
            None => (self.key(), 0),
        };
        let operand = match self.chance.below(4) {
            0 => Operand::Version(i64::from(revision > 0)),
            _ => Operand::ModRevision(revision),
        };
        let compare = Compare {
            span: Span::one(key.clone()),
            verdict: *self
                .chance
                .pick(&[Verdict::Equal, Verdict::Equal, Verdict::Equal, Verdict::NotEqual]),
            operand,
        };
        let mut success = vec![Request::Put {
            key,
            value: self.value(),
            lease: 0,
            prev_kv: false,
        }];
        if self.chance.per_mille(400) {
            // Several keys in one revision: it must never be split. Not the same key twice.
            success.push(Request::Put {
                key: "multi".into(),
                value: self.value(),
                lease: 0,
                prev_kv: false,
            });
        }
        let old = (self.common.newest() - self.chance.between(0, 30) as i64).max(1);
        let read = Range {
            revision: if self.chance.per_mille(200) { old } else { 0 },
            ..Range::of(self.span())
        };
        Request::Txn(Txn {
            compares: vec![compare],
            success,
            failure: vec![Request::Range(read)],
        })
    }

    fn lease(&mut self) -> Request {
        match &mut self.held {
            None => {
                let held = Held {
                    lease: self.common.ids.fetch_add(1, Ordering::Relaxed) as i64,
                    ttl_s: self.chance.between(2, 8) as i64,
                    renewals: self.chance.below(12),
                };
                self.held = Some(held);
                Request::LeaseGrant {
                    lease: held.lease,
                    ttl_s: held.ttl_s,
                }
            }
            Some(held) if held.renewals > 0 => {
                held.renewals -= 1;
                Request::LeaseKeepAlive { lease: held.lease }
            }
            Some(held) => {
                let lease = held.lease;
                if self.chance.per_mille(300) {
                    self.held = None;
                    return Request::LeaseRevoke { lease };
                }
                if self.chance.per_mille(500) {
                    // It is left to expire.
                    self.held = None;
                }
                Request::LeaseTimeToLive { lease }
            }
        }
    }
}
