//! The Maintenance service, as far as it is served: how this member is.

use crate::backend::{self, Backend};
use crate::caller::Caller;
use crate::error::NO_LEADER;
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Replied, Shared};
use crate::wire::Plain;
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
    let shared = shared.as_ref();
    let response = match method {
        "Status" => {
            call.unary(shared, |caller, request| status(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// How the asked member is. Answered from what it knows itself, without asking anybody.
pub(crate) async fn status<B: Backend>(
    shared: &Shared<B>,
    _caller: Caller,
    _request: pb::StatusRequest,
) -> Result<Replied<Plain<pb::StatusResponse>>, Status> {
    let member = shared.backend.status();
    let revision = shared.backend.view().revision();
    let response = pb::StatusResponse {
        header: Some(shared.header(revision, member.term)),
        version: shared.config.version.clone(),
        db_size: bytes(member.disk_bytes),
        leader: member.leader.unwrap_or_default().get(),
        raft_index: member.committed.get(),
        raft_term: member.term.get(),
        raft_applied_index: member.applied.get(),
        errors: errors(&member),
        db_size_in_use: bytes(member.live_bytes),
        is_learner: member.is_learner,
        storage_version: shared.config.storage_version.clone(),
        db_size_quota: shared.config.quota_bytes,
        downgrade_info: Some(pb::DowngradeInfo::default()),
    };
    Ok(Replied::unlogged(Plain(response)))
}

fn errors(member: &backend::Status) -> Vec<String> {
    let mut errors = Vec::new();
    if member.leader.is_none() {
        errors.push(NO_LEADER.to_owned());
    }
    if member.no_space {
        // The trailing blank is etcd's.
        errors.push(format!("memberID:{} alarm:NOSPACE ", member.member.get()));
    }
    errors
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
