//! The Lock service: locks by keys that hang on leases, the same keys as the clients' own recipe makes.
//!
//! The queue of those who want a lock is the store's: keys under the lock's name, in the order of their creation
//! ([`queue`]). A lock is answered only after a confirmed read has shown that its key is still there, so its lease lives;
//! the key's create revision tells holders apart and can be used as a fencing token. Keeps no lease alive but the one
//! it made for a caller that brought none, and that only while the caller waits.

pub(crate) mod queue;

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::v3lockpb as pb;
use crate::service::{Call, Replied, Shared};
use crate::wire::Plain;
use almadia_command::{DeleteRange, Kind};
use prost::Message;
use queue::{Queue, uncoded};
use std::sync::Arc;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    let response = match method {
        "Lock" => {
            call.unary(shared, |caller, request| lock(shared, caller, request))
                .await
        }
        "Unlock" => {
            call.unary(shared, |caller, request| unlock(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// Returns when the caller's lease holds the lock. A caller that goes away before takes its key along.
async fn lock<B: Backend>(
    shared: &Arc<Shared<B>>,
    caller: Caller,
    request: pb::LockRequest,
) -> Result<Replied<Plain<pb::LockResponse>>, Status> {
    let queue = Queue::new(shared, caller, &request.name);
    let (give, take) = oneshot::channel();
    // In a task of its own, which outlives the caller: what it has put must be taken away again.
    tokio::spawn(acquire(queue, request.lease, give));
    let locked = take.await.unwrap_or(Err(Fault::Stopped)).map_err(uncoded)?;
    Ok(Replied::unlogged(Plain(locked)))
}

async fn acquire<B: Backend>(
    queue: Queue<B>,
    lease: i64,
    mut give: oneshot::Sender<Result<pb::LockResponse, Fault>>,
) {
    let place = match queue.enter(lease, &[]).await {
        Ok(place) => place,
        Err(fault) => return drop(give.send(Err(fault))),
    };
    let turn = async {
        if place.is_first {
            return Ok(place.header);
        }
        queue.wait_for_turn(place.created).await?;
        queue.confirm(&place, Fault::SessionExpired).await
    };
    let header = tokio::select! {
        header = turn => header,
        () = give.closed() => Err(Fault::TimedOut),
        never = queue.keep_session(&place) => match never {},
    };
    let failed = header.is_err();
    let locked = header.map(|header| pb::LockResponse {
        header: Some(header),
        key: place.key.clone(),
    });
    if give.send(locked).is_err() || failed {
        queue.give_up(&place).await;
    }
}

/// Gives a lock back; a key that is not there is a success.
async fn unlock<B: Backend>(
    shared: &Arc<Shared<B>>,
    caller: Caller,
    request: pb::UnlockRequest,
) -> Result<Replied<Plain<pb::UnlockResponse>>, Status> {
    let len = request.encoded_len();
    let delete = DeleteRange {
        key: request.key,
        ..DeleteRange::default()
    };
    let written = shared.write(&caller, Kind::DeleteRange(delete), len).await;
    let written = written.map_err(uncoded)?;
    let answer = Plain(pb::UnlockResponse {
        header: Some(written.header),
    });
    Ok(Replied {
        answer,
        position: Some(written.position),
    })
}
