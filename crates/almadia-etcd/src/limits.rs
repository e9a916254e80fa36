//! What one client, and all clients together, may make this member hold: every bound of the edge with its default.
//!
//! It only holds numbers. What happens at a bound stands where the bound is applied; what operators may set, and the flag's
//! name, stands in `docs/operating/server.md`.

use std::time::Duration;

/// Bounds of the edge. The defaults are meant for a member of a cluster of some hundred clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time (`--max-client-connections`). One more closes the one that has been idle for longest,
    /// and is refused where none is idle.
    pub connections_max: usize,
    /// Requests in flight on one connection (`--max-concurrent-streams`); a client is told, and waits.
    pub streams_max: u32,
    /// Time for a request's headers, for the first bytes of a connection, and for what is left when a connection is asked to
    /// end (`--client-header-timeout`).
    pub header_timeout: Duration,
    /// Time for the rest of a message whose beginning has arrived (`--client-body-timeout`).
    pub body_timeout: Duration,
    /// A connection with no request under way for this long is closed (`--client-idle-timeout`).
    pub idle_timeout: Duration,
    /// Bytes of one request's headers.
    pub header_bytes_max: u32,
    /// Watches on this member (`--max-watches`).
    pub watches_max: usize,
    /// Watches on one stream (`--max-watches-per-stream`).
    pub stream_watches_max: usize,
    /// Leases in the store (`--max-leases`).
    pub leases_max: usize,
    /// Bytes that large answers of all clients may hold together, beside the store (`--max-answer-bytes`).
    pub answer_bytes_max: usize,
    /// Bytes of all messages that have not arrived whole (`--max-unfinished-bytes`).
    pub unfinished_bytes_max: usize,
    /// Requests that a connection's client may give up in a second, on average (`--max-cancelled-requests`).
    pub cancelled_per_second_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16 * 1024,
            streams_max: 1000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(10 * 60),
            header_bytes_max: 64 * 1024,
            watches_max: 500_000,
            stream_watches_max: 100_000,
            leases_max: 1_000_000,
            answer_bytes_max: 256 * 1024 * 1024,
            unfinished_bytes_max: 256 * 1024 * 1024,
            cancelled_per_second_max: 2000,
        }
    }
}
