//! The gRPC answers of a method as the gateway shows them: one JSON object, or a line for each message of a stream.

use super::refusal;
use super::routes::Route;
use super::show;
use crate::intake::PREFIX_BYTES;
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::body::Body;
use tonic::{Code, Status};

/// The answer of a method that answers one message, as JSON.
///
/// # Errors
/// What the method answered instead.
pub(super) async fn one(mut body: Body, route: &Route) -> Result<String, Status> {
    let mut gathered = BytesMut::new();
    let mut next = async || std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
    while let Some(frame) = next().await {
        match frame?.into_data() {
            Ok(data) => gathered.extend_from_slice(&data),
            Err(frame) => refused_by(&frame)?,
        }
    }
    let whole = gathered.freeze();
    if whole.len() < PREFIX_BYTES {
        return Err(Status::internal("the method answered nothing"));
    }
    let mut json = Vec::new();
    show::message(whole.slice(PREFIX_BYTES..), &route.output, &mut json)?;
    String::from_utf8(json).map_err(|_| Status::internal("an answer cannot be shown"))
}

/// What the trailers of an answer say.
fn refused_by(frame: &Frame<Bytes>) -> Result<(), Status> {
    match frame.trailers_ref().and_then(Status::from_header_map) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(()),
    }
}

/// The answers of a stream, a line each: `{"result":…}`, and if it ends with a refusal `{"error":…}`.
pub(super) struct Lines {
    body: Body,
    route: &'static Route,
    gathered: BytesMut,
    is_over: bool,
}

impl Lines {
    pub(super) fn new(body: Body, route: &'static Route) -> Self {
        Self {
            body,
            route,
            gathered: BytesMut::new(),
            is_over: false,
        }
    }

    /// The next message that has arrived whole.
    fn message(&mut self) -> Option<Bytes> {
        let mut prefix = self.gathered.get(1..PREFIX_BYTES)?;
        let end = PREFIX_BYTES + prefix.get_u32() as usize;
        if self.gathered.len() < end {
            return None;
        }
        Some(self.gathered.split_to(end).freeze().slice(PREFIX_BYTES..))
    }

    fn line(&self, message: Bytes) -> Result<Bytes, Status> {
        let mut line = b"{\"result\":".to_vec();
        show::message(message, &self.route.output, &mut line)?;
        line.extend_from_slice(b"}\n");
        Ok(line.into())
    }

    fn refuse(&mut self, status: &Status) -> Bytes {
        self.is_over = true;
        refusal::line(status).into()
    }
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            if let Some(message) = self.message() {
                let line = self.line(message).unwrap_or_else(|status| self.refuse(&status));
                return Poll::Ready(Some(Ok(Frame::data(line))));
            }
            let refused = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => {
                    self.is_over = true;
                    continue;
                }
                Some(Err(status)) => Some(status),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.gathered.extend_from_slice(&data);
                        None
                    }
                    Err(frame) => refused_by(&frame).err(),
                },
            };
            if let Some(status) = refused {
                let line = self.refuse(&status);
                return Poll::Ready(Some(Ok(Frame::data(line))));
            }
        }
    }
}
