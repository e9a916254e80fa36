//! From outcomes to etcd's answers, as bytes.
//!
//! A record already is an encoded `mvccpb.KeyValue`, so an answer is a header and copies of records; no message is
//! built. Sizes are computed first, because a message stands behind its length. Decides nothing.

use crate::budget::Share;
use crate::pieces::Segment;
use crate::proto::etcdserverpb::{self as pb, ResponseHeader};
use crate::wire::Answer as Reply;
use almadia_store::{Answer, OpAnswer, RangeAnswer, Record, TxnAnswer};
use bytes::BufMut;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use std::collections::VecDeque;

/// The header is field 1 of every answer.
const HEADER: u32 = 1;

/// The answer to a read.
#[derive(Debug)]
pub struct RangeReply {
    /// Who answers.
    pub header: ResponseHeader,
    /// What was found.
    pub answer: RangeAnswer,
    /// Leave the values out.
    pub keys_only: bool,
    /// What it may hold, if it is a large one.
    pub share: Option<Share>,
}

/// The answer to a write.
#[derive(Debug)]
pub struct PutReply {
    /// Who answers.
    pub header: ResponseHeader,
    /// What was there before, if asked for.
    pub prev: Option<Record>,
}

/// The answer to a removal.
#[derive(Debug)]
pub struct DeleteRangeReply {
    /// Who answers.
    pub header: ResponseHeader,
    /// Keys removed.
    pub deleted: i64,
    /// What was there before, if asked for.
    pub prev: Vec<Record>,
}

/// The answer to a transaction.
#[derive(Debug)]
pub struct TxnReply {
    /// Who answers.
    pub header: ResponseHeader,
    /// What was done.
    pub answer: TxnAnswer,
    /// Which of its reads want no values.
    pub values: ValueWishes,
    /// What it may hold, if it is a large one.
    pub share: Option<Share>,
}

/// Which reads of a transaction want no values: outcomes do not say.
#[derive(Debug, Default)]
pub struct ValueWishes {
    /// Absent when every read wants values, which is nearly always.
    branches: Option<Box<[Vec<Wish>; 2]>>,
}

/// What one operation of a transaction wants.
#[derive(Debug)]
enum Wish {
    Values,
    KeysOnly,
    Nested(ValueWishes),
}

impl ValueWishes {
    /// Reads the wishes from a request.
    pub fn of(request: &pb::TxnRequest) -> Self {
        let [success, failure] = [&request.success, &request.failure].map(|list| {
            let wishes: Vec<Wish> = list.iter().map(Wish::of).collect();
            wishes
        });
        let all_want_values = success.iter().chain(&failure).all(Wish::wants_values);
        Self {
            branches: (!all_want_values).then(|| Box::new([success, failure])),
        }
    }

    fn wish(&self, succeeded: bool, position: usize) -> Option<&Wish> {
        self.branches.as_ref()?[usize::from(!succeeded)].get(position)
    }
}

impl Wish {
    fn of(operation: &pb::RequestOp) -> Self {
        match &operation.request {
            Some(pb::request_op::Request::RequestRange(range)) if range.keys_only => Self::KeysOnly,
            Some(pb::request_op::Request::RequestTxn(nested)) => Self::Nested(ValueWishes::of(nested)),
            _ => Self::Values,
        }
    }

    fn wants_values(&self) -> bool {
        match self {
            Self::Values => true,
            Self::KeysOnly => false,
            Self::Nested(nested) => nested.branches.is_none(),
        }
    }
}

impl Reply for RangeReply {
    fn encoded_len(&self) -> usize {
        header_len(&self.header) + range_len(&self.answer, self.keys_only)
    }

    fn encode(&self, into: &mut impl BufMut) {
        put_header(&self.header, into);
        put_range(&self.answer, self.keys_only, into);
    }

    fn take_share(&mut self) -> Option<Share> {
        self.share.take()
    }

    fn into_segments(self) -> VecDeque<Segment> {
        let mut segments = Segments::default();
        put_header(&self.header, &mut segments.bytes);
        segments.range(self.answer, self.keys_only);
        segments.finish()
    }
}

impl Reply for PutReply {
    fn encoded_len(&self) -> usize {
        header_len(&self.header) + records_len(self.prev.as_slice(), false)
    }

    fn encode(&self, into: &mut impl BufMut) {
        put_header(&self.header, into);
        put_records(2, self.prev.as_slice(), false, into);
    }
}

impl Reply for DeleteRangeReply {
    fn encoded_len(&self) -> usize {
        header_len(&self.header) + delete_range_len(self.deleted, &self.prev)
    }

    fn encode(&self, into: &mut impl BufMut) {
        put_header(&self.header, into);
        put_delete_range(self.deleted, &self.prev, into);
    }

    fn into_segments(self) -> VecDeque<Segment> {
        let mut segments = Segments::default();
        put_header(&self.header, &mut segments.bytes);
        segments.delete_range(self.deleted, self.prev);
        segments.finish()
    }
}

