//! `almadia compact`: drops old revisions.

use almadia_etcd::proto::etcdserverpb::CompactionRequest;
use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use serde_json::json;

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::output::Report;

/// What to drop.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Reads and watches below REVISION are refused from then on; the newest value of each key stays.

Examples:
  almadia compact 1200
  almadia compact 1200 --physical             returns when it is done on disk, too")]
pub struct CompactArguments {
    /// The oldest revision that stays readable.
    #[arg(value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub revision: i64,
    /// Wait until the space is free.
    #[arg(long)]
    pub physical: bool,
}

/// Runs the command.
pub async fn run(arguments: &CompactArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = CompactionRequest {
        revision: arguments.revision,
        physical: arguments.physical,
    };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message);
            async move { KvClient::new(channel).compact(message).await }
        })
        .await?;
    let revision = arguments.revision;
    Ok(Report::new(
        format!("compacted up to revision {revision}\n"),
        json!({ "compacted": revision }),
    ))
}
