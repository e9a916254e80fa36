//! The bytes on disk: golden ones, and garbage.

use almadia_command::{LogIndex, MemberId, Term};
use bytes::Bytes;
use proptest::prelude::*;

use super::support::*;
use crate::format::*;
use crate::types::Marks;
use crate::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sample_header() -> Header {
    let vote = Vote {
        term: Term(7),
        member: MemberId(0x0102),
        committed: true,
    };
    let marks = Marks {
        vote: Some(vote),
        committed: Some(id(6, 40)),
        purged: Some(id(5, 30)),
        last: Some(id(7, 50)),
    };
    Header {
        sequence: 3,
        life: 0x1122_3344_5566_7788,
        previous_crc: 0xaabb_ccdd,
        marks,
    }
}

/// Released bytes: a change here is a new format version.
#[test]
fn golden_header() {
    let block = sample_header().encode();
    assert_eq!(block.len(), 4096);
    let golden = concat!(
        "414c4d414457414c", // "ALMADWAL"
        "01000000",         // format version
        "03000000",         // flags: voted, vote committed
        "0300000000000000", // sequence
        "8877665544332211", // life
        "3200000000000000", // last index before
        "0700000000000000", // last term before
        "3300000000000000", // first index
        "ddccbbaa00000000", // checksum of the frame before
        "0700000000000000", // vote: term
        "0201000000000000", // vote: member
        "0600000000000000", // committed: term
        "2800000000000000", // committed: index
        "0500000000000000", // purged: term
        "1e00000000000000", // purged: index
    );
    assert_eq!(hex(&block[..112]), golden);
    assert!(block[112..4092].iter().all(|byte| *byte == 0));
    assert_eq!(hex(&block[4092..]), "eb23fd4f");
    assert_eq!(Header::decode(&block), Ok(sample_header()));
    let bare = Header {
        marks: Marks::default(),
        ..sample_header()
    };
    assert_eq!(Header::decode(&bare.encode()), Ok(bare));
}

fn sample_frame() -> (FrameBuilder, u32) {
    let mut frame = FrameBuilder::new();
    frame.entry(&Entry::new(
        LogIndex(9),
        Term(2),
        EntryKind::Command,
        Bytes::from_static(b"abc"),
    ));
    frame.vote(Vote {
        term: Term(3),
        member: MemberId(4),
        committed: true,
    });
    frame.truncate(id(2, 8));
    frame.purge(id(1, 5));
    frame.committed(id(2, 7));
    let crc = frame.seal(0x1122_3344_5566_7788, 8192);
    (frame, crc)
}

/// Released bytes: a change here is a new format version.
#[test]
fn golden_frame() {
    let (frame, crc) = sample_frame();
    let bytes = frame.bytes();
    assert_eq!(bytes.len(), 4096);
    let golden = concat!(
        "41574652",         // "AWFR"
        "016c852f",         // checksum, seeded with life and offset
        "8877665544332211", // life
        "97000000",         // length
        "05000000",         // items
        "0900000000000000", // first index
        "3e00000000000000", // kinds, as bits
        // an entry: tag 1, kind 1; length, checksum, term, index, data
        "01010000",
        "03000000",
        "b73f4b36",
        "0200000000000000",
        "0900000000000000",
        "616263",
        // a vote: tag 2, committed; term, member
        "02010000",
        "0300000000000000",
        "0400000000000000",
        // a truncation: tag 4; term and index of the last entry kept
        "04000000",
        "0200000000000000",
        "0800000000000000",
        // a purge: tag 5
        "05000000",
        "0100000000000000",
        "0500000000000000",
        // a hint of what is committed: tag 3
        "03000000",
        "0200000000000000",
        "0700000000000000",
    );
    assert_eq!(hex(&bytes[..0x97]), golden);
    assert!(bytes[0x97..].iter().all(|byte| *byte == 0));
    assert_eq!(&crc.to_le_bytes(), &bytes[4..8]);
}

