//! The handshake's bytes and rules, case by case.

use super::*;
use proptest::prelude::*;

fn dialer() -> Hello {
    Hello {
        version: 1,
        version_min: 1,
        group: GroupId([7; 16]),
        cluster: ClusterId(0xc1),
        from: MemberId(0xa),
        from_name: "a".into(),
        to: MemberId(0xb),
        to_name: "b".into(),
        lane: Lane::Append as u8,
    }
}

/// What the member at the other end answers.
fn listener() -> Hello {
    Hello {
        from: MemberId(0xb),
        from_name: "b".into(),
        to: MemberId(0),
        to_name: String::new(),
        ..dialer()
    }
}

/// Both sides' verdicts on what the dialer and the listener say.
fn verdicts(dialer: &Hello, listener: &Hello) -> (Result<(), HelloRefusal>, Result<(), HelloRefusal>) {
    (check(listener, dialer), check(dialer, listener))
}

/// Released bytes keep their meaning: these are the bytes of version 0.1.
#[test]
fn golden_bytes() {
    let bytes = dialer().encode();
    let mut golden = b"ALMD\x01\x01\x00\x01\x00".to_vec();
    golden.extend([7; 16]);
    golden.extend(b"\xc1\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x03\x01\0a\x01\0b");
    assert_eq!(bytes.as_ref(), golden);
    assert_eq!(decode(&bytes), Ok(FirstFrame::Hello(dialer())));
    let refusal = encode_refusal("no");
    assert_eq!(refusal.as_ref(), b"ALMD\x02\x02\0no");
    assert_eq!(decode(&refusal), Ok(FirstFrame::Refusal("no".into())));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let bytes = encode_refusal(&"ñ".repeat(3000));
    let Ok(FirstFrame::Refusal(reason)) = decode(&bytes) else {
        panic!("not a refusal")
    };
    assert_eq!(reason, "ñ".repeat(512));
}

#[test]
fn strangers_and_unknown_kinds_are_told_apart() {
    assert_eq!(decode(b"GET / HTTP/1.1"), Err(HelloError::Magic));
    assert_eq!(decode(b""), Err(HelloError::Magic));
    assert_eq!(decode(b"ALMD\x09"), Err(HelloError::Kind(9)));
    assert_eq!(decode(&vec![b'A'; HELLO_BYTES_MAX + 1]), Err(HelloError::Damaged));
}

#[test]
fn members_that_belong_together_talk() {
    assert_eq!(verdicts(&dialer(), &listener()), (Ok(()), Ok(())));
}

/// Both sides refuse, each in its own words, and the words name the reason.
#[test]
fn both_sides_refuse_with_reasons() {
    type Change = fn(&mut Hello);
    let cases: [(Change, &str); 7] = [
        (|hello| hello.group = GroupId([8; 16]), "another group"),
        (|hello| hello.cluster = ClusterId(2), "another cluster"),
        (
            |hello| hello.cluster = ClusterId(0),
            "does not belong to a cluster yet",
        ),
        (|hello| (hello.version, hello.version_min) = (9, 8), "protocol"),
        (|hello| hello.from = MemberId(0xa), "reached by itself"),
        (
            |hello| hello.from = MemberId(0xe),
            "looking for member b b, found member e b",
        ),
        (|hello| hello.lane = 77, "lane 77"),
    ];
    for (change, words) in cases {
        let mut other = listener();
        change(&mut other);
        let (at_listener, at_dialer) = verdicts(&dialer(), &other);
        let reason = at_dialer.expect_err(words).to_string();
        assert!(reason.contains(words), "{reason}");
        assert!(at_listener.is_err(), "{words}");
    }
}

/// Before there is a cluster only the founding lane is spoken, by name; and names are checked there, because an
/// address may lead to a pod that has taken over the address of another.
#[test]
fn founding_needs_a_name_but_no_cluster_and_no_id() {
    let asking = Hello {
        cluster: ClusterId(0),
        to: MemberId(0),
        lane: Lane::Founding as u8,
        ..dialer()
    };
    let answering = Hello {
        lane: Lane::Founding as u8,
        ..listener()
    };
    assert_eq!(verdicts(&asking, &answering), (Ok(()), Ok(())));
    let somebody_else = Hello {
        from_name: "c".into(),
        ..answering.clone()
    };
    let (at_listener, at_dialer) = verdicts(&asking, &somebody_else);
    assert!(matches!(at_listener, Err(HelloRefusal::Member { .. })));
    assert!(matches!(at_dialer, Err(HelloRefusal::Member { .. })));
    let nobody = Hello {
        to_name: String::new(),
        ..asking
    };
    assert!(matches!(
        check(&answering, &nobody),
        Err(HelloRefusal::Member { .. })
    ));
}

/// Outside founding an id is needed: a name alone does not say which instance is meant.
#[test]
fn other_lanes_need_an_id() {
    let nameless = Hello {
        to: MemberId(0),
        ..dialer()
    };
    assert!(matches!(
        check(&listener(), &nameless),
        Err(HelloRefusal::Member { .. })
    ));
    let idless = Hello {
        from: MemberId(0),
        ..dialer()
    };
    assert!(matches!(
        check(&listener(), &idless),
        Err(HelloRefusal::Member { .. })
    ));
}

/// A newer release that still speaks our version is welcome.
#[test]
fn overlapping_versions_talk() {
    let newer = Hello {
        version: 3,
        version_min: 1,
        ..dialer()
    };
    assert_eq!(verdicts(&newer, &listener()), (Ok(()), Ok(())));
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let numbers = (any::<u16>(), any::<u16>(), any::<[u8; 16]>(), any::<u8>());
    let ids = (any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, ids, ".{0,40}", "[a-z0-9-]{0,40}").prop_map(|(numbers, ids, from_name, to_name)| Hello {
        version: numbers.0,
        version_min: numbers.1,
        group: GroupId(numbers.2),
        cluster: ClusterId(ids.0),
        from: MemberId(ids.1),
        from_name,
        to: MemberId(ids.2),
        to_name,
        lane: numbers.3,
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(hello in any_hello(), tail in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut bytes = hello.encode().to_vec();
        bytes.extend(tail);
        prop_assert_eq!(decode(&bytes), Ok(FirstFrame::Hello(hello)));
    }

    /// No bytes make the decoder panic.
    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
    }

    /// Nor do damaged or shortened bytes of a real hello.
    #[test]
    fn damage_does_not_panic(hello in any_hello(), at in any::<usize>(), with in any::<u8>(), end in any::<usize>()) {
        let mut bytes = hello.encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        bytes.truncate(end % (bytes.len() + 1));
        let _ = decode(&bytes);
    }

    /// Group, cluster and version are judged alike by both sides.
    #[test]
    fn a_refusal_is_mutual(ours in any_hello(), theirs in any_hello()) {
        prop_assert_eq!(check(&ours, &theirs).is_err(), check(&theirs, &ours).is_err());
    }
}
