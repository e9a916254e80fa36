//! `almadia snapshot restore`: a data directory from which one member of a new cluster starts with everything in a
//! snapshot's file.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use almadia_disk::RealDisk;
use almadia_member::restoring::{Wishes, restore};
use almadia_server::chance::Chance;
use almadia_server::config::{group_from_token, parse_group, parse_initial_cluster};
use almadia_store::disk::Archive;
use serde_json::json;

use super::file::{SnapshotFile, short_digest};
use crate::commands::error::CommandError;
use crate::commands::output::{Report, size};

/// From what, to what.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Run it once for each member of the new cluster, with the same file, the same --initial-cluster and the same token; then start the
members with the same --name, --initial-cluster and --initial-cluster-token. The file's SHA-256 is checked before anything
starts from it. The new cluster has new ids, so members of the old one are refused. A snapshot of etcd cannot be restored.

Clients that watch or cache (kube-apiserver) must not meet old revisions with new data: for them use --bump-revision, above
what may have been written after the snapshot, with --mark-compacted.

Examples:
  almadia snapshot restore backup.db --data-dir new.almadia
  almadia snapshot restore backup.db --name a --data-dir a.almadia --initial-cluster-token restored-1 \\
      --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380
  almadia snapshot restore backup.db --data-dir new.almadia --bump-revision 1000000000 --mark-compacted")]
pub struct RestoreArguments {
    /// The file that `almadia snapshot save` or `etcdctl snapshot save` wrote, of an Almadia cluster.
    pub file: PathBuf,
    /// The new member's data directory; made if need be, must be empty.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The new member's name.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// All members of the new cluster, NAME=PEER-URL,…
    #[arg(long, value_name = "LIST")]
    pub initial_cluster: Option<String>,
    /// What tells the new cluster from others, as for `almadia server`.
    #[arg(long, default_value = "etcd-cluster", value_name = "TOKEN")]
    pub initial_cluster_token: String,
    /// The group as a UUID, instead of a token.
    #[arg(long, value_name = "UUID")]
    pub group: Option<String>,
    /// The new member's peer URLs; they must be those of the list.
    #[arg(long, value_name = "URLS")]
    pub initial_advertise_peer_urls: Option<String>,
    /// Raise the revision by so much.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub bump_revision: u64,
    /// Make all revisions of the snapshot compacted, so that watches from before begin anew.
    #[arg(long, requires = "bump_revision")]
    pub mark_compacted: bool,
    /// Take a file without a SHA-256 at its end (copied from a data directory).
    #[arg(long)]
    pub skip_hash_check: bool,
}

/// Runs the command.
pub fn run(arguments: &RestoreArguments) -> Result<Report, CommandError> {
    let members = members_of(arguments)?;
    let group = match &arguments.group {
        Some(text) => parse_group(text).map_err(CommandError::usage)?,
        None => group_from_token(&arguments.initial_cluster_token),
    };
    let mut chance =
        Chance::open().map_err(|error| CommandError::failed(format!("no random numbers: {error}")))?;
    if !arguments.skip_hash_check {
        SnapshotFile::open(&arguments.file)?.check()?;
    }
    let cannot =
        |why: &dyn std::fmt::Display| CommandError::failed(format!("{}: {why}", arguments.file.display()));
    let mut file = SnapshotFile::open(&arguments.file)?;
    let mut progress = Progress::new(file.bytes());
    let archive = Archive::open(&mut file).map_err(|error| cannot(&error))?;
    let disk = RealDisk::open(&arguments.data_dir).map_err(|error| cannot(&error))?;
    let wishes = Wishes {
        group,
        name: arguments.name.clone(),
        members,
        revisions_more: arguments.bump_revision,
        mark_compacted: arguments.mark_compacted,
        digest: &short_digest,
        life: Box::new(move || chance.draw()),
    };
    let mut restored = restore(Arc::new(disk), archive, wishes, |bytes| progress.add(bytes))
        .map_err(|error| cannot(&error))?;
    progress.end();
    let view = restored.store.publish();
    let identity = &restored.identity;
    let (revision, keys) = (view.revision().get(), view.sizes().keys);
    let directory = Path::display(&arguments.data_dir).to_string();
    let text = format!(
        "{directory}: member {} ({}) of the new cluster {}, at revision {revision} with {keys} keys\n\
         start it with: almadia server --name {} --data-dir {directory} and the same --initial-cluster and token\n",
        identity.name, identity.member, identity.cluster, identity.name
    );
    let json = json!({
        "data_dir": directory,
        "name": identity.name,
        "member_id": identity.member.to_string(),
        "cluster_id": identity.cluster.to_string(),
        "revision": revision,
        "keys": keys,
    });
    Ok(Report::new(text, json))
}

/// The list of members, checked against what is said of this one.
fn members_of(arguments: &RestoreArguments) -> Result<Vec<(String, Vec<String>)>, CommandError> {
    let own = arguments.initial_advertise_peer_urls.as_deref();
    let list = arguments.initial_cluster.clone().unwrap_or_else(|| {
        let url = own.unwrap_or("http://localhost:2380");
        format!("{}={url}", arguments.name)
    });
    let peers = parse_initial_cluster(&list).map_err(CommandError::usage)?;
    let members: Vec<(String, Vec<String>)> = peers
        .into_iter()
        .map(|peer| (peer.name, peer.peer_urls))
        .collect();
    let listed = members.iter().find(|(name, _)| *name == arguments.name);
    if let (Some(own), Some((name, urls))) = (own, listed) {
        let own: Vec<&str> = own.split(',').collect();
        if own != *urls {
            return Err(CommandError::usage(format!(
                "--initial-advertise-peer-urls is {}, but --initial-cluster has {} for {name}",
                own.join(","),
                urls.join(",")
            )));
        }
    }
    Ok(members)
}

/// How far it is, on standard error, on a terminal.
struct Progress {
    total: u64,
    done: u64,
    shown_at: Instant,
    is_terminal: bool,
}

impl Progress {
    fn new(total: u64) -> Self {
        Self {
            total,
            done: 0,
            shown_at: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.is_terminal && self.shown_at.elapsed().as_millis() >= 200 {
            self.shown_at = Instant::now();
            let (done, total) = (size(self.done.cast_signed()), size(self.total.cast_signed()));
            eprint!("almadia: {done} of {total} restored    \r");
        }
    }

    fn end(&self) {
        if self.is_terminal {
            eprintln!();
        }
    }
}
