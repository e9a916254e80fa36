//! The store's slow twin: it keeps every change ever made in one list and works everything out from it.
//!
//! Written from etcd's rules, not from the store: nothing here is shared with it but the commands' types.

use almadia_command::{
    Command, Compare, CompareTarget, DeleteRange, Kind, LeaseRevoke, Operation, OperationKind, Put, Range,
    SortOrder, SortTarget, Txn,
};
use almadia_store::{Answer, Record, Refusal, TxnAnswer};
use std::collections::BTreeMap;

/// A key with its value, or a deletion when `version` is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub created: i64,
    pub modified: i64,
    pub version: i64,
    pub lease: i64,
}

/// An answer, in the model's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Put(Option<Pair>),
    Deleted(i64, Vec<Pair>),
    Txn(bool, Vec<(i64, Said)>),
    Compacted,
    Granted(i64, i64),
    Revoked,
    Noted,
    Range {
        pairs: Vec<Pair>,
        count: i64,
        more: bool,
    },
}

impl From<&Record> for Pair {
    fn from(record: &Record) -> Self {
        Self {
            key: record.key().to_vec(),
            value: record.value().to_vec(),
            created: record.create_revision().0,
            modified: record.mod_revision().0,
            version: record.version(),
            lease: record.lease().0,
        }
    }
}

fn pairs(records: &[Record]) -> Vec<Pair> {
    records.iter().map(Pair::from).collect()
}

impl From<&TxnAnswer> for Said {
    fn from(answer: &TxnAnswer) -> Self {
        let responses = answer
            .responses
            .iter()
            .map(|op| (op.revision.0, Self::from(&op.answer)))
            .collect();
        Self::Txn(answer.succeeded, responses)
    }
}

impl From<&Answer> for Said {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Put { prev } => Self::Put(prev.as_ref().map(Pair::from)),
            Answer::DeleteRange { deleted, prev } => Self::Deleted(*deleted, pairs(prev)),
            Answer::Txn(answer) => Self::from(answer),
            Answer::Compact => Self::Compacted,
            Answer::LeaseGrant { id, ttl } => Self::Granted(id.0, *ttl),
            Answer::LeaseRevoke => Self::Revoked,
            Answer::LeaseCheckpoint => Self::Noted,
            Answer::Range(range) => Self::Range {
                pairs: pairs(&range.records),
                count: range.count,
                more: range.more,
            },
            other => unreachable!("no command of this test answers {other:?}"),
        }
    }
}

/// What exists at some moment.
pub type State = BTreeMap<Vec<u8>, Pair>;

/// The term of every entry.
pub const MODEL_TERM: u64 = 1;

/// Everything that ever happened.
#[derive(Clone, Debug)]
pub struct Naive {
    pub revision: i64,
    pub compacted: i64,
    /// In the order of the changes.
    pub changes: Vec<Pair>,
    /// Seconds granted and milliseconds noted as left, by id.
    pub leases: BTreeMap<i64, (i64, i64)>,
}

impl Naive {
    /// At revision 1, with nothing in it.
    pub fn new() -> Self {
        Self {
            revision: 1,
            compacted: 0,
            changes: Vec::new(),
            leases: BTreeMap::new(),
        }
    }

    /// What exists after all changes up to a revision.
    pub fn state_at(&self, revision: i64) -> State {
        let mut state = State::new();
        for change in self.changes.iter().filter(|change| change.modified <= revision) {
            if change.version == 0 {
                state.remove(&change.key);
            } else {
                state.insert(change.key.clone(), change.clone());
            }
        }
        state
    }

    /// What exists after all changes, those of an unfinished transaction included.
    pub fn now(&self) -> State {
        self.state_at(i64::MAX)
    }

