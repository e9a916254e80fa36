//! The rule that decides whether a member founds a cluster: a pure function of what it has heard.
//!
//! It never asks anybody itself, and it forgets nothing on its own: the caller keeps the situation up to date.

use super::InitialState;
use almadia_command::planted::{Bug, planted};
use almadia_command::{ClusterId, MemberId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What one peer has last said, or that it has not said anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Not reachable, or no answer; with the world's words.
    Silent(String),
    /// It belongs to a cluster, which does not name us.
    Founded {
        /// The cluster.
        cluster: ClusterId,
        /// Why we are not let in yet.
        says: String,
    },
    /// It belongs to no cluster and must not found one either (`--initial-cluster-state existing`).
    NotFounding,
    /// It belongs to no cluster and may found one.
    Empty {
        /// Its instance id.
        member: MemberId,
        /// The names of its list, in order.
        initial_names: Vec<String>,
        /// Who has told it that it is empty, under which instance id.
        seen: BTreeMap<String, MemberId>,
        /// Where clients reach it.
        client_urls: Vec<String>,
    },
}

/// Everything [`decide`] looks at. The member itself belongs to no cluster, else there is nothing to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Our name; part of `names`.
    pub name: String,
    /// Our instance id.
    pub member: MemberId,
    /// What we were told at start.
    pub state: InitialState,
    /// The names of our list, in order, without repetition.
    pub names: Vec<String>,
    /// Members beside the list that must have answered before anything is founded.
    pub witnesses: Vec<String>,
    /// What the peers have said since we started; nothing from before.
    pub heard: BTreeMap<String, Heard>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Found a cluster of these members (name, instance id), in name order.
    Found(Vec<(String, MemberId)>),
    /// Ask again later.
    Wait(WaitReason),
}

/// Why nothing can be done yet, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// There is a cluster, and this member is not one of its first members.
    Admission {
        /// The cluster.
        cluster: ClusterId,
        /// Who belongs to it.
        peer: String,
        /// Why we are not let in yet.
        says: String,
    },
    /// No peer belongs to a cluster, and this member must not found one.
    Existing,
    /// Some peers have not answered.
    Silent {
        /// Who, and why.
        peers: Vec<(String, String)>,
    },
    /// A peer is empty but must not found a cluster.
    PeerNotFounding {
        /// Who.
        peer: String,
    },
    /// A peer has another list of members.
    AnotherList {
        /// Who.
        peer: String,
        /// Its list.
        theirs: Vec<String>,
    },
    /// Two data directories carry one id: one is a copy of the other.
    SameId {
        /// Who has the id of somebody else.
        peer: String,
    },
    /// All are empty; the first in name order founds.
    Founder {
        /// The first.
        peer: String,
    },
    /// A peer has not yet heard from everybody, or has heard from somebody who has restarted since.
    View {
        /// Who.
        peer: String,
    },
}

/// What a member without a cluster does next.
pub fn decide(situation: &Situation) -> Step {
    assert!(situation.names.is_sorted(), "the list is in name order");
    assert!(
        situation.names.contains(&situation.name),
        "a member is part of its own list"
    );
    match obstacle(situation) {
        Some(reason) => Step::Wait(reason),
        None => Step::Found(ids(situation).into_iter().collect()),
    }
}

/// The first reason not to found, the most telling ones first.
fn obstacle(situation: &Situation) -> Option<WaitReason> {
    let founded = situation.heard.iter().find_map(|(peer, heard)| match heard {
        Heard::Founded { cluster, says } => Some(WaitReason::Admission {
            cluster: *cluster,
            peer: peer.clone(),
            says: says.clone(),
        }),
        _ => None,
    });
    if founded.is_some() {
        return founded;
    }
    if situation.state == InitialState::Existing {
        return Some(WaitReason::Existing);
    }
    if planted(Bug::FoundsAlone) {
        return None;
    }
    let silent = silent(situation);
    if !silent.is_empty() {
        return Some(WaitReason::Silent { peers: silent });
    }
    if let Some(reason) = peers(situation).find_map(|peer| disagreement(situation, peer)) {
        return Some(reason);
    }
    let ids = ids(situation);
    let distinct: BTreeSet<MemberId> = ids.values().copied().collect();
    if distinct.len() != ids.len() {
        let peer = ids
            .iter()
            .find(|(name, id)| ids.iter().any(|(other, same)| other != *name && same == *id));
        return peer.map(|(name, _)| WaitReason::SameId { peer: name.clone() });
    }
    let first = &situation.names[0];
    if *first != situation.name {
        return Some(WaitReason::Founder { peer: first.clone() });
    }
    peers(situation).find_map(|peer| incomplete_view(situation, &ids, peer))
}

