//! What this member says to its peers on openraft's behalf.
//!
//! Per peer: one control link shared by votes and heartbeats, one append stream, one snapshot stream when it is
//! needed. A peer that cannot be reached is an error, never a grant.

mod append;
mod control;
mod snapshot;
mod whereabouts;

pub use control::ControlLink;
pub use snapshot::send as send_snapshot;
pub use whereabouts::{Newest, Whereabouts};

use crate::keeper::KeeperHandle;
use crate::leader_lease::Said;
use crate::membership::MemberInfo;
use crate::network::{DialError, Lane, PeerAddress, PeerNetwork, Pipe};
use crate::raft::{RaftVote, Types, to_position};
use crate::state_machine::SnapshotData;
use crate::tally::{PeerTally, Tally, add};
use crate::wire::control::{Ask, AskHeartbeat, AskTransfer, AskVote, Say};
use almadia_command::{MemberId, Term};
use almadia_store::View;
use arc_swap::ArcSwap;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RPCTypes,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) type RpcError = RPCError<Types>;
type AppendStream<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RpcError>>;

/// Makes clients for openraft, one control link per peer.
pub struct Outbound {
    own: MemberId,
    network: Arc<dyn PeerNetwork>,
    keeper: KeeperHandle,
    view: Arc<ArcSwap<View>>,
    newest: Newest,
    said: Said,
    tally: Arc<Tally>,
    links: Arc<Mutex<BTreeMap<u64, Arc<ControlLink>>>>,
}

impl Outbound {
    /// A factory over the world's network.
    pub fn new(
        own: MemberId,
        network: Arc<dyn PeerNetwork>,
        keeper: KeeperHandle,
        view: Arc<ArcSwap<View>>,
        newest: Newest,
        said: Said,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            own,
            network,
            keeper,
            view,
            newest,
            said,
            tally,
            links: Arc::default(),
        }
    }

    fn client(&self, target: u64, info: &MemberInfo, heartbeats: bool) -> PeerClient {
        assert_ne!(
            target, self.own.0,
            "a member never talks to itself over the network"
        );
        let address = PeerAddress {
            member: MemberId(target),
            name: info.name.clone(),
            urls: info.peer_urls.clone(),
        };
        let whereabouts = Whereabouts::new(address, self.newest.clone());
        let mut links = self.links.lock().expect("nobody panics while holding the links");
        let link = links
            .entry(target)
            .or_insert_with(|| Arc::new(ControlLink::new(whereabouts.clone(), self.network.clone())));
        PeerClient {
            own: self.own,
            target,
            whereabouts,
            network: self.network.clone(),
            control: link.clone(),
            keeper: self.keeper.clone(),
            view: self.view.clone(),
            said: self.said.clone(),
            counted: self.tally.peer(MemberId(target)),
            tally: self.tally.clone(),
            append: None,
            heartbeats,
        }
    }
}

impl RaftNetworkFactory<Types> for Outbound {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &MemberInfo) -> PeerClient {
        self.client(target, node, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &MemberInfo) -> PeerClient {
        self.client(target, node, true)
    }
}

/// openraft's way to one peer.
pub struct PeerClient {
    own: MemberId,
    target: u64,
    whereabouts: Whereabouts,
    network: Arc<dyn PeerNetwork>,
    control: Arc<ControlLink>,
    keeper: KeeperHandle,
    view: Arc<ArcSwap<View>>,
    said: Said,
    counted: Arc<PeerTally>,
    tally: Arc<Tally>,
    /// The append pipe between two streams that ended cleanly.
    append: Option<Pipe>,
    /// Heartbeats go over the control link, so that entries never delay them.
    heartbeats: bool,
}

impl PeerClient {
    async fn dial(&self, lane: Lane) -> Result<Pipe, RpcError> {
        self.network
            .dial(self.whereabouts.now(), lane)
            .await
            .map_err(|error| {
                add(&self.counted.failures);
                unreachable_peer(&error)
            })
    }

    async fn ask(&self, ask: Ask, kind: RPCTypes, limit: Duration) -> Result<Say, RpcError> {
        let is_heartbeat = matches!(ask, Ask::Heartbeat(_));
        let begun = Instant::now();
        let said = self.ask_uncounted(ask, kind, limit).await;
        match &said {
            Ok(_) if is_heartbeat => self.counted.round_trips.note(begun.elapsed()),
            Ok(_) => {}
            Err(_) => {
                add(&self.counted.failures);
                if is_heartbeat {
                    add(&self.counted.heartbeats_failed);
                }
            }
        }
        said
    }

    async fn ask_uncounted(&self, ask: Ask, kind: RPCTypes, limit: Duration) -> Result<Say, RpcError> {
        match tokio::time::timeout(limit, self.control.ask(ask)).await {
            Ok(Ok(Say::Unable(reason))) => Err(broken(&reason)),
            Ok(answer) => answer,
            Err(_) => Err(RPCError::Timeout(Timeout {
                action: kind,
                id: self.own.0,
                target: self.target,
                timeout: limit,
            })),
        }
    }

