//! Exercises with a member: cutting it off its peers, healing that, killing it. For courses and tests; whoever may do it can
//! take a cluster's majority away, so a member refuses unless it was started for it, and with access control only root may.
//!
//! Checks who asks and for what; what is done is the business of the [`FaultSwitch`] the program brings along.

use crate::backend::Backend;
use crate::caller::Caller;
use crate::proto::almadia_v1 as pb;
use crate::service::{Replied, Shared};
use crate::wire::Plain;
use almadia_command::MemberId;
use almadia_store::Need;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;
use tonic::Status;

/// From whom a member is cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CutOff {
    /// From nobody.
    #[default]
    Nobody,
    /// From these.
    Some(BTreeSet<MemberId>),
    /// From all peers.
    All,
}

/// The switch that does what is asked for.
pub trait FaultSwitch: Debug + Send + Sync {
    /// Cuts the member off, in both directions, open connections too; ends by itself after this time, if one is given.
    /// What was switched before is replaced.
    fn cut(&self, from: CutOff, heal_after: Option<Duration>);

    /// From whom the member is cut off.
    fn cut_off(&self) -> CutOff;

    /// Ends the process soon, without cleaning up anything.
    fn crash(&self);
}

/// How long a cut may be asked to last: a day. Longer than any exercise; timers can hold it.
const HEAL_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Peers that are named at most: more than a cluster has.
const PEERS_MAX: usize = 64;

/// What stands in a status while exercises are allowed.
pub(crate) const ENABLED: &str = "fault injection is enabled (--enable-fault-injection)";
/// And while one is under way.
pub(crate) const CUT_OFF: &str = "cut off from peers by fault injection";

type Answer = Result<Replied<Plain<pb::FaultsResponse>>, Status>;

/// Cuts the asked member off.
pub(crate) async fn isolate<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::IsolateRequest,
) -> Answer {
    let switch = switch(shared, &caller).await?;
    let own = shared.backend.identity().member;
    let peers: BTreeSet<MemberId> = request.peers.into_iter().map(MemberId).collect();
    if peers.len() > PEERS_MAX {
        return Err(Status::invalid_argument(format!(
            "more than {PEERS_MAX} peers; name none to cut the member off from all"
        )));
    }
    let known = shared.backend.status().members;
    if let Some(stranger) = peers
        .iter()
        .find(|peer| !known.iter().any(|member| member.id == **peer))
    {
        return Err(Status::not_found(format!("there is no member {stranger}")));
    }
    if peers.contains(&own) {
        return Err(Status::invalid_argument("a member cannot be cut off from itself"));
    }
    let heal_after = Duration::from_millis(request.heal_after_ms);
    if heal_after > HEAL_AFTER_MAX {
        return Err(Status::invalid_argument(
            "a cut ends by itself after a day at most",
        ));
    }
    let from = if peers.is_empty() {
        CutOff::All
    } else {
        CutOff::Some(peers)
    };
    switch.cut(from, Some(heal_after).filter(|time| !time.is_zero()));
    Ok(answer(shared))
}

/// Ends what [`isolate`] began.
pub(crate) async fn heal<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::HealRequest,
) -> Answer {
    switch(shared, &caller).await?.cut(CutOff::Nobody, None);
    Ok(answer(shared))
}

/// What is allowed and under way. Changes nothing, and tells who could be cut off: for those who could do it.
pub(crate) async fn faults<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::FaultsRequest,
) -> Answer {
    shared.permitted(&caller, Need::Root).await?;
    Ok(answer(shared))
}

/// Kills the asked member's process.
pub(crate) async fn crash<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::CrashRequest,
) -> Answer {
    switch(shared, &caller).await?.crash();
    Ok(answer(shared))
}

/// The switch, for those who may use it.
async fn switch<'a, B: Backend>(
    shared: &'a Shared<B>,
    caller: &Caller,
) -> Result<&'a dyn FaultSwitch, Status> {
    shared.permitted(caller, Need::Root).await?;
    shared.config.faults.as_deref().ok_or_else(|| {
        Status::failed_precondition(
            "fault injection is not enabled on this member; start it with --enable-fault-injection (never where data matters)",
        )
    })
}

fn answer<B: Backend>(shared: &Shared<B>) -> Replied<Plain<pb::FaultsResponse>> {
    let member = shared.backend.status();
    let cut_off = shared.config.faults.as_deref().map(FaultSwitch::cut_off);
    let cut_from = match &cut_off {
        Some(CutOff::Some(peers)) => peers.iter().map(|peer| peer.get()).collect(),
        _ => Vec::new(),
    };
    Replied::unlogged(Plain(pb::FaultsResponse {
        member_id: member.member.get(),
        name: member.name,
        enabled: cut_off.is_some(),
        isolated: cut_off == Some(CutOff::All),
        cut_from,
    }))
}
