//! The control link to one peer: many questions on one connection, answers matched by number.
//!
//! It dials when it is asked something and has no connection, at most once per [`REDIAL`] while the peer is down.

use super::{RpcError, Whereabouts, broken, unreachable_peer};
use crate::network::{DialError, Lane, PIPE_FRAMES_MAX, PeerNetwork, Pipe};
use crate::wire::control::{Answer, Ask, Question, Say, decode, encode};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// After a failed dial, the next one waits this long: heartbeats alone would otherwise dial 20 times a second.
const REDIAL: Duration = Duration::from_millis(100);

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Say>>>>;

/// A shared connection for small questions.
pub struct ControlLink {
    whereabouts: Whereabouts,
    network: Arc<dyn PeerNetwork>,
    connection: Arc<tokio::sync::Mutex<Connection>>,
}

#[derive(Default)]
struct Connection {
    open: Option<Open>,
    failed: Option<(Instant, DialError)>,
    next_number: u64,
}

#[derive(Clone)]
struct Open {
    send: mpsc::Sender<Bytes>,
    waiting: Waiting,
}

impl ControlLink {
    /// A link that is not connected yet.
    pub fn new(whereabouts: Whereabouts, network: Arc<dyn PeerNetwork>) -> Self {
        Self {
            whereabouts,
            network,
            connection: Arc::default(),
        }
    }

    /// Asks, and waits for the answer for as long as the caller cares to.
    pub async fn ask(&self, ask: Ask) -> Result<Say, RpcError> {
        let (open, number) = self.connected().await?;
        let (give, take) = oneshot::channel();
        {
            let mut waiting = open
                .waiting
                .lock()
                .expect("nobody panics while holding the waiting");
            // Questions whose caller gave up leave their place when the peer is too slow to answer them.
            waiting.retain(|_, give| !give.is_closed());
            if waiting.len() >= PIPE_FRAMES_MAX {
                return Err(broken("too many unanswered questions"));
            }
            waiting.insert(number, give);
        }
        let question = encode(&Question {
            number,
            ask: Some(ask),
        });
        if open.send.send(question).await.is_err() {
            return Err(broken("the connection was closed"));
        }
        take.await
            .map_err(|_| broken("the connection was closed before the answer came"))
    }

    /// The connection, dialled if need be. Dialling goes on when the asker stops waiting: a heartbeat waits 50 ms only, and a
    /// dial that was thrown away each time would never succeed where names or handshakes take longer.
    async fn connected(&self) -> Result<(Open, u64), RpcError> {
        if let Ok(mut connection) = self.connection.try_lock()
            && let Some(known) = connection.known()
        {
            return known;
        }
        let (connection, network, address) = (
            self.connection.clone(),
            self.network.clone(),
            self.whereabouts.now(),
        );
        let dialled = tokio::spawn(async move {
            let mut connection = connection.lock().await;
            match connection.known() {
                Some(known) => known,
                None => connection.take(network.dial(address, Lane::Control).await),
            }
        });
        dialled
            .await
            .unwrap_or_else(|_| Err(broken("the member is stopping")))
    }
}

impl Connection {
    /// What can be said without dialling: the open connection, or that it has just failed.
    fn known(&mut self) -> Option<Result<(Open, u64), RpcError>> {
        if let Some(open) = self.open.as_ref().filter(|open| !open.send.is_closed()) {
            self.next_number += 1;
            return Some(Ok((open.clone(), self.next_number)));
        }
        let (at, error) = self.failed.as_ref()?;
        (at.elapsed() < REDIAL).then(|| Err(unreachable_peer(error)))
    }

    fn take(&mut self, dialled: Result<Pipe, DialError>) -> Result<(Open, u64), RpcError> {
        match dialled {
            Ok(pipe) => {
                let open = serve_answers(pipe);
                self.open = Some(open.clone());
                self.failed = None;
                self.next_number += 1;
                Ok((open, self.next_number))
            }
            Err(error) => {
                let answer = unreachable_peer(&error);
                self.open = None;
                self.failed = Some((Instant::now(), error));
                Err(answer)
            }
        }
    }
}

fn serve_answers(pipe: Pipe) -> Open {
    let Pipe { send, mut receive } = pipe;
    let waiting = Waiting::default();
    let open = Open {
        send,
        waiting: waiting.clone(),
    };
    tokio::spawn(async move {
        while let Some(frame) = receive.recv().await {
            let Ok(Answer {
                number,
                say: Some(say),
            }) = decode::<Answer>(frame)
            else {
                tracing::warn!("a peer answered with a frame that cannot be read; closing the connection");
                break;
            };
            let asked = waiting
                .lock()
                .expect("nobody panics while holding the waiting")
                .remove(&number);
            if let Some(asked) = asked {
                // The caller may have given up meanwhile.
                let _ = asked.send(say);
            }
        }
        // Whoever still waits hears that the connection is gone.
        waiting
            .lock()
            .expect("nobody panics while holding the waiting")
            .clear();
    });
    open
}
