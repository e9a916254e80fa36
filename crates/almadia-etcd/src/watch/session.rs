//! One watch stream, from its first request to its end.

use super::create::{self, DUPLICATE_ID, refusal_text};
use super::reply::{self, WatchReply};
use super::ticker::Ticker;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::coalesce::Working;
use crate::error::Fault;
use crate::proto::etcdserverpb as pb;
use crate::service::Shared;
use crate::sign::Sign;
use crate::slots::Slot;
use crate::stream::Messages;
use almadia_command::{Actor, Revision};
use almadia_store::watch::{KeyRange, Told, WatchSlot, Watches};
use almadia_store::{AuthRefusal, Need, View};
use pb::watch_request::RequestUnion;
use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

/// Shown for a watch that was never made, and for all watches of a stream.
const NO_WATCH: i64 = -1;

/// Requests read in one turn at most: a client that sends without end must not keep the thread.
const REQUESTS_PER_TURN_MAX: usize = 64;

/// A watch stream: polled for the next message to its client.
pub(super) struct Session<B> {
    shared: Arc<Shared<B>>,
    caller: Caller,
    /// None once the client has said all.
    requests: Option<Messages<pb::WatchRequest>>,
    watches: Watches,
    by_id: BTreeMap<i64, Named>,
    ids: BTreeMap<WatchSlot, i64>,
    next_id: i64,
    replies: VecDeque<WatchReply>,
    ticker: Option<Ticker>,
    /// Of users and roles, when the watches were last checked.
    auth_revision: u64,
    /// A request for a watch whose user is being looked for; no other is read meanwhile.
    knowing: Option<Knowing>,
    /// Why the stream ends although nothing is wrong with it.
    cut: Pin<Box<dyn Future<Output = Fault> + Send>>,
    is_over: bool,
    /// Events for several streams of a connection go out together.
    working: Option<Working>,
    signs: Signs,
}

/// What has called since it was last looked at.
#[derive(Default)]
struct Signs {
    /// The client, the end of the stream, the ticker.
    client: Sign,
    /// The watchers.
    events: Sign,
}

type Known = Result<Option<Actor>, Fault>;

struct Knowing {
    request: pb::WatchCreateRequest,
    known: Pin<Box<dyn Future<Output = Known> + Send>>,
}

/// A watch as its client knows it.
struct Named {
    slot: WatchSlot,
    range: KeyRange,
    actor: Option<Actor>,
    prev: bool,
    fragment: bool,
    /// Wants to hear now and then that all is quiet.
    progress: bool,
    /// Nothing was sent since the last tick.
    is_quiet: bool,
    /// Counts among the watches of this member.
    _place: Slot,
}

impl<B: Backend> Session<B> {
    pub(super) fn new(
        shared: Arc<Shared<B>>,
        caller: Caller,
        requests: Messages<pb::WatchRequest>,
        wants_leader: bool,
        working: Option<Working>,
    ) -> Self {
        Self {
            watches: shared.backend.watches().watches(),
            auth_revision: shared.backend.view().auth().revision(),
            cut: shared.cut(wants_leader),
            shared,
            caller,
            requests: Some(requests),
            by_id: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_id: 0,
            replies: VecDeque::new(),
            ticker: None,
            knowing: None,
            is_over: false,
            working,
            signs: Signs::default(),
        }
    }

