//! gRPC's framing of one request and one answer, by hand where etcd's texts or speed ask for it.
//!
//! Reads a request without holding more than its allowed size, with grpc-go's texts for what is wrong with it, and
//! lays an answer down in one buffer of exactly its size. Knows nothing of what the messages mean.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use std::pin::Pin;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{BufferSettings, EncodeBody, EncodeBuf, Encoder};
use tonic::codegen::{Body as _, http, tokio_stream};

/// Compression flag and length, before each message.
pub const PREFIX_BYTES: usize = 5;

/// What is laid down in an answer's buffer.
pub trait Answer: Send + 'static {
    /// Bytes that [`Answer::encode`] writes.
    fn encoded_len(&self) -> usize;

    /// Writes the message.
    fn encode(&self, into: &mut impl BufMut);
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
/// A message beyond `bytes_max` is refused as soon as its length is known; bytes that are not the message, a compressed
/// message, none or more than one are refused too.
pub async fn read_message<M: Message + Default>(
    headers: &http::HeaderMap,
    mut body: Body,
    bytes_max: usize,
) -> Result<M, Status> {
    let mut whole = next_data(&mut body).await?.unwrap_or_default();
    let mut wanted = wanted_len(headers, &whole, bytes_max)?;
    if whole.len() < wanted {
        // Grows with what has really arrived: a length alone reserves nothing.
        let mut gathered = BytesMut::from(&whole[..]);
        while gathered.len() < wanted {
            let Some(more) = next_data(&mut body).await? else {
                return Err(Status::internal("unexpected EOF"));
            };
            gathered.extend_from_slice(&more);
            wanted = wanted_len(headers, &gathered, bytes_max)?;
        }
        whole = gathered.freeze();
    }
    if whole.len() > wanted || next_data(&mut body).await?.is_some() {
        return Err(Status::internal(
            "more than one message for a method that takes one",
        ));
    }
    decode(whole.slice(PREFIX_BYTES..))
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

/// Bytes of prefix and message together, or of the prefix alone as long as it is not complete.
pub fn wanted_len(headers: &http::HeaderMap, start: &[u8], bytes_max: usize) -> Result<usize, Status> {
    let Some((&compressed, mut rest)) = start.split_first() else {
        return Ok(PREFIX_BYTES);
    };
    if compressed != 0 {
        return Err(refuse_compressed(headers, compressed));
    }
    if rest.len() < PREFIX_BYTES - 1 {
        return Ok(PREFIX_BYTES);
    }
    let len = rest.get_u32() as usize;
    if len > bytes_max {
        let text = format!("grpc: received message larger than max ({len} vs. {bytes_max})");
        return Err(Status::resource_exhausted(text));
    }
    Ok(PREFIX_BYTES + len)
}

fn refuse_compressed(headers: &http::HeaderMap, flag: u8) -> Status {
    let encoding = headers
        .get("grpc-encoding")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    match (flag, encoding) {
        (1, "" | "identity") => Status::internal("grpc: compressed flag set with identity or empty encoding"),
        (1, encoding) => Status::unimplemented(format!(
            "grpc: Decompressor is not installed for grpc-encoding \"{encoding}\""
        )),
        (flag, _) => Status::internal(format!("grpc: received unexpected payload format {flag}")),
    }
}

/// The next bytes that are not empty, or `None` at the end.
pub async fn next_data(body: &mut Body) -> Result<Option<Bytes>, Status> {
    loop {
        match std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(status)) => return Err(status),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
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