impl Reply for TxnReply {
    fn encoded_len(&self) -> usize {
        header_len(&self.header) + txn_len(&self.answer, &self.values)
    }

    fn encode(&self, into: &mut impl BufMut) {
        put_header(&self.header, into);
        put_txn(&self.answer, &self.values, into);
    }

    fn take_share(&mut self) -> Option<Share> {
        self.share.take()
    }

    fn into_segments(self) -> VecDeque<Segment> {
        let mut segments = Segments::default();
        put_header(&self.header, &mut segments.bytes);
        segments.txn(self.answer, &self.values);
        segments.finish()
    }
}

/// A large answer's parts: the records stay what they are, everything between them is laid down.
#[derive(Default)]
struct Segments {
    done: VecDeque<Segment>,
    bytes: Vec<u8>,
}

impl Segments {
    fn records(&mut self, field: u32, records: Vec<Record>, keys_only: bool) {
        if records.is_empty() {
            return;
        }
        self.done
            .push_back(Segment::Bytes(std::mem::take(&mut self.bytes)));
        self.done.push_back(Segment::Records {
            field,
            records: records.into_iter(),
            keys_only,
        });
    }

    fn range(&mut self, answer: RangeAnswer, keys_only: bool) {
        self.records(2, answer.records, keys_only);
        put_bool(3, answer.more, &mut self.bytes);
        put_number(4, answer.count, &mut self.bytes);
    }

    fn delete_range(&mut self, deleted: i64, prev: Vec<Record>) {
        put_number(2, deleted, &mut self.bytes);
        self.records(3, prev, false);
    }

    fn txn(&mut self, answer: TxnAnswer, values: &ValueWishes) {
        put_bool(2, answer.succeeded, &mut self.bytes);
        for (position, operation) in answer.responses.into_iter().enumerate() {
            let wish = values.wish(answer.succeeded, position);
            put_message(3, operation_len(&operation, wish), &mut self.bytes);
            put_operation_head(&operation, wish, &mut self.bytes);
            match operation.answer {
                Answer::Range(answer) => self.range(answer, matches!(wish, Some(Wish::KeysOnly))),
                Answer::Put { prev } => put_records(2, prev.as_slice(), false, &mut self.bytes),
                Answer::DeleteRange { deleted, prev } => self.delete_range(deleted, prev),
                Answer::Txn(nested) => with_nested(wish, |values| self.txn(nested, values)),
                _ => {}
            }
        }
    }

    fn finish(mut self) -> VecDeque<Segment> {
        self.done.push_back(Segment::Bytes(self.bytes));
        self.done
    }
}

/// `RangeResponse` without its header: kvs 2, more 3, count 4.
pub(crate) fn range_len(answer: &RangeAnswer, keys_only: bool) -> usize {
    records_len(&answer.records, keys_only) + bool_len(answer.more) + number_len(answer.count)
}

pub(crate) fn put_range(answer: &RangeAnswer, keys_only: bool, into: &mut impl BufMut) {
    put_records(2, &answer.records, keys_only, into);
    put_bool(3, answer.more, into);
    put_number(4, answer.count, into);
}

/// `DeleteRangeResponse` without its header: deleted 2, prev_kvs 3.
fn delete_range_len(deleted: i64, prev: &[Record]) -> usize {
    number_len(deleted) + records_len(prev, false)
}

fn put_delete_range(deleted: i64, prev: &[Record], into: &mut impl BufMut) {
    put_number(2, deleted, into);
    put_records(3, prev, false, into);
}

/// `TxnResponse` without its header: succeeded 2, responses 3.
fn txn_len(answer: &TxnAnswer, values: &ValueWishes) -> usize {
    let responses: usize = operations(answer, values)
        .map(|(operation, wish)| message_len(operation_len(operation, wish)))
        .sum();
    bool_len(answer.succeeded) + responses
}

fn put_txn(answer: &TxnAnswer, values: &ValueWishes, into: &mut impl BufMut) {
    put_bool(2, answer.succeeded, into);
    for (operation, wish) in operations(answer, values) {
        put_message(3, operation_len(operation, wish), into);
        put_operation(operation, wish, into);
    }
}

fn operations<'a>(
    answer: &'a TxnAnswer,
    values: &'a ValueWishes,
) -> impl Iterator<Item = (&'a OpAnswer, Option<&'a Wish>)> {
    let with_position = answer.responses.iter().enumerate();
    with_position.map(|(position, operation)| (operation, values.wish(answer.succeeded, position)))
}

/// `ResponseOp`: range 1, put 2, delete_range 3, txn 4, each with a header that holds only the revision; the header of
/// a nested transaction is there but empty.
fn operation_len(operation: &OpAnswer, wish: Option<&Wish>) -> usize {
    message_len(
        operation_header(operation).map_or(message_len(0), |header| header_len(&header))
            + operation_body_len(operation, wish),
    )
}

