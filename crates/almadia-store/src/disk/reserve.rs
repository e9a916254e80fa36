//! Blocks of the volume that are held so that a manifest can be written when everything else is full.

use almadia_disk::{Disk, DiskError};

use super::names::RESERVE;

/// The reserve is never more than the volume's size divided by this (2 %).
const VOLUME_SHARE: u64 = 50;

/// It is made only where this many times its size is free: taking the last room would bring about what it is for.
const FREE_TIMES_MIN: u64 = 4;

const PIECE_BYTES: usize = 1 << 20;

/// Makes the reserve where it is missing and there is room. Doing without is no error.
pub(super) fn keep(disk: &dyn Disk, bytes_max: u64) {
    if bytes_max == 0 {
        return;
    }
    if let Err(error) = make(disk, bytes_max) {
        tracing::debug!(%error, "no reserve could be made");
        give_up(disk);
    }
}

fn make(disk: &dyn Disk, bytes_max: u64) -> Result<(), DiskError> {
    let space = disk.space()?;
    let wanted = bytes_max.min(space.total_bytes / VOLUME_SHARE);
    if disk
        .open(RESERVE)
        .and_then(|file| file.len())
        .is_ok_and(|len| len >= wanted.min(bytes_max))
    {
        return Ok(());
    }
    if space.free_bytes / FREE_TIMES_MIN < wanted {
        return Ok(());
    }
    let _ = disk.remove(RESERVE);
    let file = disk.create(RESERVE)?;
    // Written, not only lengthened: a hole in a file holds no blocks.
    let zeros = vec![0; PIECE_BYTES.min(wanted as usize)];
    let mut at = 0;
    while at < wanted {
        let len = (wanted - at).min(PIECE_BYTES as u64) as usize;
        file.write_at(at, &zeros[..len])?;
        at += len as u64;
    }
    file.sync_all()
}

/// Gives the blocks back to the volume. True when there were any.
pub(super) fn give_up(disk: &dyn Disk) -> bool {
    disk.remove(RESERVE).is_ok()
}
