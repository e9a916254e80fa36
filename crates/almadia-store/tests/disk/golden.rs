//! The bytes of a segment and of a manifest as they were released: every later release must read them.

use crate::common::{Entry, Member, delete, open, put, small, state_of};
use almadia_command::{AlarmChange, AlarmKind, Command, Kind};
use almadia_disk::{Disk, MemDisk};
use bytes::Bytes;

const SEGMENT_NAME: &str = "seg/0000000000000000002-0000000000000000003-1.seg";

fn alarm() -> Command {
    let change = AlarmChange {
        raise: true,
        member: 7,
        kind: AlarmKind::NoSpace as i32,
    };
    Kind::Alarm(change).into()
}

fn written() -> Member {
    let mut member = Member::new(small());
    member.apply(put("k", b"value"));
    member.apply(delete("k"));
    member.apply(alarm());
    member.enter(Entry::Membership(Bytes::from_static(b"members")));
    member.checkpoint().unwrap();
    member
}

fn hexadecimal(bytes: &[u8]) -> String {
    let rows = bytes
        .chunks(16)
        .map(|row| row.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    rows.collect::<Vec<_>>().join("\n")
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn a_segment_has_golden_bytes() {
    let bytes = written().disk.contents(SEGMENT_NAME).unwrap();
    assert_eq!(hexadecimal(&bytes), SEGMENT.trim());
}

#[test]
fn a_manifest_has_golden_bytes() {
    let bytes = written().disk.contents("MANIFEST-2").unwrap();
    assert_eq!(hexadecimal(&bytes), MANIFEST.trim());
}

/// Whatever this release writes, it must read these.
#[test]
fn the_golden_files_can_be_read() {
    let disk = MemDisk::new();
    disk.create_dir("seg").unwrap();
    disk.create(SEGMENT_NAME)
        .unwrap()
        .write_at(0, &bytes_of(SEGMENT))
        .unwrap();
    disk.create("MANIFEST-2")
        .unwrap()
        .write_at(0, &bytes_of(MANIFEST))
        .unwrap();
    let (_keeper, mut store) = open(&disk, small()).unwrap();
    assert_eq!(state_of(&store.publish()), written().state());
    assert!(store.publish().alarms().is_raised(AlarmKind::NoSpace));
}

const SEGMENT: &str = "
414c4d412d7365670100000018957c8a
2300000023000000f5e5872300020002
0100100a016b1002180220012a057661
6c7565010300000000050a016b180302
00000000000000030000000000000002
00000000000000230000000000000001
000000000000000c0000000000000001
00000000000000100000000000000040
000000010000001fadd97e414c4d412d
736567
";

const MANIFEST: &str = "
414c4d412d6d616e0100000002000000
00000000040000000000000003000000
00000000030000000000000000000000
00000000020000000000000007000000
6d656d62657273020000000600616c61
726d73060000000a0408011007040068
61736808000000feb1bce6a8fb8a6201
00000002000000000000000300000000
00000001000000000000009300000000
00000088e57fac020000000000000023
0000000000000001000000000000000c
000000000000000000000000000000b6
d38929
";
