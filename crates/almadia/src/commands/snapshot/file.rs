//! A snapshot's file, read from beginning to end: its bytes go to whoever unpacks them, and the SHA-256 at its end is
//! checked when all of them have gone by. Never looks inside.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::commands::error::CommandError;

/// Bytes of the SHA-256 at the end.
const DIGEST_BYTES: u64 = 32;

/// A file that is being read.
pub struct SnapshotFile {
    content: std::io::Take<BufReader<File>>,
    sum: Context,
    /// Its length without the SHA-256.
    bytes: u64,
}

impl SnapshotFile {
    /// Opens a file that `almadia snapshot save` or `etcdctl snapshot save` has written.
    pub fn open(path: &Path) -> Result<Self, CommandError> {
        let cannot =
            |error: std::io::Error| CommandError::failed(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(cannot)?;
        let len = file.metadata().map_err(cannot)?.len();
        let bytes = len.checked_sub(DIGEST_BYTES).ok_or_else(|| {
            CommandError::failed(format!(
                "{} is {len} bytes long, too short for a snapshot",
                path.display()
            ))
        })?;
        Ok(Self {
            content: BufReader::new(file).take(bytes),
            sum: Context::new(&SHA256),
            bytes,
        })
    }

    /// Its length without the SHA-256.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads what is left and compares the SHA-256; answers it in hexadecimal.
    pub fn check(mut self) -> Result<String, CommandError> {
        let failed = |why: String| CommandError::failed(format!("the snapshot cannot be used: {why}"));
        std::io::copy(&mut self, &mut std::io::sink()).map_err(|error| failed(error.to_string()))?;
        let mut wanted = [0; DIGEST_BYTES as usize];
        let read = self.content.get_mut().read_exact(&mut wanted);
        read.map_err(|error| failed(error.to_string()))?;
        let sum = self.sum.finish();
        if *sum.as_ref() != wanted {
            return Err(failed(
                "its SHA-256 does not match: it was cut or changed after it was saved \
                 (--skip-hash-check for a file without one)"
                    .to_owned(),
            ));
        }
        Ok(sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Read for SnapshotFile {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.content.read(into)?;
        self.sum.update(&into[..read]);
        Ok(read)
    }
}

/// The first eight bytes of the SHA-256, as a number: where ids of a restored cluster come from.
pub fn short_digest(bytes: &[u8]) -> u64 {
    let sum = digest(&SHA256, bytes);
    let first = sum.as_ref()[..8].try_into().expect("a SHA-256 is 32 bytes long");
    u64::from_be_bytes(first)
}
