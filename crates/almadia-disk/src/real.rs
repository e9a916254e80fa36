//! The disk of a running member: a directory of the operating system, locked against a second process.
//!
//! The only file below the server that may name `std::fs`. It never retries: what a failed sync left behind is
//! unknown, so the caller decides, and for the log the decision is to stop.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the one place where the outside world's files come in"
)]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::direct::DirectWriter;
use crate::{Disk, DiskError, DiskFile, Space};

/// The file whose lock says that the directory is in use.
const LOCK_NAME: &str = "LOCK";

/// Only the member's own user may look: values and credentials are in here.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A directory of the operating system. Holds the lock on it until dropped.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// Kept open: the lock lives as long as the descriptor.
    _lock: File,
}

impl RealDisk {
    /// Opens `root`, making it (and its parents, mode 0700) where needed, and locks it.
    ///
    /// A directory that another process (or another `RealDisk`) holds is an error that says so.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        let shown = root.display().to_string();
        make_directory(root).map_err(failed("create directory", &shown))?;
        let lock_path = root.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&lock_path)
            .map_err(failed("open", &lock_path.display().to_string()))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                root: root.to_owned(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DiskError {
                action: "lock",
                name: shown,
                cause: io::Error::new(
                    ErrorKind::ResourceBusy,
                    "the directory is in use by another process",
                ),
            }),
            Err(errno) => Err(failed("lock", &shown)(errno.into())),
        }
    }

    /// Where a name lies. Names come from peers too (snapshots), so one that would leave the root is refused.
    fn path(&self, action: &'static str, name: &str) -> Result<PathBuf, DiskError> {
        if !crate::is_inside(name) {
            let cause = io::Error::new(ErrorKind::InvalidInput, "the name leaves the data directory");
            return Err(failed(action, name)(cause));
        }
        Ok(self.root.join(name))
    }

    fn open_with(
        &self,
        action: &'static str,
        name: &str,
        options: &OpenOptions,
    ) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = options
            .open(self.path(action, name)?)
            .map_err(failed(action, name))?;
        Ok(Box::new(RealFile {
            file,
            direct: None,
            name: name.to_owned(),
        }))
    }

    /// A second descriptor beside the first, for whole blocks.
    fn with_direct(&self, name: &str, file: Box<dyn DiskFile>) -> Result<Box<dyn DiskFile>, DiskError> {
        // The first one is given up: opening again is simpler than taking it apart, and rare.
        drop(file);
        let path = self.path("open", name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed("open", name))?;
        Ok(Box::new(RealFile {
            file,
            direct: DirectWriter::open(&path),
            name: name.to_owned(),
        }))
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(FILE_MODE);
        self.open_with("create", name, &options)
    }

    fn open(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        self.open_with("open", name, OpenOptions::new().read(true).write(true))
    }

    fn create_for_log(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.create(name)?;
        self.with_direct(name, file)
    }

    fn open_for_log(&self, name: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = self.open(name)?;
        self.with_direct(name, file)
    }

    fn create_dir(&self, name: &str) -> Result<(), DiskError> {
        let path = self.path("create directory", name)?;
        make_directory(&path).map_err(failed("create directory", name))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, DiskError> {
        let path = self.path("list", dir)?;
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", dir)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("list", dir))?;
            let is_file = entry.file_type().map_err(failed("list", dir))?.is_file();
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let (from_path, to_path) = (self.path("rename", from)?, self.path("rename", to)?);
        std::fs::rename(from_path, to_path).map_err(|cause| failed("rename", &both(from, to))(cause))
    }

    fn link(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let (from_path, to_path) = (self.path("link", from)?, self.path("link", to)?);
        std::fs::hard_link(from_path, to_path).map_err(|cause| failed("link", &both(from, to))(cause))
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        std::fs::remove_file(self.path("remove", name)?).map_err(failed("remove", name))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let path = self.path("sync directory", dir)?;
        File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("sync directory", dir))
    }

    fn space(&self) -> Result<Space, DiskError> {
        let volume = rustix::fs::statvfs(&self.root)
            .map_err(|errno| failed("measure", &self.root.display().to_string())(errno.into()))?;
        Ok(Space {
            free_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
            total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
        })
    }
}

/// An open file of the operating system.
#[derive(Debug)]
struct RealFile {
    file: File,
    /// For whole blocks, where this is a log's file and the file system takes them.
    direct: Option<DirectWriter>,
    name: String,
}

impl DiskFile for RealFile {
    fn len(&self) -> Result<u64, DiskError> {
        Ok(self.file.metadata().map_err(failed("measure", &self.name))?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(failed("read", &self.name))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let written = match self.direct.as_ref().filter(|direct| direct.takes(offset, bytes)) {
            Some(direct) => direct.write_at(offset, bytes),
            None => self.file.write_all_at(bytes, offset),
        };
        written.map_err(failed("write", &self.name))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(failed("sync", &self.name))
    }

    fn sync_all(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(failed("sync", &self.name))
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len).map_err(failed("resize", &self.name))
    }
}

fn both(from: &str, to: &str) -> String {
    format!("{from} to {to}")
}

fn failed(action: &'static str, name: &str) -> impl FnOnce(io::Error) -> DiskError {
    move |cause| DiskError {
        action,
        name: name.to_owned(),
        cause,
    }
}

/// Makes a directory with its parents, each synced into the one above, so that what is synced inside later cannot
/// vanish together with it.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(Path::new(""));
    make_directory(above)?;
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    let above = if above.as_os_str().is_empty() {
        Path::new(".")
    } else {
        above
    };
    File::open(above)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_told_that_the_directory_is_in_use() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("a/b");
        let first = RealDisk::open(&root).unwrap();
        let error = RealDisk::open(&root).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        drop(first);
        RealDisk::open(&root).unwrap();
    }

    #[test]
    fn directories_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("a/b");
        let disk = RealDisk::open(&root).unwrap();
        disk.create_dir("wal").unwrap();
        disk.create("wal/1").unwrap();
        let mode = |path: &str| std::fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("wal"), mode("wal/1")), (0o700, 0o700, 0o600));
    }

    #[test]
    fn names_stay_inside_the_root() {
        let place = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(place.path()).unwrap();
        for name in ["../x", "/x", "a/../../x", "a//b", "./x", "a/"] {
            assert!(disk.create(name).is_err(), "{name}");
        }
    }

    #[test]
    fn space_is_what_the_volume_has() {
        let place = tempfile::tempdir().unwrap();
        let space = RealDisk::open(place.path()).unwrap().space().unwrap();
        assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
    }
}
