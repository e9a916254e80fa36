//! What can go wrong with the log.

use std::sync::Arc;

use almadia_command::LogIndex;
use almadia_disk::DiskError;

/// Why the log cannot do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// The disk refused. While writing this is final, see [`WalError::Stopped`].
    #[error("the log's disk failed: {0}")]
    Disk(Arc<DiskError>),
    /// Bytes that had been acknowledged are not what was written. The member must not go on with this directory: it
    /// could vote without entries it has promised. Wiped, it may come back as a learner.
    #[error(
        "the log is damaged: {file} at byte {offset}: {what}; acknowledged data is lost, do not reuse this directory"
    )]
    Damaged {
        /// The segment, below the data directory.
        file: String,
        /// Where in the segment.
        offset: u64,
        /// What was found.
        what: &'static str,
    },
    /// Written by a newer release.
    #[error("{file} has log format {version}, this release reads up to {known}")]
    NewerFormat {
        /// The segment.
        file: String,
        /// Its format.
        version: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The entry has been purged; only a snapshot holds what it did.
    #[error("entry {index} is purged, the log begins at {first}")]
    Purged {
        /// What was asked for.
        index: LogIndex,
        /// What there is.
        first: LogIndex,
    },
    /// A write or sync has failed before. It is not known what is on disk; only a restart can find out.
    #[error("the log has stopped: {0}")]
    Stopped(Arc<WalError>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl From<DiskError> for WalError {
    fn from(error: DiskError) -> Self {
        WalError::Disk(Arc::new(error))
    }
}
