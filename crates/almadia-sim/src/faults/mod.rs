//! What is done to a cluster, as plain data: a list of faults with their times, drawn from the seed. A failure is shrunk by
//! leaving some out. [`apply`] does them to a world.

mod apply;
mod directed;
mod draw;
mod operator;
mod platform;
mod sets;
mod themes;

pub use apply::Applier;
pub use draw::draw;
pub use platform::scale;
pub use sets::draw as draw_for_set;
pub use themes::draw as draw_for_theme;

use almadia_disk::Loss;
use std::fmt;

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at_ms: u64,
    /// What it is.
    pub fault: Fault,
}

/// What can happen. Machines are counted from 0; what takes time ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields say what they are by their names, machines by `host`, times by `_ms`"
)]
pub enum Fault {
    /// A process is killed; it is started again after a while.
    Kill { host: usize, down_ms: u64 },
    /// A machine loses power.
    PowerLoss { host: usize, loss: Loss, down_ms: u64 },
    /// All machines lose power at once.
    PowerLossAll { loss: Loss, down_ms: u64 },
    /// A machine loses power after so many more calls to its disk: in the midst of whatever it does there.
    PowerLossInside { host: usize, calls: u64, loss: Loss },
    /// A machine loses power right after its member has told another one that it votes for it.
    PowerLossAtVote {
        host: usize,
        within_ms: u64,
        down_ms: u64,
    },
    /// A process gets no processor.
    Pause { host: usize, for_ms: u64 },
    /// Two groups do not hear each other; members of one are the bits of `group`. Connections wait, or are reset.
    Partition { group: u64, resets: bool, for_ms: u64 },
    /// One machine is not heard, or does not hear.
    OneWay { host: usize, is_deaf: bool, for_ms: u64 },
    /// Two machines do not hear each other, all others do.
    Link { one: usize, other: usize, for_ms: u64 },
    /// Frames are lost and sent again, and some connections break of it.
    LossyNetwork { per_mille: u64, for_ms: u64 },
    /// Frames take long, and overtake each other from one connection to the next.
    SlowNetwork { spread_ms: u64, for_ms: u64 },
    /// A machine's connections are reset.
    Reset { host: usize },
    /// Syncs take long.
    SlowDisk { host: usize, sync_ms: u64, for_ms: u64 },
    /// No room on a disk.
    FullDisk { host: usize, for_ms: u64 },
    /// A write to the disk fails, after so many good ones.
    WriteError { host: usize, skip: u64 },
    /// A sync fails.
    SyncError { host: usize, skip: u64 },
    /// A read fails.
    ReadError { host: usize, skip: u64 },
    /// A write lands elsewhere in its file; the process dies before it notices.
    MisdirectedWrite { host: usize },
    /// A bit of a file turns over; the process is started again.
    BitFlip { host: usize, choice: u64 },
    /// The same in the older half of the newest log file, or in the segments of the store.
    Rot { host: usize, in_log: bool, choice: u64 },
    /// A clock goes faster or slower.
    ClockRate { host: usize, ppm: i64, for_ms: u64 },
    /// A clock leaps ahead.
    ClockLeap { host: usize, by_ms: u64 },
    /// A member makes a checkpoint and drops its log, so that whoever is behind gets a snapshot.
    Purge { host: usize },
    /// Whoever leads hands leadership over.
    Transfer { to: usize },
    /// A member stops in good order and is started again.
    Restart { host: usize, down_ms: u64 },
    /// A machine's disk is lost; an operator replaces the member.
    Replace { host: usize },
    /// A member is added on a machine that has none.
    Grow,
    /// A member is removed.
    Shrink { host: usize },
    /// A set is to have another size.
    Scale { size: u32 },
    /// The pod of an ordinal loses its volume and starts again with an empty one.
    LosePod { ordinal: usize, down_ms: u64 },
    /// The pod of an ordinal comes back on another machine, with its volume; others learn of it up to `stale_ms` later.
    MovePod {
        ordinal: usize,
        down_ms: u64,
        stale_ms: u64,
    },
    /// A pod is given up while its machine still runs it, cut off or not, and its namesake starts elsewhere, empty.
    Namesake {
        ordinal: usize,
        is_cut: bool,
        for_ms: u64,
    },
    /// Two pods are started with each other's volumes.
    SwapVolumes { one: usize, other: usize, for_ms: u64 },
    /// Nobody says how many members there are to be.
    ApiDown { for_ms: u64 },
}

