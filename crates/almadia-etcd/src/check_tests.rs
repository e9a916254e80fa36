//! The rule about two writes to one key against a slow twin that follows etcd's words one by one.

use super::*;
use proptest::prelude::*;

/// Everything a list of operations writes, each delete by itself.
#[derive(Default)]
struct SlowWrites {
    puts: Vec<Bytes>,
    deletes: Vec<(Bytes, Bytes)>,
}

fn covers(delete: &(Bytes, Bytes), key: &Bytes) -> bool {
    if delete.1.is_empty() {
        delete.0 == key
    } else {
        delete.0 <= *key && *key < delete.1
    }
}

fn slow_writes(operations: &[RequestOp]) -> Option<SlowWrites> {
    let mut found = SlowWrites::default();
    for operation in operations {
        if let Some(request_op::Request::RequestDeleteRange(delete)) = &operation.request {
            found.deletes.push((delete.key.clone(), delete.range_end.clone()));
        }
    }
    for operation in operations {
        let Some(request_op::Request::RequestTxn(nested)) = &operation.request else {
            continue;
        };
        let (success, failure) = (slow_writes(&nested.success)?, slow_writes(&nested.failure)?);
        let taken = found.puts.clone();
        for key in success.puts.iter().chain(&failure.puts) {
            if taken.contains(key) || found.deletes.iter().any(|delete| covers(delete, key)) {
                return None;
            }
            found.puts.push(key.clone());
        }
        found
            .deletes
            .extend(success.deletes.into_iter().chain(failure.deletes));
    }
    for operation in operations {
        if let Some(request_op::Request::RequestPut(put)) = &operation.request {
            if found.puts.contains(&put.key) || found.deletes.iter().any(|delete| covers(delete, &put.key)) {
                return None;
            }
            found.puts.push(put.key.clone());
        }
    }
    Some(found)
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::from_static(b"a")),
        Just(Bytes::from_static(b"a\0")),
        Just(Bytes::from_static(b"b")),
        Just(Bytes::from_static(b"c")),
        Just(Bytes::from_static(b"d")),
        Just(Bytes::from_static(b"e")),
        Just(Bytes::from_static(b"\0")),
    ]
}

fn operation() -> impl Strategy<Value = RequestOp> {
    let put = key().prop_map(|key| {
        request_op::Request::RequestPut(PutRequest {
            key,
            ..Default::default()
        })
    });
    let range_end = prop_oneof![3 => Just(Bytes::new()), 4 => key()];
    let delete = (key(), range_end).prop_map(|(key, range_end)| {
        request_op::Request::RequestDeleteRange(DeleteRangeRequest {
            key,
            range_end,
            prev_kv: false,
        })
    });
    let leaf = prop_oneof![put, delete].prop_map(|request| RequestOp {
        request: Some(request),
    });
    leaf.prop_recursive(3, 24, 4, |inner| {
        let list = || proptest::collection::vec(inner.clone(), 0..4);
        (list(), list()).prop_map(|(success, failure)| {
            let nested = TxnRequest {
                compare: vec![],
                success,
                failure,
            };
            RequestOp {
                request: Some(request_op::Request::RequestTxn(nested)),
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn b1_14_duplicates_are_found_as_the_slow_twin_finds_them(
        operations in proptest::collection::vec(operation(), 0..6),
    ) {
        prop_assert_eq!(writes(&operations).is_ok(), slow_writes(&operations).is_some());
    }

    /// Spans cover exactly the keys that one of the deletes covers, however they overlap.
    #[test]
    fn spans_cover_what_the_deletes_cover(
        deletes in proptest::collection::vec((key(), prop_oneof![Just(Bytes::new()), key()]), 0..8),
        asked in key(),
    ) {
        let mut spans = Spans::default();
        for (key, range_end) in &deletes {
            spans.add(key, range_end);
        }
        prop_assert_eq!(spans.cover(&asked), deletes.iter().any(|delete| covers(delete, &asked)));
    }
}

/// A hostile transaction is refused or accepted in time that grows with its size, not with its square.
#[test]
fn b1_14_a_hundred_thousand_deletes_are_checked_quickly() {
    let delete = |number: u32| {
        let (key, range_end) = (Bytes::from(number.to_be_bytes().to_vec()), Bytes::new());
        let request = DeleteRangeRequest {
            key,
            range_end,
            prev_kv: false,
        };
        RequestOp {
            request: Some(request_op::Request::RequestDeleteRange(request)),
        }
    };
    let put = |number: u32| {
        let key = Bytes::from((number | 1 << 31).to_be_bytes().to_vec());
        RequestOp {
            request: Some(request_op::Request::RequestPut(PutRequest {
                key,
                ..Default::default()
            })),
        }
    };
    let operations: Vec<RequestOp> = (0..100_000)
        .flat_map(|number| [delete(number), put(number)])
        .collect();
    assert!(writes(&operations).is_ok());
}

#[test]
fn a_command_of_the_deepest_transaction_can_be_read_back() {
    let put = PutRequest {
        key: Bytes::from_static(b"k"),
        ..Default::default()
    };
    let mut operation = RequestOp {
        request: Some(request_op::Request::RequestPut(put)),
    };
    for _ in 0..NESTED_TXN_MAX {
        let nested = TxnRequest {
            success: vec![operation],
            ..Default::default()
        };
        operation = RequestOp {
            request: Some(request_op::Request::RequestTxn(nested)),
        };
    }
    let request = TxnRequest {
        success: vec![operation],
        ..Default::default()
    };
    assert_eq!(txn(&request, 128), Ok(()));
    let command = almadia_command::Command::from(almadia_command::Kind::Txn(crate::translate::txn(request)));
    assert!(almadia_command::Command::decode_bytes(command.encode_bytes()).is_ok());
}
