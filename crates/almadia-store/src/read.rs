//! Reading a range: what is seen, how much there is, in which order.
//!
//! It walks no more keys than the answer needs: the count comes from the index, or for an old revision from the
//! cheaper of the range and the changes since. It never changes anything.

use crate::bounds::{Bounds, End};
use crate::index::{EntryRef, Span};
use crate::outcome::{RangeAnswer, Refusal};
use crate::record::Record;
use crate::view::View;
use almadia_command::planted::{Bug, planted};
use almadia_command::{Range, Revision, SortOrder, SortTarget};
use std::cmp::Ordering;

/// The revision to read at; `None` is the present, which inside a transaction includes its own writes.
pub(crate) type At = Option<Revision>;

/// What has to hold for a range wherever it stands.
pub(crate) fn check(range: &Range) -> Result<(), Refusal> {
    if range.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    SortTarget::try_from(range.sort_target).map_err(|_| Refusal::InvalidSort)?;
    Ok(())
}

/// The revision rule for a range of its own: 0 and below mean the present.
pub(crate) fn standing_alone(view: &View, revision: i64) -> Result<At, Refusal> {
    if revision <= 0 {
        Ok(None)
    } else {
        in_transaction(view, revision)
    }
}

/// The revision rule for a range in a transaction: only 0 means the present. A revision that the transaction
/// itself makes lies in the future.
pub(crate) fn in_transaction(view: &View, revision: i64) -> Result<At, Refusal> {
    if revision == 0 {
        return Ok(None);
    }
    if revision > view.revision.0 {
        return Err(Refusal::FutureRevision);
    }
    let oldest = if planted(Bug::TxnReadsLeftovers) {
        view.released
    } else if planted(Bug::CompactedReadable) {
        Revision(0)
    } else {
        view.compacted
    };
    if revision < 0 || revision < oldest.0 {
        return Err(Refusal::Compacted);
    }
    Ok(Some(Revision(revision)))
}

/// Carries out a range that has been checked.
pub(crate) fn range(view: &View, range: &Range, at: At) -> RangeAnswer {
    let bounds = Bounds::new(&range.key, &range.range_end);
    if bounds.end == End::Only {
        return one(view, range, at);
    }
    let span = view.index.span(bounds);
    let count = count(view, bounds, span, at);
    let count = i64::try_from(count).expect("keys in memory are fewer than an i64 counts");
    let (records, more) = if range.count_only {
        (Vec::new(), false)
    } else {
        select(view, range, span, at)
    };
    RangeAnswer { records, count, more }
}

/// The same without the count of a range.
pub(crate) fn range_uncounted(view: &View, range: &Range, at: At) -> RangeAnswer {
    let bounds = Bounds::new(&range.key, &range.range_end);
    if bounds.end == End::Only {
        return one(view, range, at);
    }
    let (records, more) = select(view, range, view.index.span(bounds), at);
    RangeAnswer {
        records,
        count: 0,
        more,
    }
}

/// The same for a single key, which no limit cuts and no order moves.
fn one(view: &View, range: &Range, at: At) -> RangeAnswer {
    let seen = view.index.get(&range.key).and_then(|entry| entry.at(at));
    let shown = seen.filter(|record| !range.count_only && passes(range, record));
    let (records, count) = (shown.into_iter().cloned().collect(), i64::from(seen.is_some()));
    RangeAnswer {
        records,
        count,
        more: false,
    }
}

/// The records of the answer, and whether there are more.
fn select<'a>(view: &'a View, range: &Range, span: Span, at: At) -> (Vec<Record>, bool) {
    let limit = usize::try_from(range.limit)
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let see = |entry: EntryRef<'a>| entry.at(at).filter(|record| passes(range, record));
    match order(range) {
        Order::Key => {
            let walk = view.index.forward_looking(span, at.is_some());
            take(walk.filter_map(see), limit)
        }
        Order::KeyDescending => take(view.index.backward(span).filter_map(see), limit),
        Order::By {
            compare,
            within_limit,
        } => {
            let considered = if within_limit {
                limit.saturating_add(1)
            } else {
                usize::MAX
            };
            let walk = view.index.forward_looking(span, at.is_some());
            let seen = walk.filter_map(see).take(considered);
            let mut records: Vec<&Record> = seen.collect();
            let more = records.len() > limit;
            if more {
                records.select_nth_unstable_by(limit, |a, b| compare(a, b));
                records.truncate(limit);
            }
            records.sort_unstable_by(|a, b| compare(a, b));
            (records.into_iter().cloned().collect(), more)
        }
    }
}

