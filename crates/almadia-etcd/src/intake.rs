//! Reads the messages of one request within bounds: bytes, time, and what all unfinished messages may hold together.
//!
//! A message that arrives whole is not copied. One that does not is gathered, and grows with what has really arrived: a
//! length alone reserves nothing. Nothing is read ahead of what is asked for: HTTP/2's flow control bounds the rest.

use crate::coalesce::UnderWay;
use crate::error::Fault;
use crate::metrics::Bounds;
use bytes::{Buf, Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Body as _;
use tonic::codegen::http::HeaderMap;

/// Compression flag and length, before each message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// Bounds that the messages of all requests share.
#[derive(Debug)]
pub(crate) struct IntakeBounds {
    /// Bytes of one message, unpacked or not.
    pub(crate) message_bytes_max: usize,
    /// Time for what is left of a message.
    pub(crate) body_timeout: Duration,
    /// Bytes of all unfinished messages together.
    pub(crate) unfinished_bytes_max: usize,
    pub(crate) unfinished_bytes: AtomicUsize,
    pub(crate) metrics: Bounds,
}

/// How messages are packed, by the request's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Unknown(String),
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Self {
        let name = headers.get("grpc-encoding").and_then(|value| value.to_str().ok());
        match name.unwrap_or("") {
            "" | "identity" => Self::Identity,
            "gzip" => Self::Gzip,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

/// The messages of one request, as bytes.
pub(crate) struct Intake {
    body: Body,
    encoding: Encoding,
    bounds: Arc<IntakeBounds>,
    connection: Option<UnderWay>,
    gathered: BytesMut,
    held: Held,
    /// Until the rest of a message must have come.
    patience: Option<Pin<Box<Sleep>>>,
    /// A message is due although nothing of it has arrived.
    is_awaited: bool,
}

/// Bytes that count as unfinished until this is dropped.
struct Held {
    bounds: Arc<IntakeBounds>,
    /// Set where the connection's own share counts.
    connection: Option<UnderWay>,
    bytes: usize,
}

impl Intake {
    /// Of a request with these headers and this body; `is_awaited` when its first message must come in time.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        bounds: Arc<IntakeBounds>,
        connection: Option<UnderWay>,
        is_awaited: bool,
    ) -> Self {
        Self {
            body,
            encoding: Encoding::of(headers),
            held: Held {
                bounds: bounds.clone(),
                connection: None,
                bytes: 0,
            },
            bounds,
            connection,
            gathered: BytesMut::new(),
            patience: None,
            is_awaited,
        }
    }

    /// The next message, unpacked; none when the client has said all. `is_stranger` is asked when a message does not
    /// arrive whole: those whom nobody knows may not leave much unfinished.
    ///
    /// # Errors
    /// A message beyond its bound is refused as soon as its length is known; so is one that is packed in an unknown way,
    /// that is cut, that does not come in time, or that there is no room for.
    pub(crate) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
        is_stranger: impl Fn() -> bool,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            let wanted = self.wanted_len(&self.gathered)?;
            if self.gathered.len() >= PREFIX_BYTES && self.gathered.len() >= wanted {
                let whole = self.gathered.split_to(wanted).freeze();
                self.held.release_to(self.gathered.len());
                return Poll::Ready(self.finish(whole).map(Some));
            }
            match ready!(self.poll_data(context))? {
                None if self.gathered.is_empty() => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(Err(Status::internal("unexpected EOF"))),
                Some(mut data) => {
                    if self.gathered.is_empty() {
                        let wanted = self.wanted_len(&data)?;
                        if data.len() >= PREFIX_BYTES && data.len() >= wanted {
                            let whole = data.split_to(wanted);
                            self.gather(&data, is_stranger)?;
                            return Poll::Ready(self.finish(whole).map(Some));
                        }
                    }
                    self.gather(&data, &is_stranger)?;
                }
            }
        }
    }

    /// The next bytes up to where `cut` says that they are whole, for messages that are not gRPC's; none when the client has
    /// said all, whole or not. Bounded as [`Intake::poll_message`] is, but for the length of one, which is `bytes_max`.
    ///
    /// # Errors
    /// What `cut` says, or a bound.
    pub(crate) fn poll_cut(
        &mut self,
        context: &mut Context<'_>,
        is_stranger: impl Fn() -> bool,
        bytes_max: usize,
        mut cut: impl FnMut(&[u8]) -> Result<Option<usize>, Status>,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(end) = cut(&self.gathered)? {
                let whole = self.gathered.split_to(end).freeze();
                self.held.release_to(self.gathered.len());
                self.patience = None;
                self.is_awaited = false;
                return Poll::Ready(Ok(Some(whole)));
            }
            if self.gathered.len() > bytes_max {
                let text = format!("a message of more than {bytes_max} bytes");
                return Poll::Ready(Err(Status::resource_exhausted(text)));
            }
            match ready!(self.poll_data(context))? {
                None => return Poll::Ready(Ok(None)),
                Some(data) => self.gather(&data, &is_stranger)?,
            }
        }
    }

    /// Returns when the client has said all.
    ///
    /// # Errors
    /// It says more.
    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.is_awaited = true;
        if self.gathered.is_empty() && ready!(self.poll_data(context))?.is_none() {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(Status::internal(
            "more than one message for a method that takes one",
        )))
    }

    fn gather(&mut self, data: &[u8], is_stranger: impl Fn() -> bool) -> Result<(), Status> {
        if data.is_empty() {
            return Ok(());
        }
        if self.held.connection.is_none() && is_stranger() {
            self.held.connection.clone_from(&self.connection);
        }
        self.held.hold(data.len())?;
        self.gathered.extend_from_slice(data);
        Ok(())
    }

    /// The next bytes that are not empty, or none at the end.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Err(status)),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Poll::Ready(Ok(Some(data)));
                    }
                }
                Poll::Pending => {
                    ready!(self.poll_patience(context));
                    self.bounds.metrics.messages_late.inc();
                    return Poll::Ready(Err(Fault::MessageLate.into()));
                }
            }
        }
    }

    /// Returns when the client has taken too long.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.gathered.is_empty() && !self.is_awaited {
            self.patience = None;
            return Poll::Pending;
        }
        let timeout = self.bounds.body_timeout;
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        patience.as_mut().poll(context)
    }

    /// Bytes of prefix and message together, or of the prefix alone as long as it is not complete.
    fn wanted_len(&self, start: &[u8]) -> Result<usize, Status> {
        let Some((&flag, mut rest)) = start.split_first() else {
            return Ok(PREFIX_BYTES);
        };
        match (flag, &self.encoding) {
            (0, _) | (1, Encoding::Gzip) => {}
            (1, Encoding::Identity) => {
                let text = "grpc: compressed flag set with identity or empty encoding";
                return Err(Status::internal(text));
            }
            (1, Encoding::Unknown(encoding)) => {
                let text = format!("grpc: Decompressor is not installed for grpc-encoding \"{encoding}\"");
                return Err(Status::unimplemented(text));
            }
            (flag, _) => {
                return Err(Status::internal(format!(
                    "grpc: received unexpected payload format {flag}"
                )));
            }
        }
        if rest.len() < PREFIX_BYTES - 1 {
            return Ok(PREFIX_BYTES);
        }
        let (len, bytes_max) = (rest.get_u32() as usize, self.bounds.message_bytes_max);
        if len > bytes_max {
            let text = format!("grpc: received message larger than max ({len} vs. {bytes_max})");
            return Err(Status::resource_exhausted(text));
        }
        Ok(PREFIX_BYTES + len)
    }

    /// A whole message without its prefix, unpacked.
    fn finish(&mut self, whole: Bytes) -> Result<Bytes, Status> {
        self.patience = None;
        self.is_awaited = false;
        let is_packed = whole[0] != 0;
        let message = whole.slice(PREFIX_BYTES..);
        if is_packed {
            unpack(&message, self.bounds.message_bytes_max)
        } else {
            Ok(message)
        }
    }
}

