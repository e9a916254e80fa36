//! How many calls were handled, by method and code: what dashboards and clients' tests read at `/metrics`, under the names that
//! they know. More comes with the metrics of the whole member.
//!
//! Counts methods that answer one message. Streams are not counted yet: they end long after they have been answered.

use crate::service::METHODS;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderValue};

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

/// Methods that answer a stream.
const STREAMS: [&str; 8] = [
    "/etcdserverpb.KV/RangeStream",
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseKeepAlive",
    "/etcdserverpb.Maintenance/Snapshot",
    "/v3electionpb.Election/Observe",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Calls handled so far.
pub(crate) struct Handled {
    methods: Vec<Method>,
    by_path: HashMap<String, usize>,
}

struct Method {
    service: &'static str,
    name: &'static str,
    by_code: [AtomicU64; CODES.len()],
}

impl Default for Handled {
    fn default() -> Self {
        let (mut methods, mut by_path) = (Vec::new(), HashMap::new());
        for (service, names) in METHODS {
            for name in names {
                let path = format!("/{service}/{name}");
                if STREAMS.contains(&path.as_str()) {
                    continue;
                }
                by_path.insert(path, methods.len());
                methods.push(Method {
                    service,
                    name,
                    by_code: [const { AtomicU64::new(0) }; CODES.len()],
                });
            }
        }
        Self { methods, by_path }
    }
}

impl Handled {
    /// Notes what a call was answered. Paths that are no method leave no trace: they come from outside and have no end.
    pub(crate) fn note(&self, path: &str, response: &http::Response<Body>) {
        let Some(method) = self.by_path.get(path) else {
            return;
        };
        let code = response.headers().get("grpc-status").map_or(0, code_of);
        if let Some(count) = self.methods[*method].by_code.get(code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of it, in Prometheus' text form; what never happened is left out.
    pub(crate) fn respond(&self) -> http::Response<Body> {
        let mut text = String::from(
            "# HELP grpc_server_handled_total Calls of methods with one answer, by code.\n\
             # TYPE grpc_server_handled_total counter\n",
        );
        for method in &self.methods {
            for (code, count) in CODES.iter().zip(&method.by_code) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    // Writing into a string never fails.
                    let _ = writeln!(
                        text,
                        "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"{}\",grpc_service=\"{}\",grpc_type=\"unary\"}} {count}",
                        method.name, method.service
                    );
                }
            }
        }
        let mut response = http::Response::new(Body::new(text));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        response
    }
}

/// Beyond all codes when it is none.
fn code_of(status: &HeaderValue) -> usize {
    let number = status.to_str().ok().and_then(|text| text.parse().ok());
    number.unwrap_or(CODES.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let handled = Handled::default();
        let fine = http::Response::new(Body::empty());
        let denied: http::Response<Body> = Status::permission_denied("no").into_http();
        for _ in 0..3 {
            handled.note("/etcdserverpb.KV/Put", &fine);
        }
        handled.note("/etcdserverpb.KV/Put", &denied);
        handled.note("/etcdserverpb.Watch/Watch", &fine);
        handled.note("/nobody/knows", &fine);
        let count = |code: usize| {
            let put = handled.by_path["/etcdserverpb.KV/Put"];
            handled.methods[put].by_code[code].load(Ordering::Relaxed)
        };
        assert_eq!((count(0), count(7), count(1)), (3, 1, 0));
        assert!(!handled.by_path.contains_key("/nobody/knows"));
    }
}
