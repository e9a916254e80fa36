//! The control link to one peer: many questions on one connection, answers matched by number.
//!
//! It dials when it is asked something and has no connection, at most once per [`REDIAL`] while the peer is down.

use super::{RpcError, broken, unreachable_peer};
use crate::network::{DialError, Lane, PIPE_FRAMES_MAX, PeerAddress, PeerNetwork, Pipe};
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
    address: PeerAddress,
    network: Arc<dyn PeerNetwork>,
    connection: tokio::sync::Mutex<Connection>,
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
    pub fn new(address: PeerAddress, network: Arc<dyn PeerNetwork>) -> Self {
        Self {
            address,
            network,
            connection: tokio::sync::Mutex::default(),
        }
    }

    /// Whom it leads to.
    pub fn address(&self) -> &PeerAddress {
        &self.address
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

    async fn connected(&self) -> Result<(Open, u64), RpcError> {
        let mut connection = self.connection.lock().await;
        connection.next_number += 1;
        let number = connection.next_number;
        if let Some(open) = connection.open.as_ref().filter(|open| !open.send.is_closed()) {
            return Ok((open.clone(), number));
        }
        connection.open = None;
        if let Some((at, error)) = &connection.failed
            && at.elapsed() < REDIAL
        {
            return Err(unreachable_peer(error));
        }
        match self.network.dial(self.address.clone(), Lane::Control).await {
            Ok(pipe) => {
                let open = serve_answers(pipe);
                connection.open = Some(open.clone());
                connection.failed = None;
                Ok((open, number))
            }
            Err(error) => {
                let answer = unreachable_peer(&error);
                connection.failed = Some((Instant::now(), error));
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
