//! A cluster that begins with something: the membership entry that a restored backup stands behind.
//!
//! It makes bytes and positions, and writes nothing.

use crate::membership::{MemberInfo, encode_stored};
use crate::raft::{RaftMembership, RaftStoredMembership, from_position};
use almadia_command::{LogIndex, MemberId, Term};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Where a log begins that has a restored state behind it: as if founding had written its membership there.
pub const BEGINNING: (LogIndex, Term) = (LogIndex(1), Term(0));

/// The membership of these members, all of them voters, at [`BEGINNING`], as a store carries it.
///
/// # Panics
/// Without any member.
pub fn beginning_membership(members: &[(MemberId, MemberInfo)]) -> Bytes {
    let voters: BTreeSet<u64> = members.iter().map(|(id, _)| id.0).collect();
    let nodes: BTreeMap<u64, MemberInfo> = members.iter().map(|(id, info)| (id.0, info.clone())).collect();
    let membership = RaftMembership::new(vec![voters], nodes).expect("every voter is a member");
    let (index, term) = BEGINNING;
    let stored = RaftStoredMembership::new(from_position(index, term), membership);
    encode_stored(&stored, &Bytes::new())
}
