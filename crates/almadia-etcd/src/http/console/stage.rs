//! What all who look at the console share: one task that looks at the cluster, begun by the first and ended with the last.
//!
//! Each look is written once and handed to everybody. Who does not keep up is not waited for.

use super::frame::{self, Moment};
use super::latency::{Latencies, Recent};
use crate::auth::now_ms;
use crate::backend::{Backend, Sighting};
use crate::service::Shared;
use bytes::Bytes;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Streams at the same time; one more is refused.
pub(super) const VIEWERS_MAX: usize = 16;

/// Looks that wait for a viewer; who is farther behind is dropped, and comes again.
const WAITING_MAX: usize = 8;

/// Events that a new viewer is told at once; older ones are forgotten.
const EVENTS_MAX: usize = 512;

/// A read that is not confirmed within this time is shown as not confirmed.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(400);

/// The stage. Cheap while nobody looks.
#[derive(Debug, Default)]
pub(crate) struct Stage(Mutex<Show>);

#[derive(Debug, Default)]
struct Show {
    /// None while nobody looks.
    looks: Option<broadcast::WeakSender<Bytes>>,
    /// What happened, as those who looked have been told.
    events: VecDeque<Value>,
    newest: Option<Bytes>,
}

/// A seat: what has been told already, and what comes.
pub(super) struct Seat {
    pub(super) welcome: Vec<Bytes>,
    pub(super) looks: broadcast::Receiver<Bytes>,
}

impl Stage {
    fn show(&self) -> MutexGuard<'_, Show> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A seat for one more, if there is one; the first begins the show.
pub(super) fn enter<B: Backend>(shared: &Arc<Shared<B>>) -> Option<Seat> {
    let mut show = shared.stage.show();
    let running = show.looks.as_ref().and_then(broadcast::WeakSender::upgrade);
    let looks = match running {
        Some(sender) if sender.receiver_count() >= VIEWERS_MAX => return None,
        Some(sender) => sender.subscribe(),
        None => {
            // What another show has told is told anew by this one: the members remember it.
            *show = Show::default();
            let (sender, looks) = broadcast::channel(WAITING_MAX);
            show.looks = Some(sender.downgrade());
            tokio::spawn(run(Arc::clone(shared), sender));
            looks
        }
    };
    let mut welcome = vec![frame::event("welcome", &frame::welcome(shared, &show.events))];
    welcome.extend(show.newest.clone());
    Some(Seat { welcome, looks })
}

async fn run<B: Backend>(shared: Arc<Shared<B>>, sender: broadcast::Sender<Bytes>) {
    let stop = shared.stop.begun();
    tokio::select! {
        () = look_on(&shared, sender) => {}
        () = stop => {}
    }
}

async fn look_on<B: Backend>(shared: &Shared<B>, sender: broadcast::Sender<Bytes>) {
    let mut lookout = shared.backend.lookout();
    let mut recent = Recent::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (seen, read_took) = tokio::join!(lookout.look(), confirm_a_read(shared));
        let latencies = recent.note(shared.metrics.latency.read());
        if !tell(shared, &sender, &seen, (read_took, latencies)) {
            return;
        }
    }
}

/// How long a linearizable read waits for its confirmation now; none when that takes too long.
async fn confirm_a_read<B: Backend>(shared: &Shared<B>) -> Option<Duration> {
    let began = Instant::now();
    let confirmed = tokio::time::timeout(CONFIRMED_WITHIN, shared.backend.read_barrier()).await;
    matches!(confirmed, Ok(Ok(()))).then(|| began.elapsed())
}

/// Hands a look to everybody; false when nobody is left.
fn tell<B: Backend>(
    shared: &Shared<B>,
    sender: &broadcast::Sender<Bytes>,
    seen: &[Sighting],
    (read_took, latencies): (Option<Duration>, Latencies),
) -> bool {
    let moment = Moment {
        now_ms: now_ms(),
        read_took,
        latencies,
    };
    let events = frame::events(seen, moment.now_ms);
    let look = frame::event("look", &frame::look(shared, seen, &events, moment));
    let mut show = shared.stage.show();
    // Under the lock: whoever enters either is counted here or finds no show.
    if sender.receiver_count() == 0 {
        *show = Show::default();
        return false;
    }
    show.events.extend(events);
    let surplus = show.events.len().saturating_sub(EVENTS_MAX);
    show.events.drain(..surplus);
    show.newest = Some(look.clone());
    // Nobody left meanwhile is noticed at the next look.
    let _ = sender.send(look);
    true
}
