//! The Lease service: leases are made and ended through the log; only the leader knows what time they have left.
//!
//! It keeps nothing alive by itself, and holds no lease's time.

use crate::backend::{AskError, Backend, TimeLeft};
use crate::caller::Caller;
use crate::error::Fault;
use crate::kv::Written;
use crate::proto::etcdserverpb as pb;
use crate::service::{Call, Replied, Shared};
use crate::sign::Sign;
use crate::stream::{self, Messages};
use crate::wire::Plain;
use almadia_command::{Kind, LeaseGrant, LeaseId, LeaseRevoke};
use almadia_store::{Answer, Need};
use prost::Message;
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::codegen::tokio_stream::Stream;

/// Seconds that a lease may live at most, as in etcd.
const TTL_MAX: i64 = 9_000_000_000;

/// Ids drawn for one lease at most. Two in a row that are in use already mean that chance is broken.
const DRAWS_MAX: usize = 8;

/// Renewals of one stream that wait for the leader at most; then the client waits.
const RENEWALS_MAX: usize = 256;

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    let response = match method {
        "LeaseGrant" => {
            call.unary(shared, |caller, request| grant(shared, caller, request))
                .await
        }
        "LeaseRevoke" => {
            call.unary(shared, |caller, request| revoke(shared, caller, request))
                .await
        }
        "LeaseKeepAlive" => keep_alive(shared, call),
        "LeaseTimeToLive" => {
            call.unary(shared, |caller, request| time_to_live(shared, caller, request))
                .await
        }
        "LeaseLeases" => {
            call.unary(shared, |caller, request| leases(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// Makes a lease; draws an id where none is asked for.
pub(crate) async fn grant<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::LeaseGrantRequest,
) -> Result<Replied<Plain<pb::LeaseGrantResponse>>, Status> {
    if request.ttl > TTL_MAX {
        // Who asks is looked at first, as in etcd.
        let actor = shared.known_actor(&caller).await?;
        let view = shared.backend.view();
        view.permits(actor.as_ref(), Need::User).map_err(Fault::from)?;
        return Err(Fault::LeaseTtlTooLarge.into());
    }
    let written = write_grant(shared, &caller, request).await?;
    let Answer::LeaseGrant { id, ttl } = written.answer else {
        unreachable!("a grant was answered with {:?}", written.answer);
    };
    let answer = Plain(pb::LeaseGrantResponse {
        header: Some(written.header),
        id: id.get(),
        ttl,
        error: String::new(),
    });
    Ok(Replied {
        answer,
        position: Some(written.position),
    })
}

/// The grant by itself, for who needs a lease of its own.
pub(crate) async fn write_grant<B: Backend>(
    shared: &Shared<B>,
    caller: &Caller,
    request: pb::LeaseGrantRequest,
) -> Result<Written, Fault> {
    let ttl = request.ttl.max(shared.config.lease_ttl_min);
    // By what this member knows: who grants at all members at once may exceed it by what is under way.
    if shared.backend.view().leases().len() >= shared.config.limits.leases_max {
        shared.metrics.bounds.leases_refused.inc();
        return Err(Fault::TooManyLeases);
    }
    let mut draws = 0;
    loop {
        let id = match request.id {
            0 => shared.backend.draw_lease_id().get(),
            id => id,
        };
        let written = shared
            .write(
                caller,
                Kind::LeaseGrant(LeaseGrant { id, ttl }),
                request.encoded_len(),
            )
            .await;
        draws += 1;
        match written {
            Err(Fault::LeaseExists) if request.id == 0 && draws < DRAWS_MAX => {}
            written => return written,
        }
    }
}

/// Ends a lease and deletes its keys.
pub(crate) async fn revoke<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::LeaseRevokeRequest,
) -> Result<Replied<Plain<pb::LeaseRevokeResponse>>, Status> {
    let revoke = LeaseRevoke {
        id: request.id,
        expired_in_term: 0,
    };
    let written = shared
        .write(&caller, Kind::LeaseRevoke(revoke), request.encoded_len())
        .await?;
    let answer = Plain(pb::LeaseRevokeResponse {
        header: Some(written.header),
    });
    Ok(Replied {
        answer,
        position: Some(written.position),
    })
}

/// What a lease has left, and its keys if asked for.
pub(crate) async fn time_to_live<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::LeaseTimeToLiveRequest,
) -> Result<Replied<Plain<pb::LeaseTimeToLiveResponse>>, Status> {
    let lease = LeaseId(request.id);
    let need = match request.keys {
        true => Need::ReadLease(lease),
        false => Need::User,
    };
    let left = async { shared.backend.lease_time_left(lease).await.map_err(Fault::from) };
    // Keys are read from a view that knows what the leader knows; without them the leader's word is enough.
    let view = match request.keys || shared.backend.view().auth().is_enabled() {
        true => shared.readable_view(false).await?,
        false => shared.backend.view(),
    };
    let actor = shared.actor(&caller, &view)?;
    view.permits(actor.as_ref(), need).map_err(Fault::from)?;
    let left = shared.in_time(left).await?;
    let keys = view.leases().keys(lease).map(bytes::Bytes::copy_from_slice);
    let answer = match left {
        Some(TimeLeft { granted, left }) => pb::LeaseTimeToLiveResponse {
            header: Some(shared.read_header(&shared.backend.view())),
            id: request.id,
            ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            granted_ttl: granted,
            keys: if request.keys { keys.collect() } else { Vec::new() },
        },
        None => pb::LeaseTimeToLiveResponse {
            header: Some(shared.read_header(&shared.backend.view())),
            id: request.id,
            ttl: -1,
            ..Default::default()
        },
    };
    Ok(Replied::unlogged(Plain(answer)))
}

/// All leases, soonest to end first; only for who may read every key that hangs on any of them.
pub(crate) async fn leases<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    _request: pb::LeaseLeasesRequest,
) -> Result<Replied<Plain<pb::LeaseLeasesResponse>>, Status> {
    if shared.backend.view().auth().is_enabled() {
        let view = shared.readable_view(false).await?;
        let actor = shared.actor(&caller, &view)?;
        view.permits(actor.as_ref(), Need::User).map_err(Fault::from)?;
        for (lease, _) in view.leases().iter() {
            view.permits(actor.as_ref(), Need::ReadLease(lease))
                .map_err(Fault::from)?;
        }
    }
    let leases = async { shared.backend.leases_by_expiry().await.map_err(Fault::from) };
    let leases = shared.in_time(leases).await?.into_iter();
    let answer = pb::LeaseLeasesResponse {
        header: Some(shared.read_header(&shared.backend.view())),
        leases: leases.map(|id| pb::LeaseStatus { id: id.get() }).collect(),
    };
    Ok(Replied::unlogged(Plain(answer)))
}

