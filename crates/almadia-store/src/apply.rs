//! Carrying out one command: what every member does alike.
//!
//! It decides nothing by anything but the state and the command, and it never panics for what a command holds.

use crate::auth;
use crate::bounds::Bounds;
use crate::hash::{Sealed, SealedTables};
use crate::lease;
use crate::outcome::{Answer, RangeAnswer, Refusal};
use crate::read;
use crate::record::{Record, RecordParts};
use crate::txn::{self, Executor};
use crate::view::View;
use almadia_command::planted::{Bug, planted};
use almadia_command::{
    AlarmKind, Command, DeleteRange, Kind, LeaseId, Operation, OperationKind, Put, Range, Revision, Term, Txn,
};
use std::sync::Arc;

/// Applies a command of an entry of `term` to the state.
pub(crate) fn apply(state: &mut View, term: Term, command: &Command) -> Result<Answer, Refusal> {
    let kind = command.kind.as_ref().ok_or(Refusal::EmptyOperation)?;
    check_alarms(state, kind)?;
    auth::check(state, command)?;
    match kind {
        Kind::Put(put) => apply_put(state, put),
        Kind::DeleteRange(delete) => apply_delete(state, delete),
        Kind::Txn(txn) => apply_txn(state, txn),
        Kind::Compact(compact) => apply_compact(state, Revision(compact.revision)),
        Kind::LeaseGrant(grant) => lease::apply_grant(state, grant),
        Kind::LeaseRevoke(revoke) => lease::apply_revoke(state, term, revoke),
        Kind::LeaseCheckpoint(checkpoint) => lease::apply_checkpoint(state, term, checkpoint),
        Kind::Auth(change) => auth::apply_change(state, change),
        Kind::Alarm(change) => Ok(Answer::Alarm(state.alarms.change(change))),
        Kind::Downgrade(change) => state.downgrade.change(change),
    }
}

/// What raised alarms forbid: without space whatever stores data, with a corrupt member every change but an
/// alarm's. As in etcd.
fn check_alarms(state: &View, kind: &Kind) -> Result<(), Refusal> {
    if state.alarms.is_raised(AlarmKind::Corrupt) && !matches!(kind, Kind::Alarm(_) | Kind::Auth(_)) {
        return Err(Refusal::Corrupt);
    }
    if state.alarms.is_raised(AlarmKind::NoSpace) && stores(kind) {
        return Err(Refusal::NoSpace);
    }
    Ok(())
}

/// Whether a command takes up room that a compaction cannot give back.
pub fn stores(kind: &Kind) -> bool {
    match kind {
        Kind::Put(_) | Kind::LeaseGrant(_) => true,
        Kind::Txn(txn) => txn.success.iter().chain(&txn.failure).any(operation_stores),
        Kind::DeleteRange(_)
        | Kind::Compact(_)
        | Kind::LeaseRevoke(_)
        | Kind::LeaseCheckpoint(_)
        | Kind::Auth(_)
        | Kind::Alarm(_)
        | Kind::Downgrade(_) => false,
    }
}

fn operation_stores(operation: &Operation) -> bool {
    match &operation.kind {
        Some(OperationKind::Put(_)) => true,
        Some(OperationKind::Txn(txn)) => txn.success.iter().chain(&txn.failure).any(operation_stores),
        Some(OperationKind::Range(_) | OperationKind::DeleteRange(_)) | None => false,
    }
}

fn apply_put(state: &mut View, put: &Put) -> Result<Answer, Refusal> {
    txn::check_key(&put.key)?;
    txn::check_lease(state, put)?;
    txn::check_kept(state, put)?;
    let mut writer = Writer::new(state);
    let answer = writer.put(put)?;
    writer.finish();
    Ok(answer)
}

fn apply_delete(state: &mut View, delete: &DeleteRange) -> Result<Answer, Refusal> {
    txn::check_key(&delete.key)?;
    let mut writer = Writer::new(state);
    let answer = writer.delete(delete)?;
    writer.finish();
    Ok(answer)
}

fn apply_txn(state: &mut View, txn: &Txn) -> Result<Answer, Refusal> {
    let path = txn::decide(state, txn)?;
    // A deletion without end may take away what a later put is to keep (the check for duplicate keys lets that
    // pass, and etcd dies of it). Then the state before must be at hand.
    let deletes = txn::any(txn, &path, |operation| {
        matches!(operation, OperationKind::DeleteRange(_))
    });
    let keeps = |put: &Put| put.ignore_value || put.ignore_lease;
    let may_fail = deletes
        && txn::any(
            txn,
            &path,
            |operation| matches!(operation, OperationKind::Put(put) if keeps(put)),
        );
    let before = may_fail.then(|| state.clone());
    let mut writer = Writer::new(state);
    let done = txn::execute(txn, &path, &mut writer);
    writer.finish();
    if done.is_err() {
        *state = before.expect("only a put that keeps what the transaction deleted fails after the checks");
    }
    done.map(Answer::Txn)
}

