//! What the edge can be told. Defaults are etcd's; nothing here changes what a request means.

use crate::auth::AuthConfig;
use crate::compactor::AutoCompaction;
use crate::faults::FaultSwitch;
use crate::limits::Limits;
use crate::metrics::Sources;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that the gRPC layer takes on top of the largest request, as etcd does.
const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

/// Settings of the edge.
#[derive(Clone, Debug)]
pub struct Config {
    /// Answered as the server's version: Kubernetes reads it to learn what the server can do, so it names the etcd
    /// release whose behaviour is followed.
    pub version: String,
    /// The version of the storage, as etcd 3.6 and later show it.
    pub storage_version: String,
    /// Bytes of one request as it goes into the log, at most (`--max-request-bytes`).
    pub request_bytes_max: usize,
    /// Compares and operations of one transaction at most, each list by itself (`--max-txn-ops`).
    pub txn_operations_max: usize,
    /// A request that is not decided by then is answered with "request timed out": its outcome is unknown. Should be
    /// what the member was told too; waiting for the space of a physical compaction is not bounded by it.
    pub request_timeout: Duration,
    /// Seconds that a lease lives at least: a shorter wish is raised to it. etcd's is 1.5 election timeouts, rounded up.
    pub lease_ttl_min: i64,
    /// A watch that wants it and heard nothing for this long is told that nothing happened
    /// (`--watch-progress-notify-interval`); each stream's interval differs from it by a tenth at most.
    pub progress_interval: Duration,
    /// A stream whose client wants a leader ends when there has been none for this long.
    pub leaderless_max: Duration,
    /// Bytes the store may use, as shown in a status; 0 is no bound.
    pub quota_bytes: i64,
    /// Whether there is a JSON gateway (`--enable-grpc-gateway`).
    pub json_gateway: bool,
    /// Whether there is a console at `/` (`--enable-console`).
    pub console: bool,
    /// Origins whose pages may use HTTP here, as browsers send them; `*` is any (`--cors`).
    pub cors: Vec<String>,
    /// Names under which HTTP may be asked here; empty or `*` is any (`--host-whitelist`).
    pub host_whitelist: Vec<String>,
    /// How logins work.
    pub auth: AuthConfig,
    /// Which history is dropped without anybody asking for it.
    pub auto_compaction: AutoCompaction,
    /// What clients may make the member hold.
    pub limits: Limits,
    /// A connection that is silent for this long is asked whether it is still there (`--grpc-keepalive-interval`).
    pub keepalive_interval: Duration,
    /// A connection that does not answer for this long is closed (`--grpc-keepalive-timeout`).
    pub keepalive_timeout: Duration,
    /// The switch for exercises; without one they are refused (`--enable-fault-injection`).
    pub faults: Option<Arc<dyn FaultSwitch>>,
    /// A request that takes longer is told in the log, with where its time went (`--slow-request-threshold`); `None` for none.
    pub slow_request_threshold: Option<Duration>,
    /// What is shown in the metrics besides what the edge and the member count.
    pub sources: Sources,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: "3.7.1".to_owned(),
            storage_version: "3.7.0".to_owned(),
            request_bytes_max: 1536 * 1024,
            txn_operations_max: 128,
            // etcd: 5 s and twice its default election timeout.
            request_timeout: Duration::from_secs(7),
            lease_ttl_min: 2,
            progress_interval: Duration::from_secs(10 * 60),
            // etcd: 3 times its default election timeout.
            leaderless_max: Duration::from_secs(3),
            quota_bytes: 0,
            json_gateway: true,
            console: true,
            cors: vec!["*".to_owned()],
            host_whitelist: vec!["*".to_owned()],
            auth: AuthConfig::default(),
            auto_compaction: AutoCompaction::default(),
            limits: Limits::default(),
            keepalive_interval: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
            faults: None,
            slow_request_threshold: Some(Duration::from_millis(100)),
            sources: Sources::default(),
        }
    }
}

impl Config {
    /// Bytes of one gRPC message at most; beyond, the request is refused before it is read.
    pub fn message_bytes_max(&self) -> usize {
        self.request_bytes_max.saturating_add(GRPC_OVERHEAD_BYTES)
    }
}
