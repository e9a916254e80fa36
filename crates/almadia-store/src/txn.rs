//! Transactions: which branches are taken, what may be refused, and in which order it is carried out.
//!
//! All compares, those of nested transactions too, are decided on the state before the transaction. Everything
//! that can be refused in the branches taken is refused before anything is done. How a put or a deletion is done
//! is not known here.

use crate::bounds::Bounds;
use crate::outcome::{Answer, OpAnswer, RangeAnswer, Refusal, TxnAnswer};
use crate::read;
use crate::record::{KEY_BYTES_MAX, Record};
use crate::view::View;
use almadia_command::{
    Compare, CompareResult, CompareTarget, DeleteRange, LeaseId, Operation, OperationKind, Put, Range,
    Revision, Txn,
};
use std::cmp::Ordering;

/// How deeply transactions may be nested. etcd's rule on the length of lists allows 128; what a request can say
/// is bounded by its decoder to about 50.
pub const NESTING_MAX: usize = 128;

/// Whether no branch writes, nested ones included: then [`View::read_txn`] answers without the log.
pub fn is_read_only(txn: &Txn) -> bool {
    let reads = |operation: &Operation| match &operation.kind {
        Some(OperationKind::Put(_) | OperationKind::DeleteRange(_)) => false,
        Some(OperationKind::Txn(nested)) => is_read_only(nested),
        Some(OperationKind::Range(_)) | None => true,
    };
    txn.success.iter().all(reads) && txn.failure.iter().all(reads)
}

/// Whoever carries out the single operations.
pub(crate) trait Executor {
    /// What the header of the next answer shows.
    fn revision(&self) -> Revision;
    fn range(&self, range: &Range) -> Result<RangeAnswer, Refusal>;
    fn put(&mut self, put: &Put) -> Result<Answer, Refusal>;
    fn delete(&mut self, delete: &DeleteRange) -> Result<Answer, Refusal>;
}

/// For each transaction on the way, depth first: whether its compares hold.
#[derive(Debug, Default)]
pub(crate) struct Path {
    taken: Vec<bool>,
}

/// Decides every branch, and refuses what the branches taken must not hold.
pub(crate) fn decide(view: &View, txn: &Txn) -> Result<Path, Refusal> {
    let mut path = Path::default();
    choose(view, txn, 0, &mut path)?;
    visit(txn, &path, &mut check_form)?;
    // Puts first, then ranges: what is refused does not depend on it, but why does. As in etcd.
    visit(txn, &path, &mut |operation| match operation {
        OperationKind::Put(put) => check_put_in_txn(view, put),
        _ => Ok(()),
    })?;
    visit(txn, &path, &mut |operation| match operation {
        OperationKind::Range(range) => read::in_transaction(view, range.revision).map(|_| ()),
        _ => Ok(()),
    })?;
    Ok(path)
}

fn choose(view: &View, txn: &Txn, depth: usize, path: &mut Path) -> Result<(), Refusal> {
    if depth > NESTING_MAX {
        return Err(Refusal::NestedTooDeeply);
    }
    if txn.compares.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    let holds = txn.compares.iter().all(|compare| holds(view, compare));
    path.taken.push(holds);
    for operation in branch(txn, holds) {
        if let Some(OperationKind::Txn(nested)) = &operation.kind {
            choose(view, nested, depth + 1, path)?;
        }
    }
    Ok(())
}

fn branch(txn: &Txn, success: bool) -> &[Operation] {
    if success { &txn.success } else { &txn.failure }
}

/// Shows every operation of the branches taken, in the order in which they are done.
fn visit(
    txn: &Txn,
    path: &Path,
    see: &mut impl FnMut(&OperationKind) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    fn walk(
        txn: &Txn,
        taken: &mut impl Iterator<Item = bool>,
        see: &mut impl FnMut(&OperationKind) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let success = taken
            .next()
            .expect("every transaction on the way has been decided");
        for operation in branch(txn, success) {
            match operation.kind.as_ref().ok_or(Refusal::EmptyOperation)? {
                OperationKind::Txn(nested) => walk(nested, taken, see)?,
                kind => see(kind)?,
            }
        }
        Ok(())
    }
    walk(txn, &mut path.taken.iter().copied(), see)
}

/// Whether any operation of the branches taken satisfies `wanted`.
pub(crate) fn any(txn: &Txn, path: &Path, wanted: impl Fn(&OperationKind) -> bool) -> bool {
    let mut found = false;
    let seen = visit(txn, path, &mut |operation| {
        found |= wanted(operation);
        Ok(())
    });
    assert!(seen.is_ok(), "the form of the operations has been checked");
    found
}

fn check_form(operation: &OperationKind) -> Result<(), Refusal> {
    match operation {
        OperationKind::Range(range) => read::check(range),
        OperationKind::Put(put) => check_key(&put.key),
        OperationKind::DeleteRange(delete) => check_key(&delete.key),
        OperationKind::Txn(_) => Ok(()),
    }
}

