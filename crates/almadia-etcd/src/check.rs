//! The form of requests: every check etcd makes before a request reaches the log, in etcd's order.
//!
//! Pure functions over the message alone. What depends on the data (a missing key, a revision) is refused where the
//! command is applied, never here.

use crate::error::Fault;
use crate::proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, range_request::SortTarget,
    request_op,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Transactions inside transactions at most. etcd's rule alone would allow 127; the message decoder here reads only a
/// hundred messages inside each other (two for each transaction), so that hostile bytes cannot exhaust the stack, and
/// a command in the log must be readable by every member. Deeper ones are "too many operations".
pub const NESTED_TXN_MAX: usize = 46;

/// Whether a read is well formed.
///
/// # Errors
/// An empty key, then an order by something that does not exist. (An unknown direction is accepted, as in etcd 3.5.)
pub fn range(request: &RangeRequest) -> Result<(), Fault> {
    if request.key.is_empty() {
        return Err(Fault::EmptyKey);
    }
    if SortTarget::try_from(request.sort_target).is_err() {
        return Err(Fault::InvalidSortOption);
    }
    Ok(())
}

/// Whether a write is well formed.
///
/// # Errors
/// An empty key, then a value or a lease beside the wish to keep the present one.
pub fn put(request: &PutRequest) -> Result<(), Fault> {
    if request.key.is_empty() {
        return Err(Fault::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Fault::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Fault::LeaseProvided);
    }
    Ok(())
}

/// Whether a removal is well formed.
///
/// # Errors
/// An empty key.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Fault> {
    if request.key.is_empty() {
        Err(Fault::EmptyKey)
    } else {
        Ok(())
    }
}

/// Whether a transaction is well formed, both branches, taken or not.
///
/// # Errors
/// The number of operations, an empty compare key, each operation of success and then of failure, depth first;
/// last, two writes to one key.
pub fn txn(request: &TxnRequest, operations_max: usize) -> Result<(), Fault> {
    txn_operations(request, operations_max, NESTED_TXN_MAX)?;
    writes(&request.success)?;
    writes(&request.failure)?;
    Ok(())
}

/// A nested transaction is allowed what its parent's longest list leaves of the parent's allowance.
fn txn_operations(request: &TxnRequest, operations_max: usize, nested_max: usize) -> Result<(), Fault> {
    let longest = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    if longest > operations_max {
        return Err(Fault::TooManyOperations);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Fault::EmptyKey);
    }
    for operation in request.success.iter().chain(&request.failure) {
        one_operation(operation, operations_max - longest, nested_max)?;
    }
    Ok(())
}

fn one_operation(operation: &RequestOp, operations_max: usize, nested_max: usize) -> Result<(), Fault> {
    match &operation.request {
        Some(request_op::Request::RequestRange(request)) => range(request),
        Some(request_op::Request::RequestPut(request)) => put(request),
        Some(request_op::Request::RequestDeleteRange(request)) => delete_range(request),
        Some(request_op::Request::RequestTxn(_)) if nested_max == 0 => Err(Fault::TooManyOperations),
        Some(request_op::Request::RequestTxn(request)) => {
            txn_operations(request, operations_max, nested_max - 1)
        }
        None => Err(Fault::KeyNotFound),
    }
}

/// What one list of operations writes, nested transactions included.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletes: Spans<'a>,
}

/// etcd's rule, oddities included: a put conflicts with another put of its key and with a delete that covers it, but
///
/// - `range_end` is taken literally, so a delete "from a key on" (one zero byte) covers nothing, like any inverted one;
/// - the two branches of one nested transaction may put the same key, while siblings conflict by the union of theirs;
/// - puts of a nested transaction meet the deletes of this list and of *earlier* siblings only.
fn writes(operations: &[RequestOp]) -> Result<Writes<'_>, Fault> {
    let mut found = Writes::default();
    for operation in operations {
        if let Some(request_op::Request::RequestDeleteRange(request)) = &operation.request {
            found.deletes.add(&request.key, &request.range_end);
        }
    }
    for operation in operations {
        if let Some(request_op::Request::RequestTxn(request)) = &operation.request {
            found.take_branches(writes(&request.success)?, writes(&request.failure)?)?;
        }
    }
    for operation in operations {
        if let Some(request_op::Request::RequestPut(request)) = &operation.request {
            found.add_put(&request.key)?;
        }
    }
    Ok(found)
}

impl<'a> Writes<'a> {
    fn add_put(&mut self, key: &'a Bytes) -> Result<(), Fault> {
        if self.deletes.cover(key) || !self.puts.insert(key) {
            return Err(Fault::DuplicateKey);
        }
        Ok(())
    }

    /// Takes over what the branches of a nested transaction write.
    fn take_branches(&mut self, success: Self, failure: Self) -> Result<(), Fault> {
        for &key in &success.puts {
            self.add_put(key)?;
        }
        for key in failure.puts {
            if self.deletes.cover(key) {
                return Err(Fault::DuplicateKey);
            }
            if !self.puts.insert(key) && !success.puts.contains(key) {
                return Err(Fault::DuplicateKey);
            }
        }
        self.deletes.merge(success.deletes);
        self.deletes.merge(failure.deletes);
        Ok(())
    }
}

/// Keys that deletes cover: spans that do not overlap, by their first key. A hostile transaction has a hundred
/// thousand deletes, so asking must not look at each.
#[derive(Default)]
struct Spans<'a> {
    ends: BTreeMap<&'a [u8], End<'a>>,
}

/// Where a span ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    /// After this key: the key itself belongs to the span.
    Including(&'a [u8]),
    /// Before this key.
    Before(&'a [u8]),
}

impl End<'_> {
    fn covers(self, key: &[u8]) -> bool {
        match self {
            Self::Including(last) => key <= last,
            Self::Before(end) => key < end,
        }
    }

    /// Orders ends by what they cover: the end of `k` alone comes right after the end before `k`.
    fn rank(&self) -> (&[u8], bool) {
        match self {
            Self::Before(end) => (end, false),
            Self::Including(last) => (last, true),
        }
    }
}

impl<'a> Spans<'a> {
    fn add(&mut self, key: &'a Bytes, range_end: &'a Bytes) {
        let end = if range_end.is_empty() {
            End::Including(key)
        } else {
            End::Before(range_end)
        };
        if end.covers(key) {
            self.add_span(key, end);
        }
    }

    fn cover(&self, key: &[u8]) -> bool {
        self.ends
            .range(..=key)
            .next_back()
            .is_some_and(|(_, end)| end.covers(key))
    }

    fn merge(&mut self, other: Self) {
        if self.ends.is_empty() {
            *self = other;
            return;
        }
        for (start, end) in other.ends {
            self.add_span(start, end);
        }
    }

    /// Adds a span and swallows those it overlaps.
    fn add_span(&mut self, mut start: &'a [u8], mut end: End<'a>) {
        if let Some((&before, &its_end)) = self.ends.range(..=start).next_back()
            && its_end.covers(start)
        {
            start = before;
            if its_end.rank() > end.rank() {
                end = its_end;
            }
        }
        while let Some((&next, &its_end)) = self.ends.range(start..).next()
            && (next == start || end.covers(next))
        {
            if its_end.rank() > end.rank() {
                end = its_end;
            }
            self.ends.remove(next);
        }
        self.ends.insert(start, end);
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
