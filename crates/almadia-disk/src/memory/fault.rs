//! Faults that a test plants into a memory disk.
//!
//! Never decides by chance: each fault says exactly which call it hits.

use std::io::{self, ErrorKind};

/// A kind of call that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`crate::Disk::create`] and [`crate::Disk::create_dir`].
    Create,
    /// [`crate::Disk::open`].
    Open,
    /// [`crate::Disk::list`].
    List,
    /// [`crate::Disk::rename`], by its source name.
    Rename,
    /// [`crate::Disk::link`], by its source name.
    Link,
    /// [`crate::Disk::remove`].
    Remove,
    /// [`crate::Disk::sync_dir`].
    SyncDir,
    /// [`crate::DiskFile::read_at`].
    Read,
    /// [`crate::DiskFile::write_at`].
    Write,
    /// [`crate::DiskFile::sync_data`] and [`crate::DiskFile::sync_all`].
    Sync,
    /// [`crate::DiskFile::set_len`].
    SetLen,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// EIO. A failed sync also forgets which bytes were dirty, as Linux does: a later sync that succeeds has not
    /// made them durable.
    Io,
    /// ENOSPC.
    NoSpace,
    /// A write that leaves its first bytes behind and then fails with ENOSPC. For other calls the same as `NoSpace`.
    ShortWrite {
        /// How many bytes are written.
        bytes: usize,
    },
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        match self {
            Failure::Io => io::Error::other("injected input/output error"),
            Failure::NoSpace | Failure::ShortWrite { .. } => {
                io::Error::new(ErrorKind::StorageFull, "injected: no space left")
            }
        }
    }
}

/// One planted fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which calls it looks at.
    pub operation: Operation,
    /// Only names that begin so; `""` for all. A file counts by the name it was opened under.
    pub prefix: String,
    /// How many such calls succeed first.
    pub skip: u64,
    /// What the next one gets.
    pub failure: Failure,
    /// Whether all later ones get it too.
    pub forever: bool,
}

impl Fault {
    /// A fault that hits the call after `skip` good ones once, whatever the name.
    pub fn once(operation: Operation, skip: u64, failure: Failure) -> Self {
        Self {
            operation,
            prefix: String::new(),
            skip,
            failure,
            forever: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn plant(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What this call gets, if anything. Counts the call for every fault that looks at it.
    pub(super) fn hit(&mut self, operation: Operation, name: &str) -> Option<Failure> {
        let mut failure = None;
        self.0.retain_mut(|fault| {
            if fault.operation != operation || !name.starts_with(&fault.prefix) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            failure = failure.or(Some(fault.failure));
            fault.forever
        });
        failure
    }
}
