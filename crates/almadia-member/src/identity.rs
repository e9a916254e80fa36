//! Who a member is, kept in the file `IDENT` of its data directory.
//!
//! The id of a member (its instance id) is drawn once for an empty directory and never used for another one: a
//! wiped directory is a new member. The file is replaced as a whole (temporary file, sync, rename, sync of the
//! directory), so that a crash leaves the old or the new one. This file never decides who founds a cluster.

use almadia_command::planted::{Bug, planted};
use almadia_command::{ClusterId, GroupId, MemberId};
use almadia_disk::{Disk, DiskError};
use bytes::{Buf, BufMut};
use prost::Message;

/// The file's name in the data directory.
pub const IDENT_FILE: &str = "IDENT";

const IDENT_TEMPORARY: &str = "IDENT.new";

/// While it is there, everything else in the directory is to go.
const RETIRED_FILE: &str = "RETIRED";

/// What else is in the directory of a member: its log and its store.
const MANIFEST_PREFIX: &str = "MANIFEST-";
const OWNED_DIRECTORIES: [&str; 2] = ["wal", "seg"];

const MAGIC: [u8; 8] = *b"ALMIDENT";
const FORMAT_VERSION: u32 = 1;

/// Bytes of the file at most: far above 9 members with all their addresses.
const IDENT_BYTES_MAX: u64 = 1024 * 1024;

/// Magic, format version, length of the body.
const HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;

/// Who a member is.
///
/// Invariants: `member` is not 0; `cluster` is 0 exactly as long as the member may not vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The deployment it was made for.
    pub group: GroupId,
    /// Its cluster; 0 until one is founded or it is admitted to one.
    pub cluster: ClusterId,
    /// Its own id, kept across restarts, never given to another directory.
    pub member: MemberId,
    /// Its name.
    pub name: String,
    /// The members its cluster was founded with, in name order; empty until founded.
    pub initial: Vec<InitialMember>,
}

/// One of the members a cluster is founded with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, as it said itself when the cluster was founded.
    pub client_urls: Vec<String>,
}

/// Why a member cannot know who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk failed.
    #[error("cannot keep this member's identity: {0}")]
    Disk(#[from] DiskError),
    /// Written by a newer release.
    #[error(
        "{IDENT_FILE} has format {found}, this release knows up to {FORMAT_VERSION}: start the newer release again"
    )]
    NewerFormat {
        /// The format found.
        found: u32,
    },
    /// The bytes are not what was written.
    #[error(
        "{IDENT_FILE} is damaged ({what}): restore the data directory or remove it, to come back as a new member"
    )]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// There is a log, but nobody to whom it belongs.
    #[error(
        "{IDENT_FILE} is missing, but there are files in {directory}: restore it, or remove the whole data directory, to come back as a new member"
    )]
    Missing {
        /// Where files were found.
        directory: &'static str,
    },
    /// The directory was made for another deployment.
    #[error(
        "the data directory belongs to group {found}, this member is configured for {wanted} (--initial-cluster-token or --group)"
    )]
    AnotherGroup {
        /// The group in the file.
        found: GroupId,
        /// The group configured.
        wanted: GroupId,
    },
    /// The directory was made for another member.
    #[error("the data directory belongs to member {found}, this member is called {wanted} (--name)")]
    AnotherName {
        /// The name in the file.
        found: String,
        /// The name configured.
        wanted: String,
    },
}

