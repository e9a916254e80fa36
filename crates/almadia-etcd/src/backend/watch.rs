//! What the Watch service asks of a member: to be told of changes, and whether somebody leads.

use almadia_member::Member;
use almadia_store::WatchHub;
use std::time::Duration;

/// Being told of changes.
pub trait WatchBackend {
    /// Where watching begins, on the member's own store.
    fn watches(&self) -> WatchHub;

    /// Whether there is proof that somebody leads.
    fn has_leader(&self) -> bool;

    /// Returns once the member has known no leader for this long, without interruption.
    fn leaderless(&self, limit: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Whether the member serves nobody, because its state is not what it should be.
    fn is_fenced(&self) -> bool;

    /// Returns once that is so.
    fn fenced(&self) -> impl Future<Output = ()> + Send + 'static;
}

impl WatchBackend for Member {
    fn watches(&self) -> WatchHub {
        Self::watches(self)
    }

    fn has_leader(&self) -> bool {
        Self::has_leader(self)
    }

    fn leaderless(&self, limit: Duration) -> impl Future<Output = ()> + Send + 'static {
        Self::leaderless(self, limit)
    }

    fn is_fenced(&self) -> bool {
        Self::is_fenced(self)
    }

    fn fenced(&self) -> impl Future<Output = ()> + Send + 'static {
        Self::fenced(self)
    }
}
