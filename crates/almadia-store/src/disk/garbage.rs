//! Which segments are worth rewriting. Decides only; `rewrite` does it.
//!
//! A record is dead when no read at the compacted revision or later can see it. How many are dead in which segment is
//! found by walking the index in memory, a slice at a time, and only after enough garbage has come about since the
//! last walk: so the cost follows the garbage.

use std::collections::BTreeMap;
use std::ops::Range;

use almadia_command::Revision;

use super::error::KeeperError;
use super::keeper::{Keeper, Options};
use super::segment::SegmentInfo;
use crate::View;
use crate::bounds::{Bounds, End};

/// A walk begins when one in this many records on disk has died since the last one, and is worth it only when one
/// in this many is dead at all.
const NEW_GARBAGE_SHARE: u64 = 16;
const GARBAGE_SHARE_MIN: u64 = 8;

/// Tombstones that older segments still need may take one in this many bytes. Then the oldest segments are
/// rewritten although more than half of them is live, to get rid of what the tombstones hide.
const HELD_TOMBSTONES_SHARE: u64 = 4;

/// What the numbers before a record's encoding take in a segment, about.
const RECORD_OVERHEAD_BYTES: u64 = 13;

/// A merge takes at least this many neighbours of which the largest is at most half, if there is such a run: a large
/// segment merged with one small one after the other would be written again each time. (4 and one half: each byte
/// is written 4 times until it is in a full segment, as `merging_is_bounded` simulates it; without, 21 times.)
const MERGE_MIN: usize = 4;

/// What is known of how much is dead.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// Live bytes (before compression) by generation, for segments that have been counted.
    live: BTreeMap<u64, u64>,
    /// The compacted revision at which they were counted.
    counted_at: i64,
    /// Dead records that were left when the last walk ended.
    dead_then: u64,
    walk: Option<Walk>,
}

/// A walk through the index, under way.
#[derive(Debug)]
struct Walk {
    /// The key to go on with.
    cursor: Vec<u8>,
    /// The compacted revision when it began: segments beyond it are not judged.
    began_at: i64,
    live: BTreeMap<u64, u64>,
}

impl Garbage {
    /// Bytes of a segment's file that hold live records, about.
    pub(super) fn live_share(&self, segment: &SegmentInfo) -> u64 {
        let raw = segment.counts.raw_bytes.max(1);
        let live = self
            .live
            .get(&segment.generation)
            .copied()
            .unwrap_or(raw)
            .min(raw);
        (u128::from(segment.bytes) * u128::from(live) / u128::from(raw)) as u64
    }

    /// Notes segments that were just written by a rewrite: they hold live records and needed tombstones.
    pub(super) fn note_rewritten(&mut self, old: &[SegmentInfo], new: &[SegmentInfo], compacted: i64) {
        old.iter().for_each(|segment| {
            self.live.remove(&segment.generation);
        });
        // What went was dead.
        self.dead_then = self
            .dead_then
            .saturating_sub(records(old).saturating_sub(records(new)));
        for segment in new.iter().filter(|segment| segment.last <= compacted) {
            // What the compacted revision itself changed was kept, tombstones too: a second rewrite would drop no more.
            let gone = if segment.last == compacted {
                0
            } else {
                segment.counts.tombstone_bytes
            };
            let live = segment.counts.raw_bytes - gone;
            self.live.insert(segment.generation, live);
        }
    }

    /// The neighbours to rewrite because of what is dead in them.
    fn worst(&self, segments: &[SegmentInfo], options: &Options) -> Option<Range<usize>> {
        if let Some(start) = (0..segments.len()).find(|at| self.is_mostly_dead(segments, *at)) {
            let mut end = start + 1;
            let mut live = self.live_share(&segments[start]);
            while end < segments.len() && self.is_mostly_dead(segments, end) && live < options.segment_bytes {
                live += self.live_share(&segments[end]);
                end += 1;
            }
            return Some(start..end);
        }
        self.in_the_way(segments).map(|at| at..at + 1)
    }

    /// Whether a rewrite would drop more than half.
    fn is_mostly_dead(&self, segments: &[SegmentInfo], at: usize) -> bool {
        let segment = &segments[at];
        let Some(live) = self.live.get(&segment.generation) else {
            return false;
        };
        let held = if tombstones_needed_after(segments, at) >= segment.last {
            0
        } else {
            segment.counts.tombstone_bytes
        };
        (live + held) * 2 < segment.counts.raw_bytes
    }

    /// The oldest segment with garbage that newer tombstones must hide, when those have become too many.
    fn in_the_way(&self, segments: &[SegmentInfo]) -> Option<usize> {
        let is_held = |at: &usize| {
            let segment = &segments[*at];
            segment.last <= self.counted_at && tombstones_needed_after(segments, *at) < segment.last
        };
        let held: u64 = (0..segments.len())
            .filter(is_held)
            .map(|at| segments[at].counts.tombstone_bytes)
            .sum();
        let all: u64 = segments.iter().map(|segment| segment.counts.raw_bytes).sum();
        if held * HELD_TOMBSTONES_SHARE <= all {
            return None;
        }
        let is_dirty =
            |segment: &SegmentInfo| segment.last <= self.counted_at && segment.clean_at() < self.counted_at;
        segments.iter().position(is_dirty)
    }

