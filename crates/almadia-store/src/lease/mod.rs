//! Leases: which there are, what time they were granted and have left by the log, and which keys hang on them.
//!
//! Nothing here counts time: the leader does, and writes what it counted into the log. The table is in every view, so
//! it is cheap to clone at any number of leases and keys.

mod held;
#[cfg(test)]
mod tests;

use crate::apply;
use crate::outcome::{Answer, Refusal};
use crate::record::Record;
use crate::table::{Table, TableError};
use crate::view::View;
use almadia_command::{LeaseCheckpoint, LeaseGrant, LeaseId, LeaseRevoke, LogIndex, Term};
use bytes::Bytes;
use held::{Held, HeldKeys};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use prost::Message;

/// One lease, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Seconds it was granted.
    pub ttl: i64,
    /// Milliseconds it had left when that was last noted; 0 says that it had its whole time. A leader that begins
    /// counts from here.
    pub remaining_ms: i64,
    /// The entry that made it: an id may be used again after a lease has ended.
    pub granted: LogIndex,
}

/// A lease that differs between two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// It is there now, or is another one with the same id.
    Granted(LeaseId, Lease),
    /// The time it has left was noted.
    Noted(LeaseId, Lease),
    /// It has ended.
    Ended(LeaseId),
}

/// All leases. Cheap to clone.
///
/// Leases and their keys stand apart: what counts time compares tables, and must not see each key that comes and goes.
/// Every lease in `held` is in `leases`, and has a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTable {
    leases: OrdMap<LeaseId, Lease>,
    held: Held,
}

impl LeaseTable {
    /// Whether the lease exists.
    pub fn contains(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    /// The lease, if it exists.
    pub fn get(&self, lease: LeaseId) -> Option<Lease> {
        self.leases.get(&lease).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, Lease)> + '_ {
        self.leases.iter().map(|(id, lease)| (*id, *lease))
    }

    /// The keys that hang on a lease, in order.
    pub fn keys(&self, lease: LeaseId) -> impl Iterator<Item = &[u8]> {
        self.held.keys(lease)
    }

    /// The leases by themselves, so that whoever keeps them does not keep keys that have gone meanwhile.
    #[must_use]
    pub fn without_keys(&self) -> Self {
        Self {
            leases: self.leases.clone(),
            held: Held::default(),
        }
    }

    /// Surely the same leases, whatever hangs on them. False may mean anything; one comparison.
    pub fn is_same(&self, other: &Self) -> bool {
        self.leases.ptr_eq(&other.leases)
    }

    /// What has changed since `older`. Costs what has changed, not what there is: parts that both share are passed over.
    pub fn changes_since<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = LeaseChange> + 'a {
        let changed = !self.is_same(older);
        let differences = changed.then(|| older.leases.diff(&self.leases));
        differences.into_iter().flatten().map(|item| match item {
            DiffItem::Add(id, lease) => LeaseChange::Granted(*id, *lease),
            DiffItem::Update { old, new } if old.1.granted != new.1.granted => {
                LeaseChange::Granted(*new.0, *new.1)
            }
            DiffItem::Update { new, .. } => LeaseChange::Noted(*new.0, *new.1),
            DiffItem::Remove(id, _) => LeaseChange::Ended(*id),
        })
    }

    /// A key hangs on another lease than before, or on none.
    pub(crate) fn move_key(&mut self, key: &[u8], before: LeaseId, after: LeaseId) {
        if before == after {
            return;
        }
        if before != LeaseId(0) {
            self.held.detach(key, before);
        }
        self.attach(key, after);
    }

    /// For a store that is restored: the keys hang on the leases that their records name.
    pub(crate) fn attach_live(&mut self, record: &Record) {
        if !record.is_tombstone() {
            self.attach(record.key(), record.lease());
        }
    }

    fn attach(&mut self, key: &[u8], lease: LeaseId) {
        // A put with a lease that does not exist was refused; a restored record with one hangs on nothing.
        if lease != LeaseId(0) && self.contains(lease) {
            self.held.attach(key, lease);
        }
    }

    /// Ends a lease and gives its keys.
    fn end(&mut self, lease: LeaseId) -> Option<HeldKeys> {
        self.leases.remove(&lease)?;
        Some(self.held.take(lease))
    }
}

