//! What can be done to leases, as it stands in the log.
//!
//! Times are counted by the leader and written here as what is left; applying reads no clock.

use prost::Message;

/// Make a lease.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseGrant {
    /// Never 0: who lets the server choose has an id chosen before the command is made.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Seconds until it ends unless it is kept alive, already raised to the minimum.
    #[prost(int64, tag = "2")]
    pub ttl: i64,
}

/// End a lease and delete its keys, in one revision.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseRevoke {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// 0 when a client asked. Else the term whose leader saw the lease expire: an entry of another term is refused,
    /// because only the leader of the term knows which leases were kept alive.
    #[prost(uint64, tag = "2")]
    pub expired_in_term: u64,
}

/// Note how much time leases have left, so that a later leader does not start over.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseCheckpoint {
    /// The leases; unknown ones are passed over.
    #[prost(message, repeated, tag = "1")]
    pub leases: Vec<LeaseRemaining>,
    /// The term whose leader counted. An entry of another term changes nothing.
    #[prost(uint64, tag = "2")]
    pub term: u64,
}

/// What one lease has left.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseRemaining {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Milliseconds; 0 says that it has its whole time again.
    #[prost(int64, tag = "2")]
    pub remaining_ms: i64,
}
