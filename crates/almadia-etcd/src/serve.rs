//! Serves an [`Edge`] on connections that somebody else accepts.
//!
//! Every connection's writes are gathered ([`Coalesced`]). Opens no socket and decides nothing about certificates.

use crate::backend::Backend;
use crate::coalesce::Coalesced;
use crate::config::Config;
use crate::service::Edge;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;

/// Bytes a client may send on one stream before they are read: the largest request fits without waiting.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Bytes a client may send on one connection before they are read: what one client can make the edge hold.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Serves etcd's API on every connection of `incoming` until `shutdown` is done; then takes no new ones, ends
/// streams, lets the other requests under way finish, closes the connections and returns.
/// Clients that do not take their last answers are waited for no longer than the longest request takes.
///
/// Connections should have `TCP_NODELAY` set: writes are gathered already, so Nagle's algorithm only delays them.
///
/// # Errors
/// When the HTTP/2 server cannot serve at all; what happens on one connection ends that connection only.
pub async fn serve<B, I, IO, E>(
    backend: Arc<B>,
    config: Config,
    incoming: I,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error>
where
    B: Backend,
    I: Stream<Item = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let server = Server::builder()
        // `/metrics` is asked for without gRPC.
        .accept_http1(true)
        .max_concurrent_streams(config.concurrent_streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(config.keepalive_interval))
        .http2_keepalive_timeout(Some(config.keepalive_timeout));
    let incoming = incoming.map(|connection| connection.map(Coalesced::new));
    let patience = config.request_timeout;
    let edge = Edge::new(backend, config);
    let streams = edge.clone();
    let stopping = edge.stopping();
    let shutdown = async move {
        shutdown.await;
        streams.end_streams();
    };
    let abandoned = async {
        stopping.await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        served = server.serve_with_incoming_shutdown(edge, incoming, shutdown) => served,
        () = abandoned => {
            tracing::warn!("some clients do not take their last answers; stopping without them");
            Ok(())
        }
    }
}
