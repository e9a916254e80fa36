//! `almadia snapshot save`: streams everything a member holds into a file.
//!
//! The file gets its name only when all of it is there, is what the member sent (SHA-256) and is on the disk: until then it is
//! FILE.part. Never looks inside.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use serde_json::json;
use tonic::Streaming;

use crate::commands::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, request};
use crate::commands::error::CommandError;
use crate::commands::interrupt::Interrupt;
use crate::commands::meaning::without_origin;
use crate::commands::output::{Report, size};

/// Bytes of the SHA-256 at the end.
const DIGEST_BYTES: usize = 32;
/// Time between two lines of progress where there is no terminal to write one line again and again.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
const PROGRESS_INTERVAL_TERMINAL: Duration = Duration::from_millis(200);

/// Where to.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Takes what one member has (the first that answers), at one revision. The member goes on serving. The file is FILE.part until it is
complete and its SHA-256 was checked; a file of that name is then replaced. --timeout is for each piece, not for the whole.

Examples:
  almadia snapshot save backup.db
  almadia snapshot save /backup/$(date +%F).db --endpoints almadia-1.almadia:2379")]
pub struct SaveArguments {
    /// The file.
    pub file: PathBuf,
}

/// Runs the command.
pub async fn run(arguments: &SaveArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let part = part_of(&arguments.file)?;
    let mut interrupt = Interrupt::new()?;
    let outcome = tokio::select! {
        outcome = receive(&part, cluster) => outcome,
        _ = interrupt.wait() => Err(CommandError::failed("given up; nothing was saved")),
    };
    let saved = match outcome.and_then(|saved| rename(&part, &arguments.file).map(|()| saved)) {
        Ok(saved) => saved,
        Err(error) => {
            // It may not be there at all; what matters is the first error.
            let _ = std::fs::remove_file(&part);
            return Err(error);
        }
    };
    let file = arguments.file.display().to_string();
    Ok(Report::new(
        format!(
            "{file}: {}, complete and checked (SHA-256 {})\n",
            size(saved.bytes.cast_signed()),
            saved.digest
        ),
        json!({ "file": file, "bytes": saved.bytes, "sha256": saved.digest, "version": saved.version }),
    ))
}

/// What was saved.
struct Saved {
    bytes: u64,
    digest: String,
    version: String,
}

fn part_of(file: &Path) -> Result<PathBuf, CommandError> {
    let Some(name) = file.file_name() else {
        return Err(CommandError::usage(format!(
            "'{}' is not the name of a file",
            file.display()
        )));
    };
    let mut name = OsString::from(name);
    name.push(".part");
    Ok(file.with_file_name(name))
}

async fn receive(part: &Path, cluster: &Cluster) -> Result<Saved, CommandError> {
    let cannot =
        |error: std::io::Error| CommandError::failed(format!("cannot write {}: {error}", part.display()));
    let mut file = File::create(part).map_err(cannot)?;
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(SnapshotRequest {});
            async move {
                MaintenanceClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .snapshot(message)
                    .await
            }
        })
        .await?;
    let mut pieces = answer.into_inner();
    let mut received = Received::new();
    let mut progress = Progress::new();
    let mut version = String::new();
    while let Some(piece) = next(&mut pieces, cluster.timeout()).await? {
        received.take(&piece.blob);
        file.write_all(&piece.blob).map_err(cannot)?;
        progress.show(received.bytes, piece.remaining_bytes);
        version = piece.version;
    }
    progress.end();
    let digest = received.check()?;
    file.sync_all().map_err(cannot)?;
    Ok(Saved {
        bytes: received.bytes,
        digest,
        version,
    })
}

async fn next(
    pieces: &mut Streaming<SnapshotResponse>,
    timeout: Duration,
) -> Result<Option<SnapshotResponse>, CommandError> {
    let failed = |why: &str| {
        CommandError::failed(format!(
            "the snapshot broke off: {why}; nothing was saved, try again or ask another member"
        ))
    };
    match tokio::time::timeout(timeout, pieces.message()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(status)) => Err(failed(without_origin(status.message()))),
        Err(_) => Err(failed("no more came in time")),
    }
}

