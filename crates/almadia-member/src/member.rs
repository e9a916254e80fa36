//! One member, as the edge and the program see it: propose, read, look, stop.
//!
//! Everything here runs on whatever disk, network and clock it was given; it opens no socket and reads no file by
//! itself. Cheap to clone.

use crate::backup::Backup;
use crate::comparison::Fence;
use crate::forward::service;
use crate::gate::SpaceGate;
use crate::leader::{Answer, AskError, Duties, Question};
use crate::leases::LeaseDesk;
use crate::log::LogPage;
use crate::membership::reconcile::Desk;
use crate::overview;
use crate::proposer::Proposals;
use crate::reads;
use crate::tally::add;
use crate::upkeep::Sizes;
use crate::waiters::Waiters;
use almadia_command::{ClusterId, Command, Kind, LogIndex, MemberId, Term};
use almadia_consensus::{Consensus, KeeperHandle, Lane, Membered, Pipe};
use almadia_store::{Outcome, View, WatchHub};
use almadia_wal::Wal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

/// How long a stop waits for another member to take leadership.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(3);

/// A member that runs. Cheap to clone.
#[derive(Clone)]
pub struct Member {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) cluster: ClusterId,
    pub(crate) own: MemberId,
    pub(crate) name: String,
    pub(crate) request_limit: Duration,
    pub(crate) consensus: Consensus,
    pub(crate) proposals: Proposals,
    pub(crate) reads: mpsc::Sender<reads::Queued>,
    pub(crate) duties: Duties,
    pub(crate) leases: LeaseDesk,
    pub(crate) random: Mutex<Box<dyn FnMut() -> u64 + Send>>,
    pub(crate) applied: watch::Receiver<LogIndex>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) is_learner: AtomicBool,
    pub(crate) is_stopping: AtomicBool,
    pub(crate) removed: watch::Sender<bool>,
    pub(crate) recovered: watch::Receiver<bool>,
    pub(crate) watches: WatchHub,
    pub(crate) wal: Wal,
    pub(crate) keeper: KeeperHandle,
    pub(crate) gate: SpaceGate,
    pub(crate) fence: Fence,
    pub(crate) sizes: Arc<Sizes>,
    pub(crate) taken: Arc<service::Taken>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) consensus_runtime: Handle,
    pub(crate) overview: overview::Means,
}

/// An applied command.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What applying it answered.
    pub outcome: Outcome,
    /// Where it stands in the log.
    pub index: LogIndex,
    /// The term of its entry.
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
    /// This member's state is not what it should be; the command was not carried out.
    #[error("this member is corrupt and is being set right")]
    Corrupt,
    /// Its bytes could not be read back from the log (nested too deeply); it was not carried out.
    #[error("the command is nested too deeply")]
    Malformed,
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
    /// This member's state is not what it should be.
    #[error("this member is corrupt and is being set right")]
    Corrupt,
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
    /// Its state is not what it should be; it serves nobody until it is.
    pub corrupt: bool,
    /// Everyone, by the newest membership entry.
    pub members: Vec<Membered>,
}

