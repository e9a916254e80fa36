//! Watchers at every member: one of everything, which tells what happened, and others that come and go. What they are sent is
//! recorded as it comes; a broken stream ends a watcher, and the next one resumes.

use crate::calls::{bytes, key_value};
use crate::recorder::Recorder;
use crate::workload::{Chance, channel};
use almadia_etcd::proto::etcdserverpb as pb;
use almadia_etcd::proto::etcdserverpb::watch_client::WatchClient;
use almadia_etcd::proto::mvccpb;
use almadia_sim::history::{Event, Report, Revision, Span, Watch, WatchRequest, WatchResponse};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tonic::Streaming;
use tonic::transport::Channel;

/// Before a watcher is asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// How far around now the others begin.
const REVISIONS_BACK: u64 = 50;
/// The others are over after this time at most.
const LIFE_MS_MAX: u64 = 2000;
/// They ask for progress this often.
const PROGRESS: Duration = Duration::from_millis(150);

/// Watches everything at one member, from the first revision on, and hands it to the recorder as the member's story.
pub async fn witness(
    recorder: Arc<Recorder>,
    member: usize,
    url: String,
    mut stopped: watch::Receiver<bool>,
) {
    let channel = channel(&url);
    while !*stopped.borrow() {
        let request = WatchRequest {
            prev_kv: true,
            ..WatchRequest::of(Span::all(), recorder.told(member) + 1)
        };
        let mut watcher = Watcher::new(&recorder, member, request);
        tokio::select! {
            biased;
            _ = stopped.changed() => {}
            () = watcher.follow(&channel, true) => tokio::time::sleep(PAUSE).await,
        }
        watcher.end();
    }
}

/// Watches this and that at one member for a while, again and again.
pub async fn some(recorder: Arc<Recorder>, member: usize, url: String, mut stopped: watch::Receiver<bool>) {
    let channel = channel(&url);
    let mut chance = Chance::from_entropy();
    while !*stopped.borrow() {
        let newest = recorder.told(member) as u64;
        let start = match chance.below(3) {
            0 => 0,
            _ => (newest + REVISIONS_BACK / 2)
                .saturating_sub(chance.below(REVISIONS_BACK))
                .max(1),
        };
        let span = match chance.below(2) {
            0 => Span::one(format!("k{}", chance.below(8))),
            _ => Span::between("k", "k5"),
        };
        let request = WatchRequest {
            prev_kv: chance.below(2) == 0,
            no_put: chance.below(6) == 0,
            no_delete: chance.below(6) == 1,
            ..WatchRequest::of(span, start as Revision)
        };
        let life = Duration::from_millis(chance.below(LIFE_MS_MAX));
        let mut watcher = Watcher::new(&recorder, member, request);
        tokio::select! {
            biased;
            _ = stopped.changed() => {}
            () = tokio::time::sleep(life) => {}
            () = watcher.follow(&channel, false) => tokio::time::sleep(PAUSE).await,
        }
        watcher.end();
    }
}

struct Watcher<'a> {
    recorder: &'a Recorder,
    member: usize,
    watch: Watch,
}

impl<'a> Watcher<'a> {
    fn new(recorder: &'a Recorder, member: usize, request: WatchRequest) -> Watcher<'a> {
        Watcher {
            watch: Watch {
                id: recorder.unique(),
                member: Some(member as u64),
                invoked_us: recorder.now_us(),
                request,
                responses: Vec::new(),
            },
            recorder,
            member,
        }
    }

    fn end(self) {
        self.recorder.watch(self.watch);
    }

    /// Until the stream breaks or the watcher is cancelled.
    async fn follow(&mut self, channel: &Channel, is_witness: bool) {
        let (ask, asked) = mpsc::channel(4);
        let stream = stream(asked);
        ask.send(create(&self.watch.request)).await.unwrap();
        let mut client = WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
        let Ok(answers) = client.watch(stream).await else {
            return;
        };
        let mut answers = answers.into_inner();
        let mut progress = tokio::time::interval(PROGRESS);
        loop {
            tokio::select! {
                biased;
                answer = next(&mut answers) => {
                    let Some(answer) = answer else { return };
                    if !self.take(answer, is_witness) {
                        return;
                    }
                }
                _ = progress.tick() => {
                    let _ = ask.try_send(progress_request());
                }
            }
        }
    }

    /// Whether it goes on.
    fn take(&mut self, answer: pb::WatchResponse, is_witness: bool) -> bool {
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let report = if answer.created && !answer.canceled {
            Report::Created
        } else if answer.canceled {
            Report::Cancelled {
                compact_revision: answer.compact_revision,
                reason: answer.cancel_reason,
            }
        } else if answer.events.is_empty() {
            Report::Progress
        } else {
            Report::Events {
                events: answer.events.into_iter().map(event).collect(),
                fragment: answer.fragment,
            }
        };
        let goes_on = !matches!(report, Report::Cancelled { .. });
        let response = WatchResponse {
            at_us: self.recorder.now_us(),
            revision,
            report,
        };
        if is_witness {
            match &response.report {
                Report::Events { events, .. } => self.recorder.changes(self.member, &response, events),
                Report::Progress => self.recorder.changes(self.member, &response, &[]),
                _ => {}
            }
        }
        self.watch.responses.push(response);
        goes_on
    }
}

async fn next(answers: &mut Streaming<pb::WatchResponse>) -> Option<pb::WatchResponse> {
    answers.message().await.ok().flatten()
}

fn stream(
    asked: mpsc::Receiver<pb::WatchRequest>,
) -> impl tonic::IntoStreamingRequest<Message = pb::WatchRequest> {
    futures_util::stream::unfold(asked, |mut asked| async move {
        let request = asked.recv().await?;
        Some((request, asked))
    })
}

fn create(request: &WatchRequest) -> pb::WatchRequest {
    use pb::watch_create_request::FilterType;
    let mut filters = Vec::new();
    if request.no_put {
        filters.push(FilterType::Noput.into());
    }
    if request.no_delete {
        filters.push(FilterType::Nodelete.into());
    }
    pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(
            pb::WatchCreateRequest {
                key: bytes(&request.span.key),
                range_end: bytes(&request.span.range_end),
                start_revision: request.start_revision,
                prev_kv: request.prev_kv,
                fragment: request.fragment,
                filters,
                ..Default::default()
            },
        )),
    }
}

fn progress_request() -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::ProgressRequest(
            pb::WatchProgressRequest {},
        )),
    }
}

fn event(event: mvccpb::Event) -> Event {
    let is_put = event.r#type == i32::from(mvccpb::event::EventType::Put);
    let kv = key_value(event.kv.unwrap_or_default());
    let prev = event.prev_kv.map(key_value);
    if is_put {
        return Event::Put { kv, prev };
    }
    Event::Delete {
        key: kv.key,
        mod_revision: kv.mod_revision,
        prev,
    }
}
