//! How many calls were begun and handled, by method and code: what dashboards and alerts read, under the names that they know.

use super::latency::Latency;
use super::registered;
use super::sheet::Sheet;
use crate::coalesce::Open;
use crate::service::METHODS;
use bytes::Bytes;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, HeaderValue};

/// gRPC's codes, in the order of their numbers, as Go writes them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// A call that its client gave up.
const CANCELED: usize = 1;

/// Where an answer says how it went: in its headers when it is nothing but a refusal, else behind its messages.
const STATUS: &str = "grpc-status";

/// What kind of method a path is, in the words of Go's library.
fn kind(path: &str) -> &'static str {
    match path {
        "/etcdserverpb.KV/RangeStream"
        | "/etcdserverpb.Maintenance/Snapshot"
        | "/v3electionpb.Election/Observe"
        | "/grpc.health.v1.Health/Watch" => "server_stream",
        "/etcdserverpb.Watch/Watch"
        | "/etcdserverpb.Lease/LeaseKeepAlive"
        | "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => "bidi_stream",
        _ => UNARY,
    }
}

const UNARY: &str = "unary";

/// The methods with what has happened to them.
pub(super) struct Calls {
    by_path: HashMap<String, Method>,
}

/// One method.
pub(crate) struct Method {
    is_stream: bool,
    started: IntCounter,
    handled: [IntCounter; CODES.len()],
    /// How long answers took, once one did: most methods are never called.
    took: OnceLock<Histogram>,
    all_took: HistogramVec,
    /// The same in finer buckets, for reads and writes.
    took_finely: Option<Histogram>,
    labels: [&'static str; 3],
}

impl Calls {
    pub(super) fn register(registry: &Registry, latency: &Latency) -> Self {
        let family = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let started = family(
            "grpc_server_started_total",
            "Total number of RPCs started on the server.",
            &["grpc_method", "grpc_service", "grpc_type"],
        );
        let handled = family(
            "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            &["grpc_code", "grpc_method", "grpc_service", "grpc_type"],
        );
        let all_took = HistogramVec::new(
            HistogramOpts::new(
                "grpc_server_handling_seconds",
                "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
            ),
            &["grpc_method", "grpc_service", "grpc_type"],
        );
        let all_took = registered(registry, all_took);
        let mut by_path = HashMap::new();
        for (service, names) in METHODS {
            for name in names {
                let path = format!("/{service}/{name}");
                let kind = kind(&path);
                let method = Method {
                    is_stream: kind != UNARY,
                    started: started.with_label_values(&[name, service, kind]),
                    handled: CODES.map(|code| handled.with_label_values(&[code, name, service, kind])),
                    took: OnceLock::new(),
                    all_took: all_took.clone(),
                    took_finely: latency.of(&path),
                    labels: [name, service, kind],
                };
                by_path.insert(path, method);
            }
        }
        Self { by_path }
    }

    /// What follows from the counts.
    pub(super) fn write(&self, sheet: &mut Sheet) {
        let answered = |path: &str| self.find(path).map_or(0, |method| method.handled[0].get());
        sheet.counter(
            "etcd_mvcc_range_total",
            "Total number of ranges seen by this member.",
            answered("/etcdserverpb.KV/Range"),
        );
        let open = |path: &str| {
            self.find(path).map_or(0, |method| {
                let handled: u64 = method.handled.iter().map(IntCounter::get).sum();
                method.started.get().saturating_sub(handled)
            })
        };
        sheet.gauge(
            "etcd_debugging_mvcc_watch_stream_total",
            "Total number of watch streams.",
            open("/etcdserverpb.Watch/Watch"),
        );
    }

    pub(super) fn find(&self, path: &str) -> Option<&Method> {
        self.by_path.get(path)
    }
}

impl Method {
    pub(super) fn begin(&self) {
        self.started.inc();
    }

