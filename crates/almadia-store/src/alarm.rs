//! The alarms that are raised, per member. Kept until they are cleared, by anyone, on all members alike.
//!
//! What an alarm forbids is not decided here: see [`crate::apply`].

use crate::table::{Table, TableError};
use almadia_command::{AlarmChange, AlarmKind, MemberId};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One raised alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// Which alarm, by etcd's numbers.
    pub kind: i32,
    /// The member it is about.
    pub member: MemberId,
}

/// All raised alarms. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmTable {
    raised: Arc<BTreeSet<Alarm>>,
}

impl AlarmTable {
    /// All of them, by kind and member.
    pub fn raised(&self) -> impl Iterator<Item = Alarm> + '_ {
        self.raised.iter().copied()
    }

    /// Whether an alarm of this kind is raised for any member.
    pub fn is_raised(&self, kind: AlarmKind) -> bool {
        self.raised.iter().any(|alarm| alarm.kind == kind as i32)
    }

    /// Raises or clears; answers the alarms that are raised by it, or were.
    pub(crate) fn change(&mut self, change: &AlarmChange) -> Vec<Alarm> {
        if change.raise {
            if change.kind == AlarmKind::None as i32 {
                return Vec::new();
            }
            let alarm = Alarm {
                kind: change.kind,
                member: MemberId(change.member),
            };
            Arc::make_mut(&mut self.raised).insert(alarm);
            return vec![alarm];
        }
        let alarm = Alarm {
            kind: change.kind,
            member: MemberId(change.member),
        };
        let was_raised = Arc::make_mut(&mut self.raised).remove(&alarm);
        was_raised.then_some(alarm).into_iter().collect()
    }
}

#[derive(Clone, PartialEq, Message)]
struct WireAlarms {
    #[prost(message, repeated, tag = "1")]
    raised: Vec<WireAlarm>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct WireAlarm {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint64, tag = "2")]
    member: u64,
}

impl Table for AlarmTable {
    const SECTION: &'static str = "alarms";

    fn encode(&self) -> Bytes {
        let raised = self.raised().map(|alarm| WireAlarm {
            kind: alarm.kind,
            member: alarm.member.0,
        });
        let raised = raised.collect();
        WireAlarms { raised }.encode_to_vec().into()
    }

    fn decode(bytes: Bytes) -> Result<Self, TableError> {
        let wire = WireAlarms::decode(bytes).map_err(|error| TableError::new(Self::SECTION, error))?;
        let raised = wire.raised.into_iter().map(|alarm| Alarm {
            kind: alarm.kind,
            member: MemberId(alarm.member),
        });
        Ok(Self {
            raised: Arc::new(raised.collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(raise: bool, kind: AlarmKind, member: u64) -> AlarmChange {
        AlarmChange {
            raise,
            member,
            kind: kind as i32,
        }
    }

    /// As etcd answers: a raised one is told again, one that is not there is not.
    #[test]
    fn raising_and_clearing() {
        let mut alarms = AlarmTable::default();
        assert!(alarms.change(&change(true, AlarmKind::None, 1)).is_empty());
        for _ in 0..2 {
            assert_eq!(alarms.change(&change(true, AlarmKind::NoSpace, 1)).len(), 1);
        }
        alarms.change(&change(true, AlarmKind::NoSpace, 2));
        alarms.change(&change(true, AlarmKind::Corrupt, 2));
        assert_eq!(alarms.change(&change(false, AlarmKind::NoSpace, 1)).len(), 1);
        assert!(alarms.change(&change(false, AlarmKind::NoSpace, 1)).is_empty());
        assert!(alarms.is_raised(AlarmKind::NoSpace) && alarms.is_raised(AlarmKind::Corrupt));
        assert_eq!(AlarmTable::decode(alarms.encode()), Ok(alarms.clone()));
        assert_eq!(alarms.change(&change(false, AlarmKind::NoSpace, 2)).len(), 1);
        assert_eq!(alarms.change(&change(false, AlarmKind::Corrupt, 2)).len(), 1);
        assert_eq!(alarms, AlarmTable::default());
    }
}
