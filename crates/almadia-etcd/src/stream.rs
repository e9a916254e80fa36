//! Streams of messages on one request: read one after the other, answered as they come.
//!
//! Nothing is read ahead of what is asked for, and nothing is answered ahead of what the client takes: HTTP/2's flow
//! control bounds both.

use crate::intake::Intake;
use crate::wire::{self, Answer};
use prost::Message;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{BufferSettings, EncodeBody, EncodeBuf, Encoder};
use tonic::codegen::{http, tokio_stream::Stream};

/// What an answering stream lays down at once at most before it hands it to the connection.
const ANSWER_BUFFER_BYTES: usize = 8 * 1024;

/// The messages of a request, in order.
pub struct Messages<M> {
    intake: Intake,
    /// Asked when a message does not arrive whole.
    is_stranger: Box<dyn Fn() -> bool + Send + Sync>,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Messages<M> {
    /// The messages that `intake` reads.
    pub fn new(intake: Intake, is_stranger: Box<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self {
            intake,
            is_stranger,
            message: PhantomData,
        }
    }

    /// The next message, or `None` when the client has said all. Nothing is lost when the call is dropped before it
    /// returns.
    ///
    /// # Errors
    /// As [`Intake::poll_message`]; bytes that are no message of this kind.
    pub async fn next(&mut self) -> Result<Option<M>, Status> {
        let next = std::future::poll_fn(|context| self.intake.poll_message(context, &self.is_stranger));
        next.await?.map(wire::decode).transpose()
    }
}

/// Lays answers down one after the other.
struct StreamEncoder<A>(PhantomData<fn(A)>);

impl<A: Answer> Encoder for StreamEncoder<A> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, answer: A, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(answer.encoded_len());
        answer.encode(into);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(ANSWER_BUFFER_BYTES, ANSWER_BUFFER_BYTES)
    }
}

/// The HTTP response that answers with a stream; an error ends it with that status.
pub fn respond<A: Answer>(
    answers: impl Stream<Item = Result<A, Status>> + Send + 'static,
) -> http::Response<Body> {
    let encoder = StreamEncoder(PhantomData);
    let body = EncodeBody::new_server(encoder, answers, None, Default::default(), None);
    wire::grpc_response(Body::new(body))
}

/// What somebody else sends, as a stream.
pub struct Received<T>(pub mpsc::Receiver<T>);

impl<T> Stream for Received<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}
