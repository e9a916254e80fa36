//! The bytes of the founding messages.

use super::*;
use crate::founding::{Admitted, FoundAck, Frame, FrameError};
use crate::identity::InitialMember;
use proptest::prelude::*;

fn samples() -> [Frame; 6] {
    let member = InitialMember {
        id: MemberId(3),
        name: "n".into(),
        peer_urls: vec!["p".into()],
        client_urls: vec!["c".into()],
    };
    [
        Frame::Ask(Ask {
            member: MemberId(1),
            name: "a".into(),
            peer_urls: Vec::new(),
        }),
        Frame::Answer(Answer {
            member: MemberId(2),
            name: "b".into(),
            cluster: ClusterId(4),
            offers: true,
            admits: false,
            founding: true,
            initial_names: vec!["a".into(), "b".into()],
            seen: [("a".to_owned(), MemberId(1))].into(),
            client_urls: vec!["c".into()],
            says: String::new(),
        }),
        Frame::Found(Found {
            cluster: ClusterId(4),
            initial: vec![member],
        }),
        Frame::FoundAck(FoundAck {
            cluster: ClusterId(4),
            member: MemberId(1),
        }),
        Frame::Ask(Ask {
            member: MemberId(1),
            name: "a".into(),
            peer_urls: vec!["p".into()],
        }),
        Frame::Admitted(Admitted {
            cluster: ClusterId(4),
            member: MemberId(1),
        }),
    ]
}

/// Released bytes keep their meaning: these are the bytes of version 0.1.
#[test]
fn golden_bytes() {
    let golden: [&[u8]; 6] = [
        b"\x0a\x0c\x09\x01\0\0\0\0\0\0\0\x12\x01a",
        b"\x12\x30\x09\x02\0\0\0\0\0\0\0\x12\x01b\x19\x04\0\0\0\0\0\0\0\x20\x01\x28\x01\x32\x01a\x32\x01b\
          \x3a\x0c\x0a\x01a\x11\x01\0\0\0\0\0\0\0\x42\x01c",
        b"\x1a\x1d\x09\x04\0\0\0\0\0\0\0\x12\x12\x09\x03\0\0\0\0\0\0\0\x12\x01n\x1a\x01p\x22\x01c",
        b"\x22\x12\x09\x04\0\0\0\0\0\0\0\x11\x01\0\0\0\0\0\0\0",
        b"\x0a\x0f\x09\x01\0\0\0\0\0\0\0\x12\x01a\x1a\x01p",
        b"\x2a\x12\x09\x04\0\0\0\0\0\0\0\x11\x01\0\0\0\0\0\0\0",
    ];
    for (frame, golden) in samples().into_iter().zip(golden) {
        let bytes = frame.encode();
        assert_eq!(bytes.as_ref(), golden, "{frame:?}");
        assert_eq!(Frame::decode(bytes), Ok(frame));
    }
    let [_, Frame::Answer(answer), ..] = samples() else {
        panic!("the second is an answer");
    };
    let says = Frame::Answer(Answer {
        says: "later".into(),
        ..answer
    });
    let bytes = says.encode();
    assert_eq!(
        bytes.as_ref(),
        [&golden[1][..1], b"\x37", &golden[1][2..], b"\x52\x05later"].concat()
    );
    assert_eq!(Frame::decode(bytes), Ok(says));
    assert_eq!(Frame::decode(bytes::Bytes::new()), Err(FrameError::Unknown));
}

proptest! {
    /// No bytes make the decoder panic.
    #[test]
    fn garbage_is_an_error_or_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::decode(bytes.into());
    }

    /// Nor do damaged bytes of real messages.
    #[test]
    fn damage_does_not_panic(which in 0usize..6, at in any::<usize>(), with in any::<u8>()) {
        let mut bytes = samples()[which].encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = Frame::decode(bytes.into());
    }
}
