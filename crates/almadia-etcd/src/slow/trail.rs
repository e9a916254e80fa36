//! What a request leaves behind on its way, for the case that it turns out to be slow: a few words, nothing computed. Carried
//! by its task; where there is none (streams, tests) nothing is kept.

use almadia_command::LogIndex;
use bytes::Bytes;
use std::cell::RefCell;
use tokio::time::Instant;

tokio::task_local! {
    static TRAIL: RefCell<Trail>;
}

/// The trail of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    /// Its key, or the first of them.
    pub(super) key: Bytes,
    /// Its command stands here in the log.
    pub(super) index: Option<LogIndex>,
    /// It waited for the confirmation that it reads the newest from then until then.
    pub(super) confirmed: Option<(Instant, Instant)>,
    /// Its answer goes out in pieces.
    pub(super) is_large: bool,
}

/// Carries a request's trail while it is answered.
pub(crate) async fn followed<A>(answer: impl Future<Output = A>) -> (A, Trail) {
    TRAIL
        .scope(RefCell::default(), async {
            let answer = answer.await;
            (answer, TRAIL.with(RefCell::take))
        })
        .await
}

fn note(change: impl FnOnce(&mut Trail)) {
    // Without a trail nobody wants to know.
    let _ = TRAIL.try_with(|trail| change(&mut trail.borrow_mut()));
}

/// The request is about this key.
pub(crate) fn about(key: &Bytes) {
    note(|trail| trail.key = key.clone());
}

/// Its command was applied.
pub(crate) fn decided(index: LogIndex) {
    note(|trail| trail.index = Some(index));
}

/// Its read was confirmed just now.
pub(crate) fn confirmed(since: Instant) {
    note(|trail| trail.confirmed = Some((since, Instant::now())));
}

/// Its answer goes out in pieces.
pub(crate) fn is_large() {
    note(|trail| trail.is_large = true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trail_belongs_to_its_request() {
        about(&Bytes::from_static(b"nobody's"));
        let (answer, trail) = followed(async {
            about(&Bytes::from_static(b"k"));
            let (_, inner) = followed(async { decided(LogIndex(7)) }).await;
            assert_eq!((inner.index, inner.key.len()), (Some(LogIndex(7)), 0));
            42
        })
        .await;
        assert_eq!((answer, &trail.key[..], trail.index), (42, &b"k"[..], None));
    }
}
