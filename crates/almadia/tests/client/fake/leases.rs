//! Leases of the fake. They end only when a test wants it: there is no clock.

use almadia_etcd::proto::etcdserverpb::lease_server::Lease as LeaseService;
use almadia_etcd::proto::etcdserverpb::*;
use almadia_etcd::proto::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, Fake, Service, State, Stream};

/// Shortest lifetime.
const TTL_MIN: i64 = 2;

/// A lease.
#[derive(Debug, Default)]
pub struct Lease {
    ttl: i64,
    renewals: usize,
    /// The keys that go with it.
    pub keys: Vec<Vec<u8>>,
}

impl Fake {
    /// The ids of all leases.
    pub fn leases(&self) -> Vec<i64> {
        self.shared.lock().leases.keys().copied().collect()
    }

    /// How often a lease was renewed.
    pub fn renewals(&self, id: i64) -> usize {
        self.shared.lock().leases[&id].renewals
    }

    /// Ends a lease, as its time would.
    pub fn end_lease(&self, id: i64) {
        assert!(self.shared.lock().end_lease(id), "there is such a lease");
        self.shared.ring();
    }
}

impl State {
    /// Ends a lease; whether there was one.
    pub fn end_lease(&mut self, id: i64) -> bool {
        let Some(lease) = self.leases.remove(&id) else {
            return false;
        };
        for key in lease.keys {
            self.change(EventType::Delete, &key, b"");
        }
        true
    }
}

fn not_found() -> Status {
    Status::not_found("etcdserver: requested lease not found")
}

#[tonic::async_trait]
impl LeaseService for Service {
    type LeaseKeepAliveStream = Stream<LeaseKeepAliveResponse>;

    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Answer<LeaseGrantResponse> {
        self.check()?;
        let (request, mut state) = (request.into_inner(), self.state());
        let id = match request.id {
            0 => 0x5b00 + state.leases.len() as i64,
            id => id,
        };
        let ttl = request.ttl.max(TTL_MIN);
        let lease = Lease {
            ttl,
            ..Lease::default()
        };
        state.leases.insert(id, lease);
        self.shared.ring();
        Ok(Response::new(LeaseGrantResponse {
            id,
            ttl,
            ..Default::default()
        }))
    }

    async fn lease_revoke(&self, request: Request<LeaseRevokeRequest>) -> Answer<LeaseRevokeResponse> {
        self.check()?;
        if !self.state().end_lease(request.into_inner().id) {
            return Err(not_found());
        }
        self.shared.ring();
        Ok(Response::new(LeaseRevokeResponse::default()))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Answer<Self::LeaseKeepAliveStream> {
        self.check()?;
        let (sender, receiver) = mpsc::channel(10);
        let (service, mut asked) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(LeaseKeepAliveRequest { id })) = asked.message().await {
                let ttl = match service.state().leases.get_mut(&id) {
                    Some(lease) => {
                        lease.renewals += 1;
                        lease.ttl
                    }
                    None => 0,
                };
                let answer = LeaseKeepAliveResponse {
                    header: None,
                    id,
                    ttl,
                };
                if sender.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Answer<LeaseTimeToLiveResponse> {
        let (request, state) = (request.into_inner(), self.state());
        let lease = state.leases.get(&request.id);
        Ok(Response::new(LeaseTimeToLiveResponse {
            header: None,
            id: request.id,
            ttl: lease.map_or(-1, |lease| lease.ttl - 1),
            granted_ttl: lease.map_or(0, |lease| lease.ttl),
            keys: lease
                .filter(|_| request.keys)
                .map(|lease| lease.keys.iter().map(|key| key.clone().into()).collect())
                .unwrap_or_default(),
        }))
    }

    async fn lease_leases(&self, _: Request<LeaseLeasesRequest>) -> Answer<LeaseLeasesResponse> {
        let leases = self
            .state()
            .leases
            .keys()
            .map(|id| LeaseStatus { id: *id })
            .collect();
        Ok(Response::new(LeaseLeasesResponse { header: None, leases }))
    }
}
