//! `almadia snapshot`: copies of everything a cluster holds, as files, and new clusters from them.

mod file;
pub mod restore;
pub mod save;
pub mod status;

use super::cluster::Cluster;
use super::error::CommandError;
use super::output::Report;

/// What to do with snapshots.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum SnapshotCommand {
    /// Save everything a member holds to a file.
    Save(save::SaveArguments),
    /// Check a file and tell what it holds.
    Status(status::StatusArguments),
    /// Make a data directory from which a new cluster starts with everything in a file.
    Restore(restore::RestoreArguments),
}

/// Runs the command.
pub async fn run(command: &SnapshotCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    match command {
        SnapshotCommand::Save(arguments) => save::run(arguments, cluster).await,
        SnapshotCommand::Status(arguments) => status::run(arguments),
        SnapshotCommand::Restore(arguments) => restore::run(arguments),
    }
}
