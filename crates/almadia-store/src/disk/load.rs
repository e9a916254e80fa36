//! From a manifest's segments to a store. Every byte that is used has been checked.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use almadia_command::Revision;
use almadia_disk::Disk;

use super::error::{Damage, KeeperError};
use super::manifest::Manifest;
use super::names;
use super::segment_reader::{Buffers, Piece, SegmentReader, WholeCheck};
use crate::record::Record;
use crate::{RestoredState, Store};

/// Blocks that a loading thread may be ahead; bounds the memory that waits for its turn.
const AHEAD_BLOCKS_MAX: usize = 4;

/// Room made beforehand for no more records than this: what a file claims must not make us reserve memory.
const RESERVED_RECORDS_MAX: u64 = 1 << 20;

/// A block, read and taken apart.
struct Decoded {
    piece: Piece,
    records: Vec<Record>,
}

/// Builds the store that `manifest` defines. With `threads` above 1 that many threads read and decompress; the
/// outcome is the same.
pub(super) fn load(disk: &dyn Disk, manifest: &Manifest, threads: usize) -> Result<Store, KeeperError> {
    let records = if threads > 1 {
        read_by_threads(disk, manifest, threads)
    } else {
        read_inline(disk, manifest)
    }?;
    let restored = RestoredState {
        applied: manifest.applied,
        membership: manifest.membership.clone(),
        revision: Revision(manifest.revision),
        compacted: Revision(manifest.compacted),
        sections: manifest.sections.clone(),
        records,
    };
    let name = names::manifest(manifest.number);
    let store = Store::restore(restored).map_err(|error| Damage::new(&name, error.to_string()))?;
    Ok(store)
}

fn read_inline(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<Record>, KeeperError> {
    let mut buffers = Buffers::default();
    gather(disk, manifest, |_, reader, block| {
        decode(reader, block, &mut buffers)
    })
}

fn read_by_threads(disk: &dyn Disk, manifest: &Manifest, threads: usize) -> Result<Vec<Record>, KeeperError> {
    thread::scope(|scope| {
        let receivers: Vec<Receiver<_>> = (0..threads)
            .map(|turn| {
                let (sender, receiver) = sync_channel(AHEAD_BLOCKS_MAX);
                scope.spawn(move || read_turns(disk, manifest, turn, threads, &sender));
                receiver
            })
            .collect();
        gather(disk, manifest, |number, reader, _| {
            let ended = || reader.damaged("the thread that reads it ended early");
            receivers[number % threads].recv().map_err(|_| ended())?
        })
    })
}

/// One thread's share: every `threads`-th block of all, beginning with the `turn`-th.
fn read_turns(
    disk: &dyn Disk,
    manifest: &Manifest,
    turn: usize,
    threads: usize,
    sender: &SyncSender<Result<Decoded, KeeperError>>,
) {
    let mut buffers = Buffers::default();
    let mut number = 0;
    for info in &manifest.segments {
        // The gathering thread opens it too and meets the same error there.
        let Ok(reader) = SegmentReader::open(disk, info) else {
            return;
        };
        for block in 0..reader.block_count() {
            let is_mine = number % threads == turn;
            number += 1;
            // A closed channel: the gathering thread has met an error.
            if is_mine && sender.send(decode(&reader, block, &mut buffers)).is_err() {
                return;
            }
        }
    }
}

/// Puts the blocks of all segments together in order and checks each file as a whole. `next` gets the number of the
/// block among all blocks, its segment, and its number there.
fn gather(
    disk: &dyn Disk,
    manifest: &Manifest,
    mut next: impl FnMut(usize, &SegmentReader, usize) -> Result<Decoded, KeeperError>,
) -> Result<Vec<Record>, KeeperError> {
    let count: u64 = manifest
        .segments
        .iter()
        .map(|segment| segment.counts.records)
        .fold(0, u64::saturating_add);
    let mut records = Vec::with_capacity(count.min(RESERVED_RECORDS_MAX) as usize);
    let mut number = 0;
    for info in &manifest.segments {
        let reader = SegmentReader::open(disk, info)?;
        let mut check = WholeCheck::new();
        for block in 0..reader.block_count() {
            let decoded = next(number, &reader, block)?;
            number += 1;
            check.block(decoded.piece);
            for record in &decoded.records {
                check_place(&reader, &mut check, (record.mod_revision().0, record.sub()))?;
            }
            records.extend(decoded.records);
        }
        check.end(&reader)?;
    }
    Ok(records)
}

pub(super) fn check_place(
    reader: &SegmentReader,
    check: &mut WholeCheck,
    place: (i64, u32),
) -> Result<(), KeeperError> {
    if check.record(reader, place) {
        Ok(())
    } else {
        Err(reader.damaged(format!(
            "the record at revision {}.{} is out of order",
            place.0, place.1
        )))
    }
}

fn decode(reader: &SegmentReader, block: usize, buffers: &mut Buffers) -> Result<Decoded, KeeperError> {
    let (piece, mut stored) = reader.read(block, buffers)?;
    let mut records = Vec::new();
    for record in stored.by_ref() {
        records.push(Record::try_from(record).map_err(|error| reader.damaged(error.to_string()))?);
    }
    if stored.is_damaged() {
        return Err(reader.damaged("a block does not hold whole records"));
    }
    Ok(Decoded { piece, records })
}