fn operation_body_len(operation: &OpAnswer, wish: Option<&Wish>) -> usize {
    match &operation.answer {
        Answer::Range(answer) => range_len(answer, matches!(wish, Some(Wish::KeysOnly))),
        Answer::Put { prev } => records_len(prev.as_slice(), false),
        Answer::DeleteRange { deleted, prev } => delete_range_len(*deleted, prev),
        Answer::Txn(nested) => with_nested(wish, |values| txn_len(nested, values)),
        _ => 0,
    }
}

/// Everything of an operation's answer up to its content.
fn put_operation_head(operation: &OpAnswer, wish: Option<&Wish>, into: &mut impl BufMut) {
    let header = operation_header(operation);
    let field = match &operation.answer {
        Answer::Range(_) => 1,
        Answer::Put { .. } => 2,
        Answer::DeleteRange { .. } => 3,
        Answer::Txn(_) => 4,
        other => unreachable!("no operation of a transaction answers {other:?}"),
    };
    let header_len = header.as_ref().map_or(message_len(0), header_len);
    put_message(field, header_len + operation_body_len(operation, wish), into);
    match header {
        Some(header) => put_header(&header, into),
        None => put_message(HEADER, 0, into),
    }
}

fn put_operation(operation: &OpAnswer, wish: Option<&Wish>, into: &mut impl BufMut) {
    put_operation_head(operation, wish, into);
    match &operation.answer {
        Answer::Range(answer) => put_range(answer, matches!(wish, Some(Wish::KeysOnly)), into),
        Answer::Put { prev } => put_records(2, prev.as_slice(), false, into),
        Answer::DeleteRange { deleted, prev } => put_delete_range(*deleted, prev, into),
        Answer::Txn(nested) => with_nested(wish, |values| put_txn(nested, values, into)),
        _ => {}
    }
}

fn operation_header(operation: &OpAnswer) -> Option<ResponseHeader> {
    let nested = matches!(operation.answer, Answer::Txn(_));
    (!nested).then(|| ResponseHeader {
        revision: operation.revision.get(),
        ..ResponseHeader::default()
    })
}

fn with_nested<T>(wish: Option<&Wish>, run: impl FnOnce(&ValueWishes) -> T) -> T {
    match wish {
        Some(Wish::Nested(values)) => run(values),
        _ => run(&ValueWishes::default()),
    }
}

fn records_len(records: &[Record], keys_only: bool) -> usize {
    records
        .iter()
        .map(|record| message_len(record_len(record, keys_only)))
        .sum()
}

fn put_records(field: u32, records: &[Record], keys_only: bool, into: &mut impl BufMut) {
    for record in records {
        put_record(field, record, keys_only, into);
    }
}

pub(crate) fn put_record(field: u32, record: &Record, keys_only: bool, into: &mut impl BufMut) {
    put_message(field, record_len(record, keys_only), into);
    if keys_only {
        let (head, tail) = without_value(record);
        into.put_slice(head);
        into.put_slice(tail);
    } else {
        into.put_slice(record.encoded());
    }
}

fn record_len(record: &Record, keys_only: bool) -> usize {
    if keys_only {
        let (head, tail) = without_value(record);
        head.len() + tail.len()
    } else {
        record.encoded().len()
    }
}

/// A record's bytes before and behind its value: the value is the last field but one, the lease the last.
fn without_value(record: &Record) -> (&[u8], &[u8]) {
    let encoded = record.encoded();
    let value = record.value().len();
    let value_field = if value == 0 {
        0
    } else {
        1 + encoded_len_varint(value as u64) + value
    };
    let lease_field = number_len(record.lease().get());
    let lease_at = encoded.len() - lease_field;
    (&encoded[..lease_at - value_field], &encoded[lease_at..])
}

pub(crate) fn header_len(header: &ResponseHeader) -> usize {
    message_len(header.encoded_len())
}

pub(crate) fn put_header(header: &ResponseHeader, into: &mut impl BufMut) {
    put_message(HEADER, header.encoded_len(), into);
    header.encode_raw(into);
}

/// Tag, length and content of an embedded message; all fields used here have one-byte tags.
pub(crate) fn message_len(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

pub(crate) fn put_message(field: u32, content: usize, into: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, into);
    encode_varint(content as u64, into);
}

/// Numbers and flags at their default are not on the wire.
pub(crate) fn number_len(number: i64) -> usize {
    if number == 0 {
        0
    } else {
        key_len(1) + encoded_len_varint(number as u64)
    }
}

pub(crate) fn put_number(field: u32, number: i64, into: &mut impl BufMut) {
    if number != 0 {
        encode_key(field, WireType::Varint, into);
        encode_varint(number as u64, into);
    }
}

pub(crate) fn bool_len(flag: bool) -> usize {
    if flag { 2 } else { 0 }
}

pub(crate) fn put_bool(field: u32, flag: bool, into: &mut impl BufMut) {
    put_number(field, i64::from(flag), into);
}
