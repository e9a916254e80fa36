//! What kube-apiservers ask of a store: reads, pages of lists, guarded updates, and events that come and go with a lease.
//!
//! Each client owns objects and events that no other client writes, as a kubelet owns its node and its pods: a guarded write
//! that is lost is then the server's fault. The guards start without knowledge, as an apiserver's cache may be wrong, and
//! take the revision from the transaction's other branch.

use std::time::Instant;

use super::plain::{Pending as Read, Plain, judge_read};
use super::{Calls, KEY_PREFIX, KEY_PREFIX_END, Spec, key};
use crate::bench::engine::load::{Verdict, Workload};
use crate::bench::engine::method::Method;
use crate::bench::message;
use crate::bench::tally::Tally;

/// Events, which come and go; apart from the objects, so that the number of those stays known.
pub const EVENT_PREFIX: &[u8] = b"almadia-bench-kube/";
/// The first key after them.
pub const EVENT_PREFIX_END: &[u8] = b"almadia-bench-kube0";
/// What watchers watch: objects, and events.
pub const WATCHED: [(&[u8], &[u8]); 2] = [(KEY_PREFIX, KEY_PREFIX_END), (EVENT_PREFIX, EVENT_PREFIX_END)];
/// Objects that a client writes.
pub const OBJECTS_EACH: usize = 16;
/// Events of a client, there or not.
const EVENTS_EACH: usize = 8;
/// How long events live, as in Kubernetes.
const EVENT_TTL_SECONDS: u64 = 3600;
/// Of a hundred calls: reads of one key, pages, updates; the rest creates or deletes an event.
const GETS: u64 = 45;
const PAGES: u64 = 10;
const UPDATES: u64 = 35;

/// The calls of all clients of a thread.
pub struct Kube {
    plain: Plain,
    first_client: usize,
    clients: Vec<Client>,
    /// Acknowledged writes to objects and to events.
    written: [Tally; 2],
}

/// What a client knows. A revision of 0 means: unknown (objects), or not there (events).
#[derive(Clone, Debug)]
struct Client {
    pending: Pending,
    lease: u64,
    objects: [u64; OBJECTS_EACH],
    events: [u64; EVENTS_EACH],
}

/// What a client's outstanding call is.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Grant,
    Read(Read),
    Update { object: usize },
    Create { event: usize },
    Delete { event: usize },
}

impl Kube {
    /// Calls for `clients` clients, the first of which has the number `first_client`.
    pub fn new(spec: Spec, first_client: usize, clients: usize, seed: u64) -> Self {
        let client = Client {
            pending: Pending::Grant,
            lease: 0,
            objects: [0; OBJECTS_EACH],
            events: [0; EVENTS_EACH],
        };
        Self {
            plain: Plain::new(spec, first_client, clients, seed),
            first_client,
            clients: vec![client; clients],
            written: [Tally::default(); 2],
        }
    }

    /// The number of the client's object or event, of which each client has `each`.
    fn own_key(&mut self, prefix: &[u8], client: usize, each: usize, at: usize) {
        let number = ((self.first_client + client) * each + at) as u64;
        self.plain.key.clear();
        key(&mut self.plain.key, prefix, number % self.plain.spec.keys);
    }

    fn new_value(&mut self, began: Instant) {
        let Plain {
            spec, random, value, ..
        } = &mut self.plain;
        spec.stamped_value(random, began, value);
    }

    fn update(&mut self, client: usize, began: Instant, message: &mut Vec<u8>) -> Pending {
        let object = self.plain.random.below(OBJECTS_EACH as u64) as usize;
        self.own_key(KEY_PREFIX, client, OBJECTS_EACH, object);
        self.new_value(began);
        let revision = self.clients[client].objects[object];
        message::guarded_put(message, &self.plain.key, revision, &self.plain.value, 0);
        Pending::Update { object }
    }

