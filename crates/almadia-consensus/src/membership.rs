//! Who belongs to the cluster, as log entries and manifests carry it.
//!
//! The one source of truth for members, their names and addresses is the membership entry in the log: there is
//! no second table. It never decides who should belong.

use crate::raft::{RaftMembership, RaftStoredMembership, from_position, to_position};
use almadia_command::{LogIndex, MemberId, Term};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// A member as the log knows it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MemberInfo {
    /// Its name (`--name`, the pod's name).
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where its peers reach it.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    #[prost(string, repeated, tag = "3")]
    pub client_urls: Vec<String>,
    /// The one data directory that was given this id, by the number drawn for it; 0 while none was, and for the first
    /// members, which have their drawn number as their id.
    #[prost(fixed64, tag = "4")]
    pub instance: u64,
    /// It was added as a voter, and is given its vote once it has caught up. Means nothing after that.
    #[prost(bool, tag = "5")]
    pub voter_to_be: bool,
    /// It was let in by the cluster itself, as a learner, and gets a vote once it has caught up. Means nothing after that.
    #[prost(bool, tag = "6")]
    pub is_unattended: bool,
}

/// A member with its id and standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membered {
    /// Its id.
    pub id: MemberId,
    /// Name and addresses.
    pub info: MemberInfo,
    /// Receives entries and is not meant to count in majorities.
    pub is_learner: bool,
    /// Counts in majorities now. Neither this nor a learner is who was added as a voter and has not caught up yet.
    pub votes: bool,
}

/// Removed ids that are remembered; beyond it the oldest are forgotten. No id is drawn twice, forgotten or not: the memory
/// is there to tell removed members what happened to them.
const REMOVED_MAX: usize = 4096;

#[derive(Clone, PartialEq, Message)]
struct WireMember {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    info: Option<MemberInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct WireVoters {
    #[prost(uint64, repeated, tag = "1")]
    ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct WireMembership {
    /// One set, or two while a joint change is under way.
    #[prost(message, repeated, tag = "1")]
    voters: Vec<WireVoters>,
    #[prost(message, repeated, tag = "2")]
    members: Vec<WireMember>,
}

/// A membership with the position of its entry, as manifests carry it.
#[derive(Clone, PartialEq, Message)]
struct WireStored {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(message, optional, tag = "3")]
    membership: Option<WireMembership>,
    /// Who belonged once and does not any more, in the order of leaving.
    #[prost(fixed64, repeated, tag = "4")]
    removed: Vec<u64>,
}

/// Bytes that are no membership.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes of a membership are damaged: {0}")]
pub struct BadMembership(String);

fn to_wire(membership: &RaftMembership) -> WireMembership {
    let voters = membership.get_joint_config();
    WireMembership {
        voters: voters
            .iter()
            .map(|set| WireVoters {
                ids: set.iter().copied().collect(),
            })
            .collect(),
        members: membership
            .nodes()
            .map(|(id, info)| WireMember {
                id: *id,
                info: Some(info.clone()),
            })
            .collect(),
    }
}

fn from_wire(wire: WireMembership) -> Result<RaftMembership, BadMembership> {
    let voters: Vec<BTreeSet<u64>> = wire
        .voters
        .into_iter()
        .map(|voters| voters.ids.into_iter().collect())
        .collect();
    let members: BTreeMap<u64, MemberInfo> = wire
        .members
        .into_iter()
        .map(|member| (member.id, member.info.unwrap_or_default()))
        .collect();
    RaftMembership::new(voters, members).map_err(|error| BadMembership(error.to_string()))
}

/// The bytes of a membership entry, with their CRC-32C.
pub fn encode(membership: &RaftMembership) -> (Bytes, u32) {
    let bytes = Bytes::from(to_wire(membership).encode_to_vec());
    let checksum = crc32c::crc32c(&bytes);
    (bytes, checksum)
}

/// The reverse of [`encode`].
pub fn decode(bytes: &Bytes, checksum: u32) -> Result<RaftMembership, BadMembership> {
    if crc32c::crc32c(bytes) != checksum {
        return Err(BadMembership("its checksum does not fit".to_owned()));
    }
    let wire = WireMembership::decode(bytes.clone()).map_err(|error| BadMembership(error.to_string()))?;
    from_wire(wire)
}

/// What a membership entry says, for whoever looks at a log from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// The sets of voters: two while a joint change is under way.
    pub voters: Vec<BTreeSet<MemberId>>,
    /// Everyone.
    pub members: BTreeMap<MemberId, MemberInfo>,
}

/// Reads a membership entry.
///
/// # Errors
/// [`BadMembership`].
pub fn read_membership_entry(bytes: &Bytes, checksum: u32) -> Result<Charter, BadMembership> {
    let membership = decode(bytes, checksum)?;
    let set = |set: &BTreeSet<u64>| set.iter().copied().map(MemberId).collect();
    Ok(Charter {
        voters: membership.get_joint_config().iter().map(set).collect(),
        members: membership
            .nodes()
            .map(|(id, info)| (MemberId(*id), info.clone()))
            .collect(),
    })
}

