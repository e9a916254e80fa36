//! gRPC's framing of messages, by hand where etcd's texts or speed ask for it.
//!
//! Decodes a request with grpc-go's texts for what is wrong with it, and lays an answer down in one buffer of exactly its
//! size. Reading within bounds is `intake`'s business. Knows nothing of what the messages mean.

use crate::budget::Share;
use crate::intake::Intake;
pub(crate) use crate::intake::PREFIX_BYTES;
use crate::pieces::Segment;
use bytes::{BufMut, Bytes};
use prost::Message;
use std::collections::VecDeque;
use std::future::poll_fn;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{BufferSettings, EncodeBody, EncodeBuf, Encoder};
use tonic::codegen::{http, tokio_stream};

/// What is laid down in an answer's buffer.
pub trait Answer: Send + 'static {
    /// Bytes that [`Answer::encode`] writes.
    fn encoded_len(&self) -> usize;

    /// Writes the message.
    fn encode(&self, into: &mut impl BufMut);

    /// What it may hold until it is over, if it is a large one.
    fn take_share(&mut self) -> Option<Share> {
        None
    }

    /// The same in parts, for a large one.
    fn into_segments(self) -> VecDeque<Segment>
    where
        Self: Sized,
    {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.encode(&mut bytes);
        VecDeque::from([Segment::Bytes(bytes)])
    }
}

/// An answer that is a generated message.
#[derive(Debug)]
pub struct Plain<M>(pub M);

impl<M: Message + 'static> Answer for Plain<M> {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn encode(&self, into: &mut impl BufMut) {
        self.0.encode_raw(into);
    }
}

/// Reads the one message of a request.
///
/// # Errors
/// As [`Intake::poll_message`]; none or more than one; bytes that are not the message.
pub(crate) async fn read_one<M: Message + Default>(
    intake: &mut Intake,
    is_stranger: impl Fn() -> bool,
) -> Result<M, Status> {
    let message = poll_fn(|context| intake.poll_message(context, &is_stranger)).await?;
    let message = message.ok_or_else(|| Status::internal("unexpected EOF"))?;
    poll_fn(|context| intake.poll_end(context)).await?;
    decode(message)
}

/// Decodes a message; bytes fields are slices of `bytes`.
///
/// # Errors
/// What grpc-go answers when the bytes are not the message.
pub fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| {
        let text = error.to_string();
        if text.contains("recursion limit") {
            // Only transactions nest without bound: what etcd says of them beyond its own limit.
            return crate::error::Fault::TooManyOperations.into();
        }
        Status::internal(format!("grpc: error unmarshalling request: {text}"))
    })
}

/// Lays one answer down; asks for a buffer of exactly its size.
struct AnswerEncoder<A> {
    bytes: usize,
    answer: std::marker::PhantomData<fn(A)>,
}

impl<A: Answer> Encoder for AnswerEncoder<A> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, answer: A, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        answer.encode(into);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(self.bytes, usize::MAX)
    }
}

/// The HTTP response for an answer.
pub fn respond<A: Answer>(answer: A) -> http::Response<Body> {
    let encoder = AnswerEncoder {
        bytes: PREFIX_BYTES + answer.encoded_len(),
        answer: std::marker::PhantomData,
    };
    let body = EncodeBody::new_server(
        encoder,
        tokio_stream::once(Ok(answer)),
        None,
        Default::default(),
        None,
    );
    grpc_response(Body::new(body))
}

/// A response that carries gRPC messages.
pub fn grpc_response(body: Body) -> http::Response<Body> {
    let mut response = http::Response::new(body);
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}
