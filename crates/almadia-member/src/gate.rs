//! The space gate: when the disk is nearly full, commands that store data are refused before they enter the log.
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

/// Shared by the upkeep, which closes and opens it, and by whoever proposes.
#[derive(Clone, Debug, Default)]
pub struct SpaceGate {
    room: Arc<AtomicU8>,
}

impl SpaceGate {
    /// Closes or opens the gate; true when that is a change.
    pub fn set(&self, room: Room) -> bool {
        self.room.swap(room as u8, Ordering::Relaxed) != room as u8
    }

    /// Puts are refused.
    pub fn is_closed(&self) -> bool {
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
        }
    }
}
