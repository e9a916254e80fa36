//! The face of consensus: propose in a term, confirm a read, see who leads, hand leadership over.
//!
//! Everything that can be asked of consensus is asked here, in our own types. It never looks inside a command.

use crate::bearing::{self, Bearing, SentBook, SnapshotsSent};
use crate::contact::Contact;
use crate::inbound;
use crate::keeper::KeeperHandle;
use crate::leader_lease::{self, LeaderLease, Leads, Said, VoteHold};
use crate::log_storage::LogStorage;
use crate::membership::{MemberInfo, Membered, list};
use crate::network::{Lane, PeerNetwork, Pipe};
use crate::outbound::{Newest, Outbound};
use crate::raft::{CommittedLeader, Payload, Raft, Types, from_index, to_index, to_position};
use crate::settings::Settings;
use crate::state_machine::{ApplySink, Checkpoints, StateMachine};
use crate::tally::{Tally, add};
use crate::verdict::{Refusals, Verdict};
use almadia_command::planted::{Bug, planted};
use almadia_command::{LogIndex, MemberId, Proposal, Term};
use almadia_store::{Store, View};
use almadia_wal::Wal;
use arc_swap::ArcSwap;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::type_config::TypeConfigExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Consensus has ended: the member is stopping, or its log failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("consensus has ended: {0}")]
pub struct Ended(pub String);

/// Why a read could not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadIndexError {
    /// This member does not lead, or not surely; ask the leader, or ask again.
    #[error("this member cannot confirm that it leads")]
    NotLeader,
    /// Consensus has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Who leads, as this member sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The highest term seen.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<MemberId>,
    /// This member is it.
    pub leading: bool,
}

/// How far the log is, as this member sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry.
    pub last: LogIndex,
    /// The last entry known to be committed.
    pub committed: LogIndex,
    /// The last entry in the store.
    pub applied: LogIndex,
    /// The last entry that a checkpoint holds.
    pub checkpoint: LogIndex,
    /// The last entry dropped from the log's beginning.
    pub purged: LogIndex,
}

/// What consensus is made of.
pub struct Parts {
    /// This member.
    pub own: MemberId,
    /// Timers.
    pub settings: Settings,
    /// The log.
    pub wal: Wal,
    /// The store as restored from its manifest.
    pub store: Store,
    /// Where file work is done.
    pub keeper: KeeperHandle,
    /// The way to the peers.
    pub network: Arc<dyn PeerNetwork>,
    /// Who hears of applied batches.
    pub sink: Arc<dyn ApplySink>,
}

/// One member's part in consensus. Cheap to clone.
#[derive(Clone)]
pub struct Consensus {
    pub(crate) raft: Raft,
    view: Arc<ArcSwap<View>>,
    pub(crate) keeper: KeeperHandle,
    pub(crate) network: Arc<dyn PeerNetwork>,
    /// No entries are taken from a leader.
    pub(crate) shut: Arc<watch::Sender<bool>>,
    checkpoints: Checkpoints,
    standing: watch::Receiver<Standing>,
    bearing: watch::Receiver<Bearing>,
    pub(crate) sent: SentBook,
    receptions: inbound::Receptions,
    lease: LeaderLease,
    hold: VoteHold,
    tally: Arc<Tally>,
    contact: Contact,
    own: MemberId,
}

impl Consensus {
    /// Starts consensus on the current tokio runtime, which it keeps for its tasks.
    ///
    /// # Errors
    /// When the log or the store cannot be taken over.
    pub async fn start(parts: Parts) -> Result<Self, Ended> {
        let Parts {
            own,
            settings,
            wal,
            store,
            keeper,
            network,
            sink,
        } = parts;
        let election_max = Duration::from_millis(settings.election_max_ms);
        let voted = wal.vote();
        let hold = VoteHold::after_start(voted, Instant::now(), election_max);
        let tally = Arc::<Tally>::default();
        let contact = Contact::new(election_max);
        let log = LogStorage::new(wal, tally.clone());
        let machine = StateMachine::new(store, own, keeper.clone(), sink, tally.clone());
        let (machine, view) = machine.map_err(ended)?;
        let checkpoints = machine.checkpoints();
        let (newest, said) = (Newest::default(), Said::default());
        let outbound = Outbound::new(
            own,
            network.clone(),
            keeper.clone(),
            view.clone(),
            newest.clone(),
            said.clone(),
            tally.clone(),
        );
        let config = Arc::new(settings.to_openraft().validate().map_err(ended)?);
        let raft = Raft::new(own.0, config, outbound, log, machine)
            .await
            .map_err(ended)?;
        newest.follow(&raft);
        leader_lease::stand_after(&raft, own, voted, hold);
        let lease = LeaderLease::new(own, &raft, said, election_max);
        let standing = watch_standing(&raft, own, tally.clone(), contact.clone());
        let bearing = bearing::follow(&raft);
        Ok(Self {
            raft,
            view,
            keeper,
            network,
            shut: Arc::new(watch::channel(false).0),
            checkpoints,
            standing,
            bearing,
            sent: tally.sent.clone(),
            receptions: inbound::Receptions::default(),
            lease,
            hold,
            tally,
            contact,
            own,
        })
    }