impl Identity {
    /// Reads who the member is; in an empty directory a new id is drawn and persisted before this returns.
    /// `random` yields evenly distributed numbers.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing is changed on the disk then.
    pub fn open(
        disk: &dyn Disk,
        group: GroupId,
        name: &str,
        random: &mut dyn FnMut() -> u64,
    ) -> Result<Self, IdentityError> {
        finish_retirement(disk)?;
        let Some(identity) = Self::load(disk)? else {
            refuse_orphans(disk)?;
            let identity = Self {
                group,
                cluster: ClusterId(0),
                member: MemberId(if planted(Bug::IdReused) {
                    u64::from(crc32c::crc32c(name.as_bytes())).max(1)
                } else {
                    draw_id(random)
                }),
                name: name.to_owned(),
                initial: Vec::new(),
            };
            identity.save(disk)?;
            return Ok(identity);
        };
        if identity.group != group {
            return Err(IdentityError::AnotherGroup {
                found: identity.group,
                wanted: group,
            });
        }
        if identity.name != name {
            return Err(IdentityError::AnotherName {
                found: identity.name,
                wanted: name.to_owned(),
            });
        }
        Ok(identity)
    }

    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// [`IdentityError`] on damage, on a newer format, on a failing disk.
    pub fn load(disk: &dyn Disk) -> Result<Option<Self>, IdentityError> {
        if !has(disk, IDENT_FILE)? {
            return Ok(None);
        }
        let file = disk.open(IDENT_FILE)?;
        let len = file.len()?;
        if len > IDENT_BYTES_MAX {
            return Err(IdentityError::Damaged {
                what: "it is too long",
            });
        }
        let mut bytes = vec![0; usize::try_from(len).expect("checked against a bound that fits")];
        file.read_at(0, &mut bytes)?;
        decode(&bytes).map(Some)
    }

    /// Replaces the file. When this returns, the identity survives a power loss.
    ///
    /// # Errors
    /// The disk's; the old file is then still there, whole.
    pub fn save(&self, disk: &dyn Disk) -> Result<(), IdentityError> {
        assert!(self.member.get() != 0, "a member without an id cannot be kept");
        let bytes = encode(self);
        assert!(
            decode(&bytes).is_ok_and(|read| read == *self),
            "what is written can be read"
        );
        if has(disk, IDENT_TEMPORARY)? {
            disk.remove(IDENT_TEMPORARY)?; // left by a crash before the rename
        }
        let file = disk.create(IDENT_TEMPORARY)?;
        file.write_at(0, &bytes)?;
        file.sync_all()?;
        disk.rename(IDENT_TEMPORARY, IDENT_FILE)?;
        disk.sync_dir("")?;
        Ok(())
    }

    /// Empties the data directory of a member that does not belong any more, so that whoever starts on it is a new one. A
    /// crash in between leaves a mark by which [`Identity::open`] goes on with it: never a log without an owner, nor an owner
    /// that has lost its log.
    ///
    /// # Errors
    /// The disk's; it can be done again then.
    pub fn retire(disk: &dyn Disk) -> Result<(), IdentityError> {
        if planted(Bug::RetiresNothing) {
            return Ok(());
        }
        if !has(disk, RETIRED_FILE)? {
            disk.create(RETIRED_FILE)?.sync_all()?;
            disk.sync_dir("")?;
        }
        finish_retirement(disk)
    }

    /// Does it belong to a cluster?
    pub fn is_founded(&self) -> bool {
        self.cluster.get() != 0
    }
}

/// An id that is not 0, which means nobody.
pub(crate) fn draw_id(random: &mut dyn FnMut() -> u64) -> u64 {
    loop {
        let id = random();
        if id != 0 {
            return id;
        }
    }
}

/// Ends what [`Identity::retire`] has begun, if it has. The mark goes last.
fn finish_retirement(disk: &dyn Disk) -> Result<(), IdentityError> {
    if !has(disk, RETIRED_FILE)? {
        return Ok(());
    }
    for directory in OWNED_DIRECTORIES {
        let files = disk.list(directory)?;
        for name in &files {
            disk.remove(&format!("{directory}/{name}"))?;
        }
        if !files.is_empty() {
            disk.sync_dir(directory)?;
        }
    }
    let is_owned = |name: &String| {
        [IDENT_TEMPORARY, IDENT_FILE].contains(&name.as_str()) || name.starts_with(MANIFEST_PREFIX)
    };
    for name in disk.list("")?.iter().filter(|name| is_owned(name)) {
        disk.remove(name)?;
    }
    disk.sync_dir("")?;
    disk.remove(RETIRED_FILE)?;
    disk.sync_dir("")?;
    Ok(())
}

