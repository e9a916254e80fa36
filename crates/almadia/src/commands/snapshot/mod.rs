//! `almadia snapshot`: copies of everything a cluster holds, as files.

pub mod save;

use super::cluster::Cluster;
use super::error::CommandError;
use super::output::Report;

/// What to do with snapshots.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum SnapshotCommand {
    /// Save everything a member holds to a file.
    Save(save::SaveArguments),
}

/// Runs the command.
pub async fn run(command: &SnapshotCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    match command {
        SnapshotCommand::Save(arguments) => save::run(arguments, cluster).await,
    }
}
