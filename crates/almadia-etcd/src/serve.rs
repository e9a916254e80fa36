//! Serves an [`Edge`] on connections that somebody else accepts.
//!
//! Opens no socket and decides nothing about certificates; what goes on on one connection is `connection`'s business.

use crate::backend::Backend;
use crate::compactor;
use crate::config::Config;
use crate::connection::{Protocol, Requests};
use crate::origin::Origin;
use crate::service::Edge;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream::{Stream, StreamExt};

/// Serves etcd's API on every connection of `incoming` until `shutdown` is done; then takes no new ones, ends
/// streams, lets the other requests under way finish, closes the connections and returns.
/// Clients that do not take their last answers are waited for no longer than the longest request takes.
///
/// Connections should have `TCP_NODELAY` set: writes are gathered already, so Nagle's algorithm only delays them.
pub async fn serve<B, I, IO, E>(
    backend: Arc<B>,
    config: Config,
    incoming: I,
    shutdown: impl Future<Output = ()>,
) where
    B: Backend,
    I: Stream<Item = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Origin + Unpin + Send + 'static,
    E: std::fmt::Display,
{
    let patience = config.request_timeout;
    let protocol = Protocol::new(&config);
    let mut compactor = JoinSet::new();
    compactor.spawn(compactor::run(backend.clone(), config.auto_compaction));
    let edge = Edge::new(backend, config);
    let (stop, stopped) = watch::channel(false);
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    {
        let mut incoming = pin!(incoming);
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = incoming.next() => accepted,
            };
            match accepted {
                Some(Ok(io)) => begin(io, &edge, &protocol, stopped.clone(), alive.clone()),
                Some(Err(error)) => tracing::debug!(%error, "a client was gone before it was served"),
                None => break,
            }
        }
        // The listener is dropped here: new clients are told at once instead of hanging in its queue.
    }
    drop(compactor);
    edge.end_streams();
    stop.send_replace(true);
    drop(alive);
    if tokio::time::timeout(patience, all_gone.recv()).await.is_err() {
        tracing::warn!("some clients do not take their last answers; stopping without them");
    }
}

/// Serves one connection in a task of its own, if there is a place for it; closes it otherwise.
fn begin<B: Backend, IO>(
    io: IO,
    edge: &Edge<B>,
    protocol: &Protocol,
    mut stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) where
    IO: AsyncRead + AsyncWrite + Origin + Unpin + Send + 'static,
{
    let Some(place) = edge.connections().enter() else {
        return;
    };
    let activity = place.activity().clone();
    let requests = Requests::new(
        edge.serving(io.served()),
        activity,
        io.address(),
        io.certificate(),
    );
    let protocol = protocol.clone();
    tokio::spawn(async move {
        let _alive = alive;
        let stop = async move {
            // Without a sender there is nobody left who could serve.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        protocol.serve(io, requests, place, stop).await;
    });
}
