//! The space gate: when the disk or the memory is nearly full, or the operator's quota is, commands that store data are
//! refused before they enter the log.
//!
//! It opens again by itself. It is a gate on proposing only: a command that is in the log is applied everywhere.

use almadia_command::{Command, Proposal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How much room the disk has, as far as proposals are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough for all.
    #[default]
    Plenty,
    /// What stores data is refused; what makes room goes on.
    Short,
    /// The log itself could not go on: everything is refused until it can.
    Nothing,
}

/// What else closes the gate, besides the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The memory this member may use.
    Memory,
    /// The operator's bound on live data.
    Quota,
}

impl Limit {
    fn bit(self) -> u8 {
        match self {
            Self::Memory => 1,
            Self::Quota => 2,
        }
    }
}

/// Shared by the upkeep, which closes and opens it, and by whoever proposes.
#[derive(Clone, Debug, Default)]
pub struct SpaceGate {
    room: Arc<AtomicU8>,
    /// A bit for each limit that is reached.
    reached: Arc<AtomicU8>,
}

impl SpaceGate {
    /// Closes or opens the gate by the room on the disk; true when that is a change.
    pub fn set(&self, room: Room) -> bool {
        self.room.swap(room as u8, Ordering::Relaxed) != room as u8
    }

    /// Closes or opens the gate by a limit; true when that is a change.
    pub fn set_reached(&self, limit: Limit, is_reached: bool) -> bool {
        let before = if is_reached {
            self.reached.fetch_or(limit.bit(), Ordering::Relaxed)
        } else {
            self.reached.fetch_and(!limit.bit(), Ordering::Relaxed)
        };
        (before & limit.bit() != 0) != is_reached
    }

    /// Whether a limit closes the gate now.
    pub fn is_reached(&self, limit: Limit) -> bool {
        self.reached.load(Ordering::Relaxed) & limit.bit() != 0
    }

    /// Puts are refused.
    pub fn is_closed(&self) -> bool {
        self.is_disk_short() || self.reached.load(Ordering::Relaxed) != 0
    }

    /// Puts are refused because of the disk.
    pub fn is_disk_short(&self) -> bool {
        self.room.load(Ordering::Relaxed) >= Room::Short as u8
    }

    /// Everything is refused.
    fn is_shut(&self) -> bool {
        self.room.load(Ordering::Relaxed) >= Room::Nothing as u8
    }

    /// True when the command may enter the log now: always while the gate is open, else only when it stores
    /// nothing and the log can go on.
    pub fn admits_command(&self, command: &Command) -> bool {
        !self.is_closed() || !self.is_shut() && !stores(command)
    }

    /// The same for a forwarded proposal.
    pub fn admits(&self, proposal: &Proposal) -> bool {
        if !self.is_closed() {
            return true;
        }
        if self.is_shut() {
            return false;
        }
        // Bytes that do not decode are let through: applying them says what is wrong.
        Command::decode_bytes(proposal.command()).is_ok_and(|command| !stores(&command))
    }
}

fn stores(command: &Command) -> bool {
    command.kind.as_ref().is_some_and(almadia_store::stores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_command::{Compact, DeleteRange, Kind, Operation, OperationKind, Put, Txn};

    /// etcd's rule for NOSPACE: puts and transactions with a put are refused, the rest goes on.
    #[test]
    fn closed_it_refuses_what_stores_and_nothing_else() {
        let put = || Operation {
            kind: Some(OperationKind::Put(Put::default())),
        };
        let nested = Operation {
            kind: Some(OperationKind::Txn(Txn {
                failure: vec![put()],
                ..Txn::default()
            })),
        };
        let cases: [(Kind, bool); 5] = [
            (Kind::Put(Put::default()), false),
            (
                Kind::Txn(Txn {
                    success: vec![nested],
                    ..Txn::default()
                }),
                false,
            ),
            (Kind::Txn(Txn::default()), true),
            (Kind::DeleteRange(DeleteRange::default()), true),
            (Kind::Compact(Compact::default()), true),
        ];
        let gate = SpaceGate::default();
        for (kind, admitted) in cases {
            let command = Command::from(kind);
            gate.set(Room::Plenty);
            assert!(gate.admits_command(&command));
            gate.set(Room::Short);
            assert_eq!(gate.admits_command(&command), admitted, "{command:?}");
            gate.set(Room::Nothing);
            assert!(!gate.admits_command(&command), "{command:?}");
            gate.set(Room::Plenty);
            for limit in [Limit::Memory, Limit::Quota] {
                assert!(gate.set_reached(limit, true) && !gate.set_reached(limit, true));
                assert_eq!(gate.admits_command(&command), admitted, "{command:?}");
                assert!(gate.is_closed() && !gate.is_disk_short());
                assert!(gate.set_reached(limit, false) && !gate.is_closed());
            }
        }
    }

    /// One limit does not open what another closes.
    #[test]
    fn limits_do_not_get_into_each_other_s_way() {
        let gate = SpaceGate::default();
        gate.set_reached(Limit::Memory, true);
        gate.set_reached(Limit::Quota, true);
        gate.set_reached(Limit::Memory, false);
        assert!(gate.is_closed() && gate.is_reached(Limit::Quota) && !gate.is_reached(Limit::Memory));
        gate.set(Room::Short);
        gate.set_reached(Limit::Quota, false);
        assert!(gate.is_closed());
    }
}
