//! A new cluster from a backup: makes a data directory that a member starts from as if the cluster had just been
//! founded with everything in the backup.
//!
//! Every member of the new cluster restores the same backup with the same list of members; they come to the same ids
//! without talking, because ids are derived from backup, token and list. A backup restored twice with the same token
//! gives the same cluster: a new cluster needs a new token.

use crate::identity::{Identity, IdentityError, InitialMember};
use almadia_command::{ClusterId, GroupId, MemberId};
use almadia_consensus::{BEGINNING, MemberInfo, beginning_membership};
use almadia_disk::{Disk, DiskError};
use almadia_store::Store;
use almadia_store::disk::{Archive, Beginning, KeeperError, Options};
use almadia_wal::{LogId, Wal, WalError};
use std::io::Read;
use std::sync::Arc;

/// What the new cluster is to be.
pub struct Wishes<'a> {
    /// The new cluster's group, from its token.
    pub group: GroupId,
    /// The member whose directory this is.
    pub name: String,
    /// All members with their peer URLs, this one included, in any order.
    pub members: Vec<(String, Vec<String>)>,
    /// Added to the revision.
    pub revisions_more: u64,
    /// Cancels watches from before.
    pub mark_compacted: bool,
    /// A hash of bytes that is the same everywhere; ids come from it.
    pub digest: &'a dyn Fn(&[u8]) -> u64,
    /// Numbers that do not repeat, for the log's files.
    pub life: Box<dyn FnMut() -> u64 + Send>,
}

/// What was made.
#[derive(Debug)]
pub struct Restored {
    /// Who starts from the directory.
    pub identity: Identity,
    /// The state it starts with.
    pub store: Store,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum RestoringError {
    /// The directory is in use.
    #[error("the data directory is not empty ({0} is there): name a new one, or empty it")]
    NotEmpty(String),
    /// The member is not one of the members.
    #[error("{name} is not in the list of members ({members}): --name must be one of --initial-cluster")]
    NotAMember {
        /// Who.
        name: String,
        /// The list.
        members: String,
    },
    /// The backup cannot be used.
    #[error("cannot restore the backup: {0}")]
    Backup(#[from] KeeperError),
    /// The log cannot be begun.
    #[error("cannot begin the log: {0}")]
    Log(#[from] WalError),
    /// The identity cannot be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Makes the directory. The identity is written last, so that a directory of a restore that was broken off is of no
/// member: it is refused by the next restore and by a start.
///
/// # Errors
/// [`RestoringError`]; the directory is then to be emptied.
pub fn restore<R: Read>(
    disk: Arc<dyn Disk>,
    archive: Archive<R>,
    wishes: Wishes<'_>,
    progress: impl FnMut(u64),
) -> Result<Restored, RestoringError> {
    refuse_used(&*disk)?;
    let identity = identity_of(&wishes, archive.revision().get())?;
    let members: Vec<(MemberId, MemberInfo)> = identity
        .initial
        .iter()
        .map(|member| {
            let info = MemberInfo {
                name: member.name.clone(),
                peer_urls: member.peer_urls.clone(),
                ..MemberInfo::default()
            };
            (member.id, info)
        })
        .collect();
    begin_log(&disk, wishes.life)?;
    let beginning = Beginning {
        applied: BEGINNING,
        membership: beginning_membership(&members),
        revisions_more: wishes.revisions_more,
        mark_compacted: wishes.mark_compacted,
    };
    let store = archive.unpack(Arc::clone(&disk), Options::default(), Some(beginning), progress)?;
    identity.save(&*disk)?;
    Ok(Restored { identity, store })
}

fn refuse_used(disk: &dyn Disk) -> Result<(), RestoringError> {
    for directory in ["", "wal", "seg"] {
        let files = disk.list(directory)?;
        // The lock is this process's own.
        if let Some(name) = files.into_iter().find(|name| name != "LOCK") {
            return Err(RestoringError::NotEmpty(name));
        }
    }
    Ok(())
}

fn identity_of(wishes: &Wishes<'_>, revision: i64) -> Result<Identity, RestoringError> {
    let mut members = wishes.members.clone();
    members.sort();
    let list: Vec<String> = members
        .iter()
        .map(|(name, urls)| format!("{name}={}", urls.join(",")))
        .collect();
    let all = format!("{} {revision} {}", wishes.group, list.join(" "));
    let id_of = |what: &str| (wishes.digest)(format!("{what}\n{all}").as_bytes()).max(1);
    let initial: Vec<InitialMember> = members
        .into_iter()
        .map(|(name, peer_urls)| InitialMember {
            id: MemberId(id_of(&format!("member {name}"))),
            name,
            peer_urls,
            client_urls: Vec::new(),
        })
        .collect();
    let own = initial.iter().find(|member| member.name == wishes.name);
    let member = own.ok_or_else(|| RestoringError::NotAMember {
        name: wishes.name.clone(),
        members: list.join(", "),
    })?;
    Ok(Identity {
        group: wishes.group,
        cluster: ClusterId(id_of("cluster")),
        member: member.id,
        name: wishes.name.clone(),
        initial,
    })
}

/// A log that says that everything up to [`BEGINNING`] is in the store.
fn begin_log(disk: &Arc<dyn Disk>, life: Box<dyn FnMut() -> u64 + Send>) -> Result<(), RestoringError> {
    // A failing write comes back from `step` too.
    let options = almadia_wal::Options::new(life, Box::new(|_| {}));
    let (wal, mut writer, _) = Wal::open(Arc::clone(disk), options)?;
    let (index, term) = BEGINNING;
    wal.purge_to(LogId { term, index });
    while writer.step()? {}
    wal.close();
    Ok(())
}