pub(crate) fn apply_grant(state: &mut View, grant: &LeaseGrant) -> Result<Answer, Refusal> {
    let id = LeaseId(grant.id);
    // The edge chooses an id where none is asked for; 0 means "no lease" everywhere else.
    if id == LeaseId(0) {
        return Err(Refusal::LeaseNotFound);
    }
    if state.leases.contains(id) {
        return Err(Refusal::LeaseExists);
    }
    let lease = Lease {
        ttl: grant.ttl,
        remaining_ms: 0,
        granted: state.applied.0,
    };
    state.leases.leases.insert(id, lease);
    Ok(Answer::LeaseGrant { id, ttl: grant.ttl })
}

pub(crate) fn apply_revoke(state: &mut View, term: Term, revoke: &LeaseRevoke) -> Result<Answer, Refusal> {
    if revoke.expired_in_term != 0 && revoke.expired_in_term != term.0 {
        return Err(Refusal::StaleTerm);
    }
    let keys = state.leases.end(LeaseId(revoke.id));
    let keys = keys.ok_or(Refusal::LeaseNotFound)?;
    apply::delete_keys(state, keys.iter());
    Ok(Answer::LeaseRevoke)
}

pub(crate) fn apply_checkpoint(
    state: &mut View,
    term: Term,
    checkpoint: &LeaseCheckpoint,
) -> Result<Answer, Refusal> {
    if checkpoint.term != term.0 {
        return Err(Refusal::StaleTerm);
    }
    for noted in &checkpoint.leases {
        let id = LeaseId(noted.id);
        // Looked at first: an unchanged lease must not cost the copies of a change.
        let differs = |lease: &Lease| lease.remaining_ms != noted.remaining_ms;
        if state.leases.leases.get(&id).is_some_and(differs)
            && let Some(lease) = state.leases.leases.get_mut(&id)
        {
            lease.remaining_ms = noted.remaining_ms;
        }
    }
    Ok(Answer::LeaseCheckpoint)
}

/// The section's bytes. Which keys hang on a lease is not among them: the keys' records say so.
#[derive(Clone, PartialEq, Message)]
struct WireLeases {
    #[prost(message, repeated, tag = "1")]
    leases: Vec<WireLease>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct WireLease {
    #[prost(sfixed64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(int64, tag = "3")]
    remaining_ms: i64,
    #[prost(uint64, tag = "4")]
    granted: u64,
}

impl Table for LeaseTable {
    const SECTION: &'static str = "leases";

    fn encode(&self) -> Bytes {
        let leases = self.iter().map(|(id, lease)| WireLease {
            id: id.0,
            ttl: lease.ttl,
            remaining_ms: lease.remaining_ms,
            granted: lease.granted.0,
        });
        let leases = leases.collect();
        WireLeases { leases }.encode_to_vec().into()
    }

    fn decode(bytes: Bytes) -> Result<Self, TableError> {
        let wire = WireLeases::decode(bytes).map_err(|error| TableError::new(Self::SECTION, error))?;
        let mut leases = OrdMap::new();
        for lease in wire.leases {
            let value = Lease {
                ttl: lease.ttl,
                remaining_ms: lease.remaining_ms,
                granted: LogIndex(lease.granted),
            };
            let twice = leases.insert(LeaseId(lease.id), value).is_some();
            if twice || lease.id == 0 {
                let why = format!("lease {:x} is there twice, or is none", lease.id);
                return Err(TableError::new(Self::SECTION, why));
            }
        }
        Ok(Self {
            leases,
            held: Held::default(),
        })
    }
}
