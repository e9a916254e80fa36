//! The Election service: leadership by keys that hang on leases, the same keys as the clients' own recipe makes.
//!
//! Who stands first under the election's name leads; its value is what it proclaims. The queue is the same as that of
//! locks ([`crate::lock::queue`]).

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::lock::queue::{Place, Queue, created_at, step, uncoded};
use crate::proto::mvccpb::KeyValue;
use crate::proto::{etcdserverpb, v3electionpb as pb};
use crate::service::{Call, Replied, Shared};
use crate::stream;
use crate::wire::Plain;
use almadia_command::{OperationKind, Put, Revision, Txn};
use almadia_store::watch::{Told, Watches};
use almadia_store::{Answer, Record};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// Proclamations that wait for one client at most; then they are read from the store when it takes more.
const PROCLAMATIONS_MAX: usize = 16;

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    let response = match method {
        "Campaign" => {
            call.unary(shared, |caller, request| campaign(shared, caller, request))
                .await
        }
        "Proclaim" => {
            call.unary(shared, |caller, request| proclaim(shared, caller, request))
                .await
        }
        "Leader" => {
            call.unary(shared, |caller, request| leader(shared, caller, request))
                .await
        }
        "Resign" => {
            call.unary(shared, |caller, request| resign(shared, caller, request))
                .await
        }
        "Observe" => observe(shared, call).await,
        _ => return None,
    };
    Some(response)
}

/// Returns when the caller's lease leads. A caller that goes away before takes its key along.
async fn campaign<B: Backend>(
    shared: &Arc<Shared<B>>,
    caller: Caller,
    request: pb::CampaignRequest,
) -> Result<Replied<Plain<pb::CampaignResponse>>, Status> {
    let queue = Queue::new(shared, caller, &request.name);
    let (give, take) = oneshot::channel();
    tokio::spawn(stand(queue, request, give));
    let won = take.await.unwrap_or(Err(Fault::Stopped)).map_err(uncoded)?;
    Ok(Replied::unlogged(Plain(won)))
}

/// Outlives the caller: what it has put must be taken away again.
async fn stand<B: Backend>(
    queue: Queue<B>,
    request: pb::CampaignRequest,
    mut give: oneshot::Sender<Result<pb::CampaignResponse, Fault>>,
) {
    let place = match queue.enter(request.lease, &request.value).await {
        Ok(place) => place,
        Err(fault) => return drop(give.send(Err(fault))),
    };
    let turn = win(&queue, &place, &request.value);
    let won = tokio::select! {
        won = turn => won,
        () = give.closed() => Err(Fault::TimedOut),
        never = queue.keep_session(&place) => match never {},
    };
    let won = won.map(|()| pb::CampaignResponse {
        header: Some(place.header),
        leader: Some(pb::LeaderKey {
            name: request.name,
            key: place.key.clone(),
            rev: place.created,
            lease: place.lease,
        }),
    });
    // After an error the place is kept, as in etcd: the same lease will ask again.
    if give.send(won).is_err() {
        queue.give_up(&place).await;
    }
}

async fn win<B: Backend>(queue: &Queue<B>, place: &Place, value: &Bytes) -> Result<(), Fault> {
    if place.found.as_ref().is_some_and(|found| found != value) {
        set(queue, &place.key, place.created, place.lease, value).await?;
    }
    if place.is_first && place.made {
        return Ok(());
    }
    queue.wait_for_turn(place.created).await?;
    // etcd does not look again, and tells a campaign won whose lease has ended meanwhile.
    queue.confirm(place, Fault::ElectionNotLeader).await.map(|_| ())
}

/// Sets a leader's value anew.
async fn set<B: Backend>(
    queue: &Queue<B>,
    key: &Bytes,
    created: i64,
    lease: i64,
    value: &Bytes,
) -> Result<etcdserverpb::ResponseHeader, Fault> {
    let put = Put {
        key: key.clone(),
        value: value.clone(),
        lease,
        ..Put::default()
    };
    let txn = Txn {
        compares: vec![created_at(key, created)],
        success: vec![step(OperationKind::Put(put))],
        failure: Vec::new(),
    };
    let written = queue.write(txn, key.len() + value.len()).await?;
    match written.answer {
        Answer::Txn(answer) if answer.succeeded => Ok(written.header),
        _ => Err(Fault::ElectionNotLeader),
    }
}

/// A leader sets its value.
async fn proclaim<B: Backend>(
    shared: &Arc<Shared<B>>,
    caller: Caller,
    request: pb::ProclaimRequest,
) -> Result<Replied<Plain<pb::ProclaimResponse>>, Status> {
    let leader = request.leader.ok_or_else(|| uncoded(Fault::LeaderMissing))?;
    let queue = Queue::new(shared, caller, &leader.name);
    let set = async {
        let lease = queue.session(leader.lease).await?;
        set(&queue, &leader.key, leader.rev, lease, &request.value).await
    };
    let header = set.await.map_err(uncoded)?;
    Ok(Replied::unlogged(Plain(pb::ProclaimResponse {
        header: Some(header),
    })))
}

