//! `/debug/vars` (B8.7): how consensus stands, under the name that etcd shows it by. What etcd's page says of Go's memory has no
//! meaning here; metrics have what can be measured.

use crate::backend::Backend;
use crate::service::Shared;
use serde_json::json;
use tonic::body::Body;
use tonic::codegen::http::{Response, StatusCode};

pub(super) fn respond<B: Backend>(shared: &Shared<B>) -> Response<Body> {
    let status = shared.backend.status();
    let state = if status.is_leader {
        "StateLeader"
    } else {
        "StateFollower"
    };
    let text = json!({
        "raft.status": {
            "id": format!("{:x}", status.member.get()),
            "term": status.term.get(),
            "commit": status.committed.get(),
            "lead": format!("{:x}", status.leader.map_or(0, |leader| leader.get())),
            "raftState": state,
            "applied": status.applied.get(),
        },
    });
    super::json_response(StatusCode::OK, text.to_string())
}