    fn poll_reply(&mut self, context: &mut Context<'_>) -> Poll<Result<WatchReply, Status>> {
        self.signs.client.listen(context);
        self.signs.events.listen(context);
        let mut requests = 0;
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Poll::Ready(Ok(reply));
            }
            // Requests come first: who gives a watch up must not have to take its events before.
            if requests < REQUESTS_PER_TURN_MAX && self.signs.client.take() {
                self.hear_client(&mut requests)?;
                continue;
            }
            match self.poll_told() {
                Poll::Ready(Some(told)) => self.tell(told),
                Poll::Ready(None) => return Poll::Ready(Err(Fault::Stopped.into())),
                Poll::Pending => {
                    if requests == REQUESTS_PER_TURN_MAX {
                        // There may be more requests: after others had their turn.
                        context.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_told(&mut self) -> Poll<Option<Told>> {
        if !self.signs.events.take() {
            return Poll::Pending;
        }
        let waker = self.signs.events.waker();
        let told = ready!(self.watches.poll_next(&mut Context::from_waker(&waker)));
        // There may be more.
        self.signs.events.give();
        Poll::Ready(told)
    }

    /// Looks at the end of the stream, the client's next request and the ticker; at most one of the last two at a time.
    fn hear_client(&mut self, requests: &mut usize) -> Result<(), Status> {
        let waker = self.signs.client.waker();
        let context = &mut Context::from_waker(&waker);
        if let Poll::Ready(fault) = self.cut.as_mut().poll(context) {
            return Err(fault.into());
        }
        if let Poll::Ready(request) = self.poll_request(context) {
            *requests += 1;
            self.handle(request?);
        } else if let Some(ticker) = &mut self.ticker
            && ticker.poll_tick(context).is_ready()
        {
            self.tick();
        } else {
            return Ok(());
        }
        // There may be more of it, and there may be a new watcher.
        self.signs.client.give();
        self.signs.events.give();
        Ok(())
    }

    /// The next request; none for one that says nothing, or that has been carried out. Pending for ever once the client
    /// has said all.
    fn poll_request(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<RequestUnion>, Status>> {
        if let Some(knowing) = &mut self.knowing {
            let known = ready!(knowing.known.as_mut().poll(context));
            if let Some(knowing) = self.knowing.take() {
                self.create_as(&knowing.request, known);
            }
            return Poll::Ready(Ok(None));
        }
        let Some(requests) = &mut self.requests else {
            return Poll::Pending;
        };
        // Nothing is lost when the future is dropped before it is ready.
        let request = ready!(pin!(requests.next()).poll(context));
        match request {
            Ok(Some(request)) => Poll::Ready(Ok(request.request_union)),
            Ok(None) => {
                // The client may well listen on.
                self.requests = None;
                Poll::Pending
            }
            Err(status) => Poll::Ready(Err(status)),
        }
    }

    fn handle(&mut self, request: Option<RequestUnion>) {
        match request {
            Some(RequestUnion::CreateRequest(request)) => self.create(request),
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.watches.ask_progress(None),
            None => {}
        }
    }

    fn create(&mut self, request: pb::WatchCreateRequest) {
        match self.shared.actor(&self.caller, &self.shared.backend.view()) {
            // Another member may know more of users by now.
            Err(Fault::Auth(AuthRefusal::OldRevision)) => {
                let (shared, caller) = (self.shared.clone(), self.caller.clone());
                let known = Box::pin(async move { shared.known_actor(&caller).await });
                self.knowing = Some(Knowing { request, known });
            }
            known => self.create_as(&request, known),
        }
    }

    fn create_as(&mut self, request: &pb::WatchCreateRequest, known: Known) {
        let view = self.shared.backend.view();
        let range = create::range_of(request);
        let permitted = known.and_then(|actor| {
            view.permits(actor.as_ref(), read(&range))?;
            Ok(actor)
        });
        let actor = match permitted {
            Ok(actor) => actor,
            Err(fault) => return self.refuse(&view, refusal_text(fault)),
        };
        let watch = match create::watch_of(request, range.clone()) {
            Ok(watch) => watch,
            Err(reason) => return self.refuse(&view, reason),
        };
        let place = match self.place() {
            Ok(place) => place,
            Err(fault) => return self.refuse(&view, refusal_text(fault)),
        };
        let id = match request.watch_id {
            0 => self.choose_id(),
            id if self.by_id.contains_key(&id) => return self.refuse(&view, DUPLICATE_ID.to_owned()),
            id => id,
        };
        let (slot, revision) = self.watches.add(watch);
        let named = Named {
            slot,
            range,
            actor,
            prev: request.prev_kv,
            fragment: request.fragment,
            progress: request.progress_notify,
            is_quiet: true,
            _place: place,
        };
        if named.progress && self.ticker.is_none() {
            self.ticker = Some(Ticker::new(self.shared.config.progress_interval));
        }
        self.by_id.insert(id, named);
        self.ids.insert(slot, id);
        self.replies.push_back(WatchReply {
            header: self.header(&view, revision),
            watch_id: id,
            created: true,
            ..WatchReply::default()
        });
    }

    /// A place for one more watch.
    fn place(&self) -> Result<Slot, Fault> {
        let slots = &self.shared.watch_slots;
        if self.by_id.len() >= self.shared.config.limits.stream_watches_max {
            slots.refuse();
            return Err(Fault::TooManyStreamWatches);
        }
        slots.take().ok_or(Fault::TooManyWatches)
    }

    /// Counts up, past the ids in use; an id that was given up is not chosen again.
    fn choose_id(&mut self) -> i64 {
        while self.by_id.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn refuse(&mut self, view: &View, reason: String) {
        self.replies.push_back(WatchReply {
            header: self.header(view, view.revision()),
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason: reason,
            ..WatchReply::default()
        });
    }

    fn cancel(&mut self, id: i64) {
        if self.forget(id) {
            let view = self.shared.backend.view();
            self.replies.push_back(WatchReply {
                header: self.header(&view, view.revision()),
                watch_id: id,
                canceled: true,
                ..WatchReply::default()
            });
        }
    }

    fn forget(&mut self, id: i64) -> bool {
        let Some(named) = self.by_id.remove(&id) else {
            return false;
        };
        self.ids.remove(&named.slot);
        self.watches.remove(named.slot);
        true
    }

    /// Asks for notices to the watches that want them and heard nothing since the last tick.
    fn tick(&mut self) {
        for named in self.by_id.values_mut().filter(|named| named.progress) {
            if named.is_quiet {
                self.watches.ask_progress(Some(named.slot));
            }
            named.is_quiet = true;
        }
    }

    fn tell(&mut self, told: Told) {
        let view = self.shared.backend.view();
        match told {
            Told::Events {
                slot,
                events,
                revision,
            } => {
                if let Some(working) = &self.working {
                    working.speaks();
                }
                self.check_permissions(&view);
                let Some((id, named)) = named(&self.ids, &mut self.by_id, slot) else {
                    return;
                };
                named.is_quiet = false;
                let (prev, fragment) = (named.prev, named.fragment);
                self.shared.metrics.events.inc_by(events.len() as u64);
                let reply = WatchReply {
                    header: self.header(&view, revision),
                    watch_id: id,
                    events: Some(reply::Told::new(events, prev)),
                    ..WatchReply::default()
                };
                if fragment {
                    self.replies
                        .extend(reply.cut(self.shared.config.message_bytes_max()));
                } else {
                    self.replies.push_back(reply);
                }
            }
            // The watch stays, as in etcd: its id is in use until it is cancelled, and nobody speaks for the stream.
            Told::Compacted { slot, compacted } => {
                let Some(id) = self.ids.get(&slot).copied() else {
                    return;
                };
                self.replies.push_back(WatchReply {
                    header: self.header(&view, Revision(0)),
                    watch_id: id,
                    canceled: true,
                    compact_revision: compacted.get(),
                    ..WatchReply::default()
                });
            }
            Told::Reached { slot, revision } => {
                let id = slot.map_or(Some(NO_WATCH), |slot| self.ids.get(&slot).copied());
                let Some(watch_id) = id else { return };
                self.replies.push_back(WatchReply {
                    header: self.header(&view, revision),
                    watch_id,
                    ..WatchReply::default()
                });
            }
        }
    }

    /// After users or roles have changed: who may no longer read what it watches hears nothing more of it.
    fn check_permissions(&mut self, view: &View) {
        let auth_revision = view.auth().revision();
        if auth_revision == self.auth_revision {
            return;
        }
        self.auth_revision = auth_revision;
        let mut refused = Vec::new();
        for (id, named) in &mut self.by_id {
            if let Some(actor) = &mut named.actor {
                // Who it is was proved when the watch began; what it may do now is the question.
                actor.auth_revision = auth_revision;
            }
            if let Err(refusal) = view.permits(named.actor.as_ref(), read(&named.range)) {
                refused.push((*id, refusal_text(refusal.into())));
            }
        }
        for (id, cancel_reason) in refused {
            self.forget(id);
            self.replies.push_back(WatchReply {
                header: self.header(view, view.revision()),
                watch_id: id,
                canceled: true,
                cancel_reason,
                ..WatchReply::default()
            });
        }
    }

    fn header(&self, view: &View, revision: Revision) -> pb::ResponseHeader {
        self.shared.header(revision, view.applied().1)
    }
}

fn read(range: &KeyRange) -> Need<'_> {
    Need::Read {
        key: range.key(),
        range_end: range.range_end(),
    }
}

fn named<'a>(
    ids: &BTreeMap<WatchSlot, i64>,
    by_id: &'a mut BTreeMap<i64, Named>,
    slot: WatchSlot,
) -> Option<(i64, &'a mut Named)> {
    let id = *ids.get(&slot)?;
    Some((id, by_id.get_mut(&id)?))
}

impl<B: Backend> Stream for Session<B> {
    type Item = Result<WatchReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let reply = ready!(self.poll_reply(context));
        self.is_over = reply.is_err();
        Poll::Ready(Some(reply))
    }
}
