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
}

/// A member with its id and standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membered {
    /// Its id.
    pub id: MemberId,
    /// Name and addresses.
    pub info: MemberInfo,
    /// Receives entries but does not count in majorities.
    pub is_learner: bool,
}

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

/// The bytes by which the store carries a membership with its position. It is never empty.
pub fn encode_stored(stored: &RaftStoredMembership) -> Bytes {
    let (index, term) = to_position(stored.log_id().as_ref());
    let membership = Some(to_wire(stored.membership()));
    WireStored {
        index: index.0,
        term: term.0,
        membership,
    }
    .encode_to_vec()
    .into()
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
            is_learner: !voters.contains(id),
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
        assert_eq!(decode_stored(&encode_stored(&stored)), Ok(stored));
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