/// The name is given only when the directory knows it for good.
fn rename(part: &Path, file: &Path) -> Result<(), CommandError> {
    let cannot =
        |error: std::io::Error| CommandError::failed(format!("cannot write {}: {error}", file.display()));
    std::fs::rename(part, file).map_err(cannot)?;
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(cannot)
}

/// What came so far. The last bytes are held back from the sum: they are the sum, when nothing follows.
struct Received {
    sum: Context,
    bytes: u64,
    held_back: Vec<u8>,
}

impl Received {
    fn new() -> Self {
        Self {
            sum: Context::new(&SHA256),
            bytes: 0,
            held_back: Vec::new(),
        }
    }

    fn take(&mut self, piece: &Bytes) {
        self.bytes += piece.len() as u64;
        self.held_back.extend_from_slice(piece);
        let sure = self.held_back.len().saturating_sub(DIGEST_BYTES);
        self.sum.update(&self.held_back[..sure]);
        self.held_back.drain(..sure);
    }

    /// The sum in hexadecimal, if it is the one that was sent.
    fn check(&self) -> Result<String, CommandError> {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sum = self.sum.clone().finish();
        if self.bytes <= DIGEST_BYTES as u64 || *sum.as_ref() != self.held_back[..] {
            return Err(CommandError::failed(format!(
                "the snapshot is not what the member sent: its SHA-256 does not match after {} bytes; nothing was saved, try again",
                self.bytes
            )));
        }
        Ok(hexadecimal(sum.as_ref()))
    }
}

/// How far it is, on standard error.
struct Progress {
    is_terminal: bool,
    shown_at: Instant,
    is_shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            shown_at: Instant::now(),
            is_shown: false,
        }
    }

    fn show(&mut self, bytes: u64, remaining: u64) {
        let interval = if self.is_terminal {
            PROGRESS_INTERVAL_TERMINAL
        } else {
            PROGRESS_INTERVAL
        };
        if self.shown_at.elapsed() < interval {
            return;
        }
        (self.shown_at, self.is_shown) = (Instant::now(), true);
        let done = size(bytes.cast_signed());
        let all = size((bytes + remaining).cast_signed());
        let end = if self.is_terminal { "\r" } else { "\n" };
        eprint!("almadia: {done} of {all} saved    {end}");
    }

    fn end(&self) {
        if self.is_terminal && self.is_shown {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

    fn check(pieces: &[&[u8]]) -> Result<String, CommandError> {
        let mut received = Received::new();
        for piece in pieces {
            received.take(&Bytes::copy_from_slice(piece));
        }
        received.check()
    }

    /// Promise: only what is complete and unchanged passes, however it is cut.
    #[test]
    fn the_sum_is_checked() {
        let content = vec![7; 1000];
        let sum = digest(&SHA256, &content);
        let sum = sum.as_ref();
        let whole = [&content[..], sum].concat();
        assert!(check(&[&whole]).is_ok());
        assert!(check(&[&content, sum]).is_ok());
        for cut in [1, 500, 990, 1000, 1010, 1031] {
            assert!(check(&[&whole[..cut], &whole[cut..]]).is_ok(), "{cut}");
            assert!(check(&[&whole[..cut]]).is_err(), "{cut}");
        }
        assert!(check(&[&content[1..], sum]).is_err());
        assert!(check(&[]).is_err());
        // The sum of nothing is no snapshot.
        assert!(check(&[digest(&SHA256, &[]).as_ref()]).is_err());
    }

    #[test]
    fn parts_stand_beside_the_file() {
        let part = |file: &str| part_of(Path::new(file)).ok();
        assert_eq!(part("a/b.db"), Some(PathBuf::from("a/b.db.part")));
        assert_eq!(part("/"), None);
    }
}
