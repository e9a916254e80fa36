//! Valid inputs to begin with, made by the encoders.

use almadia_command::{
    ClusterId, Command, Compact, DeleteRange, GroupId, Kind, LogIndex, MemberId, Proposal, Put, Term, Ticket,
};
use almadia_disk::{Disk, MemDisk};
use almadia_member::founding::{Ask, Frame};
use almadia_member::hello::{self, Hello};
use almadia_member::identity::{IDENT_FILE, Identity};
use almadia_store::View;
use almadia_store::disk::{ArchiveSource, Keeper, Options};
use almadia_wal::{Entry, EntryKind, Wal};
use bytes::Bytes;
use std::sync::Arc;

fn put(key: &str, value: &[u8]) -> Command {
    let (key, value) = (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value),
    );
    Kind::Put(Put {
        key,
        value,
        ..Put::default()
    })
    .into()
}

fn all_commands() -> Vec<Command> {
    let delete = Kind::DeleteRange(DeleteRange {
        key: Bytes::from_static(b"a"),
        range_end: Bytes::from_static(b"b"),
        ..DeleteRange::default()
    });
    let compact = Kind::Compact(Compact {
        revision: 3,
        ..Compact::default()
    });
    vec![
        put("a", b"1"),
        put("key", &[7; 300]),
        delete.into(),
        compact.into(),
    ]
}

pub fn commands() -> Vec<Vec<u8>> {
    all_commands()
        .iter()
        .map(|command| command.encode_bytes().to_vec())
        .collect()
}

pub fn proposals() -> Vec<Vec<u8>> {
    let one = |command: Vec<u8>| Proposal::new(MemberId(7), Ticket(9), &command).bytes().to_vec();
    commands().into_iter().map(one).collect()
}

pub fn hellos() -> Vec<Vec<u8>> {
    let hello = Hello {
        version: 1,
        version_min: 1,
        group: GroupId([3; 16]),
        cluster: ClusterId(5),
        from: MemberId(1),
        from_name: "a".into(),
        to: MemberId(2),
        to_name: "b".into(),
        lane: 1,
    };
    vec![
        hello.encode().to_vec(),
        hello::encode_refusal("not today").to_vec(),
        hello::encode_removed(ClusterId(5)).to_vec(),
    ]
}

pub fn founding_frames() -> Vec<Vec<u8>> {
    let ask = Frame::Ask(Ask {
        member: MemberId(1),
        name: "a".into(),
        peer_urls: vec!["http://a:1".into(), "http://b:1".into()],
    });
    vec![ask.encode().to_vec()]
}

pub fn identities() -> Vec<Vec<u8>> {
    let disk = MemDisk::new();
    let mut next = 5;
    let mut random = || {
        next += 1;
        next
    };
    Identity::open(&disk, GroupId([9; 16]), "a", &mut random).unwrap();
    vec![disk.contents(IDENT_FILE).unwrap()]
}

pub fn urls() -> Vec<Vec<u8>> {
    let texts = [
        "http://a.b:2380",
        "https://[::1]:1/",
        "unix:///run/a",
        "unixs://a",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

pub fn patterns() -> Vec<Vec<u8>> {
    let texts = [
        "almadia-2 http://almadia-%d.almadia-peers:2380",
        "n-8 https://127.0.0.%d:1",
        "a0b http://a%db.c:2",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

pub fn store_options() -> Options {
    Options {
        load_threads: 1,
        segment_bytes: 2000,
        block_bytes: 300,
        reserve_bytes_max: 0,
        ..Options::default()
    }
}

/// A store of some revisions, on disk as it is after a checkpoint.
fn checkpointed() -> (MemDisk, Keeper, Arc<View>) {
    let disk = MemDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut keeper, mut store) = Keeper::open(shared, store_options()).unwrap();
    for index in 1..40_u64 {
        let command = put(&format!("key-{}", index % 7), &[index as u8; 60]);
        let _ = store.apply(LogIndex(index), Term(1), &command);
    }
    let view = store.publish();
    keeper.checkpoint(&view).unwrap();
    (disk, keeper, view)
}

pub fn manifests() -> Vec<Vec<u8>> {
    let (disk, manifest, _) = checkpoint();
    vec![disk.contents(&manifest).unwrap()]
}

/// What a keeper has on its disk, with the name of the newest manifest and of a segment in it.
pub fn checkpoint() -> (MemDisk, String, String) {
    let (disk, ..) = checkpointed();
    let names = disk.list("").unwrap();
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_prefix("MANIFEST-")?.parse::<u64>().ok());
    let manifest = format!("MANIFEST-{}", numbers.max().unwrap());
    let segment = format!("seg/{}", disk.list("seg").unwrap().swap_remove(0));
    (disk, manifest, segment)
}

/// A log of a few groups, and the name of its only file.
pub fn log() -> (MemDisk, String) {
    let disk = MemDisk::new();
    let (wal, mut writer, _) = Wal::open(Arc::new(disk.clone()), log_options()).unwrap();
    for index in 1..9_u64 {
        let data = put(&format!("key-{index}"), &[index as u8; 30]).encode_bytes();
        let entry = Entry {
            index: LogIndex(index),
            term: Term(1),
            kind: EntryKind::Command,
            checksum: crc32c::crc32c(&data),
            data,
        };
        wal.append(vec![entry], Box::new(|_| {}));
        writer.step_write().unwrap();
        writer.step_sync().unwrap();
    }
    let name = disk
        .list("wal")
        .unwrap()
        .into_iter()
        .find(|name| name.ends_with(".wal"));
    (disk, format!("wal/{}", name.unwrap()))
}

/// Small files, so that many are read in a second.
pub fn log_options() -> almadia_wal::Options {
    let mut options = almadia_wal::Options::new(Box::new(|| 7), Box::new(|_| {}));
    (options.segment_bytes_min, options.segment_bytes_max) = (32 * 1024, 64 * 1024);
    (options.frame_bytes_max, options.tail_bytes_max) = (16 * 1024, 8 * 1024);
    options
}

pub fn backups() -> Vec<Vec<u8>> {
    let (_disk, mut keeper, view) = checkpointed();
    let archive = ArchiveSource::new(keeper.snapshot(&view).unwrap());
    let mut bytes = Vec::new();
    while bytes.len() < archive.bytes() as usize {
        bytes.extend(archive.read(bytes.len() as u64, 64 * 1024).unwrap());
    }
    vec![bytes]
}

pub fn statefulsets() -> Vec<Vec<u8>> {
    [
        r#"{"kind":"StatefulSet","metadata":{"name":"almadia","resourceVersion":"7"},"spec":{"replicas":3}}"#,
        r#"{"metadata":{"resourceVersion":"1"},"spec":{}}"#,
        r#"{"metadata":{"resourceVersion":"","uid":"\u00e9"},"spec":{"replicas":9,"template":{"spec":{"containers":[{"a":[1.5e3,null]}]}}}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