/// The names of the list without our own.
fn peers(situation: &Situation) -> impl Iterator<Item = &String> {
    situation.names.iter().filter(|name| **name != situation.name)
}

fn silent(situation: &Situation) -> Vec<(String, String)> {
    peers(situation)
        .chain(&situation.witnesses)
        .filter_map(|peer| match situation.heard.get(peer) {
            None => Some((peer.clone(), "not asked yet".to_owned())),
            Some(Heard::Silent(reason)) => Some((peer.clone(), reason.clone())),
            Some(_) => None,
        })
        .collect()
}

fn disagreement(situation: &Situation, peer: &str) -> Option<WaitReason> {
    match situation.heard.get(peer)? {
        Heard::NotFounding => Some(WaitReason::PeerNotFounding {
            peer: peer.to_owned(),
        }),
        Heard::Empty { initial_names, .. } if *initial_names != situation.names => {
            Some(WaitReason::AnotherList {
                peer: peer.to_owned(),
                theirs: initial_names.clone(),
            })
        }
        _ => None,
    }
}

/// All members of the list with their instance ids, as far as they have answered.
fn ids(situation: &Situation) -> BTreeMap<String, MemberId> {
    let own = (situation.name.clone(), situation.member);
    let empty = peers(situation).filter_map(|peer| match situation.heard.get(peer) {
        Some(Heard::Empty { member, .. }) => Some((peer.clone(), *member)),
        _ => None,
    });
    empty.chain([own]).collect()
}

/// A peer must have heard exactly of the instances we would found with: whoever has asked another member has made
/// that member deaf to offers of its own earlier instances (see `docs/internals/founding.md`).
fn incomplete_view(
    situation: &Situation,
    ids: &BTreeMap<String, MemberId>,
    peer: &String,
) -> Option<WaitReason> {
    let Some(Heard::Empty { seen, .. }) = situation.heard.get(peer) else {
        return Some(WaitReason::View { peer: peer.clone() });
    };
    let complete = ids
        .iter()
        .filter(|(name, _)| *name != peer)
        .all(|(name, id)| seen.get(name) == Some(id));
    (!complete).then(|| WaitReason::View { peer: peer.clone() })
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admission { cluster, peer, says } => {
                write!(
                    f,
                    "{peer} belongs to cluster {cluster}, to which this data directory does not belong; waiting to be admitted"
                )?;
                if says.is_empty() { Ok(()) } else { write!(f, ": {says}") }
            }
            Self::Existing => f.write_str(
                "no peer belongs to a cluster yet, and with --initial-cluster-state existing none is founded; waiting",
            ),
            Self::Silent { peers } => {
                f.write_str("a cluster is founded when all members have answered; still missing:")?;
                for (position, (peer, reason)) in peers.iter().enumerate() {
                    write!(f, "{} {peer} ({reason})", if position == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::PeerNotFounding { peer } => {
                write!(f, "{peer} is empty and was started with --initial-cluster-state existing; waiting")
            }
            Self::AnotherList { peer, theirs } => {
                write!(f, "{peer} has another --initial-cluster: {}; waiting", theirs.join(","))
            }
            Self::SameId { peer } => write!(
                f,
                "the data directory of {peer} is a copy of another member's; empty one of them; waiting"
            ),
            Self::Founder { peer } => write!(f, "all members are empty; waiting for {peer} to found the cluster"),
            Self::View { peer } => write!(f, "{peer} has not heard from all members yet; waiting"),
        }
    }
}