fn has(disk: &dyn Disk, name: &str) -> Result<bool, IdentityError> {
    Ok(disk.list("")?.iter().any(|found| found == name))
}

/// A log without an owner must not be given one: its votes would count for a member that never cast them.
fn refuse_orphans(disk: &dyn Disk) -> Result<(), IdentityError> {
    for directory in OWNED_DIRECTORIES {
        if !disk.list(directory)?.is_empty() {
            return Err(IdentityError::Missing { directory });
        }
    }
    Ok(())
}

fn encode(identity: &Identity) -> Vec<u8> {
    let body = IdentityBytes::from(identity).encode_to_vec();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + CHECKSUM_BYTES);
    bytes.put_slice(&MAGIC);
    bytes.put_u32_le(FORMAT_VERSION);
    bytes.put_u32_le(u32::try_from(body.len()).expect("a handful of members and addresses"));
    bytes.put_slice(&body);
    let checksum = crc32c::crc32c(&bytes);
    bytes.put_u32_le(checksum);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Identity, IdentityError> {
    let damaged = |what| IdentityError::Damaged { what };
    if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES {
        return Err(damaged("it is too short"));
    }
    if bytes[..MAGIC.len()] != MAGIC {
        return Err(damaged("it does not begin as it should"));
    }
    let mut header = &bytes[MAGIC.len()..];
    let format = header.get_u32_le();
    if format > FORMAT_VERSION {
        return Err(IdentityError::NewerFormat { found: format });
    }
    let body_len = header.get_u32_le() as usize;
    let (content, mut checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if checksum.get_u32_le() != crc32c::crc32c(content) {
        return Err(damaged("its checksum is wrong"));
    }
    let body = &content[HEADER_BYTES..];
    if format == 0 || body.len() != body_len {
        return Err(damaged("its header is wrong"));
    }
    let read = IdentityBytes::decode(body).map_err(|_| damaged("its content cannot be read"))?;
    Identity::try_from(read).map_err(damaged)
}

/// [`Identity`] as bytes.
#[derive(Clone, PartialEq, Message)]
struct IdentityBytes {
    #[prost(bytes = "vec", tag = "1")]
    group: Vec<u8>,
    #[prost(fixed64, tag = "2")]
    cluster: u64,
    #[prost(fixed64, tag = "3")]
    member: u64,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initial: Vec<InitialMemberBytes>,
}

/// [`InitialMember`] as bytes, in the file and in the founding messages.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct InitialMemberBytes {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    peer_urls: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    client_urls: Vec<String>,
}

impl From<&InitialMember> for InitialMemberBytes {
    fn from(member: &InitialMember) -> Self {
        Self {
            id: member.id.get(),
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
        }
    }
}

impl From<InitialMemberBytes> for InitialMember {
    fn from(bytes: InitialMemberBytes) -> Self {
        Self {
            id: MemberId(bytes.id),
            name: bytes.name,
            peer_urls: bytes.peer_urls,
            client_urls: bytes.client_urls,
        }
    }
}

impl From<&Identity> for IdentityBytes {
    fn from(identity: &Identity) -> Self {
        Self {
            group: identity.group.0.to_vec(),
            cluster: identity.cluster.get(),
            member: identity.member.get(),
            name: identity.name.clone(),
            initial: identity.initial.iter().map(InitialMemberBytes::from).collect(),
        }
    }
}

impl TryFrom<IdentityBytes> for Identity {
    type Error = &'static str;

    fn try_from(bytes: IdentityBytes) -> Result<Self, Self::Error> {
        if bytes.member == 0 {
            return Err("it names no member");
        }
        let group = bytes.group.try_into().map_err(|_| "its group is not 16 bytes")?;
        Ok(Self {
            group: GroupId(group),
            cluster: ClusterId(bytes.cluster),
            member: MemberId(bytes.member),
            name: bytes.name,
            initial: bytes.initial.into_iter().map(InitialMember::from).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
