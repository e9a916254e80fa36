//! `/console/stream`: what happens, to one who looks, as server-sent events.
//!
//! A viewer holds a few looks at most. Who does not take them for a while is dropped, and so is who may not look any more.

use super::stage::{self, Seat};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::coalesce::{Open, UnderWay};
use crate::http::refusal;
use crate::service::Shared;
use almadia_store::Need;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Response, header, request::Parts};

/// Looks between the viewer's task and its connection.
const READY_MAX: usize = 2;

/// Who takes nothing for this long is dropped.
const TAKES_WITHIN: Duration = Duration::from_secs(10);

/// The stream, for a caller who may look.
pub(super) fn respond<B: Backend>(shared: &Arc<Shared<B>>, parts: &Parts, caller: Caller) -> Response<Body> {
    let Some(seat) = stage::enter(shared) else {
        let text = format!("{} look at this member's console already", stage::VIEWERS_MAX);
        return refusal::respond(&Status::resource_exhausted(text));
    };
    let (ready, looks) = mpsc::channel(READY_MAX);
    let asked = Arc::clone(shared);
    tokio::spawn(async move {
        let stop = asked.stop.begun();
        let may_look = || async { asked.permitted(&caller, Need::Root).await.is_ok() };
        tokio::select! {
            () = hand_over(seat, ready, may_look) => {}
            () = stop => {}
        }
    });
    let open = parts.extensions.get::<UnderWay>().map(UnderWay::open);
    let mut response = Response::new(Body::new(Looks { looks, _open: open }));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    // Proxies that gather answers would show the present late.
    headers.insert(
        header::HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// Hands looks over until the viewer is gone, too slow, or may not look any more.
async fn hand_over<M: Future<Output = bool>>(
    seat: Seat,
    ready: mpsc::Sender<Bytes>,
    may_look: impl Fn() -> M,
) {
    let Seat { welcome, mut looks } = seat;
    for look in welcome {
        if !give(&ready, look).await {
            return;
        }
    }
    loop {
        let look = tokio::select! {
            look = looks.recv() => look,
            () = ready.closed() => return,
        };
        let look = match look {
            Ok(look) => look,
            Err(RecvError::Closed) => return,
            Err(RecvError::Lagged(_)) => {
                tracing::debug!("one who looks at the console does not keep up; dropped");
                return;
            }
        };
        // Asked again for each look: rights may be taken away while somebody looks.
        if !may_look().await || !give(&ready, look).await {
            return;
        }
    }
}

async fn give(ready: &mpsc::Sender<Bytes>, look: Bytes) -> bool {
    matches!(
        tokio::time::timeout(TAKES_WITHIN, ready.send(look)).await,
        Ok(Ok(()))
    )
}

/// The body of the stream.
struct Looks {
    looks: mpsc::Receiver<Bytes>,
    /// The connection is not idle meanwhile.
    _open: Option<Open>,
}

impl HttpBody for Looks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let look = self.looks.poll_recv(context);
        look.map(|look| look.map(|look| Ok(Frame::data(look))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::broadcast;

    fn look() -> Bytes {
        Bytes::from_static(b"event: look\ndata: {}\n\n")
    }

    fn seat(capacity: usize) -> (broadcast::Sender<Bytes>, Seat) {
        let (sender, looks) = broadcast::channel(capacity);
        let welcome = vec![look()];
        (sender, Seat { welcome, looks })
    }

    /// Bound: a viewer that takes nothing is dropped, whether or not anything new happens.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_dropped() {
        let (sender, seat) = seat(64);
        let (ready, mut taken) = mpsc::channel(READY_MAX);
        for _ in 0..READY_MAX {
            sender.send(look()).expect("somebody looks");
        }
        hand_over(seat, ready, || std::future::ready(true)).await;
        assert_eq!(sender.receiver_count(), 0, "its seat is free again");
        let mut count = 0;
        while taken.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, READY_MAX);
    }

    /// Bound: a viewer that is more than the waiting looks behind is dropped.
    #[tokio::test(start_paused = true)]
    async fn who_is_far_behind_is_dropped() {
        let (sender, seat) = seat(2);
        for _ in 0..5 {
            sender.send(look()).expect("somebody looks");
        }
        let (ready, mut taken) = mpsc::channel(64);
        hand_over(seat, ready, || std::future::ready(true)).await;
        assert!(taken.recv().await.is_some());
        assert!(taken.recv().await.is_none(), "nothing with a gap in it");
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_not_look_any_more_is_dropped() {
        let (sender, seat) = seat(8);
        sender.send(look()).expect("somebody looks");
        let (ready, mut taken) = mpsc::channel(64);
        hand_over(seat, ready, || std::future::ready(false)).await;
        assert!(taken.recv().await.is_some(), "the welcome");
        assert!(taken.recv().await.is_none());
    }

    #[tokio::test]
    async fn who_is_gone_is_not_waited_for() {
        let (sender, seat) = seat(8);
        let (ready, mut taken) = mpsc::channel(64);
        let handing = tokio::spawn(hand_over(seat, ready, || std::future::ready(true)));
        taken.recv().await.expect("the welcome");
        drop(taken);
        handing.await.expect("it ends");
        assert_eq!(sender.receiver_count(), 0);
    }
}
