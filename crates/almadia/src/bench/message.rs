//! Requests as bytes, and the little that is read from answers: the hot path of the generator.
//!
//! Knows the wire format of protocol buffers and the field numbers of etcd's KV service; a test compares with the
//! generated types. Never allocates per request beyond the buffer it is given.

/// Method paths.
pub const PUT: &str = "/etcdserverpb.KV/Put";
/// Range.
pub const RANGE: &str = "/etcdserverpb.KV/Range";
/// Transactions.
pub const TXN: &str = "/etcdserverpb.KV/Txn";

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

/// Appends a `TxnRequest`: if the key was last written at `revision`, write it, else read it.
pub fn swap(out: &mut Vec<u8>, key: &[u8], revision: u64, value: &[u8]) {
    const TARGET_MOD: u64 = 2;
    nested(out, 1, |compare| {
        number(compare, 2, TARGET_MOD);
        bytes(compare, 3, key);
        number(compare, 6, revision);
    });
    nested(out, 2, |operation| {
        nested(operation, 2, |request| put(request, key, value))
    });
    nested(out, 3, |operation| {
        nested(operation, 1, |request| bytes(request, 1, key))
    });
}

/// Appends an operation to a `TxnRequest` that only writes.
pub fn put_in_txn(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    nested(out, 2, |operation| {
        nested(operation, 2, |request| put(request, key, value))
    });
}

/// `header.revision` of any answer; 0 when it is missing.
pub fn revision(answer: &[u8]) -> u64 {
    match fields(answer).find(|field| field.0 == 1) {
        Some((_, Field::Bytes(header))) => find_number(header, 3),
        _ => 0,
    }
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
    fields(message)
        .filter(|field| field.0 == number && matches!(field.1, Field::Bytes(_)))
        .count()
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
mod tests {
    use super::*;
    use almadia_etcd::proto::etcdserverpb::compare::{CompareTarget, TargetUnion};
    use almadia_etcd::proto::etcdserverpb::request_op::Request;
    use almadia_etcd::proto::etcdserverpb::{
        PutRequest, RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
    };
    use almadia_etcd::proto::mvccpb::KeyValue;
    use proptest::prelude::*;
    use prost::Message;

    #[test]
    fn requests_are_what_the_generated_types_read() {
        let value = vec![7; 300];
        let mut out = Vec::new();
        put(&mut out, b"k", &value);
        let read = PutRequest::decode(&out[..]).expect("valid");
        assert_eq!((&read.key[..], &read.value[..]), (&b"k"[..], &value[..]));

        out.clear();
        let wish = Range {
            key: b"a",
            end: b"b",
            limit: 500,
            serializable: true,
            count_only: true,
        };
        range(&mut out, &wish);
        let read = RangeRequest::decode(&out[..]).expect("valid");
        assert_eq!(
            (read.limit, read.serializable, read.count_only),
            (500, true, true)
        );
        assert_eq!((&read.key[..], &read.range_end[..]), (&b"a"[..], &b"b"[..]));

        out.clear();
        swap(&mut out, b"k", 1234, &value);
        let read = TxnRequest::decode(&out[..]).expect("valid");
        assert_eq!(read.compare[0].target, i32::from(CompareTarget::Mod));
        assert_eq!(read.compare[0].target_union, Some(TargetUnion::ModRevision(1234)));
        let Some(Request::RequestPut(written)) = &read.success[0].request else {
            panic!("a put")
        };
        assert_eq!(&written.value[..], &value[..]);
        let Some(Request::RequestRange(asked)) = &read.failure[0].request else {
            panic!("a range")
        };
        assert_eq!(&asked.key[..], b"k");

        out.clear();
        put_in_txn(&mut out, b"a", b"1");
        put_in_txn(&mut out, b"b", &value);
        assert_eq!(TxnRequest::decode(&out[..]).expect("valid").success.len(), 2);
    }

    #[test]
    fn answers_are_read() {
        let header = Some(ResponseHeader {
            revision: 300,
            member_id: 5,
            ..Default::default()
        });
        let kvs = vec![
            KeyValue {
                key: "a".into(),
                ..KeyValue::default()
            };
            3
        ];
        let range = RangeResponse {
            header,
            kvs,
            count: 777,
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!(
            (revision(&range), count_of(&range, 2), find_number(&range, 4)),
            (300, 3, 777)
        );
        let txn = TxnResponse {
            header: None,
            succeeded: true,
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!((revision(&txn), find_number(&txn, 2)), (0, 1));
    }

    proptest! {
        /// Promise: no answer makes the generator panic.
        #[test]
        fn garbage_is_survived(answer in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (revision(&answer), count_of(&answer, 2), find_number(&answer, 4));
        }
    }
}