fn take<'a>(mut records: impl Iterator<Item = &'a Record>, limit: usize) -> (Vec<Record>, bool) {
    let taken: Vec<Record> = records.by_ref().take(limit).cloned().collect();
    let more = taken.len() == limit && records.next().is_some();
    (taken, more)
}

/// The four filters by revision, inclusive; 0 is off.
fn passes(range: &Range, record: &Record) -> bool {
    let within =
        |revision: i64, min: i64, max: i64| (min == 0 || revision >= min) && (max == 0 || revision <= max);
    within(
        record.mod_revision().0,
        range.min_mod_revision,
        range.max_mod_revision,
    ) && ((range.min_create_revision == 0 && range.max_create_revision == 0)
        || within(
            record.create_revision().0,
            range.min_create_revision,
            range.max_create_revision,
        ))
}

enum Order {
    Key,
    KeyDescending,
    By {
        /// Total: key order decides between equals, as it does in etcd for up to 12 records.
        compare: fn(&Record, &Record) -> Ordering,
        /// etcd applies the limit before sorting when no order was asked for and no filter is set: the first
        /// `limit + 1` keys are sorted, then cut. Seen on 3.5.30.
        within_limit: bool,
    },
}

fn order(range: &Range) -> Order {
    let target = SortTarget::try_from(range.sort_target).expect("the sort target has been checked");
    let order = SortOrder::try_from(range.sort_order);
    let descending = order == Ok(SortOrder::Descend);
    let compare = match target {
        SortTarget::Key if descending => return Order::KeyDescending,
        SortTarget::Key => return Order::Key,
        // An unknown order leaves the order alone.
        _ if order.is_err() => return Order::Key,
        SortTarget::Version if descending => |a: &Record, b: &Record| sorted(b.version(), a.version(), a, b),
        SortTarget::Version => |a: &Record, b: &Record| sorted(a.version(), b.version(), a, b),
        SortTarget::Create if descending => {
            |a: &Record, b: &Record| sorted(b.create_revision(), a.create_revision(), a, b)
        }
        SortTarget::Create => |a: &Record, b: &Record| sorted(a.create_revision(), b.create_revision(), a, b),
        SortTarget::Mod if descending => {
            |a: &Record, b: &Record| sorted(b.mod_revision(), a.mod_revision(), a, b)
        }
        SortTarget::Mod => |a: &Record, b: &Record| sorted(a.mod_revision(), b.mod_revision(), a, b),
        SortTarget::Value if descending => |a: &Record, b: &Record| sorted(b.value(), a.value(), a, b),
        SortTarget::Value => |a: &Record, b: &Record| sorted(a.value(), b.value(), a, b),
    };
    Order::By {
        compare,
        within_limit: order == Ok(SortOrder::None) && !filters(range),
    }
}

fn sorted<T: Ord>(first: T, second: T, a: &Record, b: &Record) -> Ordering {
    first.cmp(&second).then_with(|| a.key().cmp(b.key()))
}

fn filters(range: &Range) -> bool {
    range.min_mod_revision != 0
        || range.max_mod_revision != 0
        || range.min_create_revision != 0
        || range.max_create_revision != 0
}

/// How many keys there are within `bounds`.
///
/// At an old revision: either by walking the range, or from the number now and each change since that made or
/// deleted a key in the range, whichever is less to walk. So the pages of a long list read at a recent revision
/// do not each walk the whole list.
fn count(view: &View, bounds: Bounds<'_>, span: Span, at: At) -> u64 {
    let now = span.inside;
    let Some(revision) = at else { return now.live };
    let since = view
        .revlog
        .partition_point(|record| record.mod_revision() <= revision);
    if view.revlog.end() - since > now.entries {
        let walk = view.index.forward_looking(span, true);
        return walk.filter_map(|entry| entry.at(at)).count() as u64;
    }
    let change = |record: &Record| match record.is_tombstone() {
        true => -1,
        false => i64::from(record.version() == 1),
    };
    let changes = view
        .revlog
        .iter_from(since)
        .filter(|record| bounds.contains(record.key()));
    let grown: i64 = changes.map(change).sum();
    now.live
        .checked_add_signed(-grown)
        .expect("keys that were made since are there, unless deleted since")
}