    fn is_walk_due(&self, segments: &[SegmentInfo], view: &View, checkpointed: i64) -> bool {
        let records = records(segments);
        let dead = dead(segments, view, checkpointed);
        view.compacted().0 > self.counted_at
            && dead > 0
            && dead >= records / GARBAGE_SHARE_MIN
            && dead
                >= self
                    .dead_then
                    .saturating_add(records / NEW_GARBAGE_SHARE)
                    .min(records)
    }
}

impl Keeper {
    /// Does a bounded piece of the work that keeps the files small and few: counting what is dead, rewriting
    /// segments that are more than half dead, merging small ones. True when there is more to do now. A piece that
    /// completes a rewrite is also a checkpoint of `view`.
    ///
    /// # Errors
    /// A failing disk: the rewrite is given up, the state stays, a later call begins again. A segment that cannot
    /// be read is repaired from `view` first, see [`Keeper::scrub`].
    pub fn collect_garbage(&mut self, view: &View) -> Result<bool, KeeperError> {
        if view.applied().0 < self.current.applied.0 {
            return Ok(false);
        }
        if self.rewrite.is_some() {
            return self.step_rewrite(view).map(|()| true);
        }
        if self.garbage.walk.is_some() {
            self.step_walk(view);
            return Ok(true);
        }
        let segments = &self.current.segments;
        let run = self
            .garbage
            .worst(segments, &self.options)
            .or_else(|| merge_run(segments, &self.options));
        if let Some(run) = run {
            self.begin_rewrite(run, view);
            return Ok(true);
        }
        let is_due = self.garbage.is_walk_due(segments, view, self.current.revision);
        if is_due {
            let began_at = view.compacted().0;
            self.garbage.walk = Some(Walk {
                cursor: vec![0],
                began_at,
                live: BTreeMap::new(),
            });
        }
        Ok(is_due)
    }

    /// Looks at the next keys: of each key at most one version at or below the compacted revision is live.
    fn step_walk(&mut self, view: &View) {
        let Some(mut walk) = self.garbage.walk.take() else {
            return;
        };
        let segments = &self.current.segments;
        let compacted = view.compacted();
        let bounds = Bounds {
            start: &walk.cursor,
            end: End::Open,
        };
        let mut last_key: Option<&[u8]> = None;
        let mut seen = 0;
        for entry in view
            .index
            .forward(view.index.span(bounds))
            .take(self.options.slice_keys)
        {
            seen += 1;
            last_key = Some(entry.newest.key());
            if let Some(record) = entry.at(Some(compacted))
                && let Some(segment) = find_segment(segments, record.mod_revision())
            {
                let bytes = record.encoded().len() as u64 + RECORD_OVERHEAD_BYTES;
                *walk.live.entry(segment.generation).or_default() += bytes;
            }
        }
        let next = last_key.map(|key| [key, &[0]].concat());
        match next {
            Some(next) if seen == self.options.slice_keys => {
                walk.cursor = next;
                self.garbage.walk = Some(walk);
            }
            _ => self.end_walk(walk, view),
        }
    }

    fn end_walk(&mut self, walk: Walk, view: &View) {
        let segments = &self.current.segments;
        // A segment that reaches beyond holds records that are live without having been counted.
        let judged = segments.iter().filter(|segment| segment.last <= walk.began_at);
        self.garbage.live = judged
            .map(|segment| {
                (
                    segment.generation,
                    walk.live.get(&segment.generation).copied().unwrap_or(0),
                )
            })
            .collect();
        self.garbage.counted_at = walk.began_at;
        self.garbage.dead_then = dead(segments, view, self.current.revision);
    }
}

/// Tombstones up to this revision in the segment at `at` hide nothing any more: all that is older is clean.
pub(super) fn tombstones_needed_after(segments: &[SegmentInfo], at: usize) -> i64 {
    segments[..at]
        .iter()
        .map(SegmentInfo::clean_at)
        .min()
        .unwrap_or(i64::MAX)
}

fn records(segments: &[SegmentInfo]) -> u64 {
    segments.iter().map(|segment| segment.counts.records).sum()
}

/// Records on disk that the store has dropped, about: of revisions after the checkpoint one record each is assumed.
fn dead(segments: &[SegmentInfo], view: &View, checkpointed: i64) -> u64 {
    let newer = u64::try_from(view.revision().0 - checkpointed).unwrap_or(0);
    (records(segments) + newer).saturating_sub(view.sizes().revisions)
}

fn find_segment(segments: &[SegmentInfo], revision: Revision) -> Option<&SegmentInfo> {
    let at = segments.partition_point(|segment| segment.last < revision.0);
    segments.get(at).filter(|segment| segment.first <= revision.0)
}