impl<B: Backend> Shared<B> {
    /// What the leader is asked for, or "timed out".
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let answer = tokio::time::timeout(self.config.request_timeout, answer).await;
        answer.unwrap_or(Err(Fault::TimedOut))
    }

    /// The same as [`Shared::renew`] without waiting, where the member can do that and everybody may.
    fn renew_at_once(&self, lease: i64) -> Option<pb::LeaseKeepAliveResponse> {
        let view = self.backend.view();
        if view.auth().is_enabled() {
            return None;
        }
        let ttl = self.backend.renew_lease_at_once(LeaseId(lease))?;
        self.note_renewal(ttl);
        Some(pb::LeaseKeepAliveResponse {
            header: Some(self.read_header(&view)),
            id: lease,
            ttl,
        })
    }

    fn note_renewal(&self, ttl: i64) {
        // 0 is the answer about a lease that is not there.
        if ttl > 0 {
            self.metrics.renewed.inc();
        }
    }

    /// Gives a lease its whole time again on a caller's behalf.
    pub(crate) async fn renew(
        &self,
        caller: &Caller,
        lease: i64,
    ) -> Result<pb::LeaseKeepAliveResponse, Fault> {
        if self.backend.view().auth().is_enabled() {
            let view = self.readable_view(false).await?;
            let actor = self.actor(caller, &view)?;
            view.permits(actor.as_ref(), Need::WriteLease(LeaseId(lease)))
                .map_err(Fault::from)?;
        }
        // The member keeps the time: a second timer for each renewal would cost more than the rest of it.
        let ttl = self.backend.keep_lease_alive(LeaseId(lease)).await?;
        self.note_renewal(ttl);
        // Taken afterwards: right after a start, the member waits until its views are what they were before.
        Ok(pb::LeaseKeepAliveResponse {
            header: Some(self.read_header(&self.backend.view())),
            id: lease,
            ttl,
        })
    }
}

impl From<AskError> for Fault {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoLeader => Self::NoLeader,
            AskError::TimedOut => Self::TimedOut,
            AskError::Stopped => Self::Stopped,
        }
    }
}