/// What was packed with gzip. It reserves what has really come out, and stops at the bound.
fn unpack(packed: &[u8], bytes_max: usize) -> Result<Bytes, Status> {
    let mut unpacked = Vec::new();
    let mut decoder = GzDecoder::new(packed).take(bytes_max as u64 + 1);
    if let Err(error) = decoder.read_to_end(&mut unpacked) {
        let text = format!("grpc: failed to decompress the received message: {error}");
        return Err(Status::internal(text));
    }
    if unpacked.len() > bytes_max {
        let text = format!(
            "grpc: received message after decompression larger than max ({} vs. {bytes_max})",
            unpacked.len()
        );
        return Err(Status::resource_exhausted(text));
    }
    Ok(unpacked.into())
}

impl Held {
    fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        let held = self.bounds.unfinished_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let connection = self
            .connection
            .as_ref()
            .map_or(0, |connection| connection.hold(bytes));
        self.bytes += bytes;
        if held > self.bounds.unfinished_bytes_max
            || connection > self.bounds.message_bytes_max + PREFIX_BYTES
        {
            self.bounds.metrics.messages_refused.inc();
            return Err(Fault::TooMuchUnfinished);
        }
        Ok(())
    }

    fn release_to(&mut self, bytes: usize) {
        let given_back = self.bytes.saturating_sub(bytes);
        self.bytes -= given_back;
        self.bounds
            .unfinished_bytes
            .fetch_sub(given_back, Ordering::Relaxed);
        if let Some(connection) = &self.connection {
            connection.release(given_back);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release_to(0);
    }
}