    /// Founds the cluster with these members as voters. Every initial member calls it with the same members;
    /// where the log already has entries, and without members, it does nothing.
    ///
    /// # Errors
    /// [`Ended`] when consensus has ended.
    pub async fn found(&self, members: &[(MemberId, MemberInfo)]) -> Result<(), Ended> {
        // A member that joined a cluster founds none.
        if members.is_empty() || self.raft.is_initialized().await.map_err(ended)? {
            return Ok(());
        }
        let members: BTreeMap<u64, MemberInfo> =
            members.iter().map(|(id, info)| (id.0, info.clone())).collect();
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            // A leader was quicker and its entries are here already.
            Err(RaftError::APIError(_)) => Ok(()),
            Err(RaftError::Fatal(error)) => Err(ended(error)),
        }
    }

    /// The newest published view.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Who leads; changes can be awaited.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Whether somebody leads, by proof and not by belief: on a follower a leader was heard a moment ago, on a leader a
    /// majority has answered. Cheap.
    pub fn has_leader(&self) -> bool {
        let standing = *self.standing.borrow();
        standing.leader.is_some() && (self.contact.is_good() || standing.leading && self.is_followed())
    }

    /// Whether a majority has answered this leader a moment ago.
    fn is_followed(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let is_alone = || metrics.membership_config.voter_ids().eq([self.own.0]);
        let acked = metrics.last_quorum_acked.as_ref();
        acked.is_some_and(|acked| Types::now() < **acked + self.contact.good_for()) || is_alone()
    }

    /// What this member is in its term, for those who look on; changes can be awaited.
    pub fn bearing(&self) -> watch::Receiver<Bearing> {
        self.bearing.clone()
    }

    /// Snapshots sent to others; changes can be awaited.
    pub fn snapshots_sent(&self) -> watch::Receiver<SnapshotsSent> {
        self.sent.watch()
    }

    /// Appends proposals to the log of this member as leader of `term`, in order. Those that were certainly not
    /// appended (it does not lead in that term, or not surely) are told to `refusals`; of all others the
    /// asking member hears when it applies them, or when it applies an entry of a later term without them.
    ///
    /// # Errors
    /// [`Ended`] when consensus has ended; then the fate of the proposals is unknown.
    pub async fn submit(
        &self,
        proposals: impl IntoIterator<Item = Proposal>,
        term: Term,
        refusals: &Arc<dyn Refusals>,
    ) -> Result<(), Ended> {
        for proposal in proposals {
            let verdict = Verdict::new(proposal.ticket(), refusals.clone());
            let write = self
                .raft
                .write(Payload(proposal))
                .with_leader(CommittedLeader::new(term.0));
            write.responder(verdict).await.map_err(ended)?;
        }
        Ok(())
    }

    /// Confirms by one round to a majority that this member leads, and names the position that a linearizable
    /// read must wait for. Reads that come together share a round. No disk write.
    ///
    /// # Errors
    /// [`ReadIndexError`].
    pub async fn read_index(&self) -> Result<LogIndex, ReadIndexError> {
        if planted(Bug::ReadUnconfirmed) {
            return Ok(self.progress().committed);
        }
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(to_index(linearizer.read_log_id().index())),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
                Err(ReadIndexError::NotLeader)
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(ReadIndexError::NotLeader)
            }
            Err(RaftError::Fatal(error)) => Err(ended(error).into()),
        }
    }

    /// Certainty, without asking anybody, that this member leads now; none when only [`Consensus::read_index`] can tell. It
    /// holds as long as the clocks of two members do not differ in speed by a factor of two.
    pub fn leader_lease(&self) -> Option<Leads> {
        self.lease.leads()
    }

    /// How far the log is.
    pub fn progress(&self) -> Progress {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Progress {
            last: metrics.last_log_index.map_or(LogIndex(0), to_index),
            committed: to_position(metrics.local_committed.as_ref()).0,
            applied: to_position(metrics.last_applied.as_ref()).0,
            checkpoint: to_position(metrics.snapshot.as_ref()).0,
            purged: to_position(metrics.purged.as_ref()).0,
        }
    }

    /// What was counted so far.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// How far each other member's log is, as this leader knows it; nothing elsewhere.
    pub fn replicated(&self) -> Vec<(MemberId, LogIndex)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let each = metrics.replication.iter().flatten();
        each.map(|(id, matching)| (MemberId(*id), to_position(matching.as_ref()).0))
            .collect()
    }

    /// The members by the newest membership entry.
    pub fn members(&self) -> Vec<Membered> {
        let metrics = self.raft.metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        list(membership.membership())
    }

    /// Hands leadership to the most caught-up voter and waits until this member no longer leads, or gives up
    /// when the caller stops waiting. At once when it does not lead or is the only voter.
    ///
    /// # Errors
    /// [`Ended`] when consensus has ended.
    pub async fn hand_over(&self, own: MemberId) -> Result<(), Ended> {
        let mut standing = self.standing();
        while standing.borrow_and_update().leading {
            let Some(heir) = self.heir(own) else { return Ok(()) };
            tracing::info!(to = %heir, "handing leadership over");
            self.raft.trigger().transfer_leader(heir.0).await.map_err(ended)?;
            if standing.changed().await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn heir(&self, own: MemberId) -> Option<MemberId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let replication = metrics.replication.as_ref()?;
        let voters = metrics.membership_config.voter_ids().filter(|id| *id != own.0);
        voters
            .max_by_key(|id| to_position(replication.get(id).and_then(Option::as_ref)).0)
            .map(MemberId)
    }

    /// Makes a checkpoint of the newest view; the keeper does the work. A checkpoint that fails (the disk is full) is told
    /// in the log and may be tried again: the log on disk has everything.
    ///
    /// # Errors
    /// [`Ended`] when consensus has ended.
    pub async fn checkpoint(&self) -> Result<(), Ended> {
        if let Err(reason) = self.checkpoints.make().await {
            tracing::warn!(reason, "a checkpoint could not be made; will try again");
            return Ok(());
        }
        self.raft.trigger().snapshot().await.map_err(ended)
    }

    /// Waits until consensus ends, by [`Consensus::shutdown`] or by an error, and says why.
    pub async fn ended(&self) -> Ended {
        // All metrics change with each batch; those of the server seldom do, and end with the core all the same.
        let mut seldom = self.raft.server_metrics();
        while seldom.changed().await.is_ok() {}
        match &self.raft.metrics().borrow_watched().running_state {
            Err(error) => ended(error),
            Ok(()) => ended("it was stopped"),
        }
    }

    /// Drops the log up to and with `upto`, as far as a checkpoint holds it.
    ///
    /// # Errors
    /// [`Ended`] when consensus has ended.
    pub async fn purge(&self, upto: LogIndex) -> Result<(), Ended> {
        let Some(upto) = from_index(upto) else {
            return Ok(());
        };
        self.raft.trigger().purge_log(upto).await.map_err(ended)
    }

    /// Drops a slice of what a compaction left behind, between two applied batches; true when there is more.
    ///
    /// # Errors
    /// [`Ended`] when consensus has ended.
    pub async fn compact_slice(&self, revisions_max: usize) -> Result<bool, Ended> {
        let slice = self.raft.with_state_machine(move |machine: &mut StateMachine| {
            let more = machine.compact_slice(revisions_max);
            Box::pin(async move { more })
        });
        slice.await.map_err(ended)
    }

    /// Takes over a pipe that a peer opened. Founding and forwarding are not consensus' business.
    pub fn accept(&self, lane: Lane, from: MemberId, pipe: Pipe) {
        let raft = self.raft.clone();
        match lane {
            Lane::Control => {
                let consensus = self.clone();
                let is_removed = move || consensus.is_removed(from);
                let (hold, contact) = (self.hold, self.contact.clone());
                drop(tokio::spawn(inbound::serve_control(
                    raft, hold, contact, is_removed, from, pipe,
                )));
            }
            Lane::Append if *self.shut.borrow() => {}
            Lane::Append => {
                let shut = self.shut.subscribe();
                drop(tokio::spawn(inbound::serve_append(raft, shut, from, pipe)));
            }
            Lane::Snapshot => {
                drop(tokio::spawn(inbound::serve_snapshot(
                    raft,
                    self.keeper.clone(),
                    self.receptions.clone(),
                    from,
                    pipe,
                )));
            }
            Lane::Founding | Lane::Forward => unreachable!("the member keeps this lane for itself"),
        }
    }

    /// Ends consensus: no vote, no entry and no answer after it returns.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not end cleanly");
        }
    }
}

