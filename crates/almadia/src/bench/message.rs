//! Requests as bytes, and the little that is read from answers: the hot path of the generator.
//!
//! Knows the wire format of protocol buffers and the field numbers of etcd's services; a test compares with the
//! generated types. Never allocates per request beyond the buffer it is given.

use super::engine::method::Method;

/// Put.
pub const PUT: Method = Method::unary("/etcdserverpb.KV/Put");
/// Range.
pub const RANGE: Method = Method::unary("/etcdserverpb.KV/Range");
/// Transactions.
pub const TXN: Method = Method::unary("/etcdserverpb.KV/Txn");
/// Watches.
pub const WATCH: Method = Method::subscription("/etcdserverpb.Watch/Watch");
/// Grants a lease.
pub const LEASE_GRANT: Method = Method::unary("/etcdserverpb.Lease/LeaseGrant");
/// Revokes a lease.
pub const LEASE_REVOKE: Method = Method::unary("/etcdserverpb.Lease/LeaseRevoke");
/// Renews leases.
pub const LEASE_KEEP_ALIVE: Method = Method::exchange("/etcdserverpb.Lease/LeaseKeepAlive");

const VARINT: u64 = 0;
const LEN: u64 = 2;

/// What a read asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range<'a> {
    /// First key.
    pub key: &'a [u8],
    /// End of the range; empty for one key.
    pub end: &'a [u8],
    /// No more keys than this; 0 is no limit.
    pub limit: u64,
    /// Take this member's answer, old or not.
    pub serializable: bool,
    /// Only the number of keys.
    pub count_only: bool,
}

/// Appends a `PutRequest`.
pub fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    bytes(out, 1, key);
    bytes(out, 2, value);
}

/// Appends a `RangeRequest`.
pub fn range(out: &mut Vec<u8>, range: &Range<'_>) {
    bytes(out, 1, range.key);
    if !range.end.is_empty() {
        bytes(out, 2, range.end);
    }
    for (field, value) in [
        (3, range.limit),
        (7, u64::from(range.serializable)),
        (9, u64::from(range.count_only)),
    ] {
        if value != 0 {
            number(out, field, value);
        }
    }
}

/// Appends a `PutRequest` of a key that goes with a lease.
pub fn put_with_lease(out: &mut Vec<u8>, key: &[u8], value: &[u8], lease: u64) {
    put(out, key, value);
    number(out, 3, lease);
}

/// Appends a `TxnRequest`: if the key was last written at `revision` (0: if it does not exist), write it, else read it.
/// `lease` 0 is none.
pub fn guarded_put(out: &mut Vec<u8>, key: &[u8], revision: u64, value: &[u8], lease: u64) {
    guarded(out, key, revision, |operation| {
        nested(operation, 2, |request| match lease {
            0 => put(request, key, value),
            lease => put_with_lease(request, key, value, lease),
        });
    });
}

/// Appends a `TxnRequest`: if the key was last written at `revision`, delete it, else read it.
pub fn guarded_delete(out: &mut Vec<u8>, key: &[u8], revision: u64) {
    guarded(out, key, revision, |operation| {
        nested(operation, 3, |request| bytes(request, 1, key));
    });
}

fn guarded(out: &mut Vec<u8>, key: &[u8], revision: u64, then: impl FnOnce(&mut Vec<u8>)) {
    const TARGET_MOD: u64 = 2;
    nested(out, 1, |compare| {
        number(compare, 2, TARGET_MOD);
        bytes(compare, 3, key);
        number(compare, 6, revision);
    });
    nested(out, 2, then);
    nested(out, 3, |operation| {
        nested(operation, 1, |request| bytes(request, 1, key));
    });
}

/// Appends an operation to a `TxnRequest` that only writes.
pub fn put_in_txn(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    nested(out, 2, |operation| {
        nested(operation, 2, |request| put(request, key, value))
    });
}

/// Appends a `LeaseGrantRequest`; `id` 0 lets the server choose.
pub fn lease_grant(out: &mut Vec<u8>, id: u64, ttl_seconds: u64) {
    number(out, 1, ttl_seconds);
    number(out, 2, id);
}

/// Appends a `LeaseKeepAliveRequest` or a `LeaseRevokeRequest`.
pub fn lease_id(out: &mut Vec<u8>, id: u64) {
    number(out, 1, id);
}

