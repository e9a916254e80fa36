//! The Watch service: changes as they come, on one stream for many watches.
//!
//! What is told to whom is decided in [`almadia_store::watch`]; here stand etcd's messages around it: ids, options,
//! permissions, notices of progress, and when a stream ends. The task that serves a stream's answers does all of it, when
//! the connection asks for more: so a client that does not read is asked for nothing and told nothing, and holds no more
//! than its inbox.

mod create;
mod reply;
mod session;
mod ticker;

use crate::backend::Backend;
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Shared};
use crate::stream;
use session::Session;
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
    if method != "Watch" {
        return None;
    }
    let caller = call.caller();
    let wants_leader = call.wants_leader();
    if let Some(fault) = shared.refuses_streams(wants_leader) {
        return Some(Status::from(fault).into_http());
    }
    let working = call.begin_stream();
    let requests = call.messages::<B, pb::WatchRequest>(shared);
    let session = Session::new(shared.clone(), caller, requests, wants_leader, working);
    Some(stream::respond(session))
}