/// The bytes by which the store carries a membership with its position, after the bytes it carried `before`: whoever is in
/// those and not in the new ones has been removed. A function of the log alone. It is never empty.
pub fn encode_stored(stored: &RaftStoredMembership, before: &Bytes) -> Bytes {
    let (index, term) = to_position(stored.log_id().as_ref());
    let membership = to_wire(stored.membership());
    let before = WireStored::decode(before.clone()).unwrap_or_default();
    let mut removed = before.removed;
    let earlier = before.membership.unwrap_or_default().members;
    let left = earlier
        .iter()
        .filter(|member| membership.members.iter().all(|now| now.id != member.id));
    removed.extend(left.map(|member| member.id));
    let forgotten = removed.len().saturating_sub(REMOVED_MAX);
    removed.drain(..forgotten);
    WireStored {
        index: index.0,
        term: term.0,
        membership: Some(membership),
        removed,
    }
    .encode_to_vec()
    .into()
}

/// Whether these bytes, as the store carries them, name a member that was removed.
pub fn names_removed(bytes: &Bytes, id: MemberId) -> bool {
    WireStored::decode(bytes.clone()).is_ok_and(|stored| stored.removed.contains(&id.0))
}

/// The reverse of [`encode_stored`]; empty bytes are "no membership yet".
pub fn decode_stored(bytes: &Bytes) -> Result<RaftStoredMembership, BadMembership> {
    if bytes.is_empty() {
        return Ok(RaftStoredMembership::default());
    }
    let wire = WireStored::decode(bytes.clone()).map_err(|error| BadMembership(error.to_string()))?;
    let log_id = from_position(LogIndex(wire.index), Term(wire.term));
    Ok(RaftStoredMembership::new(
        log_id,
        from_wire(wire.membership.unwrap_or_default())?,
    ))
}

/// The members in order of their ids.
pub fn list(membership: &RaftMembership) -> Vec<Membered> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    membership
        .nodes()
        .map(|(id, info)| Membered {
            id: MemberId(*id),
            info: info.clone(),
            is_learner: !voters.contains(id) && !info.voter_to_be,
            votes: voters.contains(id),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> RaftMembership {
        let info = |name: &str| MemberInfo {
            name: name.to_owned(),
            ..MemberInfo::default()
        };
        let members = BTreeMap::from([(1, info("a")), (2, info("b")), (3, info("c"))]);
        RaftMembership::new(vec![BTreeSet::from([1, 2])], members).unwrap()
    }

    #[test]
    fn comes_back_as_it_was() {
        let (bytes, checksum) = encode(&sample());
        assert_eq!(decode(&bytes, checksum), Ok(sample()));
        let stored = RaftStoredMembership::new(from_position(LogIndex(7), Term(3)), sample());
        assert_eq!(decode_stored(&encode_stored(&stored, &Bytes::new())), Ok(stored));
        assert_eq!(decode_stored(&Bytes::new()), Ok(RaftStoredMembership::default()));
    }

    #[test]
    fn learners_are_told_from_voters() {
        let learners: Vec<bool> = list(&sample())
            .into_iter()
            .map(|member| member.is_learner)
            .collect();
        assert_eq!(learners, [false, false, true]);
    }

    /// B4.2: who has left is remembered, and what carries it is a function of the entries alone.
    #[test]
    fn who_left_is_remembered() {
        let at = |index, ids: &[u64]| {
            let members: BTreeMap<u64, MemberInfo> =
                ids.iter().map(|id| (*id, MemberInfo::default())).collect();
            let voters = vec![ids.iter().copied().collect()];
            RaftStoredMembership::new(
                from_position(LogIndex(index), Term(1)),
                RaftMembership::new(voters, members).unwrap(),
            )
        };
        let bytes = encode_stored(&at(1, &[1, 2, 3]), &Bytes::new());
        let bytes = encode_stored(&at(2, &[1, 3]), &bytes);
        let bytes = encode_stored(&at(3, &[3, 4]), &bytes);
        let removed = |id| names_removed(&bytes, MemberId(id));
        assert_eq!([1, 2, 3, 4].map(removed), [true, true, false, false]);
        assert_eq!(decode_stored(&bytes), Ok(at(3, &[3, 4])));
    }

    #[test]
    fn the_memory_of_who_left_is_bounded() {
        let alone = |id: u64| {
            let members = BTreeMap::from([(id, MemberInfo::default())]);
            RaftStoredMembership::new(
                from_position(LogIndex(id), Term(1)),
                RaftMembership::new(vec![BTreeSet::from([id])], members).unwrap(),
            )
        };
        let many = REMOVED_MAX as u64 + 10;
        let bytes = (1..=many).fold(Bytes::new(), |before, id| encode_stored(&alone(id), &before));
        assert!(!names_removed(&bytes, MemberId(9)) && names_removed(&bytes, MemberId(10)));
        assert!(names_removed(&bytes, MemberId(many - 1)) && !names_removed(&bytes, MemberId(many)));
    }

    #[test]
    fn golden_bytes() {
        let (bytes, _) = encode(&sample());
        let golden = b"\x0a\x04\x0a\x02\x01\x02\x12\x07\x08\x01\x12\x03\x0a\x01a\x12\x07\x08\x02\x12\x03\x0a\x01b\x12\x07\x08\x03\x12\x03\x0a\x01c";
        assert_eq!(bytes.as_ref(), golden);
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_membership(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let bytes = Bytes::from(bytes);
            let _ = decode(&bytes, crc32c::crc32c(&bytes));
            let _ = decode_stored(&bytes);
        }
    }
}