    /// Carries out a command; a refused one changes nothing.
    pub fn apply(&mut self, command: &Command) -> Result<Said, Refusal> {
        let before = self.clone();
        let main = self.revision + 1;
        let said = match command.kind.as_ref().ok_or(Refusal::EmptyOperation)? {
            Kind::Put(put) if put.key.is_empty() => Err(Refusal::EmptyKey),
            Kind::Put(put) if !self.may_hang_on(put.lease) => Err(Refusal::LeaseNotFound),
            Kind::Put(put) => self.put(put, main),
            Kind::DeleteRange(delete) if delete.key.is_empty() => Err(Refusal::EmptyKey),
            Kind::DeleteRange(delete) => Ok(self.delete(delete, main)),
            Kind::Txn(txn) => self.txn(txn, &before),
            Kind::Compact(compact) => self.compact(compact.revision),
            Kind::LeaseGrant(grant) if grant.id == 0 => Err(Refusal::LeaseNotFound),
            Kind::LeaseGrant(grant) if self.leases.contains_key(&grant.id) => Err(Refusal::LeaseExists),
            Kind::LeaseGrant(grant) => {
                self.leases.insert(grant.id, (grant.ttl, 0));
                Ok(Said::Granted(grant.id, grant.ttl))
            }
            Kind::LeaseRevoke(revoke) => self.revoke(*revoke, main),
            Kind::LeaseCheckpoint(noted) if noted.term != MODEL_TERM => Err(Refusal::StaleTerm),
            Kind::LeaseCheckpoint(noted) => {
                for noted in &noted.leases {
                    if let Some(lease) = self.leases.get_mut(&noted.id) {
                        lease.1 = noted.remaining_ms;
                    }
                }
                Ok(Said::Noted)
            }
            other => unreachable!("this test makes no {other:?}"),
        };
        match said {
            Err(_) => *self = before,
            Ok(_) if self.changes.len() > before.changes.len() => self.revision = main,
            Ok(_) => {}
        }
        said
    }

