//! Bytes that nobody should have written, for the decoders of what lies on disks, comes from peers or is typed by people: none
//! panics. Those of the API have their targets in `almadia-etcd/tests/fuzz`.
//!
//! Inputs are mutations of valid ones, and of what was accepted on the way. Each target runs for `ALMADIA_FUZZ_SECONDS` (1
//! unless told) from `ALMADIA_FUZZ_SEED`. Checksums of whole files are made right again after a mutation, so that what is behind
//! them is reached.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod corpus;
mod mutate;

use almadia_command::{Command, Proposal};
use almadia_disk::{Disk, DiskFile, MemDisk};
use almadia_member::founding::Frame;
use almadia_member::hello;
use almadia_member::identity::{IDENT_FILE, Identity};
use almadia_member::naming::{MEMBERS_MAX, Naming};
use almadia_server::url::ClientUrl;
use almadia_server::wished::{size_after, size_of};
use almadia_store::disk::{Archive, Keeper, Options, SnapshotSink};
use almadia_wal::Wal;
use bytes::Bytes;
use crc32c::crc32c;
use mutate::fuzz;
use std::sync::Arc;

#[test]
fn command() {
    fuzz("command", corpus::commands(), |bytes| {
        Command::decode_bytes(Bytes::copy_from_slice(bytes)).is_ok()
    });
}

#[test]
fn proposal() {
    fuzz("proposal", corpus::proposals(), |bytes| {
        let proposal = Proposal::from_parts(Bytes::copy_from_slice(bytes), crc32c(bytes));
        proposal.is_ok_and(|proposal| proposal.command().len() <= bytes.len())
    });
}

#[test]
fn first_frame_of_a_peer() {
    fuzz("first frame", corpus::hellos(), |bytes| {
        hello::decode(bytes).is_ok()
    });
}

#[test]
fn founding_frame() {
    fuzz("founding frame", corpus::founding_frames(), |bytes| {
        Frame::decode(Bytes::copy_from_slice(bytes)).is_ok()
    });
}

#[test]
fn identity_file() {
    fuzz("identity file", corpus::identities(), |bytes| {
        let disk = MemDisk::new();
        write(&disk, IDENT_FILE, &with_checksum(bytes));
        Identity::load(&disk).is_ok_and(|identity| identity.is_some())
    });
}

#[test]
fn snapshot_header() {
    fuzz("snapshot header", corpus::manifests(), |bytes| {
        SnapshotSink::begin(Arc::new(MemDisk::new()), &with_checksum(bytes)).is_ok()
    });
}

/// The segments of a backup are read for good: every block, every record.
#[test]
fn backup() {
    fuzz("backup", corpus::backups(), |bytes| {
        let Ok(archive) = Archive::open(bytes) else {
            return false;
        };
        let options = Options {
            load_threads: 1,
            reserve_bytes_max: 0,
            ..Options::default()
        };
        archive
            .unpack(Arc::new(MemDisk::new()), options, None, |_| {})
            .is_ok()
    });
}

/// A file of the log: damage, or a torn end, or entries, whichever way.
#[test]
fn log_file() {
    let (disk, name) = corpus::log();
    let valid = vec![disk.contents(&name).unwrap()[..3 * 4096].to_vec()];
    fuzz("log file", valid, |bytes| {
        let disk = MemDisk::new();
        disk.create_dir("wal").unwrap();
        write(&disk, &name, bytes);
        let Ok((wal, _writer, recovered)) = Wal::open(Arc::new(disk), corpus::log_options()) else {
            return false;
        };
        let last = recovered.last.map_or(0, |last| last.index.0);
        last == 0 || wal.read(1.into(), (last + 1).into(), usize::MAX).is_ok()
    });
}

/// A manifest whose checksum is right, beside segments that it does not fit.
#[test]
fn manifest() {
    let (disk, manifest, _) = corpus::checkpoint();
    fuzz("manifest", corpus::manifests(), |bytes| {
        let disk = disk.copy();
        write(&disk, &manifest, &with_checksum(bytes));
        is_taken_whole(disk)
    });
}

/// A segment that is not what its manifest says.
#[test]
fn segment() {
    let (disk, _, segment) = corpus::checkpoint();
    let valid = disk.contents(&segment).unwrap();
    fuzz("segment", vec![valid.clone()], |bytes| {
        let disk = disk.copy();
        disk.remove(&segment).unwrap();
        write(&disk, &segment, bytes);
        let is_taken = is_taken_whole(disk);
        assert!(!is_taken || bytes == valid, "a changed segment is taken");
        is_taken
    });
}

#[test]
fn url() {
    fuzz("url", corpus::urls(), |bytes| {
        std::str::from_utf8(bytes).is_ok_and(|text| ClientUrl::parse(text).is_ok())
    });
}

/// A name and a pattern, as flags and the pod's name give them. What is accepted has a name for every ordinal, and its own.
#[test]
fn names_by_pattern() {
    fuzz("names by pattern", corpus::patterns(), |bytes| {
        let Some((name, pattern)) = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        let Ok(naming) = Naming::new(name, pattern) else {
            return false;
        };
        for (ordinal, peer) in (0..).zip(naming.first(MEMBERS_MAX)) {
            assert_eq!(naming.ordinal(&peer.name), Some(ordinal), "{name} {pattern}");
        }
        naming.own(name).is_ok_and(|own| own < MEMBERS_MAX)
    });
}

/// What Kubernetes' API answers when it is asked for the StatefulSet, and on the watch.
#[test]
fn statefulset() {
    fuzz("statefulset", corpus::statefulsets(), |bytes| {
        size_of(bytes).is_ok_and(|size| size <= MEMBERS_MAX)
    });
}

#[test]
fn statefulset_event() {
    let events = corpus::statefulsets().into_iter().map(|object| {
        let text = String::from_utf8(object).unwrap();
        format!("{{\"type\":\"MODIFIED\",\"object\":{text}}}\n").into_bytes()
    });
    fuzz("statefulset event", events.collect(), |bytes| {
        size_after(bytes).is_ok_and(|size| size.is_none_or(|size| size <= MEMBERS_MAX))
    });
}

/// Whether a store opens without falling back to what was there before.
fn is_taken_whole(disk: MemDisk) -> bool {
    let opened = Keeper::open(Arc::new(disk), corpus::store_options());
    opened.is_ok_and(|(keeper, _)| keeper.damages().is_empty())
}

/// The last four bytes become the checksum of those before.
fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[..bytes.len().saturating_sub(4)];
    [body, &crc32c(body).to_le_bytes()].concat()
}

fn write(disk: &MemDisk, name: &str, bytes: &[u8]) {
    // What is there already is written anew, as long as it is now.
    if disk.contents(name).is_some() {
        disk.remove(name).unwrap();
    }
    let file: Box<dyn DiskFile> = disk.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync_all().unwrap();
    let (directory, _) = name.rsplit_once('/').unwrap_or_default();
    disk.sync_dir(directory).unwrap();
}
