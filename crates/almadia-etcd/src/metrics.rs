//! What is counted, and `/metrics`, where it is read: in Prometheus' text form, under etcd's names where etcd has one.
//!
//! Whoever counts at this edge holds a handle that was registered when the member started, so that counting is one addition. A new
//! metric is one line in its group here, or a group of its own with a `register`. What is counted elsewhere is read at each
//! scrape ([`sheet`]): the member's numbers under etcd's names ([`member`]) and ours ([`own`]), and those of [`Source`]s.

mod bounds;
mod calls;
mod care;
#[cfg(test)]
mod cost;
mod latency;
mod member;
mod own;
mod sheet;
mod slow;
mod versions;

pub(crate) use bounds::Bounds;
pub(crate) use calls::Method;
pub(crate) use latency::{Latency, Spread};
pub use sheet::{IntoNumber, Labels, Sheet, Source, Sources};
pub(crate) use slow::SlowCounters;

use crate::backend::Backend;
use crate::maintenance::active_alarms;
use crate::proto::etcdserverpb::AlarmType;
use crate::service::Shared;
use calls::Calls;
use care::Care;
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
    /// What supervisors and operators ask for.
    pub(crate) care: Care,
    /// How long reads and writes took.
    pub(crate) latency: Latency,
    /// How many requests were slow.
    pub(crate) slow: SlowCounters,
    /// Renewals of leases.
    pub(crate) renewed: IntCounter,
    /// Events told to watchers.
    pub(crate) events: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let latency = Latency::register(&registry);
        Self {
            calls: Calls::register(&registry, &latency),
            versions: Versions::register(&registry),
            bounds: Bounds::register(&registry),
            care: Care::register(&registry),
            latency,
            slow: SlowCounters::register(&registry),
            renewed: counter(
                &registry,
                "etcd_debugging_lease_renewed_total",
                "The number of leases renewed by way of this member.",
            ),
            events: counter(
                &registry,
                "etcd_debugging_mvcc_events_total",
                "Total number of events sent by this member.",
            ),
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

    /// All of it, as it is now.
    pub(crate) fn respond<B: Backend>(&self, shared: &Shared<B>) -> http::Response<Body> {
        let mut families = self.registry.gather();
        families.extend(self.read(shared).into_families());
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

    /// What is counted elsewhere.
    fn read<B: Backend>(&self, shared: &Shared<B>) -> Sheet {
        let mut sheet = Sheet::default();
        self.calls.write(&mut sheet);
        let (received, sent) = shared.connections.bytes();
        sheet.counter(
            "etcd_network_client_grpc_received_bytes_total",
            "The total number of bytes received from clients.",
            received,
        );
        sheet.counter(
            "etcd_network_client_grpc_sent_bytes_total",
            "The total number of bytes sent to clients.",
            sent,
        );
        if let Some(vitals) = shared.backend.vitals() {
            let alarms: Vec<_> = active_alarms(&vitals.status, &shared.backend.view())
                .into_iter()
                .map(|alarm| (alarm.member, alarm_name(alarm.kind)))
                .collect();
            let told = member::Told {
                version: &shared.config.version,
                alarms: &alarms,
            };
            member::write(&mut sheet, &vitals, &told);
            own::write(&mut sheet, &vitals);
            let watches = u64::try_from(self.bounds.watches.get()).unwrap_or(0);
            let live = vitals.watchers_live as u64;
            sheet.gauge(
                "etcd_debugging_mvcc_slow_watcher_total",
                "Total number of unsynced slow watchers.",
                watches.saturating_sub(live),
            );
        }
        for source in &shared.config.sources.0 {
            source.write(&mut sheet);
        }
        sheet
    }
}

/// As etcd writes it.
fn alarm_name(kind: i32) -> &'static str {
    AlarmType::try_from(kind).map_or("UNKNOWN", |kind| kind.as_str_name())
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
