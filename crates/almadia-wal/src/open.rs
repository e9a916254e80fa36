//! Opening: puts together what recovery found, or begins a new log.
//!
//! Needs no new space when there is a log already: a start must work on a full disk.

use std::sync::Arc;

use almadia_disk::Disk;

use crate::format::{FRAME_HEADER_BYTES, HEADER_BYTES, Header};
use crate::log::{Shared, State};
use crate::recover::{self, Recovered};
use crate::segment::{self, Segment};
use crate::types::Marks;
use crate::writer::{self, SMALL_ITEM_BYTES, Writer};
use crate::{Options, WalError};

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    mut options: Options,
) -> Result<(Arc<Shared>, Writer, Recovered), WalError> {
    check(&options);
    let files = recover::list(&*disk, &options)?;
    let walk = recover::walk(&*disk, &files)?;
    let mut state = State::new(files.spares, files.next_spare, options.segment_bytes_min);
    let (mut offset, mut crc, mut torn) = (HEADER_BYTES, 0, None);
    if let Some(walk) = walk {
        (state.marks, state.terms, state.positions) = (walk.marks, walk.terms, walk.positions);
        state.segments = walk.segments;
        (offset, crc, torn) = (walk.end, walk.crc, walk.torn);
    } else {
        let first = begin_log(&*disk, &mut state, (options.life)())?;
        state.segments.push_back(Arc::new(first));
    }
    let current = Arc::clone(state.segments.back().expect("there is always a segment"));
    state.spare_bytes = current
        .bytes
        .clamp(options.segment_bytes_min, options.segment_bytes_max);
    let marks = state.marks;
    let recovered = Recovered {
        vote: marks.vote,
        committed: marks.committed,
        purged: marks.purged,
        last: marks.last,
        segments: state.segments.len(),
        torn,
    };
    let shared = Arc::new(Shared::new(disk, state, &options));
    let writer = Writer::new(Arc::clone(&shared), current, offset, crc, marks, options);
    Ok((shared, writer, recovered))
}

fn check(options: &Options) {
    let (min, max) = (options.segment_bytes_min, options.segment_bytes_max);
    assert!(
        min >= 2 * HEADER_BYTES && min.is_multiple_of(HEADER_BYTES),
        "a segment is at least two whole blocks"
    );
    assert!(
        max >= min && max.is_multiple_of(HEADER_BYTES),
        "the largest segment is not below the smallest"
    );
    assert!(
        options.frame_bytes_max >= FRAME_HEADER_BYTES + SMALL_ITEM_BYTES,
        "a frame has room for something"
    );
}

fn begin_log(disk: &dyn Disk, state: &mut State, life: u64) -> Result<Segment, WalError> {
    let spare = match state.spares.pop_front() {
        Some(spare) => spare,
        None => {
            let name = segment::spare_name(state.next_spare);
            state.next_spare += 1;
            segment::make_spare(disk, name, state.spare_bytes)?
        }
    };
    let header = Header {
        sequence: 1,
        life,
        previous_crc: 0,
        marks: Marks::default(),
    };
    Ok(writer::begin_segment(disk, spare, &header)?)
}
