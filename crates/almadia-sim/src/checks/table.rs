//! Every key at every revision, built once from the witness. It answers what stood where and when, and judges nothing.

use super::witness::Witness;
use crate::history::{Event, KeyValue, Lease, Revision, Span, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What a key became at a revision; `None` is deleted.
struct Version {
    revision: Revision,
    kv: Option<KeyValue>,
}

/// All versions of all keys, in order.
#[derive(Default)]
pub(super) struct Table {
    keys: BTreeMap<Text, Vec<Version>>,
    leases: BTreeMap<Lease, BTreeSet<Text>>,
}

impl Table {
    /// As the changes say.
    pub(super) fn of(witness: &Witness) -> Table {
        let mut table = Table::default();
        for (_, events) in witness.iter() {
            for event in events {
                table.record(event);
            }
        }
        table
    }

    fn record(&mut self, event: &Event) {
        let kv = match event {
            Event::Put { kv, .. } => Some(kv.clone()),
            Event::Delete { .. } => None,
        };
        if let Some(kv) = &kv
            && kv.lease != 0
        {
            self.leases.entry(kv.lease).or_default().insert(kv.key.clone());
        }
        let revision = event.revision();
        match self.keys.get_mut(event.key()) {
            Some(versions) => versions.push(Version { revision, kv }),
            None => {
                self.keys
                    .insert(event.key().clone(), vec![Version { revision, kv }]);
            }
        }
    }

    /// A key as it stood at a revision.
    pub(super) fn get(&self, key: &Text, at: Revision) -> Option<&KeyValue> {
        version_at(self.keys.get(key)?, at)
    }

    /// Keys of a span as they stood at a revision, in key order.
    pub(super) fn range(&self, span: &Span, at: Revision) -> impl Iterator<Item = &KeyValue> {
        let one = span
            .range_end
            .is_empty()
            .then(|| self.get(&span.key, at))
            .flatten();
        let endless = span.range_end.as_bytes() == [0];
        let many = !span.range_end.is_empty() && (endless || span.key < span.range_end);
        let many = many.then(|| {
            let end = if endless {
                Bound::Unbounded
            } else {
                Bound::Excluded(&span.range_end)
            };
            let found = self.keys.range::<Text, _>((Bound::Included(&span.key), end));
            found.filter_map(move |(_, versions)| version_at(versions, at))
        });
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Keys that hung on a lease at a revision, in key order.
    pub(super) fn attached(&self, lease: Lease, at: Revision) -> impl Iterator<Item = &Text> {
        let ever = self.leases.get(&lease).into_iter().flatten();
        ever.filter(move |key| self.get(key, at).is_some_and(|kv| kv.lease == lease))
    }
}

fn version_at(versions: &[Version], at: Revision) -> Option<&KeyValue> {
    let after = versions.partition_point(|version| version.revision <= at);
    versions[..after].last()?.kv.as_ref()
}
