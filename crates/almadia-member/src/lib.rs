//! The mind of one member: who it is, how it founds a cluster, how it proposes and reads, and how it looks after itself.
//!
//! Generic over disk, peer network, clock and randomness, so that whole clusters run in a simulator. It never opens a
//! socket. [`Member`] is the face for the edge and the program; [`founding`] comes before there is a member.

pub mod backup;
pub mod chronicle;
mod comparison;
mod forward;
pub mod founding;
mod gate;
mod hearing;
pub mod hello;
pub mod identity;
mod leader;
mod leaderless;
mod leases;
mod limits;
pub mod log;
mod member;
pub mod membership;
pub mod naming;
pub mod overview;
mod phase;
mod proposer;
mod reads;
pub mod restoring;
mod start;
mod tally;
mod upkeep;
mod vitals;
mod waiters;

pub use almadia_consensus::{Counted, Durations, MemberInfo, Membered, PeerTally, Role, Settings, Standing};
pub use leader::AskError;
pub use leases::TimeLeft;
pub use limits::{Limits, MemoryBudget};
pub use member::{Applied, Member, ProposeError, ReadError, Status};
pub use membership::{Changed, MemberChangeError, MembershipRefusal, MoveLeaderError};
pub use phase::Phase;
pub use start::Ingredients;
pub use tally::Tally;
pub use vitals::{Files, Stages, Vitals};