fn ended(error: impl std::fmt::Display) -> Ended {
    Ended(error.to_string())
}

/// openraft's many-faced metrics as the one thing that decisions need, changed only when it changes.
fn watch_standing(
    raft: &Raft,
    own: MemberId,
    tally: Arc<Tally>,
    contact: Contact,
) -> watch::Receiver<Standing> {
    let (tell, standing) = watch::channel(Standing::default());
    let mut metrics = raft.server_metrics();
    tokio::spawn(async move {
        let mut led = None;
        // What is there from the beginning was read from the disk.
        let mut is_news = false;
        loop {
            let now = {
                let metrics = metrics.borrow_and_update();
                let leader = metrics.current_leader.map(MemberId);
                let leading = metrics.state.is_leader() && leader == Some(own);
                Standing {
                    term: Term(metrics.vote.leader_id.term),
                    leader,
                    leading,
                }
            };
            // As etcd counts: a leader that is found again in a later term is a change, too.
            let leads = now.leader.map(|leader| (now.term, leader));
            if leads.is_some() && leads != led {
                led = leads;
                add(&tally.leader_changes);
                if is_news {
                    contact.note();
                }
            }
            is_news = true;
            tell.send_if_modified(|standing| {
                let changed = *standing != now;
                *standing = now;
                changed
            });
            if metrics.changed().await.is_err() {
                // Consensus has ended: nobody leads any more as far as this member can tell.
                tell.send_replace(Standing {
                    leader: None,
                    leading: false,
                    ..now
                });
                return;
            }
        }
    });
    standing
}
