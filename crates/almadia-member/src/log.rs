//! The log, shown to people: what stands where, in one line each.
//!
//! For looking and comparing only; nothing decides by it.

use almadia_command::{AuthChange, AuthChangeKind, Command, Kind, LogIndex, Operation, Proposal, Term, Txn};
use almadia_wal::{Entry, EntryKind, Wal};

/// Entries of one page at most.
pub const PAGE_ENTRIES_MAX: usize = 2_000;

/// Bytes of entries read for one page at most; one larger entry is still shown.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a key shown at most.
const KEY_BYTES_SHOWN: usize = 64;

/// A piece of a member's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The oldest position it still has; 0 when it has none.
    pub first: LogIndex,
    /// The last position.
    pub last: LogIndex,
    /// The last position known to be committed.
    pub committed: LogIndex,
    /// Entries without gaps.
    pub rows: Vec<LogRow>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Its position.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
    /// What it is for.
    pub kind: EntryKind,
    /// CRC-32C of its bytes, as its proposer computed it.
    pub checksum: u32,
    /// How many bytes it has.
    pub bytes: u64,
    /// What it says, for people.
    pub description: String,
}

/// Reads a page that begins at `from`, or at the oldest entry where that is later. Blocks on files.
///
/// # Errors
/// In the log's words, when it cannot be read.
pub fn read(wal: &Wal, from: LogIndex, limit: usize, committed: LogIndex) -> Result<LogPage, String> {
    let Some((first, last)) = wal.first_last() else {
        return Ok(LogPage {
            committed,
            ..LogPage::default()
        });
    };
    let from = from.max(first);
    let limit = if limit == 0 {
        PAGE_ENTRIES_MAX
    } else {
        limit.min(PAGE_ENTRIES_MAX)
    };
    let to = LogIndex(from.0.saturating_add(limit as u64)).min(last.next());
    let entries = match from < to {
        true => wal
            .read(from, to, PAGE_BYTES_MAX)
            .map_err(|error| error.to_string())?,
        false => Vec::new(),
    };
    let rows = entries.into_iter().map(row).collect();
    Ok(LogPage {
        first,
        last,
        committed,
        rows,
    })
}

fn row(entry: Entry) -> LogRow {
    LogRow {
        index: entry.index,
        term: entry.term,
        kind: entry.kind,
        checksum: entry.checksum,
        bytes: entry.data.len() as u64,
        description: describe(&entry),
    }
}

fn describe(entry: &Entry) -> String {
    match entry.kind {
        EntryKind::Blank => "a leader begins its term".to_owned(),
        EntryKind::Membership => "who the members are".to_owned(),
        EntryKind::Command => {
            let proposal = Proposal::from_parts(entry.data.clone(), entry.checksum);
            let command = proposal.map_err(|error| error.to_string()).and_then(|proposal| {
                Command::decode_bytes(proposal.command()).map_err(|error| error.to_string())
            });
            command.map_or_else(|error| error, |command| describe_command(&command))
        }
    }
}

fn describe_command(command: &Command) -> String {
    match &command.kind {
        Some(Kind::Put(put)) => format!("put {}, {} bytes", shown(&put.key), put.value.len()),
        Some(Kind::DeleteRange(range)) if range.range_end.is_empty() => {
            format!("delete {}", shown(&range.key))
        }
        Some(Kind::DeleteRange(range)) => {
            format!("delete {} to {}", shown(&range.key), shown(&range.range_end))
        }
        Some(Kind::Txn(txn)) => describe_txn(txn),
        Some(Kind::Compact(compact)) => format!("compact to revision {}", compact.revision),
        Some(Kind::LeaseGrant(grant)) => format!("grant lease {:x} for {} s", grant.id, grant.ttl),
        Some(Kind::LeaseRevoke(revoke)) => format!("revoke lease {:x}", revoke.id),
        Some(Kind::LeaseCheckpoint(checkpoint)) => {
            format!("note the time left of {} leases", checkpoint.leases.len())
        }
        Some(Kind::Auth(change)) => describe_auth(change).to_owned(),
        Some(Kind::Downgrade(change)) if change.target.is_empty() => "give up the downgrade".to_owned(),
        Some(Kind::Downgrade(change)) => format!("prepare a downgrade to {}", change.target),
        Some(Kind::Alarm(change)) if change.raise => format!("raise alarm {}", change.kind),
        Some(Kind::Alarm(change)) => format!("clear alarm {}", change.kind),
        None => "nothing this release knows".to_owned(),
    }
}

/// Without names: a log is shown to more people than may know the users.
fn describe_auth(change: &AuthChange) -> &'static str {
    match &change.kind {
        Some(AuthChangeKind::Enable(_)) => "enable permissions",
        Some(AuthChangeKind::Disable(_)) => "disable permissions",
        Some(AuthChangeKind::UserAdd(_)) => "add a user",
        Some(AuthChangeKind::UserDelete(_)) => "delete a user",
        Some(AuthChangeKind::UserChangePassword(_)) => "change a password",
        Some(AuthChangeKind::UserGrantRole(_)) => "grant a role",
        Some(AuthChangeKind::UserRevokeRole(_)) => "revoke a role",
        Some(AuthChangeKind::RoleAdd(_)) => "add a role",
        Some(AuthChangeKind::RoleDelete(_)) => "delete a role",
        Some(AuthChangeKind::RoleGrantPermission(_)) => "grant a permission",
        Some(AuthChangeKind::RoleRevokePermission(_)) => "revoke a permission",
        None => "nothing this release knows",
    }
}

fn describe_txn(txn: &Txn) -> String {
    let count = |operations: &[Operation]| operations.len();
    let (compares, success, failure) = (txn.compares.len(), count(&txn.success), count(&txn.failure));
    format!("transaction: {compares} compares, {success} operations, else {failure}")
}

/// A key for people: bytes that are no plain text are escaped, and a long one is cut.
fn shown(key: &[u8]) -> String {
    let cut = &key[..key.len().min(KEY_BYTES_SHOWN)];
    let dots = if cut.len() < key.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_command::{DeleteRange, MemberId, Put, Ticket};
    use bytes::Bytes;

    fn entry(kind: Kind) -> Entry {
        let command = Command::from(kind).encode_bytes();
        let proposal = Proposal::new(MemberId(1), Ticket(1), &command);
        Entry::new(LogIndex(1), Term(1), EntryKind::Command, proposal.bytes().clone())
    }

    #[test]
    fn commands_are_told_in_one_line() {
        let key = Bytes::from_static(b"a/\xff\n");
        let put = Put {
            key: key.clone(),
            value: Bytes::from_static(b"12345"),
            ..Put::default()
        };
        assert_eq!(describe(&entry(Kind::Put(put))), "put a/\\xff\\n, 5 bytes");
        let delete = DeleteRange {
            key: vec![b'k'; 100].into(),
            ..DeleteRange::default()
        };
        assert_eq!(
            describe(&entry(Kind::DeleteRange(delete))),
            format!("delete {}…", "k".repeat(64))
        );
    }

    #[test]
    fn damage_is_told_and_not_a_panic() {
        let mut damaged = entry(Kind::Put(Put::default()));
        damaged.checksum ^= 1;
        assert!(describe(&damaged).contains("checksum"));
    }
}
