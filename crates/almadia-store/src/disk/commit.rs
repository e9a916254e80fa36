//! Making a manifest the state: the one moment at which anything changes.

use almadia_command::planted::{Bug, planted};
use almadia_disk::{Disk, DiskError};

use super::error::{KeeperError, is_no_space};
use super::keeper::Keeper;
use super::manifest::Manifest;
use super::names;
use super::reserve;

/// Why a manifest could not be made the state.
pub(super) struct CommitError {
    pub(super) cause: DiskError,
    /// The manifest may have got its name all the same: a later start may find it and need its segments.
    pub(super) may_be_named: bool,
}

impl From<CommitError> for KeeperError {
    fn from(error: CommitError) -> Self {
        error.cause.into()
    }
}

impl Keeper {
    /// Writes `manifest` under the next number. Its segments must be synced and named. On success it is the
    /// current one, the one that was current is the previous one, and what neither names is removed.
    ///
    /// On an error the state is what it was. No number is used twice, so a manifest whose rename failed half-way
    /// can never be taken for a later one.
    pub(super) fn commit(&mut self, mut manifest: Manifest) -> Result<(), CommitError> {
        manifest.number = self.next_number;
        manifest.next_generation = self.next_generation;
        self.next_number += 1;
        let name = names::manifest(manifest.number);
        let bytes = manifest.encode();
        self.write_manifest(&name, &bytes)?;
        self.manifest_bytes = bytes.len() as u64;
        let dropped = self
            .previous
            .replace(std::mem::replace(&mut self.current, manifest));
        self.prune(dropped);
        Ok(())
    }

    fn write_manifest(&mut self, name: &str, bytes: &[u8]) -> Result<(), CommitError> {
        let temporary = names::temporary(name);
        let disk = self.disk.as_ref();
        let mut written = write_file(disk, &temporary, bytes);
        if written.as_ref().is_err_and(is_no_space) && reserve::give_up(disk) {
            tracing::warn!("the volume is full: the reserve was given up to write {name}");
            written = write_file(disk, &temporary, bytes);
        }
        if let Err(cause) = written {
            return Err(CommitError {
                cause,
                may_be_named: false,
            });
        }
        let renamed = disk.rename(&temporary, name).and_then(|()| disk.sync_dir(""));
        renamed.map_err(|cause| {
            let _ = disk.remove(&temporary);
            let _ = disk.remove(name);
            self.leftovers.push(name.to_owned());
            CommitError {
                cause,
                may_be_named: true,
            }
        })
    }

    /// Removes the files that no kept manifest names. What cannot be removed is tried again with the next manifest.
    pub(super) fn prune(&mut self, dropped: Option<Manifest>) {
        let kept = self.kept_generations();
        if let Some(dropped) = dropped {
            self.leftovers.push(names::manifest(dropped.number));
            let unnamed = dropped
                .segments
                .iter()
                .filter(|segment| !kept.contains(&segment.generation));
            self.leftovers.extend(unnamed.map(|segment| segment.name()));
        }
        let disk = self.disk.as_ref();
        self.leftovers.retain(|name| {
            let removed = disk.remove(name);
            removed.is_err_and(|error| error.cause.kind() != std::io::ErrorKind::NotFound)
        });
    }
}

/// Writes and syncs a file; on an error nothing of it is left.
fn write_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.create(name)?;
    let mut written = file.write_at(0, bytes);
    if !planted(Bug::ManifestNotSynced) {
        written = written.and_then(|()| file.sync_all());
    }
    written.inspect_err(|_| {
        let _ = disk.remove(name);
    })
}