/// Machines from here on are counted from the one that leads when the fault begins: for scenarios and directed seeds.
pub const LEADER: usize = 32;

impl Fault {
    /// With machines counted from 0, while `leader` of the first `size` leads.
    pub fn settled(mut self, leader: usize, size: usize) -> Self {
        let settled = |machine: usize| match machine.checked_sub(LEADER) {
            Some(behind) => (leader + behind) % size,
            None => machine,
        };
        match &mut self {
            Fault::Kill { host, .. }
            | Fault::PowerLoss { host, .. }
            | Fault::PowerLossAtVote { host, .. }
            | Fault::Pause { host, .. }
            | Fault::SlowDisk { host, .. }
            | Fault::OneWay { host, .. }
            | Fault::Purge { host }
            | Fault::Transfer { to: host }
            | Fault::Replace { host }
            | Fault::Shrink { host } => *host = settled(*host),
            Fault::Partition { group, .. } => {
                let inside = (0..2 * LEADER).filter(|machine| *group >> machine & 1 == 1);
                *group = inside.fold(0, |group, machine| group | 1 << settled(machine));
            }
            // No other fault is ever counted from the leader.
            _ => {}
        }
        self
    }

    /// Its kind, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Kill { .. } => "crash",
            Fault::PowerLoss { loss, .. } => match loss {
                Loss::Seeded(_) => "power loss, torn and reordered",
                Loss::KeepAll => "power loss, all kept",
                Loss::DropUnsynced => "power loss",
            },
            Fault::PowerLossAll { .. } => "power loss of all",
            Fault::PowerLossInside { .. } => "power loss inside a write",
            Fault::PowerLossAtVote { .. } => "power loss after a vote",
            Fault::Pause { .. } => "process pause",
            Fault::Partition { .. } => "symmetric partition",
            Fault::OneWay { .. } => "one-way partition",
            Fault::Link { .. } => "partial partition",
            Fault::LossyNetwork { .. } => "packet loss",
            Fault::SlowNetwork { .. } => "delay and reordering",
            Fault::Reset { .. } => "connection reset",
            Fault::SlowDisk { .. } => "slow disk",
            Fault::FullDisk { .. } => "disk full",
            Fault::WriteError { .. } => "write error",
            Fault::SyncError { .. } => "sync error",
            Fault::ReadError { .. } => "read error",
            Fault::MisdirectedWrite { .. } => "misdirected write",
            Fault::BitFlip { .. } => "bit flip",
            Fault::Rot { in_log: true, .. } => "bit flip in the newest log",
            Fault::Rot { .. } => "bit flip in a segment",
            Fault::ClockRate { .. } => "clock rate",
            Fault::ClockLeap { .. } => "clock leap",
            Fault::Purge { .. } => "snapshot needed",
            Fault::Transfer { .. } => "leader transfer",
            Fault::Restart { .. } => "graceful restart",
            Fault::Replace { .. } => "disk lost and replaced",
            Fault::Grow => "member added",
            Fault::Shrink { .. } => "member removed",
            Fault::Scale { .. } => "set scaled",
            Fault::LosePod { .. } => "pod's disk lost",
            Fault::MovePod { .. } => "pod moved, stale names",
            Fault::Namesake { is_cut: true, .. } => "old pod runs on, cut off",
            Fault::Namesake { .. } => "old pod runs on",
            Fault::SwapVolumes { .. } => "volumes swapped",
            Fault::ApiDown { .. } => "no wished size",
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} ms: {:?}", self.at_ms, self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_counted_from_the_leader_are_settled() {
        let settled = |host| match (Fault::Purge { host }).settled(3, 5) {
            Fault::Purge { host } => host,
            other => panic!("{other:?}"),
        };
        assert_eq!([1, LEADER, LEADER + 1, LEADER + 2].map(settled), [1, 3, 4, 0]);
        let group = |group| Fault::Partition {
            group,
            resets: false,
            for_ms: 1,
        };
        let relative = group(0b10 | 1 << LEADER | 1 << (LEADER + 2));
        assert_eq!(relative.settled(3, 5), group(0b1011));
    }
}