/// The neighbours whose merging removes the most segments per byte written, when there are too many small ones.
fn merge_run(segments: &[SegmentInfo], options: &Options) -> Option<Range<usize>> {
    let small_max = options.segment_bytes / 2;
    let small = segments
        .iter()
        .filter(|segment| segment.bytes < small_max)
        .count();
    if small <= options.small_segments_max {
        return None;
    }
    best_run(segments, options, |run, bytes| {
        run.len() >= MERGE_MIN && run.iter().all(|segment| segment.bytes <= bytes / 2)
    })
    .or_else(|| best_run(segments, options, |run, _| run.len() >= 2))
}

/// Of the runs that fit one segment and are `eligible` (with their bytes), the one that writes least per segment
/// removed.
fn best_run(
    segments: &[SegmentInfo],
    options: &Options,
    eligible: impl Fn(&[SegmentInfo], u64) -> bool,
) -> Option<Range<usize>> {
    let mut best: Option<(Range<usize>, u64)> = None;
    for start in 0..segments.len() {
        let mut bytes = 0;
        for end in start + 1..=segments.len() {
            bytes += segments[end - 1].bytes;
            if bytes > options.segment_bytes {
                break;
            }
            let removed = (end - start - 1) as u128;
            // Compared without division.
            let is_better = best.as_ref().is_none_or(|(run, other)| {
                u128::from(bytes) * (run.len() as u128 - 1) < u128::from(*other) * removed
            });
            if is_better && eligible(&segments[start..end], bytes) {
                best = Some((start..end, bytes));
            }
        }
    }
    best.map(|(run, _)| run)
}

#[cfg(test)]
mod tests {
    use super::super::segment::Counts;
    use super::*;

    fn segment(at: usize, bytes: u64) -> SegmentInfo {
        let (first, generation) = (at as i64 * 10 + 2, at as u64 + 1);
        let counts = Counts {
            records: 10,
            raw_bytes: bytes,
            tombstones: 2,
            tombstone_bytes: bytes / 4,
        };
        SegmentInfo {
            first,
            last: first + 9,
            generation,
            bytes,
            checksum: 0,
            counts,
            clean_to: 0,
        }
    }

    fn segments(bytes: &[u64]) -> Vec<SegmentInfo> {
        bytes
            .iter()
            .enumerate()
            .map(|(at, bytes)| segment(at, *bytes))
            .collect()
    }

    fn options() -> Options {
        Options {
            segment_bytes: 1000,
            small_segments_max: 4,
            ..Options::default()
        }
    }

    /// Few small segments stay; of too many, the cheapest neighbours go together.
    #[test]
    fn small_neighbours_are_merged() {
        assert_eq!(
            merge_run(&segments(&[10, 10, 10, 10, 900, 900]), &options()),
            None
        );
        assert_eq!(
            merge_run(&segments(&[400, 10, 10, 10, 10, 400]), &options()),
            Some(1..5)
        );
        assert_eq!(
            merge_run(
                &segments(&[10, 900, 10, 900, 10, 900, 10, 900, 20, 30]),
                &options()
            ),
            Some(8..10)
        );
    }

    /// New small segments for ever: their number stays bounded, and each byte is written a few times only.
    #[test]
    fn merging_is_bounded() {
        let options = Options {
            segment_bytes: 64_000,
            small_segments_max: 12,
            ..Options::default()
        };
        let (mut all, mut written) = (Vec::new(), 0);
        for at in 0..5000 {
            all.push(segment(at, 100));
            while let Some(run) = merge_run(&all, &options) {
                let bytes = all[run.clone()].iter().map(|segment| segment.bytes).sum();
                written += bytes;
                let merged = SegmentInfo {
                    bytes,
                    ..all[run.start]
                };
                all.splice(run, [merged]);
            }
            assert!(all.iter().filter(|segment| segment.bytes < 32_000).count() <= 12);
        }
        assert!(
            written < 5000 * 100 * 6,
            "each byte was written {} times",
            written / 500_000
        );
    }

    /// A segment's tombstones hold as long as something older may be dead, and then go.
    #[test]
    fn tombstones_hold_until_older_segments_are_clean() {
        let mut segments = segments(&[100, 100]);
        let mut garbage = Garbage {
            live: BTreeMap::from([(1, 60), (2, 30)]),
            counted_at: 30,
            ..Garbage::default()
        };
        assert_eq!(
            garbage.worst(&segments, &options()),
            None,
            "30 live and 25 held of 100"
        );
        segments[0].clean_to = 30;
        assert_eq!(garbage.worst(&segments, &options()), Some(1..2));
        segments[0].clean_to = 0;
        segments[1].counts.tombstone_bytes = 60;
        assert_eq!(
            garbage.worst(&segments, &options()),
            Some(0..1),
            "held tombstones are too many"
        );
        garbage.live.insert(1, 40);
        assert_eq!(garbage.worst(&segments, &options()), Some(0..1));
    }
}
