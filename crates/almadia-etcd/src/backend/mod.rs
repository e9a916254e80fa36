//! What the edge asks of a member. A trait, so that the services can be driven over a test double as well as over a
//! real [`Member`]. Holds no behaviour.

mod cluster;
mod lease;
mod maintenance;
mod overview;
mod watch;

pub use cluster::ClusterBackend;
pub use lease::{AskError, LeaseBackend, TimeLeft};
pub use maintenance::{Backup, MaintenanceBackend};
pub use overview::{
    EventKind, FollowerProgress, Looking, Lookout, OverviewBackend, Report, ReportedEvent, Sighting,
};
pub use watch::WatchBackend;

use almadia_command::{ClusterId, Command, LogIndex, MemberId};
use almadia_member::log::LogPage;
use almadia_member::membership::reconcile::Survey;
use almadia_store::View;
use std::sync::Arc;

pub use almadia_member::{
    Applied, Member, MemberInfo, Membered, ProposeError, ReadError, Stages, Status, Vitals,
};

/// A member as its clients' requests see it: what every service needs here, what one service needs in the traits it
/// stands on.
pub trait Backend:
    ClusterBackend + LeaseBackend + MaintenanceBackend + OverviewBackend + WatchBackend + Send + Sync + 'static
{
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
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when what the member has is not what it should be.
    fn recovered(&self) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// The store as this member has it now.
    fn view(&self) -> Arc<View>;

    /// How the member is.
    fn status(&self) -> Status;

    /// How the cluster is, by its leader.
    ///
    /// # Errors
    /// [`AskError`] when there is none that answers.
    fn survey(&self) -> impl Future<Output = Result<Survey, AskError>> + Send {
        async { Err(AskError::NoLeader) }
    }

    /// Whether the member was asked to stop and only serves on until it does.
    fn is_stopping(&self) -> bool {
        false
    }

    /// The member in numbers, for the metrics; none where nothing is counted.
    fn vitals(&self) -> Option<Vitals> {
        None
    }

    /// When the command at this place of the log, one of this member's last, got how far.
    fn stages(&self, _: LogIndex) -> Stages {
        Stages::default()
    }

    /// Who the member is; asked for every answer, so it must be cheap.
    fn identity(&self) -> Identity;

    /// A piece of the member's log from `from` on, `limit` entries at most (0: as many as it gives at once).
    ///
    /// # Errors
    /// In words, when the log cannot be read.
    fn log(&self, from: LogIndex, limit: usize) -> impl Future<Output = Result<LogPage, String>> + Send;
}

/// What every answer's header says about the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Itself.
    pub member: MemberId,
}

impl Backend for Member {
    fn propose(&self, command: Command) -> impl Future<Output = Result<Applied, ProposeError>> + Send {
        Self::propose(self, command)
    }

    fn read_barrier(&self) -> impl Future<Output = Result<(), ReadError>> + Send {
        Self::read_barrier(self)
    }

    fn log(&self, from: LogIndex, limit: usize) -> impl Future<Output = Result<LogPage, String>> + Send {
        Self::log(self, from, limit)
    }

    fn recovered(&self) -> impl Future<Output = Result<(), ReadError>> + Send {
        Self::recovered(self)
    }

    fn view(&self) -> Arc<View> {
        Self::view(self)
    }

    fn status(&self) -> Status {
        Self::status(self)
    }

    fn is_stopping(&self) -> bool {
        Self::is_stopping(self)
    }

    fn survey(&self) -> impl Future<Output = Result<Survey, AskError>> + Send {
        Self::survey(self)
    }

    fn vitals(&self) -> Option<Vitals> {
        Some(Self::vitals(self))
    }

    fn stages(&self, index: LogIndex) -> Stages {
        Self::stages(self, index)
    }

    fn identity(&self) -> Identity {
        Identity {
            cluster: self.cluster(),
            member: self.id(),
        }
    }
}
