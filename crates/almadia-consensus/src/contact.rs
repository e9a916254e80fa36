//! Whether there is proof that somebody leads: a leader was heard a moment ago, or, on a leader, a majority has answered.
//!
//! Who is believed to lead ([`Standing`](crate::Standing)) is no proof: a follower whose leader died with the rest of the
//! majority goes on believing in it, and so does a leader that is cut off in itself. It decides nothing for consensus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A proof is good for this many longest election timeouts: by then another leader would have been heard, were there a majority.
const GOOD_FOR_ELECTIONS: u32 = 2;

/// When the last proof came from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Contact(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    /// Milliseconds from `begun` to the last proof, and one more; 0 before the first.
    last_ms: AtomicU64,
    good_for: Duration,
}

impl Contact {
    /// No proof yet; one is good for two of the longest election timeouts.
    pub fn new(election_max: Duration) -> Self {
        Self(Arc::new(Inner {
            begun: Instant::now(),
            last_ms: AtomicU64::new(0),
            good_for: election_max * GOOD_FOR_ELECTIONS,
        }))
    }

    /// There is proof now.
    pub fn note(&self) {
        let ms = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.last_ms.fetch_max(ms + 1, Ordering::Relaxed);
    }

    /// Whether the last proof is still good.
    pub fn is_good(&self) -> bool {
        let last_ms = self.0.last_ms.load(Ordering::Relaxed);
        let last = last_ms.checked_sub(1).map(Duration::from_millis);
        last.is_some_and(|last| self.0.begun.elapsed().saturating_sub(last) <= self.0.good_for)
    }

    /// For how long a proof is good.
    pub fn good_for(&self) -> Duration {
        self.0.good_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_proof_is_good_for_a_while() {
        let contact = Contact::new(Duration::from_millis(600));
        assert!(!contact.is_good(), "nobody was heard yet");
        contact.note();
        tokio::time::advance(Duration::from_millis(1200)).await;
        assert!(contact.is_good());
        tokio::time::advance(Duration::from_millis(2)).await;
        assert!(!contact.is_good());
        contact.note();
        assert!(contact.is_good());
    }
}
