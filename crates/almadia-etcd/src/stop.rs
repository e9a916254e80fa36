//! Tells streams that the server stops: they would go on for ever, and an orderly stop waits for what is under way.

use tokio::sync::watch;

/// Whether the server stops. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// From now on.
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Returns when the server stops.
    pub(crate) fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.0.subscribe();
        async move {
            if stop.wait_for(|begun| *begun).await.is_err() {
                // The edge is gone without a stop; the connections end by themselves.
                std::future::pending().await
            }
        }
    }
}
