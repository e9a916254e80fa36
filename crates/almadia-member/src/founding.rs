//! Founding: how members with empty directories become one cluster, and never two.
//!
//! A member with an empty directory asks all members of its list. If one belongs to a cluster, nobody founds: a
//! member that the cluster's configuration names by its instance id is given that configuration, any other waits
//! to be admitted: somebody adds a member with its address, and whoever of the cluster is asked gives it the id that was
//! allotted. Only when all members of the list are empty and have heard the same of each other does the first in
//! name order found a cluster; it persists before it tells anyone, and everyone persists before voting.
//!
//! [`decide`] and [`Notebook`] are pure; [`FoundingService`] acts on them. This module never decides who is admitted to
//! a cluster that has been founded ([`Admission`] does), and never opens a socket. The argument is in `docs/internals/founding.md`.

mod message;
mod notebook;
mod rules;
mod service;

pub use message::{Admitted, Answer, Ask, Found, FoundAck, Frame, FrameError};
pub use notebook::{Asking, Notebook, OfferRefusal};
pub use rules::{Heard, Situation, Step, WaitReason, decide};
pub use service::{
    Admission, Admittance, Admitting, FoundingContext, FoundingError, FoundingService, establish,
};

/// One member of `--initial-cluster`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialPeer {
    /// Its name; the first in order founds.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
}

/// What `--initial-cluster-state` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialState {
    /// With an empty directory the member may take part in founding a cluster.
    New,
    /// With an empty directory it never founds: it waits to be admitted.
    Existing,
}

#[cfg(test)]
mod tests;