/// Who leads.
async fn leader<B: Backend>(
    shared: &Arc<Shared<B>>,
    caller: Caller,
    request: pb::LeaderRequest,
) -> Result<Replied<Plain<pb::LeaderResponse>>, Status> {
    let queue = Queue::new(shared, caller, &request.name);
    let (first, view) = queue.first().await.map_err(uncoded)?;
    let first = first.ok_or_else(|| uncoded(Fault::ElectionNoLeader))?;
    Ok(Replied::unlogged(Plain(pb::LeaderResponse {
        header: Some(shared.read_header(&view)),
        kv: Some(shown(&first)),
    })))
}

/// A leader steps down; one that led no more changes nothing.
async fn resign<B: Backend>(
    shared: &Arc<Shared<B>>,
    caller: Caller,
    request: pb::ResignRequest,
) -> Result<Replied<Plain<pb::ResignResponse>>, Status> {
    let leader = request.leader.ok_or_else(|| uncoded(Fault::LeaderMissing))?;
    let queue = Queue::new(shared, caller, &leader.name);
    let header = queue.leave(&leader.key, leader.rev).await.map_err(uncoded)?;
    Ok(Replied::unlogged(Plain(pb::ResignResponse {
        header: Some(header),
    })))
}

/// Each leader, and each of its values, as they come.
async fn observe<B: Backend>(shared: &Arc<Shared<B>>, call: Call) -> Response<Body> {
    let caller = call.caller();
    let wants_leader = call.wants_leader();
    if let Some(fault) = shared.refuses_streams(wants_leader) {
        return Status::from(fault).into_http();
    }
    let request: pb::LeaderRequest = match call.message(shared.as_ref()).await {
        Ok(request) => request,
        Err(status) => return status.into_http(),
    };
    let (give, answers) = mpsc::channel(PROCLAMATIONS_MAX);
    let onlooker = Onlooker {
        queue: Queue::new(shared, caller, &request.name),
        give: give.clone(),
    };
    let cut = shared.cut(wants_leader);
    tokio::spawn(async move {
        let end = tokio::select! {
            Err(fault) = onlooker.run() => uncoded(fault),
            fault = cut => fault.into(),
            () = give.closed() => return,
        };
        let _ = give.send(Err(end)).await;
    });
    stream::respond(stream::Received(answers))
}

struct Onlooker<B> {
    queue: Queue<B>,
    give: mpsc::Sender<Result<Plain<pb::LeaderResponse>, Status>>,
}

impl<B: Backend> Onlooker<B> {
    /// Never ends but by an error.
    async fn run(&self) -> Result<std::convert::Infallible, Fault> {
        loop {
            let (first, view) = self.queue.first().await?;
            let (first, revision) = match first {
                Some(first) => (first, view.revision()),
                None => {
                    let mut watches = self.queue.follow(None, view.revision(), true, false);
                    let Some(first) = self.next(&mut watches).await?.into_iter().flatten().next() else {
                        continue;
                    };
                    let revision = first.mod_revision();
                    (first, revision)
                }
            };
            self.tell(&first, revision).await;
            self.follow(&first, revision).await?;
        }
    }

    /// Tells each value of a leader until it leads no more, or until that cannot be told and must be looked at.
    async fn follow(&self, leader: &Record, told: Revision) -> Result<(), Fault> {
        let mut watches = self.queue.follow(Some(leader.key()), told, true, true);
        loop {
            let Some(records) = self.next(&mut watches).await? else {
                return Ok(());
            };
            for record in records {
                if record.is_tombstone() {
                    return Ok(());
                }
                self.tell(&record, record.mod_revision()).await;
            }
        }
    }

    /// The next changes; `None` when they are compacted.
    async fn next(&self, watches: &mut Watches) -> Result<Option<Vec<Record>>, Fault> {
        loop {
            match std::future::poll_fn(|context| watches.poll_next(context)).await {
                Some(Told::Events { events, .. }) => {
                    self.queue.check_readable()?;
                    let records = events.iter().map(|event| event.record.clone());
                    return Ok(Some(records.collect()));
                }
                Some(Told::Compacted { .. }) => return Ok(None),
                Some(Told::Reached { .. }) => {}
                None => return Err(Fault::Stopped),
            }
        }
    }

    async fn tell(&self, record: &Record, revision: Revision) {
        let shared = self.queue.shared();
        let answer = pb::LeaderResponse {
            header: Some(shared.header(revision, shared.backend.view().applied().1)),
            kv: Some(shown(record)),
        };
        // Who does not listen any more ends the task elsewhere.
        let _ = self.give.send(Ok(Plain(answer))).await;
    }
}

/// A record as the message that its bytes are.
fn shown(record: &Record) -> KeyValue {
    KeyValue::decode(record.encoded()).expect("a record's bytes are an encoded key and value")
}