fn apply_compact(state: &mut View, revision: Revision) -> Result<Answer, Refusal> {
    if revision <= state.compacted {
        return Err(Refusal::Compacted);
    }
    if revision > state.revision {
        return Err(Refusal::FutureRevision);
    }
    state.compacted = revision;
    state.sealed = Some(Arc::new(seal(state)));
    Ok(Answer::Compact)
}

/// Keeps what the state is now, so that members can compare it. Costs nothing per key.
fn seal(state: &View) -> Sealed {
    Sealed {
        index: state.applied.0,
        revision: state.revision,
        history: state.hash,
        tables: SealedTables {
            leases: state.leases.clone(),
            auth: state.auth.clone(),
            alarms: state.alarms.clone(),
            membership: state.membership.clone(),
        },
    }
}

/// The changes of one command, which together make one revision if there are any.
struct Writer<'a> {
    state: &'a mut View,
    main: Revision,
    /// Changes so far; the position of the next one among them.
    changes: u32,
}

impl<'a> Writer<'a> {
    fn new(state: &'a mut View) -> Self {
        let main = Revision(state.revision.0 + 1);
        Self {
            state,
            main,
            changes: 0,
        }
    }

    /// Makes the changes a revision.
    fn finish(self) {
        if self.changes > 0 {
            self.state.revision = self.main;
        }
    }

    /// Adds a version to the index, the revision log and the sizes.
    fn add(&mut self, key: &[u8], make: impl FnOnce(Option<&Record>) -> Record) -> Option<Record> {
        let done = self.state.index.upsert(key, make);
        self.changes = self
            .changes
            .checked_add(1)
            .expect("one command changes fewer than 2^32 keys");
        let bytes = |record: &Record| record.encoded().len() as u64;
        let previous = done.previous.filter(|previous| !previous.is_tombstone());
        let sizes = &mut self.state.sizes;
        sizes.revisions += 1;
        sizes.bytes += bytes(&done.record);
        sizes.live_bytes -= previous.as_ref().map_or(0, bytes);
        if !done.record.is_tombstone() {
            sizes.live_bytes += bytes(&done.record);
        }
        self.state.hash.add(&done.record);
        let before = previous.as_ref().map_or(LeaseId(0), Record::lease);
        self.state.leases.move_key(key, before, done.record.lease());
        self.state.revlog.push(done.record);
        previous
    }

    /// Adds the tombstone of a key that exists.
    fn bury(&mut self, key: &[u8]) {
        let parts = RecordParts {
            main: self.main,
            sub: self.changes,
            create_revision: Revision(0),
            version: 0,
            lease: LeaseId(0),
            tombstone: true,
            key,
            value: &[],
        };
        self.add(key, |_| Record::from_parts(parts));
    }
}

/// Deletes these keys, which all exist, as one revision if there is any.
pub(crate) fn delete_keys<'a>(state: &mut View, keys: impl Iterator<Item = &'a [u8]>) {
    let mut writer = Writer::new(state);
    keys.for_each(|key| writer.bury(key));
    writer.finish();
}

impl Executor for Writer<'_> {
    fn revision(&self) -> Revision {
        if self.changes > 0 {
            self.main
        } else {
            self.state.revision
        }
    }

    fn range(&self, range: &Range) -> Result<RangeAnswer, Refusal> {
        let at = read::in_transaction(self.state, range.revision)?;
        Ok(read::range(self.state, range, at))
    }

    fn put(&mut self, put: &Put) -> Result<Answer, Refusal> {
        txn::check_kept(self.state, put)?;
        let (main, sub) = (self.main, self.changes);
        let previous = self.add(&put.key, |newest| {
            let live = newest.filter(|newest| !newest.is_tombstone());
            put_over(live, put, main, sub)
        });
        Ok(Answer::Put {
            prev: previous.filter(|_| put.prev_kv),
        })
    }

    fn delete(&mut self, delete: &DeleteRange) -> Result<Answer, Refusal> {
        let bounds = Bounds::new(&delete.key, &delete.range_end);
        let prev: Vec<Record> = self.state.index.seen(bounds, None).cloned().collect();
        prev.iter().for_each(|record| self.bury(record.key()));
        let deleted = i64::try_from(prev.len()).expect("keys in memory are fewer than an i64 counts");
        Ok(Answer::DeleteRange {
            deleted,
            prev: if delete.prev_kv { prev } else { Vec::new() },
        })
    }
}

/// The record that a put makes over the present one.
fn put_over(live: Option<&Record>, put: &Put, main: Revision, sub: u32) -> Record {
    let value = if put.ignore_value {
        live.map_or(&[][..], Record::value)
    } else {
        &put.value
    };
    let lease = if put.ignore_lease {
        live.map_or(LeaseId(0), Record::lease)
    } else {
        LeaseId(put.lease)
    };
    Record::from_parts(RecordParts {
        main,
        sub,
        create_revision: live.map_or(main, Record::create_revision),
        version: live.map_or(0, Record::version) + i64::from(live.is_none() || !planted(Bug::VersionStays)),
        lease,
        tombstone: false,
        key: &put.key,
        value,
    })
}
