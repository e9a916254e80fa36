//! What a request does and answers on a state: etcd's rules, as plainly as they can be said. It knows neither time nor
//! refusals.

use super::table::Table;
use crate::history::{Body, Compare, Event, KeyValue, Operand, Range, Request, Revision, Span, Text, Txn};
use std::collections::BTreeMap;

/// What a request does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// What it answers; `None` if that is not for this file to say.
    pub(super) body: Option<Body>,
    /// What it changes, in order.
    pub(super) events: Vec<Event>,
}

/// Carries a request out on the state at `at`; what it writes gets the revision after that.
pub(super) fn execute(request: &Request, table: &Table, at: Revision) -> Effect {
    let mut scene = Scene {
        table,
        at,
        written: BTreeMap::new(),
        events: Vec::new(),
    };
    let body = scene.request(request);
    Effect {
        body,
        events: scene.events,
    }
}

/// The lock key that stands for a lease: the recipe of etcd's concurrency package.
pub(super) fn lock_key(name: &Text, lease: i64) -> Text {
    let mut key = name.as_bytes().to_vec();
    key.extend_from_slice(format!("/{lease:x}").as_bytes());
    key.into()
}

/// The state at a revision with what this request has written on top.
struct Scene<'a> {
    table: &'a Table,
    at: Revision,
    written: BTreeMap<Text, Option<KeyValue>>,
    events: Vec<Event>,
}

impl Scene<'_> {
    fn request(&mut self, request: &Request) -> Option<Body> {
        match request {
            Request::Put {
                key,
                value,
                lease,
                prev_kv,
            } => {
                let prev = self.put(key, value, *lease).filter(|_| *prev_kv);
                Some(Body::Put { prev })
            }
            Request::Range(range) => Some(self.range(range)),
            Request::Delete { span, prev_kv } => Some(self.delete(span, *prev_kv)),
            Request::Txn(txn) => self.txn(txn),
            Request::LeaseRevoke { lease } => {
                let keys: Vec<Text> = self.table.attached(*lease, self.at).cloned().collect();
                for key in keys {
                    self.delete(&Span::one(key), false);
                }
                Some(Body::Nothing)
            }
            Request::Unlock { key } => {
                self.delete(&Span::one(key.clone()), false);
                Some(Body::Nothing)
            }
            Request::Lock { .. }
            | Request::Compact { .. }
            | Request::LeaseGrant { .. }
            | Request::LeaseKeepAlive { .. }
            | Request::LeaseTimeToLive { .. } => None,
        }
    }

    fn put(&mut self, key: &Text, value: &Text, lease: i64) -> Option<KeyValue> {
        let revision = self.at + 1;
        let prev = self.get(key);
        let kv = KeyValue {
            key: key.clone(),
            value: value.clone(),
            create_revision: prev.as_ref().map_or(revision, |prev| prev.create_revision),
            mod_revision: revision,
            version: prev.as_ref().map_or(0, |prev| prev.version) + 1,
            lease,
        };
        self.written.insert(key.clone(), Some(kv.clone()));
        self.events.push(Event::Put { kv, prev: None });
        prev
    }

    fn delete(&mut self, span: &Span, with_prevs: bool) -> Body {
        let prevs = self.keys(span);
        for kv in &prevs {
            self.written.insert(kv.key.clone(), None);
            self.events.push(Event::Delete {
                key: kv.key.clone(),
                mod_revision: self.at + 1,
                prev: None,
            });
        }
        Body::Delete {
            deleted: prevs.len() as i64,
            prevs: if with_prevs { prevs } else { Vec::new() },
        }
    }

    fn range(&self, range: &Range) -> Body {
        let mut kvs = if range.revision > 0 {
            self.table.range(&range.span, range.revision).cloned().collect()
        } else {
            self.keys(&range.span)
        };
        let count = kvs.len() as i64;
        if range.count_only {
            kvs.clear();
        }
        let more = range.limit > 0 && kvs.len() as i64 > range.limit;
        if more {
            kvs.truncate(usize::try_from(range.limit).unwrap_or(usize::MAX));
        }
        if range.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Text::default());
        }
        Body::Range { kvs, count, more }
    }

    fn txn(&mut self, txn: &Txn) -> Option<Body> {
        let succeeded = txn.compares.iter().all(|compare| self.compare(compare));
        let list = if succeeded { &txn.success } else { &txn.failure };
        let bodies: Option<Vec<Body>> = list.iter().map(|request| self.request(request)).collect();
        Some(Body::Txn {
            succeeded,
            bodies: bodies?,
        })
    }

    fn compare(&self, compare: &Compare) -> bool {
        // On the state before the whole request, as in etcd: what inner transactions compare is settled beforehand.
        let mut kvs = self.table.range(&compare.span, self.at).peekable();
        if kvs.peek().is_some() {
            return kvs.all(|kv| holds(compare, kv));
        }
        // A key that is not there has zeros everywhere, but no value at all.
        let zeros = KeyValue {
            key: compare.span.key.clone(),
            value: Text::default(),
            create_revision: 0,
            mod_revision: 0,
            version: 0,
            lease: 0,
        };
        !matches!(compare.operand, Operand::Value(_)) && holds(compare, &zeros)
    }

    fn get(&self, key: &Text) -> Option<KeyValue> {
        match self.written.get(key) {
            Some(written) => written.clone(),
            None => self.table.get(key, self.at).cloned(),
        }
    }

    fn keys(&self, span: &Span) -> Vec<KeyValue> {
        if span.range_end.is_empty() {
            return self.get(&span.key).into_iter().collect();
        }
        if self.written.is_empty() {
            return self.table.range(span, self.at).cloned().collect();
        }
        let before = self
            .table
            .range(span, self.at)
            .map(|kv| (kv.key.clone(), Some(kv.clone())));
        let mut merged: BTreeMap<Text, Option<KeyValue>> = before.collect();
        let written = self.written.iter().filter(|(key, _)| span.holds(key));
        merged.extend(written.map(|(key, kv)| (key.clone(), kv.clone())));
        merged.into_values().flatten().collect()
    }
}

fn holds(compare: &Compare, kv: &KeyValue) -> bool {
    let verdict = compare.verdict;
    match &compare.operand {
        Operand::Value(value) => verdict.holds(&kv.value, value),
        Operand::CreateRevision(revision) => verdict.holds(&kv.create_revision, revision),
        Operand::ModRevision(revision) => verdict.holds(&kv.mod_revision, revision),
        Operand::Version(version) => verdict.holds(&kv.version, version),
        Operand::Lease(lease) => verdict.holds(&kv.lease, lease),
    }
}
