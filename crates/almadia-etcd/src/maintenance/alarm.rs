//! Alarms: listed by anyone who may log in, raised and cleared through the log.

use crate::backend::{self, Backend};
use crate::caller::Caller;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_command::{AlarmChange, AlarmKind, Kind};
use almadia_store::{Alarm, Answer, Need, View};
use pb::alarm_request::AlarmAction;
use prost::Message;
use tonic::Status;

/// Lists, raises or clears. An action that is not known answers nothing, as in etcd.
pub(crate) async fn alarm<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::AlarmRequest,
) -> Result<Replied<Plain<pb::AlarmResponse>>, Status> {
    let raise = match AlarmAction::try_from(request.action) {
        Ok(AlarmAction::Activate) => true,
        Ok(AlarmAction::Deactivate) => false,
        Ok(AlarmAction::Get) => return Ok(Replied::unlogged(list(shared, &caller, &request).await?)),
        Err(_) => return Ok(Replied::unlogged(answer(shared, std::iter::empty()))),
    };
    let change = AlarmChange {
        raise,
        member: request.member_id,
        kind: request.alarm,
    };
    let written = shared
        .write(&caller, Kind::Alarm(change), request.encoded_len())
        .await?;
    let Answer::Alarm(changed) = written.answer else {
        unreachable!("an alarm was answered with {:?}", written.answer);
    };
    let response = pb::AlarmResponse {
        header: Some(written.header),
        alarms: changed.into_iter().map(member).collect(),
    };
    Ok(Replied {
        answer: Plain(response),
        position: Some(written.position),
    })
}

async fn list<B: Backend>(
    shared: &Shared<B>,
    caller: &Caller,
    request: &pb::AlarmRequest,
) -> Result<Plain<pb::AlarmResponse>, Fault> {
    let view = shared.readable_view(false).await?;
    let actor = shared.actor(caller, &view)?;
    view.permits(actor.as_ref(), Need::User)?;
    let every = request.alarm == pb::AlarmType::None as i32;
    let active = active(&shared.backend.status(), &view);
    let wanted = active
        .into_iter()
        .filter(|alarm| every || alarm.kind == request.alarm);
    Ok(answer(shared, wanted))
}

fn answer<B: Backend>(shared: &Shared<B>, alarms: impl Iterator<Item = Alarm>) -> Plain<pb::AlarmResponse> {
    Plain(pb::AlarmResponse {
        header: Some(shared.read_header(&shared.backend.view())),
        alarms: alarms.map(member).collect(),
    })
}

/// The alarms that are raised, and those of the asked member's own that clear themselves: a nearly full disk, a state that
/// is being set right.
pub(crate) fn active(status: &backend::Status, view: &View) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = view.alarms().raised().collect();
    let own = [
        (status.no_space, AlarmKind::NoSpace),
        (status.corrupt, AlarmKind::Corrupt),
    ];
    for (_, kind) in own.into_iter().filter(|(is_so, _)| *is_so) {
        let alarm = Alarm {
            kind: kind as i32,
            member: status.member,
        };
        if !alarms.contains(&alarm) {
            alarms.push(alarm);
        }
    }
    alarms
}

fn member(alarm: Alarm) -> pb::AlarmMember {
    pb::AlarmMember {
        member_id: alarm.member.get(),
        alarm: alarm.kind,
    }
}
