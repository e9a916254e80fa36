//! `almadia snapshot status`: what a snapshot's file holds, after every byte of it was checked.
//!
//! It unpacks the file into a temporary directory, as a restore would, and removes it again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use almadia_disk::RealDisk;
use almadia_store::disk::{Archive, Options};
use serde_json::json;

use super::file::SnapshotFile;
use crate::commands::error::CommandError;
use crate::commands::output::{Report, size, table};

/// Of what.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Checks the SHA-256 and unpacks everything into a temporary directory (TMPDIR), so it takes room there and about as long as
a restore. The hash is the one that `almadia hashkv` showed at that revision.

Examples:
  almadia snapshot status backup.db
  almadia snapshot status backup.db -o json")]
pub struct StatusArguments {
    /// The file.
    pub file: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &StatusArguments) -> Result<Report, CommandError> {
    let mut file = SnapshotFile::open(&arguments.file)?;
    let bytes = file.bytes();
    let scratch = Scratch::new()?;
    let cannot =
        |why: &dyn std::fmt::Display| CommandError::failed(format!("{}: {why}", arguments.file.display()));
    let disk = RealDisk::open(&scratch.directory).map_err(|error| cannot(&error))?;
    let options = Options {
        reserve_bytes_max: 0,
        ..Options::default()
    };
    let unpacked =
        Archive::open(&mut file).and_then(|archive| archive.unpack(Arc::new(disk), options, None, |_| {}));
    let mut store = unpacked.map_err(|error| cannot(&error))?;
    let digest = file.check()?;
    let view = store.publish();
    let hash = view
        .hash_at(view.revision())
        .map_err(|error| cannot(&error))?
        .folded();
    let (revision, compacted, keys) = (view.revision().get(), view.compacted().get(), view.sizes().keys);
    let row = vec![
        format!("{hash:x}"),
        revision.to_string(),
        compacted.to_string(),
        keys.to_string(),
        view.leases().len().to_string(),
        size(bytes.cast_signed()),
    ];
    let text = table(
        &["HASH", "REVISION", "COMPACTED", "KEYS", "LEASES", "SIZE"],
        &[row],
    );
    let json = json!({
        "file": arguments.file.display().to_string(),
        "hash": hash,
        "revision": revision,
        "compact_revision": compacted,
        "keys": keys,
        "leases": view.leases().len(),
        "bytes": bytes,
        "sha256": digest,
    });
    Ok(Report::new(text, json))
}

/// A directory that goes away again.
struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self, CommandError> {
        let name = format!("almadia-snapshot-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).map_err(|error| {
            CommandError::failed(format!("cannot make {}: {error}", Path::display(&directory)))
        })?;
        Ok(Self { directory })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean up.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
