//! `almadia downgrade`: prepares a cluster for an older release.

use almadia_etcd::proto::etcdserverpb::DowngradeRequest;
use almadia_etcd::proto::etcdserverpb::downgrade_request::DowngradeAction;
use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use serde_json::json;

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::output::Report;

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum DowngradeCommand {
    /// Whether the cluster could go back to a version.
    #[command(after_help = "Examples:\n  almadia downgrade validate 3.6")]
    Validate(TargetVersion),
    /// Begin to go back: then replace one member after the other.
    #[command(after_help = "Examples:\n  almadia downgrade enable 3.6")]
    Enable(TargetVersion),
    /// Give it up.
    #[command(after_help = "Examples:\n  almadia downgrade cancel")]
    Cancel,
}

/// To which version.
#[derive(Clone, Debug, clap::Args)]
pub struct TargetVersion {
    /// Two numbers, one step below the cluster's: 3.6.
    #[arg(id = "target_version", value_name = "VERSION")]
    pub version: String,
}

/// Runs the command.
pub async fn run(command: &DowngradeCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    let (action, version, done) = match command {
        DowngradeCommand::Validate(target) => (DowngradeAction::Validate, &*target.version, "possible"),
        DowngradeCommand::Enable(target) => (DowngradeAction::Enable, &*target.version, "begun"),
        DowngradeCommand::Cancel => (DowngradeAction::Cancel, "", "given up"),
    };
    let message = DowngradeRequest {
        action: action.into(),
        version: version.to_owned(),
    };
    let repeat = match action {
        DowngradeAction::Validate => Repeat::Freely,
        _ => Repeat::OnlyIfNotCarriedOut,
    };
    let answer = cluster
        .call(repeat, |channel| {
            let message = request(message.clone());
            async move { MaintenanceClient::new(channel).downgrade(message).await }
        })
        .await?
        .into_inner();
    let target = if version.is_empty() {
        String::new()
    } else {
        format!(" to {version}")
    };
    Ok(Report::new(
        format!(
            "downgrade{target} {done}; the cluster's version is {}\n",
            answer.version
        ),
        json!({ "downgrade": done, "target": version, "cluster_version": answer.version }),
    ))
}