    /// Creates an event that is not there, deletes one that is.
    fn event(&mut self, client: usize, began: Instant, message: &mut Vec<u8>) -> Pending {
        let event = self.plain.random.below(EVENTS_EACH as u64) as usize;
        self.own_key(EVENT_PREFIX, client, EVENTS_EACH, event);
        let Client { lease, events, .. } = &self.clients[client];
        let (lease, revision) = (*lease, events[event]);
        if revision != 0 {
            message::guarded_delete(message, &self.plain.key, revision);
            return Pending::Delete { event };
        }
        self.new_value(began);
        message::guarded_put(message, &self.plain.key, 0, &self.plain.value, lease);
        Pending::Create { event }
    }

    fn judge_update(&mut self, client: usize, object: usize, answer: &[u8]) -> Verdict {
        let known = &mut self.clients[client].objects[object];
        if has_succeeded(answer) {
            *known = message::revision(answer);
            self.written[0].add(*known);
            return Verdict::Counted;
        }
        let before = std::mem::replace(known, message::found_revision(answer));
        match (before, *known) {
            (_, 0) => Verdict::Wrong("an object is gone"),
            (0, _) => Verdict::Prepared,
            _ => Verdict::Wrong("somebody else wrote an object of a client"),
        }
    }

    fn judge_create(&mut self, client: usize, event: usize, answer: &[u8]) -> Verdict {
        let known = &mut self.clients[client].events[event];
        if has_succeeded(answer) {
            *known = message::revision(answer);
            self.written[1].add(*known);
            return Verdict::Counted;
        }
        // Left by an earlier run, which is no fault.
        *known = message::found_revision(answer);
        match *known {
            0 => Verdict::Wrong("an event was not created and is not there"),
            _ => Verdict::Prepared,
        }
    }

    fn judge_delete(&mut self, client: usize, event: usize, answer: &[u8]) -> Verdict {
        let known = &mut self.clients[client].events[event];
        if has_succeeded(answer) {
            *known = 0;
            self.written[1].add(message::revision(answer));
            return Verdict::Counted;
        }
        *known = message::found_revision(answer);
        Verdict::Wrong("somebody else wrote an event of a client")
    }
}

impl Workload for Kube {
    fn request(&mut self, client: usize, began: Instant, message: &mut Vec<u8>) -> Option<Method> {
        let (pending, method) = if self.clients[client].lease == 0 {
            message::lease_grant(message, 0, EVENT_TTL_SECONDS);
            (Pending::Grant, message::LEASE_GRANT)
        } else {
            let roll = self.plain.random.below(100);
            if roll < GETS {
                (Pending::Read(self.plain.get(false, message)), message::RANGE)
            } else if roll < GETS + PAGES {
                (Pending::Read(self.plain.page(true, message)), message::RANGE)
            } else if roll < GETS + PAGES + UPDATES {
                (self.update(client, began, message), message::TXN)
            } else {
                (self.event(client, began, message), message::TXN)
            }
        };
        self.clients[client].pending = pending;
        Some(method)
    }

    fn answer(&mut self, client: usize, answer: &[u8]) -> Verdict {
        match self.clients[client].pending {
            Pending::Grant => {
                self.clients[client].lease = message::find_number(answer, 2);
                match self.clients[client].lease {
                    0 => Verdict::Wrong("a lease was not granted"),
                    _ => Verdict::Prepared,
                }
            }
            Pending::Read(Read::Read { pairs_min }) => judge_read(pairs_min, answer),
            Pending::Read(_) => unreachable!("only gets and pages are asked for"),
            Pending::Update { object } => self.judge_update(client, object, answer),
            Pending::Create { event } => self.judge_create(client, event, answer),
            Pending::Delete { event } => self.judge_delete(client, event, answer),
        }
    }

    fn message_bytes_max(&self) -> usize {
        self.plain.message_bytes_max()
    }
}

impl Calls for Kube {
    fn written(&self) -> Vec<Tally> {
        self.written.to_vec()
    }
}

fn has_succeeded(answer: &[u8]) -> bool {
    message::find_number(answer, 2) == 1
}

#[cfg(test)]
mod tests {
    use super::super::{kind::Kind, test_spec};
    use super::*;
    use almadia_etcd::proto::etcdserverpb::{
        LeaseGrantResponse, RangeResponse, ResponseHeader, ResponseOp, TxnRequest, TxnResponse, compare,
        request_op, response_op,
    };
    use almadia_etcd::proto::mvccpb::KeyValue;
    use prost::Message;

