//! The tokens this member has checked, so that one in use goes on: each use gives it its whole time again, on this member,
//! as in etcd. What is forgotten here (by a restart, or at the bound) only holds for the time that is written in the token.
//!
//! It knows nothing of users: whether they are still there is asked each time, of the store.

use super::Claims;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Tokens remembered at most. A token beyond is checked each time and is not renewed by use.
pub(super) const SEEN_MAX: usize = 16 * 1024;

/// Time between two searches for tokens to forget, while there are too many.
const SWEEP_PAUSE_MS: u64 = 1000;

#[derive(Debug)]
struct Use {
    claims: Arc<Claims>,
    until_ms: AtomicU64,
}

/// The tokens that hold because they were checked and are in use.
#[derive(Debug, Default)]
pub(super) struct Seen {
    by_token: RwLock<BTreeMap<Box<str>, Use>>,
    swept_ms: AtomicU64,
}

impl Seen {
    /// What a token says that was used within its time; renews it.
    pub(super) fn renew(&self, token: &str, now_ms: u64, ttl_ms: u64) -> Option<Arc<Claims>> {
        let by_token = self.by_token.read().expect("no panic holds it");
        let seen = by_token.get(token)?;
        if now_ms >= seen.until_ms.load(Ordering::Relaxed) {
            return None;
        }
        seen.until_ms
            .fetch_max(now_ms.saturating_add(ttl_ms), Ordering::Relaxed);
        Some(Arc::clone(&seen.claims))
    }

    /// Remembers a token that has been checked.
    pub(super) fn remember(&self, token: &str, claims: Arc<Claims>, now_ms: u64, ttl_ms: u64) {
        let until_ms = now_ms.saturating_add(ttl_ms);
        let mut by_token = self.by_token.write().expect("no panic holds it");
        if by_token.len() >= SEEN_MAX && now_ms >= self.swept_ms.load(Ordering::Relaxed) {
            self.swept_ms
                .store(now_ms.saturating_add(SWEEP_PAUSE_MS), Ordering::Relaxed);
            by_token.retain(|_, seen| now_ms < seen.until_ms.load(Ordering::Relaxed));
        }
        if by_token.len() < SEEN_MAX {
            let until_ms = AtomicU64::new(until_ms);
            by_token.insert(token.into(), Use { claims, until_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Arc<Claims> {
        Arc::new(Claims {
            user: "ann".to_owned(),
            revision: 1,
            until_ms: None,
        })
    }

    /// Row B6.5: renewed by use, ended by no use.
    #[test]
    fn use_renews() {
        let seen = Seen::default();
        seen.remember("t", claims(), 0, 10);
        for now in [9, 18, 27] {
            assert_eq!(seen.renew("t", now, 10), Some(claims()), "at {now}");
        }
        assert_eq!(seen.renew("t", 37, 10), None);
        assert_eq!(seen.renew("other", 0, 10), None);
    }

    /// At the bound, those whose time is over make room; while there are none, others are not remembered.
    #[test]
    fn there_is_a_bound() {
        let seen = Seen::default();
        for number in 0..SEEN_MAX + 10 {
            seen.remember(&number.to_string(), claims(), 0, 10);
        }
        assert_eq!(seen.by_token.read().unwrap().len(), SEEN_MAX);
        seen.remember("late", claims(), 2000, 10);
        assert_eq!(seen.by_token.read().unwrap().len(), 1);
        assert!(seen.renew("late", 2001, 10).is_some());
    }
}
