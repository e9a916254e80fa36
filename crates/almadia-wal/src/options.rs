//! How a log is to behave, and what it tells about itself.

use crate::WalError;

const MIB: u64 = 1024 * 1024;

/// How a log is to behave. The defaults are storage.md's.
pub struct Options {
    /// The size of the first segments: an idle member stays small. A multiple of 4 KiB, at least 8 KiB.
    pub segment_bytes_min: u64,
    /// Each segment is twice the one before, up to this.
    pub segment_bytes_max: u64,
    /// A group larger than this is written (and synced) in several frames. Bounds the write buffer, except for a
    /// single entry that is larger.
    pub frame_bytes_max: usize,
    /// How much of the log is kept in memory; entries that are not yet synced are kept whatever it says.
    pub tail_bytes_max: usize,
    /// How many segments are kept ready. The writer makes one itself when there is none.
    pub spares_min: usize,
    /// Gives each segment's life number. Must not repeat within a directory: random in production, a seed in the
    /// simulator. It tells new bytes from what a recycled segment held before.
    pub life: Box<dyn FnMut() -> u64 + Send>,
    /// Told once, before any waiting call is, that a write or sync has failed. In production it logs and aborts.
    pub on_fatal: Box<dyn FnMut(&WalError) + Send>,
    /// Told about each group.
    pub observer: Box<dyn Observer>,
}

impl Options {
    /// The defaults, with what has none.
    pub fn new(life: Box<dyn FnMut() -> u64 + Send>, on_fatal: Box<dyn FnMut(&WalError) + Send>) -> Self {
        Self {
            segment_bytes_min: 4 * MIB,
            // Two spares and what is left of the newest segment are paid for by every member, however small: larger ones
            // would only save some of the three syncs at a segment's beginning.
            segment_bytes_max: 16 * MIB,
            frame_bytes_max: MIB as usize,
            tail_bytes_max: 8 * MIB as usize,
            spares_min: 2,
            life,
            on_fatal,
            observer: Box::new(NoObserver),
        }
    }
}

/// Told what the writer does, on its thread: for metrics. The log has no clock, so who wants durations takes the
/// time at these calls.
pub trait Observer: Send {
    /// A frame is about to be written.
    fn write_begins(&mut self) {}
    /// The frame is written and about to be synced.
    fn sync_begins(&mut self) {}
    /// A spare has become a segment: a good moment to have the keeper call [`crate::Wal::prepare_spares`].
    fn segment_begins(&mut self) {}
    /// The frame is synced; the waiting calls are told next.
    fn group_ends(&mut self, group: GroupStats) {
        let _ = group;
    }
}

struct NoObserver;

impl Observer for NoObserver {}

/// One group: what was written and synced at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Entries in it.
    pub entries: u64,
    /// Bytes written, with padding.
    pub bytes: u64,
    /// Calls that are answered by it.
    pub calls: u64,
}

/// Sums since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Groups, which is also syncs (a rotation has two more).
    pub groups: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes written, with padding, without segment headers.
    pub bytes: u64,
    /// Segments begun.
    pub rotations: u64,
    /// Rotations that found no spare and had to make one in the hot path.
    pub spares_missed: u64,
}
