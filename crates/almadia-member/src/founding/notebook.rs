//! What one member knows while founding, and what it says: pure, driven by [`super::FoundingService`] and by tests.
//!
//! It never does IO: whoever takes an identity from it persists it first and hands it back with
//! [`Notebook::take_identity`] before saying a further word.

use super::message::{Admitted, Answer, Ask, Found};
use super::rules::{Heard, Situation, Step, decide};
use super::{InitialPeer, InitialState};
use crate::identity::{Identity, InitialMember};
use almadia_command::planted::{Bug, planted};
use almadia_command::{ClusterId, MemberId};
use std::collections::{BTreeMap, BTreeSet};

/// One member's knowledge. All of it but the identity is of this run of the process and is lost with it.
#[derive(Clone, Debug)]
pub struct Notebook {
    identity: Identity,
    state: InitialState,
    /// In name order, without repetition, with ourselves.
    initial: Vec<InitialPeer>,
    /// In name order; none of `initial`. They found nothing, and nothing is founded before they have said that there is no
    /// cluster that they belong to.
    witnesses: Vec<InitialPeer>,
    client_urls: Vec<String>,
    heard: BTreeMap<String, Heard>,
    /// How often each member of the list has asked us, under whatever instance id.
    asked_by_count: BTreeMap<String, u64>,
}

/// A question under way.
#[derive(Clone, Debug)]
pub struct Asking {
    peer: String,
    /// How often the peer had asked us when we asked it.
    asked_by_count: u64,
}

/// Why an offered configuration was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferRefusal {
    /// The peer has asked us meanwhile, so that it may have been wiped since it made the offer.
    #[error("the peer has asked again since")]
    Superseded,
    /// It does not name this instance.
    #[error("the configuration does not name this member's instance")]
    NotNamed,
    /// It makes no sense.
    #[error("the configuration has no cluster, or members without ids, or the same twice")]
    Malformed,
    /// We belong to a cluster.
    #[error("this member belongs to cluster {0} already")]
    Founded(ClusterId),
}

impl Notebook {
    /// The notebook of a member that has just started; `initial` in any order.
    pub fn new(
        identity: Identity,
        state: InitialState,
        mut initial: Vec<InitialPeer>,
        client_urls: Vec<String>,
    ) -> Self {
        initial.sort_by(|left, right| left.name.cmp(&right.name));
        initial.dedup_by(|left, right| left.name == right.name);
        Self {
            identity,
            state,
            initial,
            witnesses: Vec::new(),
            client_urls,
            heard: BTreeMap::new(),
            asked_by_count: BTreeMap::new(),
        }
    }