    fn compact(&mut self, revision: i64) -> Result<Said, Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        Ok(Said::Compacted)
    }

    fn may_hang_on(&self, lease: i64) -> bool {
        lease == 0 || self.leases.contains_key(&lease)
    }

    /// The keys that hang on a lease, in order.
    pub fn keys_on(&self, lease: i64) -> Vec<Vec<u8>> {
        let now = self.now();
        let held = now.values().filter(|pair| pair.lease == lease);
        held.map(|pair| pair.key.clone()).collect()
    }

    fn revoke(&mut self, revoke: LeaseRevoke, main: i64) -> Result<Said, Refusal> {
        if revoke.expired_in_term != 0 && revoke.expired_in_term != MODEL_TERM {
            return Err(Refusal::StaleTerm);
        }
        self.leases.remove(&revoke.id).ok_or(Refusal::LeaseNotFound)?;
        for key in self.keys_on(revoke.id) {
            self.changes.push(Pair {
                key,
                modified: main,
                ..Pair::default()
            });
        }
        Ok(Said::Revoked)
    }

    fn put(&mut self, put: &Put, main: i64) -> Result<Said, Refusal> {
        let previous = self.now().remove(put.key.as_ref());
        if (put.ignore_value || put.ignore_lease) && previous.is_none() {
            return Err(Refusal::KeyNotFound);
        }
        let old = previous.clone().unwrap_or_default();
        self.changes.push(Pair {
            key: put.key.to_vec(),
            value: if put.ignore_value {
                old.value
            } else {
                put.value.to_vec()
            },
            created: if old.created == 0 { main } else { old.created },
            modified: main,
            version: old.version + 1,
            lease: if put.ignore_lease { old.lease } else { put.lease },
        });
        Ok(Said::Put(previous.filter(|_| put.prev_kv)))
    }

    fn delete(&mut self, delete: &DeleteRange, main: i64) -> Said {
        let gone: Vec<Pair> = within(&self.now(), &delete.key, &delete.range_end);
        for pair in &gone {
            self.changes.push(Pair {
                key: pair.key.clone(),
                modified: main,
                ..Pair::default()
            });
        }
        Said::Deleted(gone.len() as i64, if delete.prev_kv { gone } else { Vec::new() })
    }

    fn txn(&mut self, txn: &Txn, before: &Self) -> Result<Said, Refusal> {
        let mut steps = Vec::new();
        flatten(txn, &before.now(), &mut steps)?;
        check(&steps, before)?;
        self.carry_out(txn, before)
    }

    fn carry_out(&mut self, txn: &Txn, before: &Self) -> Result<Said, Refusal> {
        let success = all_hold(txn, &before.now());
        let mut responses = Vec::new();
        for step in if success { &txn.success } else { &txn.failure } {
            let main = before.revision + 1;
            let said = match step.kind.as_ref().expect("checked") {
                OperationKind::Range(range) => self.range(range, before.revision),
                OperationKind::Put(put) => self.put(put, main)?,
                OperationKind::DeleteRange(delete) => self.delete(delete, main),
                OperationKind::Txn(nested) => {
                    responses.push((0, self.carry_out(nested, before)?));
                    continue;
                }
            };
            let written = self.changes.len() > before.changes.len();
            responses.push((before.revision + i64::from(written), said));
        }
        Ok(Said::Txn(success, responses))
    }

    /// A transaction that may not write.
    pub fn read_txn(&self, txn: &Txn) -> Result<Said, Refusal> {
        let mut steps = Vec::new();
        flatten(txn, &self.now(), &mut steps)?;
        check(&steps, self)?;
        let writes = |step: &Option<&OperationKind>| {
            matches!(step, Some(OperationKind::Put(_) | OperationKind::DeleteRange(_)))
        };
        if steps.iter().any(writes) {
            return Err(Refusal::NotReadOnly);
        }
        self.clone().carry_out(txn, self)
    }

    /// A range outside transactions.
    pub fn read(&self, range: &Range) -> Result<Said, Refusal> {
        check_range_form(range)?;
        if range.revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        if range.revision > 0 && range.revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        Ok(self.range(range, self.revision))
    }

    /// etcd's algorithm, step by step.
    fn range(&self, range: &Range, current: i64) -> Said {
        let state = if range.revision <= 0 || range.revision > current {
            self.now()
        } else {
            self.state_at(range.revision)
        };
        let mut pairs = within(&state, &range.key, &range.range_end);
        let count = pairs.len() as i64;
        if range.count_only {
            return Said::Range {
                pairs: Vec::new(),
                count,
                more: false,
            };
        }
        let filters = [
            range.min_mod_revision,
            range.max_mod_revision,
            range.min_create_revision,
            range.max_create_revision,
        ];
        let limit = usize::try_from(range.limit).unwrap_or(0);
        if range.sort_order == 0 && filters == [0; 4] && limit > 0 {
            pairs.truncate(limit + 1);
        }
        let [min_mod, max_mod, min_create, max_create] = filters;
        pairs.retain(|pair| max_mod == 0 || pair.modified <= max_mod);
        pairs.retain(|pair| min_mod == 0 || pair.modified >= min_mod);
        pairs.retain(|pair| max_create == 0 || pair.created <= max_create);
        pairs.retain(|pair| min_create == 0 || pair.created >= min_create);
        sort(&mut pairs, range);
        let more = limit > 0 && pairs.len() > limit;
        if more {
            pairs.truncate(limit);
        }
        Said::Range { pairs, count, more }
    }
}

fn sort(pairs: &mut [Pair], range: &Range) {
    let target = SortTarget::try_from(range.sort_target).expect("checked");
    let order = if target != SortTarget::Key && range.sort_order == 0 {
        1
    } else {
        range.sort_order
    };
    let number = |pair: &Pair| match target {
        SortTarget::Version => pair.version,
        SortTarget::Create => pair.created,
        SortTarget::Mod => pair.modified,
        SortTarget::Key | SortTarget::Value => 0,
    };
    let bytes = |pair: &Pair| match target {
        SortTarget::Key => pair.key.clone(),
        SortTarget::Value => pair.value.clone(),
        _ => Vec::new(),
    };
    let compare = |a: &Pair, b: &Pair| (number(a), bytes(a)).cmp(&(number(b), bytes(b)));
    match SortOrder::try_from(order) {
        Ok(SortOrder::Ascend) => pairs.sort_by(compare),
        Ok(SortOrder::Descend) => pairs.sort_by(|a, b| compare(b, a)),
        _ => {}
    }
}

