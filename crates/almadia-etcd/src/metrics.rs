//! What is counted, and `/metrics`, where it is read: in Prometheus' text form, under etcd's names where etcd has one.
//!
//! Whoever counts holds a handle that was registered when the member started, so that counting is one addition. A new
//! metric is one line in its group here, or a group of its own with a `register`.

mod bounds;
mod calls;
mod versions;

pub(crate) use bounds::Bounds;
pub(crate) use calls::Method;

use calls::Calls;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, Opts, Registry, TextEncoder};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderMap, HeaderValue};
use versions::Versions;

/// Everything that is counted at this edge.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Calls,
    versions: Versions,
    /// What the limits do.
    pub(crate) bounds: Bounds,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        Self {
            calls: Calls::register(&registry),
            versions: Versions::register(&registry),
            bounds: Bounds::register(&registry),
            registry,
        }
    }
}

impl Metrics {
    /// Notes a call of the method with this path. Paths that are no method leave no trace: they come from outside and have
    /// no end.
    pub(crate) fn begin(&self, path: &str) -> Option<&Method> {
        let method = self.calls.find(path)?;
        method.begin();
        Some(method)
    }

    /// How many calls of the method with this path went well, and how many did not.
    pub(crate) fn handled(&self, path: &str) -> (u64, u64) {
        self.calls.find(path).map_or((0, 0), Method::handled)
    }

    /// Notes which version of the API a call's client speaks.
    ///
    /// # Errors
    /// etcd's, for one that is no text.
    pub(crate) fn note_version(&self, headers: &HeaderMap, is_stream: bool) -> Result<(), Status> {
        self.versions.note(headers, is_stream).map_err(Status::from)
    }

    /// All of it.
    pub(crate) fn respond(&self) -> http::Response<Body> {
        let families = self.registry.gather();
        let mut response = match TextEncoder::new().encode_to_string(&families) {
            Ok(text) => http::Response::new(Body::new(text)),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written");
                let mut response = http::Response::new(Body::empty());
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                return response;
            }
        };
        let kind = HeaderValue::from_static(prometheus::TEXT_FORMAT);
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        response
    }
}

/// Registers a metric and returns it.
fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("the name is a metric's");
    registry
        .register(Box::new(metric.clone()))
        .expect("every name is registered once");
    metric
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::with_opts(Opts::new(name, help)))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::with_opts(Opts::new(name, help)))
}