/// What a watch asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch<'a> {
    /// First key.
    pub key: &'a [u8],
    /// End of the range.
    pub end: &'a [u8],
    /// The first revision to be told; 0: from now on.
    pub start_revision: u64,
    /// Now and then say how far it is.
    pub progress_notify: bool,
    /// Tell the pair as it was before.
    pub prev_kv: bool,
}

/// Appends a `WatchRequest` that creates a watch.
pub fn watch(out: &mut Vec<u8>, watch: &Watch<'_>) {
    nested(out, 1, |create| {
        bytes(create, 1, watch.key);
        bytes(create, 2, watch.end);
        for (field, value) in [
            (3, watch.start_revision),
            (4, u64::from(watch.progress_notify)),
            (6, u64::from(watch.prev_kv)),
        ] {
            if value != 0 {
                number(create, field, value);
            }
        }
    });
}

/// What a `WatchResponse` says besides its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchAnswer<'a> {
    /// The watch it is about.
    pub watch_id: u64,
    /// The watch was created.
    pub is_created: bool,
    /// The watch has ended.
    pub is_canceled: bool,
    /// The revision up to which history is gone, when that is why it ended.
    pub compact_revision: u64,
    /// Why it ended.
    pub cancel_reason: &'a [u8],
}

/// Reads a `WatchResponse` but for its events.
pub fn watch_answer(answer: &[u8]) -> WatchAnswer<'_> {
    let mut read = WatchAnswer::default();
    for field in fields(answer) {
        match field {
            (2, Field::Number(id)) => read.watch_id = id,
            (3, Field::Number(yes)) => read.is_created = yes != 0,
            (4, Field::Number(yes)) => read.is_canceled = yes != 0,
            (5, Field::Number(revision)) => read.compact_revision = revision,
            (6, Field::Bytes(reason)) => read.cancel_reason = reason,
            _ => {}
        }
    }
    read
}

/// An event of a `WatchResponse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The revision of the change.
    pub revision: u64,
    /// What was written; empty when the key was deleted.
    pub value: &'a [u8],
}

/// The events of a `WatchResponse`, in its order.
pub fn events(answer: &[u8]) -> impl Iterator<Item = Event<'_>> {
    all_bytes(answer, 11).map(|event| {
        let pair = find_bytes(event, 2);
        Event {
            revision: find_number(pair, 3),
            value: find_bytes(pair, 5),
        }
    })
}

/// The mod revision of the pair that the other branch of a guarded transaction has read; 0 when there was none.
pub fn found_revision(answer: &[u8]) -> u64 {
    find_number(find_bytes(find_bytes(find_bytes(answer, 3), 1), 2), 3)
}

/// `header.revision` of any answer; 0 when it is missing.
pub fn revision(answer: &[u8]) -> u64 {
    find_number(find_bytes(answer, 1), 3)
}

/// The first field of this number with bytes; empty when it is missing.
fn find_bytes(message: &[u8], number: u64) -> &[u8] {
    all_bytes(message, number).next().unwrap_or_default()
}

fn all_bytes(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(move |field| match field {
        (found, Field::Bytes(content)) if found == number => Some(content),
        _ => None,
    })
}

/// The number in a field; 0 when it is missing, as on the wire.
pub fn find_number(message: &[u8], number: u64) -> u64 {
    fields(message)
        .find_map(|field| match field {
            (found, Field::Number(value)) if found == number => Some(value),
            _ => None,
        })
        .unwrap_or(0)
}

/// How often a field with bytes occurs.
pub fn count_of(message: &[u8], number: u64) -> usize {
    all_bytes(message, number).count()
}

/// A field's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message; ends early at the first malformed one.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let tag = read_varint(&mut message)?;
        let field = match tag & 7 {
            VARINT => Field::Number(read_varint(&mut message)?),
            LEN => {
                let len = usize::try_from(read_varint(&mut message)?).ok()?;
                let content = message.get(..len)?;
                message = &message[len..];
                Field::Bytes(content)
            }
            _ => return None,
        };
        Some((tag >> 3, field))
    })
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    write_varint(out, field << 3 | VARINT);
    write_varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    write_varint(out, field << 3 | LEN);
    write_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Writes the content first and puts its length in front then: cheaper than writing it twice to know the length.
fn nested(out: &mut Vec<u8>, field: u64, content: impl FnOnce(&mut Vec<u8>)) {
    write_varint(out, field << 3 | LEN);
    let start = out.len();
    content(out);
    let len = out.len() - start;
    let before = out.len();
    write_varint(out, len as u64);
    let prefix_len = out.len() - before;
    out[start..].rotate_right(prefix_len);
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
