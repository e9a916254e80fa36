//! The Cluster service: who belongs, and changing that. Works on any member.
//!
//! Form is checked here; what is allowed is decided by the leader. Headers have no revision, as in etcd.

mod urls;

use crate::backend::{Backend, Membered};
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Replied, Shared};
use crate::wire::Plain;
use almadia_command::{MemberId, Revision};
use almadia_member::Changed;
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
    let shared = shared.as_ref();
    let response = match method {
        "MemberList" => {
            call.unary(shared, |caller, request| member_list(shared, caller, request))
                .await
        }
        "MemberAdd" => {
            call.unary(shared, |caller, request| member_add(shared, caller, request))
                .await
        }
        "MemberRemove" => {
            call.unary(shared, |caller, request| member_remove(shared, caller, request))
                .await
        }
        "MemberUpdate" => {
            call.unary(shared, |caller, request| member_update(shared, caller, request))
                .await
        }
        "MemberPromote" => {
            call.unary(shared, |caller, request| member_promote(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// Lists the members by id; linearizable only if asked. Its header has no revision.
pub(crate) async fn member_list<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::MemberListRequest,
) -> Result<Replied<Plain<pb::MemberListResponse>>, Status> {
    shared.permitted(&caller, Need::User).await?;
    if request.linearizable {
        shared.read_barrier().await?;
    }
    let status = shared.backend.status();
    let response = pb::MemberListResponse {
        header: Some(shared.header(Revision(0), status.term)),
        members: by_id(status.members),
    };
    Ok(Replied::unlogged(Plain(response)))
}

/// Adds a member; its name stays empty until it has started.
async fn member_add<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::MemberAddRequest,
) -> Result<Replied<Plain<pb::MemberAddResponse>>, Status> {
    let peer_urls = urls::check(&request.peer_ur_ls)?;
    shared.may_change_members(&caller).await?;
    let changed = shared.backend.add_member(peer_urls, request.is_learner).await;
    let Changed { member, members } = changed.map_err(Fault::from)?;
    let members = by_id(members);
    let added = members.iter().find(|added| added.id == member.get()).cloned();
    let response = pb::MemberAddResponse {
        header: Some(shared.change_header()),
        member: added,
        members,
    };
    Ok(Replied::unlogged(Plain(response)))
}

/// Removes a member for good.
async fn member_remove<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::MemberRemoveRequest,
) -> Result<Replied<Plain<pb::MemberRemoveResponse>>, Status> {
    shared.may_change_members(&caller).await?;
    let changed = shared.backend.remove_member(MemberId(request.id)).await;
    let changed = changed.map_err(Fault::from)?;
    let response = pb::MemberRemoveResponse {
        header: Some(shared.change_header()),
        members: by_id(changed.members),
    };
    Ok(Replied::unlogged(Plain(response)))
}

/// Tells where a member is reached by its peers.
async fn member_update<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::MemberUpdateRequest,
) -> Result<Replied<Plain<pb::MemberUpdateResponse>>, Status> {
    let peer_urls = urls::check(&request.peer_ur_ls)?;
    shared.may_change_members(&caller).await?;
    let changed = shared
        .backend
        .update_member(MemberId(request.id), peer_urls)
        .await;
    let changed = changed.map_err(Fault::from)?;
    let response = pb::MemberUpdateResponse {
        header: Some(shared.change_header()),
        members: by_id(changed.members),
    };
    Ok(Replied::unlogged(Plain(response)))
}

/// Gives a learner its vote.
async fn member_promote<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::MemberPromoteRequest,
) -> Result<Replied<Plain<pb::MemberPromoteResponse>>, Status> {
    shared.may_change_members(&caller).await?;
    let changed = shared.backend.promote_member(MemberId(request.id)).await;
    let changed = changed.map_err(Fault::from)?;
    let response = pb::MemberPromoteResponse {
        header: Some(shared.change_header()),
        members: by_id(changed.members),
    };
    Ok(Replied::unlogged(Plain(response)))
}

impl<B: Backend> Shared<B> {
    async fn may_change_members(&self, caller: &Caller) -> Result<(), Fault> {
        let actor = self.known_actor(caller).await?;
        let view = self.backend.view();
        view.permits(actor.as_ref(), Need::Root).map_err(Fault::from)
    }

    fn change_header(&self) -> pb::ResponseHeader {
        self.header(Revision(0), self.backend.status().term)
    }
}

fn by_id(members: Vec<Membered>) -> Vec<pb::Member> {
    let mut members: Vec<pb::Member> = members.into_iter().map(member).collect();
    members.sort_by_key(|member| member.id);
    members
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
