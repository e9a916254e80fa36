//! What can go wrong with the state on disk, for whoever opens or drives the keeper.

use std::fmt;

use almadia_disk::DiskError;

/// A file that does not hold what it should: which, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file's name, relative to the data directory.
    pub name: String,
    /// What was found.
    pub why: String,
}

impl Damage {
    pub(super) fn new(name: &str, why: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

/// Why the keeper could not do what it was asked. After any of these the state on disk is the last one that was
/// acknowledged, or a newer whole one.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The disk refused; the call may be tried again.
    #[error("the keeper {0}")]
    Disk(#[from] DiskError),
    /// A file was written by a newer release. Nothing was changed.
    #[error("{name} has format version {version}, this release knows up to {known}: start a newer release")]
    Newer {
        /// The file.
        name: String,
        /// What it says.
        version: u32,
        /// What this release reads.
        known: u32,
    },
    /// One file is damaged.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// No manifest could be used. The member needs a snapshot from its leader, or a backup.
    #[error("no manifest can be used ({}): this member needs a snapshot from its leader or a backup", list(.0))]
    NothingValid(Vec<Damage>),
    /// Segments without any manifest: somebody removed it, and what the segments mean cannot be known.
    #[error("{0} is there but no MANIFEST is: put the missing file back, or empty the directory")]
    ManifestMissing(String),
    /// A received snapshot's piece does not belong where it was sent.
    #[error("a received snapshot does not fit: {0}")]
    Transfer(String),
}

impl From<Damage> for KeeperError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl KeeperError {
    /// True when the volume had no room.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk(error) if is_no_space(error))
    }
}

pub(super) fn is_no_space(error: &DiskError) -> bool {
    error.cause.kind() == std::io::ErrorKind::StorageFull
}

fn list(damages: &[Damage]) -> String {
    damages
        .iter()
        .map(Damage::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
