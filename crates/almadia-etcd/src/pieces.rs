//! Large answers, laid down piece by piece as the client takes them: no answer is ever in memory as a whole.
//!
//! What is copied are records, which the store holds anyway; an answer holds references to them until they have been
//! copied. A client that stops taking its answer loses it after a while, and with it what the answer held.

use crate::budget::Share;
use crate::intake::PREFIX_BYTES;
use crate::wire::grpc_response;
use almadia_store::Record;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response};

/// Answers above this are laid down in pieces of about this size.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// A part of a message's encoding.
pub(crate) enum Segment {
    /// As it is.
    Bytes(Vec<u8>),
    /// Records, each as an embedded message of this field.
    Records {
        field: u32,
        records: std::vec::IntoIter<Record>,
        keys_only: bool,
    },
}

/// What is left of an answer.
struct Rest {
    segments: VecDeque<Segment>,
    /// What the answer may hold counts until it is over.
    _share: Option<Share>,
}

/// The body of a large answer.
struct Pieces {
    /// None once it is over, or was taken away.
    rest: Arc<Mutex<Option<Rest>>>,
    taken: Arc<AtomicU64>,
    is_over: bool,
}

/// The HTTP response for a message of `len` bytes that consists of `segments`; cut off when the client takes nothing for
/// `patience`.
pub(crate) fn respond(
    len: usize,
    segments: VecDeque<Segment>,
    share: Option<Share>,
    patience: Duration,
) -> Response<Body> {
    let Ok(len) = u32::try_from(len) else {
        return Status::resource_exhausted(format!(
            "almadia: the answer has {len} bytes, more than a gRPC message can; read in parts, with a limit"
        ))
        .into_http();
    };
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    prefix.push(0);
    prefix.put_u32(len);
    let mut segments = segments;
    segments.push_front(Segment::Bytes(prefix));
    let rest = Arc::new(Mutex::new(Some(Rest {
        segments,
        _share: share,
    })));
    let taken = Arc::new(AtomicU64::new(0));
    tokio::spawn(watch_over(Arc::downgrade(&rest), taken.clone(), patience));
    grpc_response(Body::new(Pieces {
        rest,
        taken,
        is_over: false,
    }))
}

/// Takes an answer away whose client takes nothing.
async fn watch_over(rest: std::sync::Weak<Mutex<Option<Rest>>>, taken: Arc<AtomicU64>, patience: Duration) {
    let mut last = 0;
    loop {
        tokio::time::sleep(patience).await;
        let Some(rest) = rest.upgrade() else { return };
        let now = taken.load(Ordering::Relaxed);
        if now == last {
            rest.lock().unwrap_or_else(PoisonError::into_inner).take();
            return;
        }
        last = now;
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        let mut guard = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rest) = guard.as_mut() else {
            drop(guard);
            self.is_over = true;
            let status = Status::resource_exhausted("almadia: the answer was not taken in time");
            return Poll::Ready(Some(Err(status)));
        };
        if let Some(piece) = next_piece(&mut rest.segments) {
            return Poll::Ready(Some(Ok(http_body::Frame::data(piece))));
        }
        *guard = None;
        drop(guard);
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))))
    }
}

/// About as many bytes as a piece has; none when there are no more.
fn next_piece(segments: &mut VecDeque<Segment>) -> Option<Bytes> {
    let mut piece = BytesMut::new();
    while piece.len() < PIECE_BYTES {
        match segments.front_mut() {
            None => break,
            Some(Segment::Bytes(bytes)) => piece.extend_from_slice(bytes),
            Some(Segment::Records {
                field,
                records,
                keys_only,
            }) => {
                if let Some(record) = records.next() {
                    crate::encode::put_record(*field, &record, *keys_only, &mut piece);
                    continue;
                }
            }
        }
        segments.pop_front();
    }
    (!piece.is_empty()).then(|| piece.freeze())
}
