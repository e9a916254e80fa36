//! The whole cluster as one member sees it, for people who look on: how this member is, and how the others say they are.
//!
//! The others are asked over the forward lane, by ids and addresses of the newest membership entry, as any peer is: no
//! client's address, certificate or token is needed for it, and who is cut off from its peers is seen to be. Nobody is
//! asked unless somebody looks. Nothing decides by what is learnt here. docs/decisions/0011-a-console-that-asks-peers.md
//! says why.

mod lookout;
mod report;

pub use lookout::{Lookout, Sighting};
pub use report::{Curiosity, EventKind, FollowerProgress, Report, ReportedEvent};

use crate::chronicle::Chronicle;
use crate::leader::{Answer, AnswerKind};
use crate::member::{Inner, Member};
use almadia_consensus::PeerNetwork;
use std::sync::{Arc, Weak};

/// What a member needs to tell of itself and to ask the others.
pub(crate) struct Means {
    pub(crate) chronicle: Chronicle,
    pub(crate) network: Arc<dyn PeerNetwork>,
    /// The number drawn for this start of the process.
    pub(crate) drawn: u32,
}

impl Means {
    pub(crate) fn new(network: Arc<dyn PeerNetwork>, drawn: u32) -> Self {
        Self {
            chronicle: Chronicle::default(),
            network,
            drawn,
        }
    }
}

/// What a member that is asked how it is answers for itself; none once it is gone.
pub(crate) fn answer(member: &Weak<Inner>, curiosity: Curiosity) -> Option<Answer> {
    let member = Member {
        inner: member.upgrade()?,
    };
    let kind = Some(AnswerKind::IAm(Box::new(member.report(curiosity))));
    Some(Answer { kind })
}
