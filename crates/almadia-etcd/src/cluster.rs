//! The Cluster service, as far as it is served: the list of members.

use crate::backend::{Backend, Membered};
use crate::caller::Caller;
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Replied, Shared};
use crate::wire::Plain;
use almadia_command::Revision;
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
        "MemberList" => {
            call.unary(shared, |caller, request| member_list(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// Lists the members by id; linearizable only if asked. Its header has no revision.
pub(crate) async fn member_list<B: Backend>(
    shared: &Shared<B>,
    _caller: Caller,
    request: pb::MemberListRequest,
) -> Result<Replied<Plain<pb::MemberListResponse>>, Status> {
    if request.linearizable {
        shared.read_barrier().await?;
    }
    let status = shared.backend.status();
    let mut members: Vec<pb::Member> = status.members.into_iter().map(member).collect();
    members.sort_by_key(|member| member.id);
    let response = pb::MemberListResponse {
        header: Some(shared.header(Revision(0), status.term)),
        members,
    };
    Ok(Replied::unlogged(Plain(response)))
}

fn member(member: Membered) -> pb::Member {
    pb::Member {
        id: member.id.get(),
        name: member.info.name,
        peer_ur_ls: member.info.peer_urls,
        client_ur_ls: member.info.client_urls,
        is_learner: member.is_learner,
    }
}