    /// Has these members asked, too, before anything is founded: a set that has grown beyond its founders has members that
    /// know of a cluster when all its founders have lost their disks.
    pub fn ask_also(&mut self, witnesses: Vec<InitialPeer>) {
        if planted(Bug::WitnessesUnasked) {
            return;
        }
        let is_new = |peer: &InitialPeer| self.initial.iter().all(|known| known.name != peer.name);
        self.witnesses = witnesses.into_iter().filter(is_new).collect();
        self.witnesses.sort_by(|left, right| left.name.cmp(&right.name));
        self.witnesses.dedup_by(|left, right| left.name == right.name);
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The members to ask.
    pub fn peers(&self) -> impl Iterator<Item = &InitialPeer> {
        let all = self.initial.iter().chain(&self.witnesses);
        all.filter(|peer| peer.name != self.identity.name)
    }

    /// Begins to ask a peer.
    pub fn ask(&self, peer: &str) -> (Asking, Ask) {
        let asking = Asking {
            peer: peer.to_owned(),
            asked_by_count: self.asked_by_count(peer),
        };
        (
            asking,
            Ask {
                member: self.identity.member,
                name: self.identity.name.clone(),
                peer_urls: self.own_urls(),
            },
        )
    }

    /// Answers a peer's question, and offers the configuration if it is one of the first members.
    pub fn answer(&mut self, ask: &Ask) -> (Answer, Option<Found>) {
        if self
            .initial
            .iter()
            .chain(&self.witnesses)
            .any(|peer| peer.name == ask.name)
        {
            *self.asked_by_count.entry(ask.name.clone()).or_default() += 1;
        }
        let founded = self.identity.is_founded();
        let named = self
            .identity
            .initial
            .iter()
            .any(|member| member.id == ask.member && member.name == ask.name);
        let offer = (founded && named).then(|| Found {
            cluster: self.identity.cluster,
            initial: self.identity.initial.clone(),
        });
        let answer = Answer {
            member: self.identity.member,
            name: self.identity.name.clone(),
            cluster: self.identity.cluster,
            offers: offer.is_some(),
            admits: false,
            founding: !founded && self.state == InitialState::New,
            initial_names: if founded { Vec::new() } else { self.names() },
            seen: if founded { BTreeMap::new() } else { self.seen() },
            client_urls: self.client_urls.clone(),
            says: String::new(),
        };
        (answer, offer)
    }

    /// Notes an answer that offers nothing.
    pub fn hear(&mut self, asking: &Asking, answer: Answer) {
        let heard = if answer.name != asking.peer || answer.member.get() == 0 {
            Heard::Silent(format!("answered as {}", answer.name))
        } else if answer.cluster.get() != 0 {
            Heard::Founded {
                cluster: answer.cluster,
                says: answer.says,
            }
        } else if !answer.founding {
            Heard::NotFounding
        } else {
            Heard::Empty {
                member: answer.member,
                initial_names: answer.initial_names,
                seen: answer.seen,
                client_urls: answer.client_urls,
            }
        };
        self.heard.insert(asking.peer.clone(), heard);
    }

    /// Notes that a peer did not answer.
    pub fn hear_nothing(&mut self, peer: &str, reason: String) {
        self.heard.insert(peer.to_owned(), Heard::Silent(reason));
    }

    /// Has this instance of a peer told us that it is empty?
    pub fn has_heard(&self, name: &str, id: MemberId) -> bool {
        matches!(self.heard.get(name), Some(Heard::Empty { member, .. }) if *member == id)
    }

    /// The identity to persist for a configuration that was offered in answer to a question of ours.
    ///
    /// # Errors
    /// [`OfferRefusal`]; asking again is right then.
    pub fn accept(&self, asking: &Asking, found: &Found) -> Result<Identity, OfferRefusal> {
        if self.identity.is_founded() {
            return Err(OfferRefusal::Founded(self.identity.cluster));
        }
        if asking.asked_by_count != self.asked_by_count(&asking.peer) {
            return Err(OfferRefusal::Superseded);
        }
        let ids: BTreeSet<_> = found.initial.iter().map(|member| member.id).collect();
        let names: BTreeSet<_> = found.initial.iter().map(|member| &member.name).collect();
        let whole = ids.len() == found.initial.len() && names.len() == ids.len();
        if found.cluster.get() == 0 || !whole || ids.contains(&MemberId(0)) {
            return Err(OfferRefusal::Malformed);
        }
        let own =
            |member: &&InitialMember| member.id == self.identity.member && member.name == self.identity.name;
        if found.initial.iter().find(own).is_none() {
            return Err(OfferRefusal::NotNamed);
        }
        Ok(Identity {
            cluster: found.cluster,
            initial: found.initial.clone(),
            ..self.identity.clone()
        })
    }

    /// The identity to persist for an id that was given in answer to a question of ours. It was given to this instance
    /// alone; the number drawn for the empty directory is not used any more.
    ///
    /// # Errors
    /// [`OfferRefusal`]; asking again is right then.
    pub fn accept_admission(&self, asking: &Asking, admitted: Admitted) -> Result<Identity, OfferRefusal> {
        if self.identity.is_founded() {
            return Err(OfferRefusal::Founded(self.identity.cluster));
        }
        if asking.asked_by_count != self.asked_by_count(&asking.peer) {
            return Err(OfferRefusal::Superseded);
        }
        if admitted.cluster.get() == 0 || admitted.member.get() == 0 {
            return Err(OfferRefusal::Malformed);
        }
        Ok(Identity {
            cluster: admitted.cluster,
            member: admitted.member,
            ..self.identity.clone()
        })
    }

    /// Should we found a cluster now?
    pub fn decide(&self) -> Step {
        assert!(
            !self.identity.is_founded(),
            "a member of a cluster has nothing to decide"
        );
        decide(&Situation {
            name: self.identity.name.clone(),
            member: self.identity.member,
            state: self.state,
            names: self.names(),
            witnesses: self.witnesses.iter().map(|peer| peer.name.clone()).collect(),
            heard: self.heard.clone(),
        })
    }

    /// The identity to persist for a cluster that we found, of the members [`Notebook::decide`] has named.
    pub fn found(&self, members: &[(String, MemberId)], cluster: ClusterId) -> Identity {
        assert!(cluster.get() != 0 && !self.identity.is_founded());
        assert!(
            members.len() == self.initial.len(),
            "all members of the list found the cluster, or none"
        );
        let initial = self.initial.iter().zip(members).map(|(peer, (name, id))| {
            assert!(peer.name == *name, "both are in name order");
            InitialMember {
                id: *id,
                name: name.clone(),
                peer_urls: peer.peer_urls.clone(),
                client_urls: self.client_urls_of(name),
            }
        });
        Identity {
            cluster,
            initial: initial.collect(),
            ..self.identity.clone()
        }
    }

    /// Takes over an identity that has been persisted.
    pub fn take_identity(&mut self, identity: Identity) {
        let is_founder = !identity.initial.is_empty();
        assert!(
            !is_founder || identity.member == self.identity.member,
            "who founds keeps the id that the others have heard"
        );
        assert!(
            !self.identity.is_founded(),
            "a member belongs to one cluster once"
        );
        self.identity = identity;
    }

    fn client_urls_of(&self, name: &str) -> Vec<String> {
        match self.heard.get(name) {
            Some(Heard::Empty { client_urls, .. }) => client_urls.clone(),
            _ if *name == self.identity.name => self.client_urls.clone(),
            _ => Vec::new(),
        }
    }

    fn asked_by_count(&self, peer: &str) -> u64 {
        self.asked_by_count.get(peer).copied().unwrap_or(0)
    }

    fn own_urls(&self) -> Vec<String> {
        let own = self.initial.iter().find(|peer| peer.name == self.identity.name);
        own.map_or_else(Vec::new, |own| own.peer_urls.clone())
    }

    fn names(&self) -> Vec<String> {
        self.initial.iter().map(|peer| peer.name.clone()).collect()
    }

    fn seen(&self) -> BTreeMap<String, MemberId> {
        let empty = self.heard.iter().filter_map(|(name, heard)| match heard {
            Heard::Empty { member, .. } => Some((name.clone(), *member)),
            _ => None,
        });
        empty.collect()
    }
}