/// Promise: a frame verifies only where, and in the life in which, it was written.
#[test]
fn a_frame_belongs_to_its_place_and_life() {
    let (frame, crc) = sample_frame();
    let bytes = Bytes::copy_from_slice(frame.bytes());
    let verify = |life, offset| Frame::verify(bytes.clone(), life, offset);
    let frame = verify(0x1122_3344_5566_7788, 8192).unwrap();
    assert_eq!((frame.crc, frame.items().count()), (crc, 5));
    assert!(verify(0x1122_3344_5566_7788, 4096).is_none());
    assert!(verify(0x1122_3344_5566_7789, 8192).is_none());
    for bit in 0..4096 * 8 {
        let mut rotten = bytes.to_vec();
        rotten[bit / 8] ^= 1 << (bit % 8);
        assert!(
            Frame::verify(Bytes::from(rotten), 0x1122_3344_5566_7788, 8192).is_none(),
            "bit {bit}"
        );
    }
}

/// A frame with a good checksum around any bytes.
fn sealed(content: &[u8], count: u32, len: u32) -> Bytes {
    let mut bytes = vec![0; FRAME_HEADER_BYTES];
    bytes.extend_from_slice(content);
    bytes.resize(padded(bytes.len()), 0);
    bytes[..4].copy_from_slice(b"AWFR");
    bytes[16..20].copy_from_slice(&len.to_le_bytes());
    bytes[20..24].copy_from_slice(&count.to_le_bytes());
    let crc = crc32c::crc32c_append(0, &bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    Bytes::from(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Promise: garbage never panics, and never passes as a header or a frame.
    #[test]
    fn garbage_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..9000), life: u64, offset: u64) {
        prop_assert!(Header::decode(&bytes).is_err());
        bytes.resize(4096, 0);
        bytes[..8].copy_from_slice(b"ALMADWAL");
        prop_assert!(Header::decode(&bytes).is_err());
        bytes[..4].copy_from_slice(b"AWFR");
        bytes[8..16].copy_from_slice(&life.to_le_bytes());
        let _ = Frame::claimed_bytes(&bytes, life);
        prop_assert!(Frame::verify(Bytes::from(bytes), life, offset).is_none());
    }

    /// Promise: content that a checksum vouches for but that makes no sense is an error, not a panic.
    #[test]
    fn senseless_content_is_an_error(
        content in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..300),
        count in prop_oneof![0u32..8, any::<u32>()],
        short in 0u32..50,
    ) {
        let len = (FRAME_HEADER_BYTES as u32 + content.len() as u32).saturating_sub(short);
        let Some(frame) = Frame::verify(sealed(&content, count, len), 0, 0) else { return Ok(()) };
        let items: Vec<_> = frame.items().take(1000).collect();
        prop_assert!(items.len() <= content.len() / 4 + 1);
        let errors = items.iter().filter(|item| item.is_err()).count();
        prop_assert!(errors == 0 || (errors == 1 && items.last().is_some_and(Result::is_err)));
    }

    /// Promise: what is written into a frame is read from it.
    #[test]
    fn items_come_back(lens in prop::collection::vec(0usize..3000, 1..20), life: u64, block in 1u64..1000) {
        let mut frame = FrameBuilder::new();
        let entries: Vec<_> = lens.iter().zip(1..).map(|(len, index)| entry(index, 5, *len)).collect();
        entries.iter().for_each(|entry| frame.entry(entry));
        frame.seal(life, block * 4096);
        let bytes = Bytes::copy_from_slice(frame.bytes());
        let frame = Frame::verify(bytes, life, block * 4096).unwrap();
        let read: Vec<_> = frame.items().map(|item| item.unwrap()).collect();
        prop_assert_eq!(read, entries.into_iter().map(Item::Entry).collect::<Vec<_>>());
    }
}
