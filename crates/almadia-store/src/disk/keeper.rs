//! The owner of the files: which manifests are kept, what is being rewritten, what the files amount to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use almadia_command::{LogIndex, Term};
use almadia_disk::Disk;

use super::error::Damage;
use super::garbage::Garbage;
use super::manifest::Manifest;
use super::rewrite::Rewrite;

/// How the keeper goes about its work. The defaults are for production.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that read segments at open and after a snapshot was received. 1 does it on the caller's.
    pub load_threads: usize,
    /// A segment is closed at the first revision that brings it to this many bytes.
    pub segment_bytes: u64,
    /// A block is closed by the record that brings it to this many bytes before compression. The default lets LZ4
    /// find repetitions, and a cold value costs one short read.
    pub block_bytes: usize,
    /// With more segments than this below half of `segment_bytes`, neighbours are merged.
    pub small_segments_max: usize,
    /// Upper bound of the reserve, which is 2 % of the volume at most; 0 for none.
    pub reserve_bytes_max: u64,
    /// Blocks that one call of [`Keeper::collect_garbage`] rewrites at most.
    pub slice_blocks: usize,
    /// Keys that one call of [`Keeper::collect_garbage`] counts at most.
    pub slice_keys: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            load_threads: 2,
            segment_bytes: 64 << 20,
            block_bytes: 256 << 10,
            small_segments_max: 12,
            reserve_bytes_max: 16 << 20,
            slice_blocks: 4,
            slice_keys: 10_000,
        }
    }
}

impl Options {
    /// For a simulator: no threads, so that every run is the same, and no reserve, which would only cost memory.
    pub fn deterministic() -> Self {
        Self {
            load_threads: 1,
            reserve_bytes_max: 0,
            ..Self::default()
        }
    }
}

/// Keeps a store on disk. One per data directory; all calls block, so they belong on the keeper thread.
///
/// Invariants: `current` is the state as it was last acknowledged, whole and synced; a file that `current` or
/// `previous` names is never changed or removed; a generation above `next_generation` was never used.
#[derive(Debug)]
pub struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    pub(super) current: Manifest,
    /// The manifest to fall back to, and thus the log to keep. None right after a snapshot was received.
    pub(super) previous: Option<Manifest>,
    pub(super) next_number: u64,
    pub(super) next_generation: u64,
    /// Files that nothing needs any more but that could not be removed yet, or must not before the next manifest.
    pub(super) leftovers: Vec<String>,
    pub(super) garbage: Garbage,
    pub(super) rewrite: Option<Rewrite>,
    /// The generation that was scrubbed last.
    pub(super) scrubbed: u64,
    pub(super) snapshots_made: u64,
    /// Of the newest manifest.
    pub(super) manifest_bytes: u64,
    pub(super) damages: Vec<Damage>,
}

impl Keeper {
    /// What was found damaged when the keeper was opened, and done without.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// The last log entry that is in the newest checkpoint.
    pub fn checkpointed(&self) -> (LogIndex, Term) {
        self.current.applied
    }

    /// The last log entry that may be purged: both kept manifests hold its effect.
    pub fn purgeable(&self) -> (LogIndex, Term) {
        self.previous.as_ref().unwrap_or(&self.current).applied
    }

    /// How many segments the newest checkpoint has.
    pub fn segment_count(&self) -> usize {
        self.current.segments.len()
    }

    /// Bytes of all segments that are kept, those that only the older manifest names included.
    pub fn disk_bytes(&self) -> u64 {
        let kept = self.kept().flat_map(|manifest| &manifest.segments);
        let by_generation: BTreeMap<u64, u64> =
            kept.map(|segment| (segment.generation, segment.bytes)).collect();
        by_generation.values().sum()
    }

    /// Bytes of the newest manifest.
    pub fn manifest_bytes(&self) -> u64 {
        self.manifest_bytes
    }

    /// About how many bytes of the newest checkpoint's segments hold records that can still be read. What has not
    /// been counted yet counts as live.
    pub fn disk_live_bytes(&self) -> u64 {
        self.current
            .segments
            .iter()
            .map(|segment| self.garbage.live_share(segment))
            .sum()
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Manifest> {
        self.previous.iter().chain([&self.current])
    }

    /// Generations of the segments that a kept manifest names.
    pub(super) fn kept_generations(&self) -> BTreeSet<u64> {
        self.kept()
            .flat_map(|manifest| &manifest.segments)
            .map(|segment| segment.generation)
            .collect()
    }
}
