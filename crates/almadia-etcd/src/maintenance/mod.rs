//! The Maintenance service: how a member is, alarms, hashes, backups, and what etcd needs and this store does not.
//!
//! Nothing here blocks requests of others: hashes are taken from a view, backups are read from immutable files, and there
//! is nothing to defragment.

mod alarm;
mod downgrade;
mod hash;
mod snapshot;
mod status;

pub(crate) use alarm::active as active_alarms;

use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Replied, Shared};
use crate::wire::Plain;
use almadia_command::MemberId;
use almadia_store::Need;
use std::sync::Arc;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    if method == "Snapshot" {
        return Some(snapshot::serve(shared, call).await);
    }
    let shared = shared.as_ref();
    let response = match method {
        "Status" => {
            call.unary(shared, |caller, request| status::status(shared, caller, request))
                .await
        }
        "Alarm" => {
            call.unary(shared, |caller, request| alarm::alarm(shared, caller, request))
                .await
        }
        "Hash" => {
            call.unary(shared, |caller, request| hash::hash(shared, caller, request))
                .await
        }
        "HashKV" => {
            call.unary(shared, |caller, request| hash::hash_kv(shared, caller, request))
                .await
        }
        "Defragment" => {
            call.unary(shared, |caller, request| defragment(shared, caller, request))
                .await
        }
        "Downgrade" => {
            call.unary(shared, |caller, request| {
                downgrade::downgrade(shared, caller, request)
            })
            .await
        }
        "MoveLeader" => {
            call.unary(shared, |caller, request| move_leader(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// Hands leadership over, when it is asked of the leader, and answers when the other leads.
async fn move_leader<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::MoveLeaderRequest,
) -> Result<Replied<Plain<pb::MoveLeaderResponse>>, Status> {
    shared.permitted(&caller, Need::Root).await?;
    let moved = shared.backend.move_leader(MemberId(request.target_id)).await;
    moved.map_err(Fault::from)?;
    // etcd sends no header.
    Ok(Replied::unlogged(Plain(pb::MoveLeaderResponse::default())))
}

/// There is nothing to defragment: space comes back by itself. A success at once, so that scripts written for etcd go on.
async fn defragment<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::DefragmentRequest,
) -> Result<Replied<Plain<pb::DefragmentResponse>>, Status> {
    shared.root_only(&caller).await?;
    Ok(Replied::unlogged(Plain(pb::DefragmentResponse::default())))
}

impl<B: Backend> Shared<B> {
    /// Refuses whoever does not have the role root, while permissions count. These methods show etcd's inner words for it,
    /// with the code Unknown, where the others show the client's.
    async fn root_only(&self, caller: &Caller) -> Result<(), Status> {
        let permitted = self.permitted(caller, Need::Root).await;
        permitted.map_err(Fault::in_inner_words)
    }
}
