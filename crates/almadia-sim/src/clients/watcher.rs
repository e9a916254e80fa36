//! A client that watches, and watches again when its stream ends. It judges nothing.

use super::Common;
use super::serve::key_value;
use crate::chance::Chance;
use crate::history::{Event, Report, Span, Watch, WatchRequest, WatchResponse};
use almadia_command::Revision;
use almadia_member::Member;
use almadia_store::watch::{self, KeyRange, Told};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What a stream carries at most before its client reads it: one that reads slowly falls behind.
const STREAM_MAX: usize = 4;

/// Watches until it is told to stop.
pub async fn watch_on(common: Common, mut chance: Chance) {
    // Where the last stream was broken off, to go on from there.
    let mut resume = None;
    while !common.stops() {
        let machine = chance.below(common.machines as u64) as usize;
        let Some(entry) = common.directory.get(machine) else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let start_revision = match resume.take() {
            Some(revision) => revision,
            // Where history begins by now: the oldest that can be asked for.
            None if common.manner.watchers_ask && chance.per_mille(500) => common.compacted(),
            None if chance.per_mille(300) => 0,
            None => (common.newest() + chance.between(0, 40) as i64 - 30).max(1),
        };
        let request = WatchRequest {
            prev_kv: chance.per_mille(400),
            no_put: chance.per_mille(50),
            no_delete: chance.per_mille(50),
            ..WatchRequest::of(span(&mut chance), start_revision)
        };
        let place = common.recorder.watch(Watch {
            id: common.ids.fetch_add(1, Ordering::Relaxed),
            member: Some(machine as u64),
            invoked_us: common.now_us(),
            request: request.clone(),
            responses: Vec::new(),
        });
        let (give, take) = mpsc::channel(STREAM_MAX);
        let ask_ms = chance.between(50, 2_000);
        let asks = Asks {
            idle: Duration::from_millis(ask_ms),
            any_time: common
                .manner
                .watchers_ask
                .then(|| Duration::from_millis(ask_ms / 4)),
        };
        drop(
            entry
                .process
                .spawn(stream(entry.member, request.clone(), give, asks)),
        );
        resume = listen(&common, &mut chance, place, take).await;
    }
}

fn span(chance: &mut Chance) -> Span {
    match chance.below(4) {
        0 => Span::one(format!("k{}", chance.below(10))),
        1 => Span::between("k3", "k8"),
        _ => Span::all(),
    }
}

/// Writes down what comes; where to go on.
async fn listen(
    common: &Common,
    chance: &mut Chance,
    place: usize,
    mut take: mpsc::Receiver<(i64, Report)>,
) -> Option<i64> {
    let limit = Duration::from_millis(chance.between(1_000, 30_000));
    let slow_ms = *chance.pick(&[0, 0, 20, 400]);
    let mut next = None;
    let listening = async {
        while let Some((revision, report)) = take.recv().await {
            sleep(common.net.client_delay() + Duration::from_millis(slow_ms)).await;
            common.saw(revision);
            let is_over = matches!(report, Report::Cancelled { .. });
            if let Report::Events { events, .. } = &report {
                next = events.last().map(|event| event.revision() + 1);
            }
            let at_us = common.now_us();
            common.trace.note(&[place as u64, at_us, revision as u64]);
            common.recorder.response(
                place,
                WatchResponse {
                    at_us,
                    revision,
                    report,
                },
            );
            if is_over || common.stops() {
                return;
            }
        }
    };
    let _ = timeout(limit, listening).await;
    next
}

/// When a stream is asked for progress.
#[derive(Clone, Copy)]
struct Asks {
    /// When nothing has come for so long, as the edge's ticker does.
    idle: Duration,
    /// Again and again, whatever comes, as a client may.
    any_time: Option<Duration>,
}

/// The member's side of a stream, with one watcher.
async fn stream(member: Member, request: WatchRequest, give: mpsc::Sender<(i64, Report)>, asks: Asks) {
    if member.recovered().await.is_err() {
        return;
    }
    let mut watches = member.watches().watches();
    let (slot, revision) = watches.add(watch::Watch {
        range: KeyRange::new(request.span.key.as_bytes(), request.span.range_end.as_bytes()),
        from: (request.start_revision > 0).then_some(Revision(request.start_revision)),
        puts: !request.no_put,
        deletes: !request.no_delete,
        prev: request.prev_kv,
    });
    if give.send((revision.0, Report::Created)).await.is_err() {
        return;
    }
    let mut next_ask = Instant::now();
    loop {
        let told = tokio::select! {
            biased;
            () = sleep_until(next_ask), if asks.any_time.is_some() => {
                next_ask = Instant::now() + asks.any_time.unwrap_or_default();
                watches.ask_progress(Some(slot));
                continue;
            }
            told = watches.next() => told,
            () = give.closed() => return,
            () = sleep(asks.idle) => {
                watches.ask_progress(Some(slot));
                continue;
            }
        };
        let Some(told) = told else { return };
        let (revision, report) = match told {
            Told::Events { events, revision, .. } => {
                // Those who watch the same range share events: leaving out what was not asked for is the edge's part.
                let events = events.iter().map(|one| event(one, request.prev_kv)).collect();
                (
                    revision,
                    Report::Events {
                        events,
                        fragment: false,
                    },
                )
            }
            Told::Compacted { compacted, .. } => {
                let report = Report::Cancelled {
                    compact_revision: compacted.0,
                    reason: String::new(),
                };
                (compacted, report)
            }
            Told::Reached { revision, .. } => (revision, Report::Progress),
        };
        if give.send((revision.0, report)).await.is_err() {
            return;
        }
    }
}

fn event(event: &watch::Event, wants_prev: bool) -> Event {
    let prev = event.prev.as_ref().filter(|_| wants_prev).map(key_value);
    if event.record.is_tombstone() {
        Event::Delete {
            key: event.record.key().into(),
            mod_revision: event.record.mod_revision().0,
            prev,
        }
    } else {
        Event::Put {
            kv: key_value(&event.record),
            prev,
        }
    }
}
