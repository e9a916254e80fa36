//! What the edge asks of a member. Defined here, so that the services can be driven over a test double as well as
//! over a real member. Holds no behaviour.

use almadia_command::{ClusterId, Command, LogIndex, MemberId, Term};
use almadia_store::{Outcome, View};
use std::sync::Arc;

/// A member as its clients' requests see it.
pub trait Backend: Send + Sync + 'static {
    /// Puts a command into the log and returns when this member has applied it, or when the member's request limit is
    /// over (7 s by default, as etcd's).
    ///
    /// # Errors
    /// [`ProposeError`]; only after [`ProposeError::TimedOut`] and [`ProposeError::Stopped`] the command may yet be
    /// applied.
    fn propose(&self, command: Command) -> impl Future<Output = Result<Applied, ProposeError>> + Send;

    /// Returns when [`Backend::view`] holds everything that was acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`] when that cannot be known within the member's request limit.
    fn read_barrier(&self) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// Returns when a serializable read is safe: when the member shows no less than before it was restarted.
    fn recovered(&self) -> impl Future<Output = ()> + Send;

    /// The store as this member has it now.
    fn view(&self) -> Arc<View>;

    /// How the member is.
    fn status(&self) -> Status;

    /// Who the member is; asked for every answer, so it must be cheap.
    fn identity(&self) -> Identity;
}

/// What every answer's header says about the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Itself.
    pub member: MemberId,
}

/// A command that was applied.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What applying it answered.
    pub outcome: Outcome,
    /// Where it stands in the log.
    pub index: LogIndex,
    /// The term in which it was put there.
    pub term: Term,
}

/// Why a command has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Too many commands wait already; this one was not carried out.
    #[error("too many requests are waiting")]
    Busy,
    /// No outcome in time: the command may or may not be carried out.
    #[error("no outcome in time; the command may still be carried out")]
    TimedOut,
    /// The member stops; the command may or may not be carried out.
    #[error("the member is stopping")]
    Stopped,
    /// The disk is nearly full; the command was not carried out.
    #[error("the disk is nearly full")]
    NoSpace,
}

/// Why a read could not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Too many reads wait already.
    #[error("too many requests are waiting")]
    Busy,
    /// There was no leader in time.
    #[error("there is no leader")]
    NoLeader,
    /// No confirmation in time.
    #[error("no confirmation in time")]
    TimedOut,
    /// The member stops.
    #[error("the member is stopping")]
    Stopped,
}

/// A member at a glance.
#[derive(Clone, Debug)]
pub struct Status {
    /// The cluster.
    pub cluster: ClusterId,
    /// This member.
    pub member: MemberId,
    /// Its name.
    pub name: String,
    /// The highest term it has seen.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<MemberId>,
    /// This member leads.
    pub is_leader: bool,
    /// It receives entries but does not count in majorities.
    pub is_learner: bool,
    /// The last entry in its log.
    pub last_log: LogIndex,
    /// The last entry it knows to be committed.
    pub committed: LogIndex,
    /// The last entry in its store.
    pub applied: LogIndex,
    /// Bytes of its segment files.
    pub disk_bytes: u64,
    /// Bytes of what can still be read.
    pub live_bytes: u64,
    /// Its disk is nearly full and writes are refused.
    pub no_space: bool,
    /// Everyone, by the newest membership entry.
    pub members: Vec<Membered>,
}

/// A member with its id and standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membered {
    /// Its id.
    pub id: MemberId,
    /// Name and addresses.
    pub info: MemberInfo,
    /// Receives entries but does not count in majorities.
    pub is_learner: bool,
}

/// What a member tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}
