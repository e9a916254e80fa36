//! `almadia move-leader`: lets another member lead.

use std::time::Duration;

use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{MoveLeaderRequest, StatusResponse};
use serde_json::json;

use super::cluster::{Cluster, request};
use super::each::{self, Asked};
use super::error::CommandError;
use super::global::Address;
use super::member::find;
use super::members;
use super::output::Report;
use super::status;

/// Who is to lead.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Finds the leader by itself, whichever address is given. Nothing happens when the member leads already.

Examples:
  almadia move-leader almadia-2
  almadia move-leader 8bac61c7d461607d")]
pub struct MoveLeaderArguments {
    /// Name or id of the member that is to lead.
    pub member: String,
}

/// Runs the command.
pub async fn run(arguments: &MoveLeaderArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let members = members::list(cluster, false).await?;
    let target = find(&members, &arguments.member)?;
    let statuses = status::ask_as(
        members::client_addresses(&members, cluster.security()),
        cluster.timeout(),
        cluster.login(),
    )
    .await;
    each::somebody(&statuses)?;
    let Some((leader, address)) = statuses.iter().find_map(leads) else {
        return Err(CommandError::failed(
            "no member that answers is the leader; look at the cluster with 'almadia status --cluster'",
        ));
    };
    let target_id = target.id;
    if leader != target_id {
        ask(address.clone(), target_id, cluster).await?;
    }
    let name = if target.name.is_empty() {
        &arguments.member
    } else {
        &target.name
    };
    Ok(Report::new(
        format!("{name} leads\n"),
        json!({ "leader": format!("{target_id:x}"), "leader_name": target.name, "before": format!("{leader:x}") }),
    ))
}

/// The leader's id and address, if this is the leader.
fn leads(asked: &Asked<StatusResponse>) -> Option<(u64, &Address)> {
    let answer = asked.answer.as_ref().ok()?;
    let id = answer.header.as_ref()?.member_id;
    (answer.leader == id && id != 0).then_some((id, &asked.address))
}

/// Asks the leader to hand over.
pub async fn ask(leader: Address, target_id: u64, cluster: &Cluster) -> Result<(), CommandError> {
    let limit: Duration = cluster.timeout();
    let asked = each::ask(vec![leader], limit, cluster.login(), move |channel| async move {
        MaintenanceClient::new(channel)
            .move_leader(request(MoveLeaderRequest { target_id }))
            .await
    })
    .await;
    match asked.into_iter().next().map(|asked| asked.answer) {
        Some(Err(reason)) => Err(CommandError::failed(format!(
            "the leader did not hand over: {reason}"
        ))),
        _ => Ok(()),
    }
}