/// A key that can be written.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Refusal> {
    match key.len() {
        0 => Err(Refusal::EmptyKey),
        len if len > KEY_BYTES_MAX => Err(Refusal::KeyTooLong),
        _ => Ok(()),
    }
}

/// The key must exist when something of it is to be kept.
pub(crate) fn check_kept(view: &View, put: &Put) -> Result<(), Refusal> {
    let keeps = put.ignore_value || put.ignore_lease;
    if keeps && view.get(&put.key).is_none() {
        Err(Refusal::KeyNotFound)
    } else {
        Ok(())
    }
}

/// The lease must exist when the key is to hang on one.
pub(crate) fn check_lease(view: &View, put: &Put) -> Result<(), Refusal> {
    if put.lease == 0 || view.leases.contains(LeaseId(put.lease)) {
        Ok(())
    } else {
        Err(Refusal::LeaseNotFound)
    }
}

/// In a transaction the key is looked for before the lease, alone the other way round. As in etcd.
fn check_put_in_txn(view: &View, put: &Put) -> Result<(), Refusal> {
    check_kept(view, put)?;
    check_lease(view, put)
}

/// Carries out the branches taken.
///
/// # Errors
/// Only what [`decide`] cannot see: an executor that does not write, or a put that keeps what the transaction
/// itself has deleted. The executor then stands between.
pub(crate) fn execute(txn: &Txn, path: &Path, executor: &mut impl Executor) -> Result<TxnAnswer, Refusal> {
    execute_next(txn, &mut path.taken.iter().copied(), executor)
}

fn execute_next(
    txn: &Txn,
    taken: &mut impl Iterator<Item = bool>,
    executor: &mut impl Executor,
) -> Result<TxnAnswer, Refusal> {
    let succeeded = taken
        .next()
        .expect("every transaction on the way has been decided");
    let mut responses = Vec::with_capacity(branch(txn, succeeded).len());
    for operation in branch(txn, succeeded) {
        let answer = match operation.kind.as_ref().ok_or(Refusal::EmptyOperation)? {
            OperationKind::Range(range) => Answer::Range(executor.range(range)?),
            OperationKind::Put(put) => executor.put(put)?,
            OperationKind::DeleteRange(delete) => executor.delete(delete)?,
            OperationKind::Txn(nested) => Answer::Txn(execute_next(nested, taken, executor)?),
        };
        let nested = matches!(answer, Answer::Txn(_));
        let revision = if nested { Revision(0) } else { executor.revision() };
        responses.push(OpAnswer { revision, answer });
    }
    Ok(TxnAnswer { succeeded, responses })
}

/// Carries out a transaction that only reads.
pub(crate) fn read(view: &View, txn: &Txn) -> Result<TxnAnswer, Refusal> {
    let path = decide(view, txn)?;
    execute(txn, &path, &mut Reader { view })
}

struct Reader<'a> {
    view: &'a View,
}

impl Executor for Reader<'_> {
    fn revision(&self) -> Revision {
        self.view.revision
    }

    fn range(&self, range: &Range) -> Result<RangeAnswer, Refusal> {
        let at = read::in_transaction(self.view, range.revision)?;
        Ok(read::range(self.view, range, at))
    }

    fn put(&mut self, _: &Put) -> Result<Answer, Refusal> {
        Err(Refusal::NotReadOnly)
    }

    fn delete(&mut self, _: &DeleteRange) -> Result<Answer, Refusal> {
        Err(Refusal::NotReadOnly)
    }
}

/// Whether a compare holds: for every key of its range, or for a missing key when the range has none.
fn holds(view: &View, compare: &Compare) -> bool {
    let bounds = Bounds::new(&compare.key, &compare.range_end);
    let mut records = view.index.seen(bounds, None).peekable();
    if records.peek().is_none() {
        return holds_for(compare, None);
    }
    records.all(|record| holds_for(compare, Some(record)))
}

fn holds_for(compare: &Compare, record: Option<&Record>) -> bool {
    let present = |number: fn(&Record) -> i64| record.map_or(0, number);
    let found = match &compare.target {
        Some(CompareTarget::Version(expected)) => present(Record::version).cmp(expected),
        Some(CompareTarget::CreateRevision(expected)) => {
            present(|record| record.create_revision().0).cmp(expected)
        }
        Some(CompareTarget::ModRevision(expected)) => present(|record| record.mod_revision().0).cmp(expected),
        Some(CompareTarget::Lease(expected)) => present(|record| record.lease().0).cmp(expected),
        Some(CompareTarget::Value(expected)) => match record {
            Some(record) => record.value().cmp(expected),
            // There is no value that a missing key has, so nothing can be said about it.
            None => return false,
        },
        None => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => found.is_eq(),
        Ok(CompareResult::NotEqual) => found.is_ne(),
        Ok(CompareResult::Greater) => found.is_gt(),
        Ok(CompareResult::Less) => found.is_lt(),
        // As in etcd, whose switch falls through to true.
        Err(_) => true,
    }
}