    /// A store that knows mod revisions only.
    #[derive(Default)]
    struct Store {
        revision: i64,
        keys: std::collections::BTreeMap<Vec<u8>, i64>,
        leased: usize,
        deleted: usize,
    }

    impl Store {
        fn txn(&mut self, request: &[u8]) -> Vec<u8> {
            let request = TxnRequest::decode(request).expect("valid");
            let guard = &request.compare[0];
            let found = self.keys.get(&guard.key[..]).copied().unwrap_or(0);
            let succeeded = guard.target_union == Some(compare::TargetUnion::ModRevision(found));
            let mut responses = Vec::new();
            if succeeded {
                self.revision += 1;
                match request.success[0].request.clone().expect("an operation") {
                    request_op::Request::RequestPut(put) => {
                        self.leased += usize::from(put.lease == 77);
                        self.keys.insert(put.key.to_vec(), self.revision);
                    }
                    request_op::Request::RequestDeleteRange(delete) => {
                        self.deleted += 1;
                        self.keys.remove(&delete.key[..]);
                    }
                    other => panic!("{other:?}"),
                }
            } else if found != 0 {
                let pair = KeyValue {
                    mod_revision: found,
                    ..KeyValue::default()
                };
                let read = RangeResponse {
                    kvs: vec![pair],
                    ..RangeResponse::default()
                };
                responses.push(ResponseOp {
                    response: Some(response_op::Response::ResponseRange(read)),
                });
            }
            let header = Some(ResponseHeader {
                revision: self.revision,
                ..ResponseHeader::default()
            });
            TxnResponse {
                header,
                succeeded,
                responses,
            }
            .encode_to_vec()
        }
    }

    fn run(kube: &mut Kube, store: &mut Store, calls: usize) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for _ in 0..calls {
            let mut request = Vec::new();
            let method = kube.request(0, Instant::now(), &mut request).expect("endless");
            let answer = match method {
                message::TXN => store.txn(&request),
                message::LEASE_GRANT => LeaseGrantResponse {
                    id: 77,
                    ..LeaseGrantResponse::default()
                }
                .encode_to_vec(),
                _ => continue,
            };
            verdicts.push(kube.answer(0, &answer));
        }
        verdicts
    }

    /// Promise: objects and events found at the start are learned, then every guarded write is won; what was won is
    /// remembered for the watchers.
    #[test]
    fn guards_are_learned_and_then_hold() {
        let mut store = Store {
            revision: 500,
            ..Store::default()
        };
        for (prefix, each) in [(KEY_PREFIX, OBJECTS_EACH), (EVENT_PREFIX, EVENTS_EACH / 2)] {
            for number in 0..each as u64 {
                let mut name = Vec::new();
                key(&mut name, prefix, number);
                store.keys.insert(name, 100);
            }
        }
        let mut kube = Kube::new(test_spec(Kind::Kube, 2_000), 0, 1, 1);
        let first = run(&mut kube, &mut store, 1_000);
        assert!(
            first.iter().all(|verdict| !matches!(verdict, Verdict::Wrong(_))),
            "{first:?}"
        );
        let later = run(&mut kube, &mut store, 1_000);
        assert!(
            later.iter().all(|verdict| *verdict == Verdict::Counted),
            "{later:?}"
        );
        let written: u64 = kube.written().iter().map(|tally| tally.count).sum();
        assert_eq!(written, store.revision as u64 - 500);
        assert!(store.leased > 20 && store.deleted > 20);
    }

    /// Promise: a write that somebody else made between ours does not go unseen.
    #[test]
    fn a_lost_guard_is_told() {
        let mut store = Store::default();
        let mut kube = Kube::new(test_spec(Kind::Kube, 2_000), 0, 1, 1);
        run(&mut kube, &mut store, 1_000);
        store
            .keys
            .values_mut()
            .for_each(|revision| *revision += 1_000_000);
        let verdicts = run(&mut kube, &mut store, 1_000);
        let wrong = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Wrong(_)))
            .count();
        assert!(
            (OBJECTS_EACH..=OBJECTS_EACH + EVENTS_EACH).contains(&wrong),
            "{wrong}"
        );
    }
}