fn within(state: &State, key: &[u8], end: &[u8]) -> Vec<Pair> {
    let inside = |candidate: &[u8]| match end {
        [] => candidate == key,
        [0] => candidate >= key,
        end => candidate >= key && candidate < end,
    };
    state.values().filter(|pair| inside(&pair.key)).cloned().collect()
}

/// Every operation on the way, in order.
fn flatten<'a>(
    txn: &'a Txn,
    state: &State,
    into: &mut Vec<Option<&'a OperationKind>>,
) -> Result<(), Refusal> {
    if txn.compares.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    let taken: &[Operation] = if all_hold(txn, state) {
        &txn.success
    } else {
        &txn.failure
    };
    for step in taken {
        match &step.kind {
            Some(OperationKind::Txn(nested)) => flatten(nested, state, into)?,
            kind => into.push(kind.as_ref()),
        }
    }
    Ok(())
}

fn check(steps: &[Option<&OperationKind>], before: &Naive) -> Result<(), Refusal> {
    for step in steps {
        match step.ok_or(Refusal::EmptyOperation)? {
            OperationKind::Range(range) => check_range_form(range)?,
            OperationKind::Put(Put { key, .. }) | OperationKind::DeleteRange(DeleteRange { key, .. })
                if key.is_empty() =>
            {
                return Err(Refusal::EmptyKey);
            }
            _ => {}
        }
    }
    let now = before.now();
    for step in steps {
        let Some(OperationKind::Put(put)) = step else {
            continue;
        };
        if (put.ignore_value || put.ignore_lease) && !now.contains_key(put.key.as_ref()) {
            return Err(Refusal::KeyNotFound);
        }
        if !before.may_hang_on(put.lease) {
            return Err(Refusal::LeaseNotFound);
        }
    }
    for step in steps {
        let Some(OperationKind::Range(range)) = step else {
            continue;
        };
        if range.revision > before.revision {
            return Err(Refusal::FutureRevision);
        }
        if range.revision < 0 || (range.revision > 0 && range.revision < before.compacted) {
            return Err(Refusal::Compacted);
        }
    }
    Ok(())
}

fn check_range_form(range: &Range) -> Result<(), Refusal> {
    if range.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if !(0..=4).contains(&range.sort_target) {
        return Err(Refusal::InvalidSort);
    }
    Ok(())
}

fn all_hold(txn: &Txn, state: &State) -> bool {
    txn.compares.iter().all(|compare| {
        let pairs = within(state, &compare.key, &compare.range_end);
        if !pairs.is_empty() {
            return pairs.iter().all(|pair| holds(compare, pair));
        }
        !matches!(compare.target, Some(CompareTarget::Value(_))) && holds(compare, &Pair::default())
    })
}

fn holds(compare: &Compare, pair: &Pair) -> bool {
    let found = match &compare.target {
        Some(CompareTarget::Version(number)) => pair.version.cmp(number),
        Some(CompareTarget::CreateRevision(number)) => pair.created.cmp(number),
        Some(CompareTarget::ModRevision(number)) => pair.modified.cmp(number),
        Some(CompareTarget::Lease(number)) => pair.lease.cmp(number),
        Some(CompareTarget::Value(value)) => pair.value.as_slice().cmp(value),
        None => 0.cmp(&0),
    };
    match compare.result {
        0 => found.is_eq(),
        1 => found.is_gt(),
        2 => found.is_lt(),
        3 => found.is_ne(),
        _ => true,
    }
}
