//! The double as the watch service sees it.

use super::{Double, Trouble};
use almadia_etcd::WatchBackend;
use almadia_store::WatchHub;
use std::time::Duration;

impl WatchBackend for Double {
    fn watches(&self) -> WatchHub {
        self.store.lock().expect("applying does not panic").0.watches()
    }

    fn has_leader(&self) -> bool {
        !self.trouble().no_leader
    }

    fn leaderless(&self, limit: Duration) -> impl Future<Output = ()> + Send + 'static {
        let mut trouble = self.troubles.subscribe();
        let lost = |trouble: &Trouble| trouble.no_leader;
        async move {
            loop {
                trouble.wait_for(lost).await.expect("the double is there");
                let returns = trouble.wait_for(|trouble| !lost(trouble));
                let returned = tokio::time::timeout(limit, returns).await.is_ok();
                if !returned {
                    return;
                }
            }
        }
    }

    fn is_fenced(&self) -> bool {
        self.trouble().fenced
    }

    fn fenced(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut trouble = self.troubles.subscribe();
        async move {
            let fenced = trouble.wait_for(|trouble| trouble.fenced).await;
            fenced.map(drop).expect("the double is there");
        }
    }
}
