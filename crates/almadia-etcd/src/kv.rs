//! The KV service: reads from a view, writes through the log.
//!
//! Checks form ([`crate::check`]), then asks the member; what depends on the data is decided there.

use crate::backend::{Applied, Backend, ProposeError, ReadError};
use crate::budget::SMALL_KEYS_MAX;
use crate::caller::Caller;
use crate::check;
use crate::encode::{DeleteRangeReply, PutReply, RangeReply, TxnReply, ValueWishes};
use crate::error::Fault;
use crate::position::Position;
use crate::proto::etcdserverpb as pb;
use crate::range_stream;
use crate::service::{Call, Replied, Shared};
use crate::slow::trail;
use crate::translate;
use crate::wire::Plain;
use almadia_command::{Command, Kind, OperationKind, Range, Revision, SortTarget, Term, Txn};
use almadia_store::{Answer, AuthRefusal, Need, Refusal, View};
use prost::Message;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;

/// What etcd's form of a log entry adds to a request: the tag and length of a request header with an id, and the tag
/// and length of the request. A value of 1 572 000 bytes passes the default limit, as it does there.
const ENTRY_OVERHEAD_BYTES: usize = 18;

/// Serves a method, if it is one of this service.
pub(crate) async fn serve<B: Backend>(
    shared: &Arc<Shared<B>>,
    method: &str,
    call: Call,
) -> Option<Response<Body>> {
    if method == "RangeStream" {
        return Some(range_stream::serve(shared, call).await);
    }
    let shared = shared.as_ref();
    let response = match method {
        "Range" => {
            call.unary(shared, |caller, request| range(shared, caller, request))
                .await
        }
        "Put" => {
            call.unary(shared, |caller, request| put(shared, caller, request))
                .await
        }
        "DeleteRange" => {
            call.unary(shared, |caller, request| delete_range(shared, caller, request))
                .await
        }
        "Txn" => {
            call.unary(shared, |caller, request| txn(shared, caller, request))
                .await
        }
        "Compact" => {
            call.unary(shared, |caller, request| compact(shared, caller, request))
                .await
        }
        _ => return None,
    };
    Some(response)
}

/// Reads the keys of a range.
pub(crate) async fn range<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::RangeRequest,
) -> Result<Replied<RangeReply>, Status> {
    trail::about(&request.key);
    shared.refuse_as_learner(request.serializable)?;
    check::range(&request)?;
    let (view, actor) = shared.readable_as(&caller, request.serializable).await?;
    let need = Need::Read {
        key: &request.key,
        range_end: &request.range_end,
    };
    view.permits(actor.as_ref(), need).map_err(Fault::from)?;
    let keys_only = request.keys_only;
    let header = shared.read_header(&view);
    let range = translate::range(request);
    let keys = keys_of(&view, &range);
    let (answer, share) = if keys <= SMALL_KEYS_MAX {
        (view.range(&range).map_err(Fault::from)?, None)
    } else {
        let share = shared.budget.share(keys).await?;
        let built = shared.budget.build(move || view.range(&range)).await?;
        (built.map_err(Fault::from)?, Some(share))
    };
    Ok(Replied::unlogged(RangeReply {
        header,
        answer,
        keys_only,
        share,
    }))
}

/// How many keys an answer would hold at most, by a count that does not look at them; what cannot be counted is refused later.
fn keys_of(view: &View, range: &Range) -> u64 {
    // Sorting by anything but the key looks at all of them, whatever the limit.
    let is_by_key = range.sort_target == SortTarget::Key as i32;
    let limit = u64::try_from(range.limit)
        .ok()
        .filter(|limit| *limit > 0 && is_by_key);
    if range.range_end.is_empty() || range.count_only || limit.is_some_and(|limit| limit <= SMALL_KEYS_MAX) {
        return 1;
    }
    let count = Range {
        count_only: true,
        limit: 0,
        revision: 0,
        ..range.clone()
    };
    let keys = view.range(&count).map_or(0, |answer| answer.count);
    let keys = u64::try_from(keys).unwrap_or(0);
    limit.map_or(keys, |limit| keys.min(limit))
}

