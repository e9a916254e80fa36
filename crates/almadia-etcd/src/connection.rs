//! One client's connection: HTTP/1 or HTTP/2, as its first bytes say, served until it ends, the server stops, or it has
//! stalled or misbehaved.
//!
//! It decides nothing about a request. What one connection may hold: docs/internals/edge.md.

mod activity;
mod patience;
mod register;

pub use activity::Activity;
pub(crate) use activity::Ending;
pub(crate) use register::Register;

use crate::backend::Backend;
use crate::caller::CertificateName;
use crate::coalesce::Coalesced;
use crate::config::Config;
use crate::service::Edge;
use activity::Begun;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use patience::Patience;
use register::Place;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http;

/// Bytes that HTTP/1 reads ahead: room for the largest headers.
const HTTP1_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Bytes of answers that HTTP/2 takes ahead of what the client reads, for each stream.
const SEND_BUFFER_BYTES: usize = 400 * 1024;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From(pub(crate) SocketAddr);

/// What all connections have in common.
#[derive(Clone)]
pub(crate) struct Protocol {
    builder: auto::Builder<TokioExecutor>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Protocol {
    /// As the settings have it.
    pub(crate) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let header_bytes = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
        // Slow headers are cut by `Patience`: hyper's own timer would also close a connection that rests between requests.
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(header_bytes.max(HTTP1_BUFFER_BYTES_MIN));
        // One message as large as can be arrives without waiting, and a connection's client can make this member hold two.
        let window = u32::try_from(config.message_bytes_max()).unwrap_or(u32::MAX >> 1);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(limits.header_bytes_max)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .initial_stream_window_size(window)
            .initial_connection_window_size(window.saturating_mul(2))
            .keep_alive_interval(config.keepalive_interval)
            .keep_alive_timeout(config.keepalive_timeout);
        Self {
            builder,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
        }
    }

    /// Serves a connection until it is over. When `stop` is done, no new requests are taken and those under way are finished.
    pub(crate) async fn serve<B, IO>(
        &self,
        io: IO,
        requests: Requests<B>,
        mut place: Place,
        stop: impl Future<Output = ()>,
    ) where
        B: Backend,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = place.activity().clone();
        let io = TokioIo::new(Coalesced::new(io, activity.clone()));
        let mut connection = pin!(self.builder.serve_connection(io, requests));
        let mut patience = Patience::new(self.header_timeout, self.idle_timeout, Instant::now());
        let (mut stop, mut is_asked_to_end) = (pin!(stop), false);
        let mut ended = pin!(activity.ended());
        let mut look = pin!(tokio::time::sleep(patience.pause()));
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a client's connection has failed");
                    }
                    return;
                }
                why = &mut ended => return place.ended(why),
                () = &mut stop, if !is_asked_to_end => {
                    is_asked_to_end = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = look.as_mut() => {
                    let now = Instant::now();
                    match patience.look(activity.seen(), now) {
                        // It was asked to end, and nothing has come of it.
                        Some(why) if is_asked_to_end || why == Ending::SlowHeaders => return place.ended(why),
                        Some(why) => {
                            is_asked_to_end = true;
                            place.ended(why);
                            connection.as_mut().graceful_shutdown();
                        }
                        None => place.note_quiet_since(patience.quiet_since()),
                    }
                    look.as_mut().reset(tokio::time::Instant::from_std(now + patience.pause()));
                }
            }
        }
    }
}

/// The requests of one connection.
pub(crate) struct Requests<B> {
    edge: Edge<B>,
    activity: Activity,
    from: Option<SocketAddr>,
    certificate: Option<CertificateName>,
}

impl<B: Backend> Requests<B> {
    /// Of a connection from there.
    pub(crate) fn new(
        edge: Edge<B>,
        activity: Activity,
        from: Option<SocketAddr>,
        certificate: Option<CertificateName>,
    ) -> Self {
        Self {
            edge,
            activity,
            from,
            certificate,
        }
    }
}

impl<B: Backend> Service<http::Request<Incoming>> for Requests<B> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: http::Request<Incoming>) -> Answering {
        let extensions = request.extensions_mut();
        extensions.insert(self.activity.under_way().clone());
        if let Some(from) = self.from {
            extensions.insert(From(from));
        }
        if let Some(name) = &self.certificate {
            extensions.insert(name.clone());
        }
        Answering {
            begun: self.activity.begin(),
            answer: self.edge.clone().call(request.map(Body::new)),
        }
    }
}

/// A request that is being answered.
pub(crate) struct Answering {
    begun: Begun,
    answer: Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>,
}

impl Future for Answering {
    type Output = Result<http::Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.answer.as_mut().poll(context));
        self.begun.is_answered();
        Poll::Ready(answer)
    }
}
