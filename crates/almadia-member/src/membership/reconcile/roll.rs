//! Who is to belong: by ordinals, or by a list. A rank is the place in it; the lowest stay longest.

use crate::founding::InitialPeer;
use crate::naming::Naming;
use tokio::sync::watch;

/// What a leader brings the membership to.
#[derive(Debug)]
pub struct Reconciling {
    /// Who can belong.
    pub roll: Roll,
    /// How many of them are to, from the first on; `None` while nobody has said.
    pub wished: watch::Receiver<Option<u32>>,
}

/// Who can belong.
#[derive(Clone, Debug)]
pub enum Roll {
    /// Members with ordinals.
    Set(Naming),
    /// These.
    List(Vec<InitialPeer>),
}

impl Roll {
    /// The place of a member, by its name; of one that has not told its name, by where it is reached.
    pub(crate) fn rank(&self, name: &str, peer_urls: &[String]) -> Option<u32> {
        if !name.is_empty() {
            return match self {
                Self::Set(naming) => naming.ordinal(name),
                Self::List(list) => position(list, |peer| peer.name == name),
            };
        }
        let is_there = |peer: &InitialPeer| peer.peer_urls.iter().any(|url| peer_urls.contains(url));
        match self {
            Self::Set(naming) => position(&naming.first(u32::MAX), is_there),
            Self::List(list) => position(list, is_there),
        }
    }

    /// What the member at a place is called.
    pub(crate) fn name(&self, rank: u32) -> String {
        match self {
            Self::Set(naming) => naming.peer(rank).name,
            Self::List(list) => list
                .get(rank as usize)
                .map_or_else(String::new, |peer| peer.name.clone()),
        }
    }
}

fn position(list: &[InitialPeer], is_meant: impl Fn(&InitialPeer) -> bool) -> Option<u32> {
    let found = list.iter().position(is_meant)?;
    u32::try_from(found).ok()
}