/// Renews leases as they are asked for; answers in the order of the requests.
fn keep_alive<B: Backend>(shared: &Arc<Shared<B>>, call: Call) -> Response<Body> {
    let caller = Arc::new(call.caller());
    let wants_leader = call.wants_leader();
    if let Some(fault) = shared.refuses_streams(wants_leader) {
        return Status::from(fault).into_http();
    }
    stream::respond(Conversation {
        cut: shared.cut(wants_leader),
        messages: Some(call.messages(shared)),
        shared: Arc::clone(shared),
        caller,
        under_way: VecDeque::new(),
        failure: None,
        is_over: false,
        sign: Sign::default(),
    })
}

type Renewed = Result<pb::LeaseKeepAliveResponse, Fault>;

/// A renewal that was asked for.
enum Renewal {
    UnderWay(Pin<Box<dyn Future<Output = Renewed> + Send>>),
    Done(Renewed),
}

/// One stream of renewals, polled for the next answer to its client. It has no task of its own: a renewal must cost less
/// than the hops between tasks do.
struct Conversation<B> {
    shared: Arc<Shared<B>>,
    caller: Arc<Caller>,
    /// None once the client has said all.
    messages: Option<Messages<pb::LeaseKeepAliveRequest>>,
    /// In the order of the requests.
    under_way: VecDeque<Renewal>,
    /// What was wrong with the client's words; told after what came before.
    failure: Option<Status>,
    /// Why the stream ends although nothing is wrong with it.
    cut: Pin<Box<dyn Future<Output = Fault> + Send>>,
    is_over: bool,
    /// Of everything that is waited for.
    sign: Sign,
}

impl<B: Backend> Conversation<B> {
    /// Takes what the client has said, as far as there is room.
    fn take_requests(&mut self, context: &mut Context<'_>) {
        while self.under_way.len() < RENEWALS_MAX
            && let Some(messages) = &mut self.messages
        {
            // Made anew at each poll: what has been read is kept.
            let said = pin!(messages.next()).poll(context);
            match said {
                Poll::Ready(Ok(Some(request))) => self.begin(request.id),
                Poll::Ready(Ok(None)) => self.messages = None,
                Poll::Ready(Err(status)) => {
                    self.failure = Some(status);
                    self.messages = None;
                }
                Poll::Pending => return,
            }
        }
        if self.messages.is_some() {
            // What the client has said beyond that nobody has listened to: to be looked at again when there is room.
            self.sign.give();
        }
    }

    fn begin(&mut self, lease: i64) {
        if let Some(renewed) = self.shared.renew_at_once(lease) {
            self.under_way.push_back(Renewal::Done(Ok(renewed)));
            return;
        }
        let (shared, caller) = (Arc::clone(&self.shared), Arc::clone(&self.caller));
        let renewal = Box::pin(async move { shared.renew(&caller, lease).await });
        self.under_way.push_back(Renewal::UnderWay(renewal));
        // Nobody has looked at it yet.
        self.sign.give();
    }

    /// The answer to the oldest request. All go on meanwhile, so that they share their way to the leader.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Renewed> {
        if !matches!(self.under_way.front(), Some(Renewal::Done(_))) {
            for renewal in &mut self.under_way {
                if let Renewal::UnderWay(under_way) = renewal
                    && let Poll::Ready(renewed) = under_way.as_mut().poll(context)
                {
                    *renewal = Renewal::Done(renewed);
                }
            }
        }
        match self.under_way.pop_front() {
            Some(Renewal::Done(renewed)) => Poll::Ready(renewed),
            Some(first) => {
                self.under_way.push_front(first);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }

    fn end(&mut self, with: Option<Status>) -> Poll<Option<Result<Kept, Status>>> {
        self.is_over = true;
        Poll::Ready(with.map(Err))
    }
}

type Kept = Plain<pb::LeaseKeepAliveResponse>;

impl<B: Backend> Stream for Conversation<B> {
    type Item = Result<Kept, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        self.sign.listen(context);
        let waker = self.sign.waker();
        let mut context = Context::from_waker(&waker);
        let context = &mut context;
        // What is ready goes first: then all of it leaves in one piece before the client is listened to again.
        if !matches!(self.under_way.front(), Some(Renewal::Done(_))) {
            // Once the client has said all there is nobody who would give a sign of the end.
            if !self.sign.take() && self.messages.is_some() {
                return Poll::Pending;
            }
            if let Poll::Ready(fault) = self.cut.as_mut().poll(context) {
                return self.end(Some(fault.into()));
            }
            self.take_requests(context);
        }
        match self.poll_first(context) {
            Poll::Ready(Ok(renewed)) => Poll::Ready(Some(Ok(Plain(renewed)))),
            Poll::Ready(Err(fault)) => self.end(Some(fault.into())),
            Poll::Pending if self.messages.is_none() && self.under_way.is_empty() => {
                let failure = self.failure.take();
                self.end(failure)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
