//! The body of a gateway's request as the gRPC messages it stands for: JSON objects one after the other, cut apart as they
//! arrive. Nothing is read ahead of what is asked for; how long an object may be, may take, and what unfinished ones may hold
//! is bounded as for gRPC.

use super::read;
use super::routes::Route;
use crate::intake::{Intake, PREFIX_BYTES};
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::Status;

/// The objects of a request's body.
pub(super) struct Objects {
    intake: Intake,
    route: &'static Route,
    bytes_max: usize,
    scan: Scan,
    /// Asked when an object does not arrive whole: those whom nobody knows may not leave much unfinished.
    is_stranger: Box<dyn Fn() -> bool + Send>,
}

impl Objects {
    /// Objects of up to `bytes_max` bytes of JSON each.
    pub(super) fn new(
        intake: Intake,
        route: &'static Route,
        bytes_max: usize,
        is_stranger: Box<dyn Fn() -> bool + Send>,
    ) -> Self {
        Self {
            intake,
            route,
            bytes_max,
            scan: Scan::default(),
            is_stranger,
        }
    }

    /// The next object as gRPC lays its message down; `None` when there is no other.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        let (scan, bytes_max) = (&mut self.scan, self.bytes_max);
        let cut = self
            .intake
            .poll_cut(context, &self.is_stranger, bytes_max, |bytes| scan.end(bytes));
        match ready!(cut)? {
            Some(json) => {
                self.scan = Scan::default();
                Poll::Ready(frame(&json, self.route).map(Some))
            }
            None if self.scan.has_begun() => {
                Poll::Ready(Err(Status::invalid_argument("unexpected end of the JSON")))
            }
            None => Poll::Ready(Ok(None)),
        }
    }
}

/// One object as gRPC lays its message down.
///
/// # Errors
/// What is wrong with it.
pub(super) fn frame(json: &[u8], route: &Route) -> Result<Bytes, Status> {
    let message = read::message(json, &route.input).map_err(Status::invalid_argument)?;
    let len =
        u32::try_from(message.len()).map_err(|_| Status::resource_exhausted("the message is too long"))?;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    bytes.extend_from_slice(&[0]);
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&message);
    Ok(bytes.freeze())
}

/// The body of the call behind a stream: the first message, which was read to know that it is one, and the others.
pub(super) struct Calls {
    pub(super) first: Option<Bytes>,
    pub(super) others: Objects,
}

impl HttpBody for Calls {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let next = ready!(self.others.poll_next(context));
        Poll::Ready(next.map(|message| message.map(Frame::data)).transpose())
    }
}

/// Where the first object of some bytes ends. Knows brackets and strings, no more: whether it is JSON is asked when it is
/// whole. Remembers how far it has looked, so that each byte is looked at once.
#[derive(Default)]
struct Scan {
    looked: usize,
    /// Brackets that are open; 0 before the object.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Scan {
    fn has_begun(&self) -> bool {
        self.depth > 0
    }

    fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Status> {
        while let Some(byte) = bytes.get(self.looked) {
            self.looked += 1;
            if self.in_string {
                self.inside_string(*byte);
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {}
                b'{' => self.depth += 1,
                _ if self.depth == 0 => {
                    return Err(Status::invalid_argument("the body is not a JSON object"));
                }
                b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(self.looked));
                    }
                }
                b'"' => self.in_string = true,
                _ => {}
            }
        }
        Ok(None)
    }

    fn inside_string(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'\\' {
            self.is_escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects found when the bytes arrive in pieces of this size.
    fn found(text: &str, piece: usize) -> Result<Vec<String>, String> {
        let (mut gathered, mut scan, mut objects) = (BytesMut::new(), Scan::default(), Vec::new());
        for chunk in text.as_bytes().chunks(piece) {
            gathered.extend_from_slice(chunk);
            while let Some(end) = scan
                .end(&gathered)
                .map_err(|status| status.message().to_owned())?
            {
                objects.push(String::from_utf8_lossy(&gathered.split_to(end)).into_owned());
                scan = Scan::default();
            }
        }
        if scan.has_begun() {
            objects.push("…".to_owned());
        }
        Ok(objects)
    }

    #[test]
    fn objects_are_cut_apart_however_they_arrive() {
        let text = "{} \n{\"a\":{\"b\":[1,2,\"}\"]}}\t{\"c\":\"\\\\\\\"}\"}{\"d\":";
        let expected = [
            "{}",
            " \n{\"a\":{\"b\":[1,2,\"}\"]}}",
            "\t{\"c\":\"\\\\\\\"}\"}",
            "…",
        ];
        for piece in 1..=text.len() {
            assert_eq!(found(text, piece).unwrap(), expected, "in pieces of {piece}");
        }
        assert_eq!(found("  ", 1).unwrap(), [""; 0]);
        for wrong in ["x", "[]", "null", "{} x", "\"{}\"", ","] {
            assert!(found(wrong, 1).is_err(), "{wrong}");
        }
    }
}
