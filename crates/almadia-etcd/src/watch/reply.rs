//! One message on a watch stream, as bytes. Records already are encoded `mvccpb.KeyValue`s: an event is copied together
//! from them, and no message is built. Decides nothing but where an answer that is too large is cut.

use crate::encode::{
    bool_len, header_len, message_len, number_len, put_bool, put_header, put_message, put_number,
};
use crate::proto::etcdserverpb::ResponseHeader;
use crate::wire::Answer;
use almadia_store::watch::{Event, Events};
use bytes::BufMut;
use std::ops::Range;

/// Field numbers of `etcdserverpb.WatchResponse`; the header is field 1.
const WATCH_ID: u32 = 2;
const CREATED: u32 = 3;
const CANCELED: u32 = 4;
const COMPACT_REVISION: u32 = 5;
const CANCEL_REASON: u32 = 6;
const FRAGMENT: u32 = 7;
const EVENTS: u32 = 11;

/// And of `mvccpb.Event`, whose type is 0 for a put.
const TYPE: u32 = 1;
const KV: u32 = 2;
const PREV_KV: u32 = 3;
const DELETE: i64 = 1;

/// A message to the client.
#[derive(Debug, Default)]
pub(crate) struct WatchReply {
    pub(crate) header: ResponseHeader,
    pub(crate) watch_id: i64,
    pub(crate) created: bool,
    pub(crate) canceled: bool,
    pub(crate) compact_revision: i64,
    pub(crate) cancel_reason: String,
    pub(crate) fragment: bool,
    pub(crate) events: Option<Told>,
}

/// Events of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    events: Events,
    shown: Range<usize>,
    prev: bool,
}

impl Told {
    /// All of `events`; with what was there before, as far as it is in them.
    pub(crate) fn new(events: Events, prev: bool) -> Self {
        let shown = 0..events.len();
        Self { events, shown, prev }
    }

    fn shown(&self) -> &[Event] {
        &self.events[self.shown.clone()]
    }
}

impl WatchReply {
    /// The pieces that go out instead of this answer when it is `bytes_max` bytes or more: each but the last below that,
    /// or with one event. As etcd cuts them.
    pub(crate) fn cut(self, bytes_max: usize) -> Vec<Self> {
        let Some(told) = &self.events else {
            return vec![self];
        };
        if self.encoded_len() < bytes_max || told.shown().len() < 2 {
            return vec![self];
        }
        let mut pieces = Vec::new();
        let mut start = 0;
        while start < told.shown().len() {
            let piece = self.piece(told, start, bytes_max);
            start = piece.events.as_ref().map_or(usize::MAX, |told| told.shown.end);
            pieces.push(piece);
        }
        pieces
    }

    fn piece(&self, told: &Told, start: usize, bytes_max: usize) -> Self {
        let mut piece = Self {
            header: self.header,
            watch_id: self.watch_id,
            fragment: true,
            ..Self::default()
        };
        let mut bytes = piece.encoded_len();
        let mut end = start;
        for event in &told.shown()[start..] {
            bytes += message_len(event_len(event, told.prev));
            if end > start && bytes >= bytes_max {
                break;
            }
            end += 1;
        }
        piece.fragment = end < told.shown().len();
        piece.events = Some(Told {
            events: told.events.clone(),
            shown: start..end,
            prev: told.prev,
        });
        piece
    }

    fn events(&self) -> impl Iterator<Item = (&Event, bool)> {
        let told = self.events.iter();
        told.flat_map(|told| told.shown().iter().map(|event| (event, told.prev)))
    }
}

impl Answer for WatchReply {
    fn encoded_len(&self) -> usize {
        let reason = match self.cancel_reason.len() {
            0 => 0,
            len => message_len(len),
        };
        let events: usize = self
            .events()
            .map(|(event, prev)| message_len(event_len(event, prev)))
            .sum();
        header_len(&self.header)
            + number_len(self.watch_id)
            + bool_len(self.created)
            + bool_len(self.canceled)
            + number_len(self.compact_revision)
            + reason
            + bool_len(self.fragment)
            + events
    }

    fn encode(&self, into: &mut impl BufMut) {
        put_header(&self.header, into);
        put_number(WATCH_ID, self.watch_id, into);
        put_bool(CREATED, self.created, into);
        put_bool(CANCELED, self.canceled, into);
        put_number(COMPACT_REVISION, self.compact_revision, into);
        if !self.cancel_reason.is_empty() {
            put_message(CANCEL_REASON, self.cancel_reason.len(), into);
            into.put_slice(self.cancel_reason.as_bytes());
        }
        put_bool(FRAGMENT, self.fragment, into);
        for (event, prev) in self.events() {
            put_event(event, prev, into);
        }
    }
}

fn event_type(event: &Event) -> i64 {
    if event.record.is_tombstone() { DELETE } else { 0 }
}

fn event_len(event: &Event, prev: bool) -> usize {
    let prev = event.prev.as_ref().filter(|_| prev);
    number_len(event_type(event))
        + message_len(event.record.encoded().len())
        + prev.map_or(0, |prev| message_len(prev.encoded().len()))
}

fn put_event(event: &Event, prev: bool, into: &mut impl BufMut) {
    put_message(EVENTS, event_len(event, prev), into);
    put_number(TYPE, event_type(event), into);
    put_message(KV, event.record.encoded().len(), into);
    into.put_slice(event.record.encoded());
    if let Some(prev) = event.prev.as_ref().filter(|_| prev) {
        put_message(PREV_KV, prev.encoded().len(), into);
        into.put_slice(prev.encoded());
    }
}
