//! What clients ask: few keys, so that they meet; every value once, so that nobody is taken for somebody else. Each client
//! is bound to one member and asks one thing after the other.

use crate::calls;
use crate::recorder::Recorder;
use almadia_sim::history::*;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

/// What a client does all the time.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Puts, reads, deletes, transactions.
    Keys,
    /// Leases with keys: kept, revoked, left to end.
    Leases,
    /// Takes a lock and gives it back.
    Locks,
    /// Compacts what every member has told of.
    Compacts,
}

/// What runs at each member.
pub const KINDS: &[Kind] = &[Kind::Keys, Kind::Keys, Kind::Leases, Kind::Locks, Kind::Compacts];

/// Longer than it takes to elect a leader, so that most calls are answered.
const LIMIT: Duration = Duration::from_millis(2500);
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// Between calls: the point is faults, not load.
const PAUSE_MS_MAX: u64 = 20;
const KEYS: u64 = 8;
/// Revisions that stay when somebody compacts.
const KEPT_REVISIONS: i64 = 60;
const LEASE_TTL_S: i64 = 3;

/// Chance that differs from run to run: processes cannot be repeated anyway.
pub struct Chance(u64);

impl Chance {
    /// From the system.
    pub fn from_entropy() -> Chance {
        Chance(RandomState::new().hash_one(0) | 1)
    }

    /// Below a number.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % below
    }
}

/// A connection that is made when it is needed.
pub fn channel(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    endpoint
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .connect_lazy()
}

/// Asks until it is told to stop.
pub async fn run(
    kind: Kind,
    recorder: Arc<Recorder>,
    member: usize,
    url: String,
    stopped: watch::Receiver<bool>,
) {
    let mut client = Client {
        number: recorder.unique(),
        channel: channel(&url),
        chance: Chance::from_entropy(),
        newest: 1,
        recorder,
        member,
    };
    while !*stopped.borrow() {
        match kind {
            Kind::Keys => client.keys().await,
            Kind::Leases => client.leases().await,
            Kind::Locks => client.locks().await,
            Kind::Compacts => client.compacts().await,
        }
        let pause = client.chance.below(PAUSE_MS_MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

struct Client {
    number: u64,
    recorder: Arc<Recorder>,
    member: usize,
    channel: Channel,
    chance: Chance,
    /// The newest revision it has seen.
    newest: Revision,
}

impl Client {
    async fn ask(&mut self, request: Request) -> Outcome {
        let invoked_us = self.recorder.now_us();
        let outcome = calls::call(&self.channel, &request, LIMIT).await;
        if let Outcome::Done(answer) = &outcome {
            self.newest = self.newest.max(answer.revision);
        }
        self.recorder
            .call(self.number, self.member, invoked_us, request, outcome.clone());
        outcome
    }

    fn key(&mut self) -> Text {
        format!("k{}", self.chance.below(KEYS)).into()
    }

    fn put(&mut self, lease: Lease) -> Request {
        Request::Put {
            key: self.key(),
            value: format!("v{}", self.recorder.unique()).into(),
            lease,
            prev_kv: self.chance.below(2) == 0,
        }
    }

    fn span(&mut self) -> Span {
        match self.chance.below(4) {
            0 => Span::between("k", "l"),
            _ => Span::one(self.key()),
        }
    }

    async fn keys(&mut self) {
        let request = match self.chance.below(12) {
            0..=3 => self.put(0),
            4..=5 => Request::Range(Range::of(self.span())),
            6 => Request::Range(Range {
                serializable: true,
                ..Range::of(self.span())
            }),
            7 => Request::Range(Range {
                revision: (self.newest - self.chance.below(100) as i64).max(1),
                ..Range::of(self.span())
            }),
            8 => Request::Delete {
                span: Span::one(self.key()),
                prev_kv: true,
            },
            9 if self.chance.below(10) == 0 => Request::Delete {
                span: Span::between("k", "l"),
                prev_kv: false,
            },
            _ => self.txn().await,
        };
        self.ask(request).await;
    }

    /// Writes if nobody else has since it looked; reads else.
    async fn txn(&mut self) -> Request {
        let key = self.key();
        let looked = self.ask(Request::Range(Range::of(Span::one(key.clone())))).await;
        let revision = match looked {
            Outcome::Done(Answer {
                body: Body::Range { kvs, .. },
                ..
            }) => kvs.first().map_or(0, |kv| kv.mod_revision),
            _ => 0,
        };
        let value = format!("t{}", self.recorder.unique()).into();
        Request::Txn(Txn {
            compares: vec![Compare {
                span: Span::one(key.clone()),
                verdict: Verdict::Equal,
                operand: Operand::ModRevision(revision),
            }],
            success: vec![
                Request::Put {
                    key,
                    value,
                    lease: 0,
                    prev_kv: true,
                },
                Request::Range(Range::of(Span::between("k", "l"))),
            ],
            failure: vec![Request::Range(Range::of(Span::between("k", "l")))],
        })
    }

    async fn grant(&mut self) -> Option<Lease> {
        let lease = 0x7000_0000 + self.recorder.unique() as Lease;
        let granted = self
            .ask(Request::LeaseGrant {
                lease,
                ttl_s: LEASE_TTL_S,
            })
            .await;
        matches!(granted, Outcome::Done(_)).then_some(lease)
    }

    async fn leases(&mut self) {
        let Some(lease) = self.grant().await else {
            return;
        };
        for _ in 0..1 + self.chance.below(2) {
            let put = self.put(lease);
            self.ask(put).await;
        }
        for _ in 0..self.chance.below(4) {
            let nap = self.chance.below(1000);
            tokio::time::sleep(Duration::from_millis(nap)).await;
            self.ask(Request::LeaseKeepAlive { lease }).await;
        }
        self.ask(Request::LeaseTimeToLive { lease }).await;
        if self.chance.below(2) == 0 {
            self.ask(Request::LeaseRevoke { lease }).await;
        }
    }

    async fn locks(&mut self) {
        let Some(lease) = self.grant().await else {
            return;
        };
        let name = Text::from("lock");
        let locked = self.ask(Request::Lock { name, lease }).await;
        if let Outcome::Done(Answer {
            body: Body::Lock { key },
            ..
        }) = locked
        {
            let hold = self.chance.below(50);
            tokio::time::sleep(Duration::from_millis(hold)).await;
            if self.chance.below(4) > 0 {
                self.ask(Request::Unlock { key }).await;
            }
        }
        self.ask(Request::LeaseRevoke { lease }).await;
    }

    async fn compacts(&mut self) {
        let nap = self.chance.below(400);
        tokio::time::sleep(Duration::from_millis(nap)).await;
        let revision = self.recorder.told_by_everybody() - KEPT_REVISIONS;
        if revision > 1 {
            self.ask(Request::Compact { revision }).await;
        }
    }
}