    async fn ask_vote(&self, ask: Ask, limit: Duration) -> Result<VoteResponse<Types>, RpcError> {
        match self.ask(ask, RPCTypes::Vote, limit).await? {
            Say::Vote(say) => Ok(VoteResponse {
                vote: say.vote.into(),
                vote_granted: say.granted,
                last_log_id: say.last.into(),
            }),
            other => Err(broken(&format!("an answer that is no vote: {other:?}"))),
        }
    }

    async fn heartbeat(
        &self,
        batch: AppendEntriesRequest<Types>,
        limit: Duration,
    ) -> Result<StreamAppendResult<Types>, RpcError> {
        assert!(batch.entries.is_empty(), "a heartbeat carries no entries");
        self.said.committed(to_position(batch.leader_commit.as_ref()).0);
        let ask = Ask::Heartbeat(AskHeartbeat {
            vote: (&batch.vote).into(),
            matching: batch.prev_log_id.as_ref().into(),
            committed: batch.leader_commit.as_ref().into(),
        });
        match self.ask(ask, RPCTypes::AppendEntries, limit).await? {
            Say::Heartbeat(say) => match (say.higher, say.conflict, batch.prev_log_id) {
                (Some(higher), _, _) => Ok(Err(StreamAppendError::HigherVote(higher.into()))),
                (None, true, Some(at)) => Ok(Err(StreamAppendError::Conflict(at))),
                (None, _, matching) => Ok(Ok(matching)),
            },
            other => Err(broken(&format!("an answer that is no heartbeat's: {other:?}"))),
        }
    }
}

/// The peer cannot be reached: openraft waits before it tries again.
fn unreachable_peer(error: &DialError) -> RpcError {
    RPCError::Unreachable(Unreachable::from_string(error))
}

/// The connection or the answer broke: openraft may try again at once.
fn broken(reason: &str) -> RpcError {
    RPCError::Network(NetworkError::from_string(reason))
}

impl NetBackoff<Types> for PeerClient {
    fn backoff(&self) -> Option<Backoff> {
        // Short first (a restarted peer is back at once), bounded by what a recovering cluster can wait.
        let steps = [10, 20, 40, 80, 160].into_iter().chain(std::iter::repeat(200));
        Some(Backoff::new(steps.map(Duration::from_millis)))
    }
}

impl NetStreamAppend<Types> for PeerClient {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> Pin<Box<dyn Future<Output = Result<AppendStream<'s>, RpcError>> + Send + 's>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if self.heartbeats {
                let limit = option.hard_ttl();
                let this = &*self;
                return Ok(input.then(move |batch| this.heartbeat(batch, limit)).boxed());
            }
            append::stream(self, input).await
        })
    }
}

impl NetVote<Types> for PeerClient {
    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        self.ask_vote(Ask::Vote(ask_vote(&request)), option.hard_ttl())
            .await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        self.ask_vote(Ask::PreVote(ask_vote(&request)), option.hard_ttl())
            .await
    }
}

fn ask_vote(request: &VoteRequest<Types>) -> AskVote {
    AskVote {
        vote: (&request.vote).into(),
        last: request.last_log_id.as_ref().into(),
        leadership_transfer: request.leadership_transfer,
    }
}

impl NetTransferLeader<Types> for PeerClient {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RpcError> {
        self.said.hands_over(Term(request.from_leader().leader_id.term));
        let ask = Ask::Transfer(AskTransfer {
            from: request.from_leader().into(),
            to: *request.to_node_id(),
            last: request.last_log_id().into(),
        });
        match self.ask(ask, RPCTypes::TransferLeader, option.hard_ttl()).await? {
            Say::Transfer(reason) if reason.is_empty() => Ok(Ok(())),
            Say::Transfer(_) => Ok(Err(TransferLeaderError::LogNotFlushed {
                expected: request.last_log_id().cloned(),
                actual: None,
            })),
            other => Err(broken(&format!("an answer that is no transfer's: {other:?}"))),
        }
    }
}

impl NetSnapshot<Types> for PeerClient {
    type SnapshotData = SnapshotData;

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        _snapshot: openraft::type_config::alias::SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let pipe = self.dial(Lane::Snapshot).await?;
        let begun = Instant::now();
        let sent = tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = snapshot::send(pipe, vote, self.keeper.clone(), self.view.load_full()) => sent,
        };
        match &sent {
            Ok(_) => {
                self.tally.sent.note(MemberId(self.target));
                self.tally.snapshots_sent.note(begun.elapsed());
            }
            Err(_) => add(&self.tally.snapshots_failed),
        }
        sent
    }
}
