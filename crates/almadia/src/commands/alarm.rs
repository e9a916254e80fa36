//! `almadia alarm`: what is wrong with members.

use almadia_etcd::proto::etcdserverpb::alarm_request::AlarmAction;
use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType, Member};
use serde_json::{Value, json};

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::members;
use super::output::{Report, table};

/// What to do with alarms.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AlarmCommand {
    /// Show the alarms that are raised.
    #[command(after_help = "\
NOSPACE: the store is full, and writes are refused. CORRUPT: a member's data differ from the others'.

Examples:
  almadia alarm list")]
    List,
    /// Clear alarms, once their reason is gone.
    #[command(after_help = "\
Examples:
  almadia compact 1200 && almadia defrag --cluster && almadia alarm disarm")]
    Disarm,
}

/// Runs the command.
pub async fn run(command: &AlarmCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    let raised = act(cluster, AlarmAction::Get, &AlarmMember::default()).await?;
    let members = members::list(cluster, false).await.unwrap_or_default();
    if let AlarmCommand::Disarm = command {
        for alarm in &raised {
            act(cluster, AlarmAction::Deactivate, alarm).await?;
        }
        return Ok(render(&raised, &members, "cleared"));
    }
    Ok(render(&raised, &members, "raised"))
}

/// The alarms that are raised.
pub async fn raised(cluster: &Cluster) -> Result<Vec<AlarmMember>, CommandError> {
    act(cluster, AlarmAction::Get, &AlarmMember::default()).await
}

async fn act(
    cluster: &Cluster,
    action: AlarmAction,
    alarm: &AlarmMember,
) -> Result<Vec<AlarmMember>, CommandError> {
    let message = AlarmRequest {
        action: action.into(),
        member_id: alarm.member_id,
        alarm: alarm.alarm,
    };
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message);
            async move { MaintenanceClient::new(channel).alarm(message).await }
        })
        .await?;
    Ok(answer.into_inner().alarms)
}

/// An alarm's name as etcd has it.
pub fn name(alarm: i32) -> &'static str {
    AlarmType::try_from(alarm).map_or("UNKNOWN", |alarm| alarm.as_str_name())
}

fn render(alarms: &[AlarmMember], members: &[Member], what: &str) -> Report {
    let name_of = |id| {
        let member = members.iter().find(|member| member.id == id);
        member.map(|member| member.name.clone()).unwrap_or_default()
    };
    let rows: Vec<Vec<String>> = alarms
        .iter()
        .map(|alarm| {
            vec![
                name(alarm.alarm).to_owned(),
                format!("{:x}", alarm.member_id),
                name_of(alarm.member_id),
            ]
        })
        .collect();
    let json: Vec<Value> = alarms
        .iter()
        .map(|alarm| {
            json!({
                "alarm": name(alarm.alarm),
                "member_id": format!("{:x}", alarm.member_id),
                "name": name_of(alarm.member_id),
            })
        })
        .collect();
    let text = match (rows.is_empty(), what) {
        (true, _) => "no alarms\n".to_owned(),
        (false, "cleared") => format!("cleared:\n{}", table(&["ALARM", "MEMBER", "NAME"], &rows)),
        (false, _) => table(&["ALARM", "MEMBER", "NAME"], &rows),
    };
    Report::new(text, json!({ what: json }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output() {
        let alarm = AlarmMember {
            member_id: 0xab,
            alarm: AlarmType::Nospace.into(),
        };
        let member = Member {
            id: 0xab,
            name: "almadia-0".to_owned(),
            ..Member::default()
        };
        let report = render(&[alarm], &[member], "raised");
        let expected = "ALARM    MEMBER  NAME\nNOSPACE  ab      almadia-0\n";
        assert_eq!(String::from_utf8(report.text).expect("UTF-8"), expected);
        assert_eq!(report.json["raised"][0]["alarm"], "NOSPACE");
        assert_eq!(render(&[], &[], "cleared").text, b"no alarms\n");
    }
}
