//! RangeStream (B1.10, since etcd 3.7): a read answered in pieces, so that neither side holds all of it at once.
//!
//! All pieces are of one revision, but no view is held between two of them: a client that reads slowly keeps nothing in
//! memory, and is told when its revision is compacted meanwhile, as on etcd.

use crate::backend::Backend;
use crate::check;
use crate::encode::{header_len, message_len, put_header, put_message, put_range, range_len};
use crate::error::Fault;
use crate::proto::etcdserverpb::{self as pb, ResponseHeader};
use crate::service::{Call, Shared};
use crate::stream;
use crate::translate;
use crate::wire::Answer;
use almadia_command::{Range, SortOrder, SortTarget};
use almadia_store::{Need, RangeAnswer};
use bytes::{BufMut, Bytes};
use pb::range_request::{SortOrder as WireOrder, SortTarget as WireTarget};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::codegen::tokio_stream::Stream;

/// Keys of the first piece at most; later ones have twice or half of that, until a piece has about the size of the largest
/// request.
const FIRST_KEYS_MAX: i64 = 10;

/// Answers a request for a stream.
pub(crate) async fn serve<B: Backend>(shared: &Arc<Shared<B>>, call: Call) -> Response<Body> {
    let caller = call.caller();
    let begun = async {
        let request: pb::RangeRequest = call.message(shared).await?;
        check(&request)?;
        let (view, actor) = shared.readable_as(&caller, request.serializable).await?;
        let need = Need::Read {
            key: &request.key,
            range_end: &request.range_end,
        };
        view.permits(actor.as_ref(), need).map_err(Fault::from)?;
        let (keys_only, count_only) = (request.keys_only, request.count_only);
        let mut range = translate::range(request);
        (range.sort_order, range.sort_target) = (SortOrder::None as i32, SortTarget::Key as i32);
        let count = Range {
            count_only: true,
            ..range.clone()
        };
        let count = view.range(&count).map_err(Fault::from)?.count;
        if range.revision <= 0 {
            range.revision = view.revision().get();
        }
        let limit = range.limit;
        Ok::<_, Status>(Pieces {
            header: shared.read_header(&view),
            shared: shared.clone(),
            keys_only,
            count,
            left: if count_only {
                0
            } else if limit > 0 {
                limit
            } else {
                i64::MAX
            },
            keys_max: FIRST_KEYS_MAX,
            range,
            rests: false,
            is_over: false,
        })
    };
    match begun.await {
        Ok(pieces) => stream::respond(pieces),
        Err(status) => status.into_http(),
    }
}

/// What can be answered in pieces.
fn check(request: &pb::RangeRequest) -> Result<(), Status> {
    check::range(request)?;
    let is_key_order = request.sort_order == WireOrder::None as i32
        || (request.sort_order == WireOrder::Ascend as i32 && request.sort_target == WireTarget::Key as i32);
    if !is_key_order {
        return Err(Status::unimplemented(
            "RangeStream does not support custom sort orders",
        ));
    }
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filters.iter().any(|filter| *filter != 0) {
        return Err(Status::unimplemented(
            "RangeStream does not support revision filters",
        ));
    }
    Ok(())
}

/// A read under way.
struct Pieces<B> {
    shared: Arc<Shared<B>>,
    header: ResponseHeader,
    /// What is still to be read: begins at the next key.
    range: Range,
    keys_only: bool,
    /// Keys of the whole range.
    count: i64,
    /// Keys that the limit still allows.
    left: i64,
    /// Keys of the next piece at most.
    keys_max: i64,
    /// A piece was read: others on this thread come first.
    rests: bool,
    is_over: bool,
}

impl<B: Backend> Pieces<B> {
    fn next(&mut self) -> Result<Piece, Status> {
        let limit = self.keys_max.min(self.left);
        let mut answer = RangeAnswer::default();
        if limit > 0 {
            let range = Range {
                limit,
                ..self.range.clone()
            };
            let view = self.shared.backend.view();
            answer = view.range_uncounted(&range).map_err(Fault::from)?;
        }
        let found = i64::try_from(answer.records.len()).expect("keys in memory are fewer than an i64 counts");
        self.left -= found;
        self.is_over = !answer.more || self.left == 0;
        let mut piece = Piece {
            header: None,
            answer,
            keys_only: self.keys_only,
        };
        if self.is_over {
            piece.header = Some(self.header);
            piece.answer.count = self.count;
            return Ok(piece);
        }
        piece.answer.more = false;
        let last = piece.answer.records.last().map(|record| record.key());
        let next = [last.unwrap_or_default(), &[0]].concat();
        self.range.key = Bytes::from(next);
        let (bytes, wanted) = (piece.encoded_len(), self.shared.config.request_bytes_max);
        if bytes < wanted / 2 {
            self.keys_max = self.keys_max.saturating_mul(2);
        } else if bytes > wanted.saturating_mul(2) {
            self.keys_max = (self.keys_max / 2).max(1);
        }
        Ok(piece)
    }
}

impl<B: Backend> Stream for Pieces<B> {
    type Item = Result<Piece, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.next();
        self.is_over |= piece.is_err();
        self.rests = !self.is_over;
        Poll::Ready(Some(piece))
    }
}

/// A `RangeStreamResponse`: a piece of a `RangeResponse` as its field 1. Only the last has a header, `more` and `count`.
#[derive(Debug)]
struct Piece {
    header: Option<ResponseHeader>,
    answer: RangeAnswer,
    keys_only: bool,
}

impl Piece {
    fn content_len(&self) -> usize {
        self.header.as_ref().map_or(0, header_len) + range_len(&self.answer, self.keys_only)
    }
}

impl Answer for Piece {
    fn encoded_len(&self) -> usize {
        message_len(self.content_len())
    }

    fn encode(&self, into: &mut impl BufMut) {
        put_message(1, self.content_len(), into);
        if let Some(header) = &self.header {
            put_header(header, into);
        }
        put_range(&self.answer, self.keys_only, into);
    }
}
