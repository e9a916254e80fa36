//! Almadia's own Admin service: a member's log, shown to people (`almadia log`), its slow requests and how the cluster is
//! (`almadia status`), which change nothing; and the exercises of [`faults`].

use crate::backend::Backend;
use crate::caller::Caller;
use crate::faults;
use crate::proto::almadia_v1 as pb;
use crate::service::{Call, Replied, Shared};
use crate::slow::{SlowRequest, in_words};
use crate::wire::Plain;
use almadia_command::LogIndex;
use almadia_member::log::LogRow;
use almadia_member::membership::reconcile::Surveyed;
use almadia_store::Need;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
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
        "Log" => {
            call.unary(shared, |caller, request| log(shared, caller, request))
                .await
        }
        "Cluster" => {
            call.unary(shared, |caller, request| cluster(shared, caller, request))
                .await
        }
        "Slow" => {
            call.unary(shared, |caller, request| slow(shared, caller, request))
                .await
        }
        "Isolate" => {
            call.unary(shared, |caller, request| faults::isolate(shared, caller, request))
                .await
        }
        "Heal" => {
            call.unary(shared, |caller, request| faults::heal(shared, caller, request))
                .await
        }
        "Faults" => {
            call.unary(shared, |caller, request| faults::faults(shared, caller, request))
                .await
        }
        "Crash" => {
            call.unary(shared, |caller, request| faults::crash(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// A piece of the asked member's log. Entries above the commit index may still change.
pub(crate) async fn log<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::LogRequest,
) -> Result<Replied<Plain<pb::LogResponse>>, Status> {
    // The log holds everybody's keys and values.
    shared.permitted(&caller, Need::Root).await?;
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let page = shared
        .backend
        .log(LogIndex(request.from), limit)
        .await
        .map_err(Status::unavailable)?;
    let member = shared.backend.status();
    Ok(Replied::unlogged(Plain(pb::LogResponse {
        member_id: member.member.get(),
        name: member.name,
        first: page.first.get(),
        last: page.last.get(),
        committed: page.committed.get(),
        entries: page.rows.into_iter().map(entry).collect(),
    })))
}

/// The cluster as its leader sees it; whoever may list the members may know.
pub(crate) async fn cluster<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::ClusterRequest,
) -> Result<Replied<Plain<pb::ClusterResponse>>, Status> {
    shared.permitted(&caller, Need::User).await?;
    let survey = shared.backend.survey().await;
    let survey = survey.map_err(|error| Status::unavailable(error.to_string()))?;
    let member = |one: Surveyed| pb::ClusterMember {
        member_id: one.member,
        name: one.name,
        ordinal: one.rank,
        votes: one.votes,
        lag: one.lag,
        heard: one.is_heard,
    };
    Ok(Replied::unlogged(Plain(pb::ClusterResponse {
        members: survey.members.into_iter().map(member).collect(),
        unattended: survey.is_unattended,
        wished_size: survey.wished,
        doing: survey.doing,
        events: survey.events,
    })))
}

/// The last requests that the asked member was slow to answer, and how many there were.
pub(crate) async fn slow<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::SlowRequest,
) -> Result<Replied<Plain<pb::SlowResponse>>, Status> {
    // They show keys.
    shared.permitted(&caller, Need::Root).await?;
    let counts = shared.slow.counts().map(|(part, count)| pb::SlowCount {
        part: part.to_owned(),
        words: in_words(part).to_owned(),
        count,
    });
    Ok(Replied::unlogged(Plain(pb::SlowResponse {
        member_id: shared.backend.identity().member.get(),
        counts: counts.into(),
        recent: shared.slow.recent().into_iter().map(slow_call).collect(),
    })))
}

fn slow_call(request: SlowRequest) -> pb::SlowCall {
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let since = request.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let part = |(name, time): (&str, Duration)| pb::SlowPart {
        part: name.to_owned(),
        micros: us(time),
    };
    pb::SlowCall {
        ended_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        method: request.method,
        key: request.key,
        client: request.client,
        micros: us(request.took),
        parts: request.parts.each().map(part).into(),
        words: in_words(request.parts.longest()).to_owned(),
    }
}

fn entry(row: LogRow) -> pb::LogEntry {
    // The numbers of the kinds are the same in the log and in the protocol file.
    pb::LogEntry {
        index: row.index.get(),
        term: row.term.get(),
        kind: row.kind as i32,
        checksum: row.checksum,
        bytes: row.bytes,
        description: row.description,
    }
}
