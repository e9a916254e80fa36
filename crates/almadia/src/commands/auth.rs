//! `almadia auth`: access control on and off.

use almadia_etcd::proto::etcdserverpb::auth_client::AuthClient;
use almadia_etcd::proto::etcdserverpb::{AuthDisableRequest, AuthEnableRequest, AuthStatusRequest};
use serde_json::json;

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::output::Report;

/// What to do with access control.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AuthCommand {
    /// Switch access control on; there must be a user root with the role root.
    #[command(after_help = "\
Examples:
  almadia user add root && almadia user grant-role root root && almadia auth enable")]
    Enable,
    /// Switch access control off: everybody may do everything.
    #[command(after_help = "Examples:\n  almadia auth disable --user root")]
    Disable,
    /// Whether access control is on.
    #[command(after_help = "Examples:\n  almadia auth status --user root")]
    Status,
}

/// Runs the command.
pub async fn run(command: &AuthCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    match command {
        AuthCommand::Enable => {
            cluster
                .call(Repeat::Freely, |channel| {
                    let message = request(AuthEnableRequest {});
                    async move { AuthClient::new(channel).auth_enable(message).await }
                })
                .await?;
            Ok(Report::new(
                "access control is on; log in with --user\n",
                json!({ "enabled": true }),
            ))
        }
        AuthCommand::Disable => {
            cluster
                .call(Repeat::Freely, |channel| {
                    let message = request(AuthDisableRequest {});
                    async move { AuthClient::new(channel).auth_disable(message).await }
                })
                .await?;
            Ok(Report::new(
                "access control is off\n",
                json!({ "enabled": false }),
            ))
        }
        AuthCommand::Status => status(cluster).await,
    }
}

async fn status(cluster: &Cluster) -> Result<Report, CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(AuthStatusRequest {});
            async move { AuthClient::new(channel).auth_status(message).await }
        })
        .await?
        .into_inner();
    let (is_on, revision) = (answer.enabled, answer.auth_revision);
    Ok(Report::new(
        format!(
            "access control is {}, revision {revision} of users and roles\n",
            if is_on { "on" } else { "off" }
        ),
        json!({ "enabled": is_on, "auth_revision": revision }),
    ))
}
