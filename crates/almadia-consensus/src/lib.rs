//! Orders commands: every member applies the same entries in the same order.
//!
//! The only crate that names openraft; no type of it leaves here. [`Consensus`] is the face: propose in a term,
//! confirm a read, see who leads, hand leadership over. What it needs of the world comes in through small traits:
//! pipes to peers ([`PeerNetwork`]), a log (`almadia-wal`), a store (`almadia-store`) and a [`KeeperHandle`] for
//! file work. It never looks inside a command, opens a socket or reads a clock of its own.

mod bearing;
mod beginning;
mod chance;
mod change;
mod consensus;
mod contact;
mod inbound;
mod keeper;
mod leader_lease;
mod log_storage;
mod membership;
mod network;
mod outbound;
mod raft;
mod repair;
mod settings;
mod state_machine;
mod tally;
mod verdict;
mod wire;

pub use bearing::{Bearing, Role, SnapshotsSent};
pub use beginning::{BEGINNING, beginning_membership};
pub use chance::{seed_chance, stir_chance};
pub use change::{ChangeError, MemberChange, Roster, Rostered};
pub use consensus::{Consensus, Ended, Parts, Progress, ReadIndexError, Standing};
pub use keeper::{KeeperGone, KeeperHandle};
pub use leader_lease::Leads;
pub use membership::{BadMembership, Charter, MemberInfo, Membered, read_membership_entry};
pub use network::{
    DialError, Dialing, FRAME_BYTES_MAX, Lane, PIPE_FRAMES_MAX, PeerAddress, PeerNetwork, Pipe,
};
pub use settings::Settings;
pub use state_machine::{AppliedBatch, ApplySink, OwnOutcome};
pub use tally::{Commands, Counted, Durations, Marks, PeerTally, Tally};
pub use verdict::Refusals;
pub use wire::spoken::{vote_given, vote_question};