/// Of all reads in a transaction, whichever branch is taken.
fn keys_of_txn(view: &View, txn: &Txn) -> u64 {
    let operations = txn.success.iter().chain(&txn.failure);
    let keys = operations.map(|operation| match &operation.kind {
        Some(OperationKind::Range(range)) => keys_of(view, range),
        Some(OperationKind::Txn(nested)) => keys_of_txn(view, nested),
        _ => 0,
    });
    keys.fold(0, u64::saturating_add)
}

/// Stores a value.
pub(crate) async fn put<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::PutRequest,
) -> Result<Replied<PutReply>, Status> {
    trail::about(&request.key);
    check::put(&request)?;
    let len = request.encoded_len();
    let written = shared
        .write(&caller, Kind::Put(translate::put(request)), len)
        .await?;
    let Answer::Put { prev } = written.answer else {
        unreachable!("a put was answered with {:?}", written.answer);
    };
    Ok(Replied {
        answer: PutReply {
            header: written.header,
            prev,
        },
        position: Some(written.position),
    })
}

/// Removes the keys of a range.
pub(crate) async fn delete_range<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::DeleteRangeRequest,
) -> Result<Replied<DeleteRangeReply>, Status> {
    trail::about(&request.key);
    check::delete_range(&request)?;
    let len = request.encoded_len();
    let written = shared
        .write(&caller, Kind::DeleteRange(translate::delete_range(request)), len)
        .await?;
    let Answer::DeleteRange { deleted, prev } = written.answer else {
        unreachable!("a removal was answered with {:?}", written.answer);
    };
    let answer = DeleteRangeReply {
        header: written.header,
        deleted,
        prev,
    };
    Ok(Replied {
        answer,
        position: Some(written.position),
    })
}

/// Compares and carries out one of two lists of operations.
pub(crate) async fn txn<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::TxnRequest,
) -> Result<Replied<TxnReply>, Status> {
    if let Some(compare) = request.compare.first() {
        trail::about(&compare.key);
    }
    check::txn(&request, shared.config.txn_operations_max)?;
    let values = ValueWishes::of(&request);
    let (len, serializable) = (request.encoded_len(), translate::is_serializable(&request));
    let txn = translate::txn(request);
    if almadia_store::is_read_only(&txn) {
        let (view, actor) = shared.readable_as(&caller, serializable).await?;
        view.permits_txn(actor.as_ref(), &txn).map_err(Fault::from)?;
        let header = shared.read_header(&view);
        let keys = keys_of_txn(&view, &txn);
        let (answer, share) = if keys <= SMALL_KEYS_MAX {
            (view.read_txn(&txn).map_err(Fault::from)?, None)
        } else {
            let share = shared.budget.share(keys).await?;
            let built = shared.budget.build(move || view.read_txn(&txn)).await?;
            (built.map_err(Fault::from)?, Some(share))
        };
        return Ok(Replied::unlogged(TxnReply {
            header,
            answer,
            values,
            share,
        }));
    }
    let written = shared.write(&caller, Kind::Txn(txn), len).await?;
    let Answer::Txn(answer) = written.answer else {
        unreachable!("a transaction was answered with {:?}", written.answer);
    };
    let answer = TxnReply {
        header: written.header,
        answer,
        values,
        share: None,
    };
    Ok(Replied {
        answer,
        position: Some(written.position),
    })
}

/// Drops what is superseded at a revision.
pub(crate) async fn compact<B: Backend>(
    shared: &Shared<B>,
    caller: Caller,
    request: pb::CompactionRequest,
) -> Result<Replied<Plain<pb::CompactionResponse>>, Status> {
    let len = request.encoded_len();
    let written = shared
        .write(&caller, Kind::Compact(translate::compact(&request)), len)
        .await?;
    let answer = Plain(pb::CompactionResponse {
        header: Some(written.header),
    });
    Ok(Replied {
        answer,
        position: Some(written.position),
    })
}

