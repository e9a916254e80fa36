//! How a member is: the answer that kube-apiserver and people look at first.

use super::alarm;
use crate::backend::{self, Backend};
use crate::caller::Caller;
use crate::error::NO_LEADER;
use crate::faults::{self, CutOff};
use crate::proto::etcdserverpb as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_store::{Need, View};
use tonic::Status;

/// How the asked member is. Answered from what it knows itself, without asking anybody.
pub(crate) async fn status<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::StatusRequest,
) -> Result<Replied<Plain<pb::StatusResponse>>, Status> {
    // As etcd 3.5.30; earlier ones told anybody.
    shared.permitted(&caller, Need::Root).await?;
    let mut member = shared.backend.status();
    if !shared.backend.has_leader() {
        // A belief that nothing confirms any more.
        member.leader = None;
    }
    let view = shared.backend.view();
    let revision = view.revision();
    let response = pb::StatusResponse {
        header: Some(shared.header(revision, member.term)),
        version: shared.config.version.clone(),
        db_size: bytes(member.disk_bytes),
        leader: member.leader.unwrap_or_default().get(),
        raft_index: member.committed.get(),
        raft_term: member.term.get(),
        raft_applied_index: member.applied.get(),
        errors: errors(shared, &member, &view),
        db_size_in_use: bytes(member.live_bytes),
        is_learner: member.is_learner,
        storage_version: shared.config.storage_version.clone(),
        db_size_quota: shared.config.quota_bytes,
        downgrade_info: Some(pb::DowngradeInfo {
            enabled: !view.downgrade().target().is_empty(),
            target_version: view.downgrade().target().to_owned(),
        }),
    };
    Ok(Replied::unlogged(Plain(response)))
}

fn errors<B: Backend>(shared: &Shared<B>, member: &backend::Status, view: &View) -> Vec<String> {
    let mut errors = Vec::new();
    if let Some(switch) = &shared.config.faults {
        errors.push(faults::ENABLED.to_owned());
        if switch.cut_off() != CutOff::Nobody {
            errors.push(faults::CUT_OFF.to_owned());
        }
    }
    if member.leader.is_none() {
        errors.push(NO_LEADER.to_owned());
    }
    for alarm in alarm::active(member, view) {
        // The trailing blank is etcd's.
        let kind = pb::AlarmType::try_from(alarm.kind).map_or("UNKNOWN", |kind| kind.as_str_name());
        errors.push(format!("memberID:{} alarm:{kind} ", alarm.member.get()));
    }
    errors
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