    /// How many calls went well, and how many did not.
    pub(super) fn handled(&self) -> (u64, u64) {
        let (well, others) = self.handled.split_first().expect("there are codes");
        (well.get(), others.iter().map(IntCounter::get).sum())
    }

    /// Its service and its own name.
    pub(crate) fn name(&self) -> (&'static str, &'static str) {
        let [name, service, _] = self.labels;
        (service, name)
    }

    /// Notes how long the answer took.
    pub(crate) fn note_time(&self, took: Duration) {
        let histogram = self
            .took
            .get_or_init(|| self.all_took.with_label_values(&self.labels));
        let seconds = took.as_secs_f64();
        histogram.observe(seconds);
        if let Some(finely) = &self.took_finely {
            finely.observe(seconds);
        }
    }

    /// Whether it answers with a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Notes how a call went: at once, or for a stream when it is over; `open` lasts as long.
    pub(crate) fn note(&self, response: http::Response<Body>, open: Option<Open>) -> http::Response<Body> {
        if self.is_stream && !response.headers().contains_key(STATUS) {
            return response.map(|body| {
                Body::new(Counted {
                    body,
                    handled: Some(self.handled.clone()),
                    _open: open,
                })
            });
        }
        let code = code_of(response.headers());
        if let Some(handled) = self.handled.get(code) {
            handled.inc();
        }
        response
    }
}

/// The body of a stream, which is counted by how it ends.
struct Counted {
    body: Body,
    /// None once it was counted.
    handled: Option<[IntCounter; CODES.len()]>,
    _open: Option<Open>,
}

impl Counted {
    fn count(&mut self, code: usize) {
        if let Some(handled) = self.handled.take().as_ref().and_then(|handled| handled.get(code)) {
            handled.inc();
        }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            let code = code_of(trailers);
            self.count(code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count(CANCELED);
    }
}

/// OK when nothing is said; beyond all codes when it is none.
fn code_of(headers: &HeaderMap) -> usize {
    let number = |status: &HeaderValue| status.to_str().ok().and_then(|text| text.parse().ok());
    headers
        .get(STATUS)
        .map_or(0, |status| number(status).unwrap_or(CODES.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Plain;
    use tonic::codegen::tokio_stream;

    fn calls() -> Calls {
        let registry = Registry::new();
        Calls::register(&registry, &Latency::register(&registry))
    }

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let calls = calls();
        let put = calls.find("/etcdserverpb.KV/Put").unwrap();
        for _ in 0..3 {
            put.begin();
            put.note(http::Response::new(Body::empty()), None);
        }
        put.note(Status::permission_denied("no").into_http(), None);
        let count = |method: &Method, code: usize| method.handled[code].get();
        assert_eq!(
            (put.started.get(), count(put, 0), count(put, 7), count(put, 1)),
            (3, 3, 1, 0)
        );
        assert!(calls.find("/nobody/knows").is_none());
    }

    /// A stream counts when it is over: as refused, as it says itself, or as given up.
    #[tokio::test]
    async fn streams_are_counted_by_their_end() {
        let calls = calls();
        let watch = calls.find("/etcdserverpb.Watch/Watch").unwrap();
        let counts = || [0, CANCELED, 9, 14].map(|code| watch.handled[code].get());
        watch.note(Status::failed_precondition("no").into_http(), None);
        assert_eq!(counts(), [0, 0, 1, 0]);
        let silence = tokio_stream::pending::<Result<Plain<()>, Status>>();
        let going_on = watch.note(crate::stream::respond(silence), None);
        assert_eq!(counts(), [0, 0, 1, 0]);
        drop(going_on);
        assert_eq!(counts(), [0, 1, 1, 0]);
        let ending = tokio_stream::once(Err::<Plain<()>, _>(Status::unavailable("")));
        let mut body = watch.note(crate::stream::respond(ending), None).into_body();
        while std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context))
            .await
            .is_some()
        {}
        drop(body);
        assert_eq!(counts(), [0, 1, 1, 1]);
    }
}