impl Member {
    /// Has a command carried out, wherever the leader is, and waits for the outcome. A change of leader in between
    /// goes unnoticed: the command is carried out exactly once or not at all, or the answer is "timed out".
    ///
    /// # Errors
    /// [`ProposeError`].
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        if self.inner.fence.is_up() {
            return Err(ProposeError::Corrupt);
        }
        if !self.inner.gate.admits_command(&command) {
            return Err(ProposeError::NoSpace);
        }
        let physical = matches!(&command.kind, Some(Kind::Compact(compact)) if compact.physical);
        let bytes = command.encode_bytes();
        // A transaction nested so deeply that its bytes cannot be read back must never enter the log.
        if matches!(&command.kind, Some(Kind::Txn(_))) && Command::decode_bytes(bytes.clone()).is_err() {
            return Err(ProposeError::Malformed);
        }
        let applied = self.inner.proposals.try_propose(bytes).await?;
        if physical && applied.outcome.result.is_ok() {
            self.compaction_done().await;
        }
        Ok(applied)
    }

    /// Asks whoever leads, this member included, and asks again when there was no answer: a question must be such that
    /// hearing it twice does no harm.
    ///
    /// # Errors
    /// [`AskError`] when nobody answered within the request limit.
    pub(crate) async fn ask_leader(&self, question: Question) -> Result<Answer, AskError> {
        self.inner.leases.asker().ask(question).await
    }

    /// Where requests about leases go.
    pub(crate) fn lease_desk(&self) -> &LeaseDesk {
        &self.inner.leases
    }

    async fn compaction_done(&self) {
        let poll = Duration::from_millis(5);
        while self.view().compaction_pending() && !self.inner.proposals.is_closed() {
            tokio::time::sleep(poll).await;
        }
    }

    /// Waits until [`Member::view`] shows everything that was acknowledged, anywhere, before this call.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        let confirmed = self.confirmed().await;
        if confirmed.is_err() {
            add(&self.inner.waiters.tally.reads_failed);
        }
        confirmed
    }

    async fn confirmed(&self) -> Result<(), ReadError> {
        let (give, take) = oneshot::channel();
        self.inner.reads.try_send(give).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
        })?;
        match tokio::time::timeout(self.inner.request_limit, take).await {
            Ok(Ok(())) if self.inner.fence.is_up() => Err(ReadError::Corrupt),
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) if self.inner.consensus.standing().borrow().leader.is_none() => Err(ReadError::NoLeader),
            Err(_) => Err(ReadError::TimedOut),
        }
    }

    /// Waits until a serializable read is safe: right after a start, this member may not have applied yet what it
    /// showed before it stopped. Without a leader it waits no longer than the request limit, so that such reads go on
    /// without a majority.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] when what it has is not what it should be; [`ReadError::TimedOut`] when somebody leads, and
    /// what that member has is still not here after the request limit.
    pub async fn recovered(&self) -> Result<(), ReadError> {
        if self.inner.fence.is_up() {
            return Err(ReadError::Corrupt);
        }
        let mut recovered = self.inner.recovered.clone();
        if *recovered.borrow() {
            return Ok(());
        }
        let waited = tokio::time::timeout(self.inner.request_limit, recovered.wait_for(|done| *done)).await;
        if waited.is_err() && self.has_leader() {
            return Err(ReadError::TimedOut);
        }
        Ok(())
    }

    /// Whether its views hold everything that it has shown, in this life and before.
    pub(crate) fn has_recovered(&self) -> bool {
        *self.inner.recovered.borrow()
    }

    /// Whether this member serves nobody, because its state is not what it should be.
    pub fn is_fenced(&self) -> bool {
        self.inner.fence.is_up()
    }

    /// Returns once that is so: what it told by then may already be wrong.
    pub fn fenced(&self) -> impl Future<Output = ()> + Send + 'static {
        self.inner.fence.raised()
    }

    /// The newest published view.
    pub fn view(&self) -> Arc<View> {
        self.inner.consensus.view()
    }

    /// Where watching begins, on this member's own store.
    pub fn watches(&self) -> WatchHub {
        self.inner.watches.clone()
    }

    /// The highest term seen; for headers.
    pub fn term(&self) -> Term {
        self.inner.consensus.standing().borrow().term
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.inner.cluster
    }

    /// This member's id.
    pub fn id(&self) -> MemberId {
        self.inner.own
    }

    /// This member at a glance.
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let standing = *inner.consensus.standing().borrow();
        let progress = inner.consensus.progress();
        let members = inner.consensus.applied_members();
        let view = self.view();
        Status {
            cluster: inner.cluster,
            member: inner.own,
            name: inner.name.clone(),
            term: standing.term,
            leader: standing.leader,
            is_leader: standing.leading,
            is_learner: members
                .iter()
                .any(|member| member.id == inner.own && member.is_learner),
            last_log: progress.last,
            committed: progress.committed,
            applied: view.applied().0,
            disk_bytes: inner.sizes.disk_bytes.load(Ordering::Relaxed),
            live_bytes: view.sizes().live_bytes,
            no_space: inner.gate.is_closed(),
            corrupt: inner.fence.is_up(),
            members,
        }
    }

    /// Up to where this member knows the log to be committed: what [`Member::status`] says of it, without gathering the rest.
    pub fn committed(&self) -> LogIndex {
        self.inner.consensus.progress().committed
    }

    /// Whether the disk is full and the log waits: this member acknowledges nothing until there is room, and then goes on.
    pub fn log_waits_for_room(&self) -> bool {
        self.inner.wal.waits_for_room()
    }

    /// A piece of this member's log, for people and for comparing.
    ///
    /// # Errors
    /// In words, when the log cannot be read.
    pub async fn log(&self, from: LogIndex, limit: usize) -> Result<LogPage, String> {
        let wal = self.inner.wal.clone();
        let committed = self.inner.consensus.progress().committed;
        // On the keeper's thread: old entries are read from files.
        let read = self
            .inner
            .keeper
            .run(move |_| crate::log::read(&wal, from, limit, committed))
            .await;
        read.map_err(|gone| gone.to_string())?
    }

    /// A backup of everything this member has applied.
    ///
    /// # Errors
    /// In words, when the disk does not allow it.
    pub async fn backup(&self) -> Result<Backup, String> {
        Backup::open(self.inner.keeper.clone(), self.view()).await
    }

    /// Who leads; changes can be awaited.
    pub fn standing(&self) -> watch::Receiver<almadia_consensus::Standing> {
        self.inner.consensus.standing()
    }

    /// Takes over a pipe that a peer opened. Founding pipes are not a running member's business.
    pub fn accept(&self, lane: Lane, from: MemberId, pipe: Pipe) {
        let inner = &self.inner;
        let _on_consensus_runtime = inner.consensus_runtime.enter();
        match lane {
            Lane::Forward => {
                let serving = service::Serving {
                    consensus: inner.consensus.clone(),
                    taken: inner.taken.clone(),
                    gate: inner.gate.clone(),
                    duties: inner.duties.clone(),
                    member: Arc::downgrade(inner),
                };
                drop(tokio::spawn(service::serve(serving, from, pipe)));
            }
            Lane::Control | Lane::Append | Lane::Snapshot => inner.consensus.accept(lane, from, pipe),
            Lane::Founding => tracing::warn!(peer = %from, "a founding pipe for a running member; closed"),
        }
    }

    /// Makes a checkpoint now and drops the whole log that it holds. For tests and for whoever must make a
    /// follower take a snapshot.
    ///
    /// # Errors
    /// When consensus has ended.
    pub async fn checkpoint_and_purge_all(&self) -> Result<(), almadia_consensus::Ended> {
        let consensus = &self.inner.consensus;
        let applied = self.view().applied().0;
        consensus.checkpoint().await?;
        while consensus.progress().checkpoint < applied {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        consensus.purge(applied).await
    }

    /// Waits until consensus ends, by a stop or by an error, and says why. A member that did not ask for it must end its
    /// process: it takes part in nothing any more.
    pub async fn ended(&self) -> almadia_consensus::Ended {
        self.inner.consensus.ended().await
    }

    /// Ends consensus without handing over, as a crash would. For tests.
    pub async fn abandon(&self) {
        self.inner.consensus.shutdown().await;
    }

    /// A stop was asked for: from now on this member is not ready, though it serves whoever still asks.
    pub fn begin_to_stop(&self) {
        self.inner.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.inner.is_stopping.load(Ordering::Relaxed)
    }

    /// Hands leadership over if it has it, and goes on as a follower.
    pub async fn resign(&self) {
        let hand_over = self.inner.consensus.hand_over(self.inner.own);
        match tokio::time::timeout(HAND_OVER_LIMIT, hand_over).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "leadership was not handed over"),
            Err(_) => tracing::warn!("nobody took leadership in time; stopping all the same"),
        }
    }

    /// Stops: hands leadership over if it has it, then ends consensus. The log is synced by then, because
    /// nothing was ever acknowledged that was not.
    pub async fn shutdown(&self) {
        self.resign().await;
        // Consensus may be waiting for a vote to be synced, which without room never is: closing the log ends that wait.
        if self.inner.wal.waits_for_room() {
            self.inner.wal.close();
        }
        self.inner.consensus.shutdown().await;
    }
}
