//! From a follower to the leader: proposals to append and reads to confirm.
//!
//! [`client`] keeps one pipe to whoever leads; [`service`] answers at the leader. Outcomes do not travel here: the
//! follower finds them when it applies the entries itself.

pub mod client;
pub mod service;
pub mod wire;
