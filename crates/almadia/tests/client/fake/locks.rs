//! Locks and elections of the fake: a queue of keys for each name, on leases, as etcd's recipes have it.

use almadia_etcd::proto::mvccpb::KeyValue;
use almadia_etcd::proto::mvccpb::event::EventType;
use almadia_etcd::proto::v3electionpb::election_server::Election;
use almadia_etcd::proto::v3electionpb::*;
use almadia_etcd::proto::v3lockpb::lock_server::Lock;
use almadia_etcd::proto::v3lockpb::*;
use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answer, Fake, Service, State, Stream, pair};

/// Who waits, first come first served; the first whose key is there holds.
#[derive(Debug, Default)]
pub struct Locks {
    queue: Vec<Vec<u8>>,
    unlocks: usize,
    resigns: usize,
}

impl Fake {
    /// How often a lock was given back, and a leadership.
    pub fn given_back(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.locks.unlocks, state.locks.resigns)
    }
}

impl State {
    /// Puts a key into the queue, on a lease.
    fn queue_up(&mut self, name: &[u8], lease: i64, value: &[u8]) -> Result<Vec<u8>, Status> {
        let key = [name, format!("/{lease:x}").as_bytes()].concat();
        let Some(owner) = self.leases.get_mut(&lease) else {
            // etcd has no code for it.
            return Err(Status::unknown("etcdserver: requested lease not found"));
        };
        if !owner.keys.contains(&key) {
            owner.keys.push(key.clone());
            self.change(EventType::Put, &key, value);
            self.locks.queue.push(key.clone());
        }
        Ok(key)
    }

    /// The key that holds a name.
    fn holder(&self, name: &[u8]) -> Option<Vec<u8>> {
        let prefix = [name, b"/"].concat();
        let mut queue = self.locks.queue.iter();
        queue
            .find(|key| key.starts_with(&prefix) && self.pairs.contains_key(*key))
            .cloned()
    }
}

impl Service {
    async fn acquire(&self, name: &[u8], lease: i64, value: &[u8]) -> Result<Bytes, Status> {
        let mut bell = self.shared.bell.subscribe();
        let key = self.state().queue_up(name, lease, value)?;
        self.shared.ring();
        loop {
            bell.mark_unchanged();
            if self.state().holder(name).as_ref() == Some(&key) {
                return Ok(key.into());
            }
            bell.changed().await.expect("the sender is this member's");
        }
    }

    fn drop_key(&self, key: &[u8]) {
        self.state().change(EventType::Delete, key, b"");
        self.shared.ring();
    }
}

#[tonic::async_trait]
impl Lock for Service {
    async fn lock(&self, request: Request<LockRequest>) -> Answer<LockResponse> {
        self.check()?;
        let request = request.into_inner();
        let key = self.acquire(&request.name, request.lease, b"").await?;
        let header = Self::header(&self.state());
        Ok(Response::new(LockResponse { header, key }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Answer<UnlockResponse> {
        self.state().locks.unlocks += 1;
        self.drop_key(&request.into_inner().key);
        Ok(Response::new(UnlockResponse::default()))
    }
}

#[tonic::async_trait]
impl Election for Service {
    type ObserveStream = Stream<LeaderResponse>;

    async fn campaign(&self, request: Request<CampaignRequest>) -> Answer<CampaignResponse> {
        let request = request.into_inner();
        let key = self.acquire(&request.name, request.lease, &request.value).await?;
        let leader = LeaderKey {
            name: request.name,
            key,
            rev: 1,
            lease: request.lease,
        };
        let header = Self::header(&self.state());
        Ok(Response::new(CampaignResponse {
            header,
            leader: Some(leader),
        }))
    }

    async fn proclaim(&self, _: Request<ProclaimRequest>) -> Answer<ProclaimResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn leader(&self, _: Request<LeaderRequest>) -> Answer<LeaderResponse> {
        Err(Status::unknown("election: no leader"))
    }

    async fn observe(&self, request: Request<LeaderRequest>) -> Answer<Self::ObserveStream> {
        let (sender, receiver) = mpsc::channel(10);
        let (service, name) = (self.clone(), request.into_inner().name);
        tokio::spawn(async move {
            let mut bell = service.shared.bell.subscribe();
            let mut last = None;
            loop {
                let leader = {
                    let state = service.state();
                    state.holder(&name).map(|key| pair(&key, &state.pairs[&key]))
                };
                if let Some(kv) = leader.filter(|kv: &KeyValue| Some(&kv.key) != last.as_ref()) {
                    last = Some(kv.key.clone());
                    let answer = LeaderResponse {
                        header: Service::header(&service.state()),
                        kv: Some(kv),
                    };
                    if sender.send(Ok(answer)).await.is_err() {
                        return;
                    }
                }
                if bell.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Answer<ResignResponse> {
        self.state().locks.resigns += 1;
        let leader = request.into_inner().leader.unwrap_or_default();
        self.drop_key(&leader.key);
        Ok(Response::new(ResignResponse::default()))
    }
}
