//! How many members there are to be, from whoever says so; and every change of it. It decides nothing: what is done about it is
//! the leader's business.

mod file;
mod statefulset;

pub use statefulset::{size_after, size_of};

use crate::config::{Ordinals, WishedSource};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Whoever stops asks once more whether it leaves for good, and waits no longer than this.
const REFRESH_MAX: Duration = Duration::from_secs(1);

/// The wished size, kept up to date while this lives.
#[derive(Debug)]
pub struct WishedSize {
    source: WishedSource,
    tell: watch::Sender<Option<u32>>,
    following: Option<JoinHandle<()>>,
}

impl WishedSize {
    /// Follows the source on the current runtime.
    pub fn follow(ordinals: &Ordinals) -> Self {
        Self::of(ordinals.wished.clone(), ordinals.size)
    }

    /// A size that never changes.
    pub fn fixed(size: u32) -> Self {
        Self::of(WishedSource::Fixed, size)
    }

    fn of(source: WishedSource, fixed: u32) -> Self {
        let tell = watch::Sender::new(None);
        let following = match &source {
            WishedSource::Fixed => {
                tell.send_replace(Some(fixed));
                None
            }
            WishedSource::File(path) => Some(tokio::spawn(file::follow(path.clone(), tell.clone()))),
            WishedSource::StatefulSet(set) => {
                Some(tokio::spawn(statefulset::follow(set.clone(), tell.clone())))
            }
        };
        Self {
            source,
            tell,
            following,
        }
    }

    /// The newest; `None` until it is known.
    pub fn size(&self) -> watch::Receiver<Option<u32>> {
        self.tell.subscribe()
    }

    /// Waits until it is known for the first time.
    pub async fn known(&self) -> Option<u32> {
        let mut size = self.size();
        let known = size.wait_for(Option::is_some).await;
        known.ok().and_then(|known| *known)
    }

    /// Looks now. A pod that is scaled away is told to stop at the moment at which the size changes.
    pub async fn refresh(&self) {
        let looked = async {
            match &self.source {
                WishedSource::Fixed => Ok(()),
                WishedSource::File(path) => file::look(path, &self.tell).await,
                WishedSource::StatefulSet(set) => statefulset::get(set, &self.tell).await.map(drop),
            }
        };
        let looked = timeout(REFRESH_MAX, looked).await;
        match looked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(()) => {}
            Err(reason) => tracing::warn!(reason, "--wished-size: the size stays what it was"),
        }
    }
}

impl Drop for WishedSize {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

/// Tells a size, if it is another one than before.
fn tell_if_new(tell: &watch::Sender<Option<u32>>, size: u32, from: &str) {
    let is_new = tell.send_if_modified(|known| {
        let is_new = *known != Some(size);
        *known = Some(size);
        is_new
    });
    if is_new {
        tracing::info!(size, from, "the wished size of the cluster");
    }
}
