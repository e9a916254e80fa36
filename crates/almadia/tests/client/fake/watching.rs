//! Watches of the fake: history, what comes, and streams that break.

use almadia_etcd::proto::etcdserverpb::watch_request::RequestUnion;
use almadia_etcd::proto::etcdserverpb::watch_server::Watch;
use almadia_etcd::proto::etcdserverpb::*;
use almadia_etcd::proto::mvccpb::Event;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, Fake, Service, Stream};

impl Fake {
    /// Lets watches that begin below this revision be refused.
    pub fn compact(&self, revision: i64) {
        self.shared.lock().compacted = revision;
    }

    /// Lets the next watch break after this many events.
    pub fn break_watch_after(&self, events: usize) {
        self.shared.lock().break_after = Some(events);
    }
}

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = Stream<WatchResponse>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Answer<Self::WatchStream> {
        self.check()?;
        let token = self.check_token(request.metadata());
        let mut asked = request.into_inner();
        let (sender, receiver) = mpsc::channel(100);
        let service = self.clone();
        tokio::spawn(async move {
            let Ok(Some(WatchRequest {
                request_union: Some(RequestUnion::CreateRequest(create)),
            })) = asked.message().await
            else {
                return;
            };
            let _ = match token {
                Ok(()) => service.serve(create, &sender).await,
                Err(status) => sender
                    .send(Ok(WatchResponse {
                        created: true,
                        canceled: true,
                        watch_id: -1,
                        cancel_reason: format!(
                            "rpc error: code = {:?} desc = {}",
                            status.code(),
                            status.message()
                        ),
                        ..WatchResponse::default()
                    }))
                    .await
                    .ok(),
            };
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Service {
    /// Serves one watch until it breaks (`None`: nobody listens any more).
    async fn serve(
        &self,
        create: WatchCreateRequest,
        sender: &mpsc::Sender<Result<WatchResponse, Status>>,
    ) -> Option<()> {
        let mut bell = self.shared.bell.subscribe();
        let (header, compacted, mut break_after) = {
            let mut state = self.state();
            (Self::header(&state), state.compacted, state.break_after.take())
        };
        let now = header.as_ref()?.revision;
        let created = WatchResponse {
            header,
            created: true,
            ..WatchResponse::default()
        };
        sender.send(Ok(created)).await.ok()?;
        let mut next = if create.start_revision == 0 {
            now + 1
        } else {
            create.start_revision
        };
        if next < compacted {
            let canceled = WatchResponse {
                canceled: true,
                compact_revision: compacted,
                ..WatchResponse::default()
            };
            return sender.send(Ok(canceled)).await.ok();
        }
        if create.progress_notify {
            let progress = WatchResponse {
                header,
                ..WatchResponse::default()
            };
            sender.send(Ok(progress)).await.ok()?;
        }
        loop {
            let (events, header) = {
                let state = self.state();
                (state.events.clone(), Self::header(&state))
            };
            for event in events {
                let pair = event.kv.as_ref()?;
                if pair.mod_revision < next || !is_wanted(&create, &event) {
                    continue;
                }
                if break_after == Some(0) {
                    sender
                        .send(Err(Status::unavailable("etcdserver: server stopped")))
                        .await
                        .ok()?;
                    return Some(());
                }
                break_after = break_after.map(|left| left - 1);
                next = pair.mod_revision + 1;
                let mut event = event.clone();
                if !create.prev_kv {
                    event.prev_kv = None;
                }
                let response = WatchResponse {
                    header,
                    events: vec![event],
                    ..WatchResponse::default()
                };
                sender.send(Ok(response)).await.ok()?;
            }
            bell.changed().await.ok()?;
        }
    }
}

/// Whether a watch is for the event's key and kind.
fn is_wanted(create: &WatchCreateRequest, event: &Event) -> bool {
    let key = event.kv.as_ref().map_or(&b""[..], |pair| &pair.key[..]);
    let is_inside = match &create.range_end[..] {
        b"" => *key == create.key[..],
        b"\0" => *key >= create.key[..],
        end => *key >= create.key[..] && key < end,
    };
    is_inside && !create.filters.contains(&event.r#type)
}
