//! Streams of messages on one request: read one after the other, answered as they come.
//!
//! Nothing is read ahead of what is asked for, and nothing is answered ahead of what the client takes: HTTP/2's flow
//! control bounds both.

use crate::wire::{self, Answer, PREFIX_BYTES};
use bytes::{Buf, BytesMut};
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
    headers: http::HeaderMap,
    body: Body,
    bytes_max: usize,
    gathered: BytesMut,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Messages<M> {
    /// Reads messages of up to `bytes_max` bytes each from a request's body.
    pub fn new(headers: http::HeaderMap, body: Body, bytes_max: usize) -> Self {
        Self {
            headers,
            body,
            bytes_max,
            gathered: BytesMut::new(),
            message: PhantomData,
        }
    }

    /// The next message, or `None` when the client has said all. Nothing is lost when the call is dropped before it
    /// returns.
    ///
    /// # Errors
    /// As [`wire::read_message`]: too large, compressed, no message of this kind, or the client is gone.
    pub async fn next(&mut self) -> Result<Option<M>, Status> {
        loop {
            let wanted = wire::wanted_len(&self.headers, &self.gathered, self.bytes_max)?;
            if self.gathered.len() >= PREFIX_BYTES && self.gathered.len() >= wanted {
                let mut whole = self.gathered.split_to(wanted).freeze();
                whole.advance(PREFIX_BYTES);
                return wire::decode(whole).map(Some);
            }
            match wire::next_data(&mut self.body).await? {
                Some(data) => self.gathered.extend_from_slice(&data),
                None if self.gathered.is_empty() => return Ok(None),
                None => return Err(Status::internal("unexpected EOF")),
            }
        }
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
