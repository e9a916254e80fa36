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
    /// A write that lands elsewhere in the file and is reported as done. For other calls the same as `Io`.
    Misdirected {
        /// How far behind the right place, in bytes.
        by_bytes: u64,
    },
    /// A write that is reported as done and leaves nothing behind. For other calls the same as `Io`.
    Lost,
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        match self {
            Failure::Io | Failure::Misdirected { .. } | Failure::Lost => {
                io::Error::other("injected input/output error")
            }
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
pub(super) struct Faults {
    planted: Vec<Fault>,
    /// After so many calls that change something the disk is dead.
    calls_left: Option<u64>,
}

impl Faults {
    pub(super) fn plant(&mut self, fault: Fault) {
        self.planted.push(fault);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn die_after(&mut self, calls: u64) {
        self.calls_left = Some(calls);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.calls_left == Some(0)
    }

    /// What this call gets, if anything. Counts the call for every fault that looks at it.
    pub(super) fn hit(&mut self, operation: Operation, name: &str) -> Option<Failure> {
        if self.is_dead() {
            return Some(Failure::Io);
        }
        let only_looks = matches!(operation, Operation::Open | Operation::List | Operation::Read);
        if let Some(calls) = self.calls_left.as_mut().filter(|_| !only_looks) {
            *calls -= 1;
        }
        let mut failure = None;
        self.planted.retain_mut(|fault| {
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