/// How often a command is proposed while users and roles change faster than it is applied.
const TRIES_MAX: usize = 4;

/// Whether a command was refused because its actor was found before users and roles changed.
fn is_outdated(applied: &Applied) -> bool {
    use AuthRefusal::{OldRevision, UserEmpty};
    matches!(
        applied.outcome.result,
        Err(Refusal::Auth(OldRevision | UserEmpty))
    )
}

/// A command that was applied and not refused.
pub(crate) struct Written {
    pub(crate) answer: Answer,
    pub(crate) header: pb::ResponseHeader,
    pub(crate) position: Position,
}

impl<B: Backend> Shared<B> {
    /// Has a command carried out for a caller and waits for what it answers.
    pub(crate) async fn write(
        &self,
        caller: &Caller,
        kind: Kind,
        request_bytes: usize,
    ) -> Result<Written, Fault> {
        let mut actor = self.known_actor(caller).await?;
        if request_bytes.saturating_add(ENTRY_OVERHEAD_BYTES) > self.config.request_bytes_max {
            return Err(Fault::RequestTooLarge);
        }
        let mut tries = if caller.has_name() { TRIES_MAX } else { 1 };
        let mut kind = Some(kind);
        let Applied { outcome, index, term } = loop {
            tries -= 1;
            let command = Command {
                kind: if tries > 0 { kind.clone() } else { kind.take() },
                actor: actor.clone(),
            };
            let applied = self.decided(command).await?;
            if tries == 0 || !is_outdated(&applied) {
                break applied;
            }
            // Users and roles have changed in between, and nothing was done: who is still permitted need not know.
            let newer = self.known_actor(caller).await?;
            if newer == actor {
                break applied;
            }
            actor = newer;
        };
        trail::decided(index);
        let answer = outcome.result?;
        let header = self.header(outcome.revision, term);
        Ok(Written {
            answer,
            header,
            position: Position { index, term },
        })
    }

    async fn decided(&self, command: Command) -> Result<Applied, ProposeError> {
        let waits_for_space = matches!(&command.kind, Some(Kind::Compact(compact)) if compact.physical);
        let proposed = self.backend.propose(command);
        if waits_for_space {
            return proposed.await;
        }
        let decided = tokio::time::timeout(self.config.request_timeout, proposed).await;
        decided.unwrap_or(Err(ProposeError::TimedOut))
    }

    /// The view that a read may be served from.
    pub(crate) async fn readable_view(&self, serializable: bool) -> Result<Arc<View>, Fault> {
        if serializable {
            self.backend.recovered().await?;
        } else {
            self.read_barrier().await?;
        }
        Ok(self.backend.view())
    }

    /// Returns when the view holds everything acknowledged so far.
    pub(crate) async fn read_barrier(&self) -> Result<(), Fault> {
        let begun = Instant::now();
        let barrier = self.backend.read_barrier();
        let confirmed = tokio::time::timeout(self.config.request_timeout, barrier).await;
        trail::confirmed(begun);
        Ok(confirmed.unwrap_or(Err(ReadError::TimedOut))?)
    }

    /// Revision and term of the same view, so that an answer never mixes two states.
    pub(crate) fn read_header(&self, view: &View) -> pb::ResponseHeader {
        self.header(view.revision(), view.applied().1)
    }

    /// The header of an answer.
    pub(crate) fn header(&self, revision: Revision, term: Term) -> pb::ResponseHeader {
        let identity = self.backend.identity();
        pb::ResponseHeader {
            cluster_id: identity.cluster.get(),
            member_id: identity.member.get(),
            revision: revision.get(),
            raft_term: term.get(),
        }
    }
}
