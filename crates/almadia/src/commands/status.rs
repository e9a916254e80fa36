//! `almadia status`: how each member sees itself.

use std::sync::Arc;
use std::time::Duration;

use almadia_etcd::proto::almadia_v1::ClusterResponse;
use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{Member, StatusRequest, StatusResponse};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::each::{self, Asked, EachArguments};
use super::error::{CommandError, EXIT_FAILED};
use super::global::Address;
use super::login::Login;
use super::members;
use super::output::{Report, size, table};
use super::slow;
use super::status_cluster;

/// What one address answered.
pub type MemberStatus = Asked<StatusResponse>;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit code 1 when a member does not answer, 3 when none does. What a member says is what it believes: whether it can
serve, 'almadia health' finds out.

Examples:
  almadia status --cluster                    all members, whichever address you know
  almadia status --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379
  almadia status --cluster -o json | jq '.members[] | select(.leader)'")]
pub struct StatusArguments {
    /// Whom.
    #[command(flatten)]
    pub each: EachArguments,
}

/// Runs the command.
pub async fn run(arguments: &StatusArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let given = cluster.addresses().to_vec();
    let listed = members::list(cluster, false).await;
    let addresses = match (&listed, arguments.each.cluster) {
        (Ok(members), true) => members::client_addresses(members, cluster.security()),
        (Err(_), true) => return Err(listed.expect_err("just matched")),
        (_, false) => given,
    };
    let statuses = ask_as(addresses, cluster.timeout(), cluster.login()).await;
    each::somebody(&statuses)?;
    let told = status_cluster::ask(cluster).await;
    let mut report = render(&statuses, &listed.unwrap_or_default(), told.as_ref());
    let answered = statuses.into_iter().filter(|status| status.answer.is_ok());
    slow::add(
        &mut report,
        cluster,
        answered.map(|status| status.address).collect(),
    )
    .await;
    Ok(report)
}

/// Asks all addresses at once; the answers come in the order of the addresses.
pub async fn ask(addresses: Vec<Address>, timeout: Duration) -> Vec<MemberStatus> {
    ask_as(addresses, timeout, None).await
}

/// The same for a user.
pub async fn ask_as(
    addresses: Vec<Address>,
    timeout: Duration,
    login: Option<Arc<Login>>,
) -> Vec<MemberStatus> {
    each::ask(addresses, timeout, login, |channel| async move {
        MaintenanceClient::new(channel).status(StatusRequest {}).await
    })
    .await
}

fn render(statuses: &[MemberStatus], members: &[Member], told: Option<&ClusterResponse>) -> Report {
    let header = [
        "ENDPOINT",
        "NAME",
        "ORDINAL",
        "ID",
        "VERSION",
        "ROLE",
        "TERM",
        "COMMITTED",
        "APPLIED",
        "LAG",
        "REVISION",
        "SIZE",
        "IN USE",
        "ERRORS",
    ];
    let answers = || statuses.iter().filter_map(|status| status.answer.as_ref().ok());
    let newest = answers().map(|answer| answer.raft_index).max().unwrap_or(0);
    let rows: Vec<Vec<String>> = statuses
        .iter()
        .map(|status| row(status, members, newest))
        .collect();
    let json: Vec<Value> = statuses
        .iter()
        .map(|status| status_json(status, members, newest))
        .collect();
    let mut text = table(&header, &rows);
    text.push_str(&told.map(status_cluster::text).unwrap_or_default());
    let cluster = status_cluster::json(told);
    let mut report = Report::new(text, json!({ "members": json, "cluster": cluster }));
    if statuses.iter().any(|status| status.answer.is_err()) {
        report.exit_code = EXIT_FAILED;
    }
    report
}

fn member_id(answer: &StatusResponse) -> u64 {
    answer.header.as_ref().map_or(0, |header| header.member_id)
}

fn name_of(id: u64, members: &[Member]) -> String {
    members
        .iter()
        .find(|member| member.id == id)
        .map(|member| member.name.clone())
        .unwrap_or_default()
}

fn role(answer: &StatusResponse) -> &'static str {
    match answer {
        answer if answer.is_learner => "learner",
        answer if answer.leader == 0 => "no leader",
        answer if answer.leader == member_id(answer) => "leader",
        _ => "follower",
    }
}

/// The number at the end of a name like those of a StatefulSet's pods.
fn ordinal(name: &str) -> Option<u32> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// Entries that are committed, by what was heard, and not applied there.
fn lag(answer: &StatusResponse, newest: u64) -> u64 {
    newest.saturating_sub(answer.raft_applied_index)
}

fn row(status: &MemberStatus, members: &[Member], newest: u64) -> Vec<String> {
    let endpoint = status.address.authority.clone();
    let answer = match &status.answer {
        Ok(answer) => answer,
        Err(reason) => {
            let mut row = vec![endpoint];
            row.resize(13, String::new());
            row.push(reason.clone());
            return row;
        }
    };
    let name = name_of(member_id(answer), members);
    vec![
        endpoint,
        name.clone(),
        ordinal(&name).map_or_else(String::new, |ordinal| ordinal.to_string()),
        format!("{:x}", member_id(answer)),
        answer.version.clone(),
        role(answer).to_owned(),
        answer.raft_term.to_string(),
        answer.raft_index.to_string(),
        answer.raft_applied_index.to_string(),
        lag(answer, newest).to_string(),
        answer
            .header
            .as_ref()
            .map_or(0, |header| header.revision)
            .to_string(),
        size(answer.db_size),
        size(answer.db_size_in_use),
        answer.errors.join("; "),
    ]
}

fn status_json(status: &MemberStatus, members: &[Member], newest: u64) -> Value {
    let endpoint = &status.address.authority;
    match &status.answer {
        Err(reason) => json!({ "endpoint": endpoint, "error": reason }),
        Ok(answer) => json!({
            "endpoint": endpoint,
            "name": name_of(member_id(answer), members),
            "ordinal": ordinal(&name_of(member_id(answer), members)),
            "lag": lag(answer, newest),
            "id": format!("{:x}", member_id(answer)),
            "version": answer.version,
            "role": role(answer),
            "leader": role(answer) == "leader",
            "leader_id": format!("{:x}", answer.leader),
            "leader_name": name_of(answer.leader, members),
            "term": answer.raft_term,
            "committed": answer.raft_index,
            "applied": answer.raft_applied_index,
            "revision": answer.header.as_ref().map_or(0, |header| header.revision),
            "size_bytes": answer.db_size,
            "in_use_bytes": answer.db_size_in_use,
            "quota_bytes": answer.db_size_quota,
            "storage_version": answer.storage_version,
            "errors": answer.errors,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::etcdserverpb::ResponseHeader;

    #[test]
    fn output() {
        let address = |authority: &str| Address {
            url: String::new(),
            authority: authority.to_owned(),
            is_tls: false,
            security: crate::commands::tls::Security::default(),
        };
        let answer = StatusResponse {
            header: Some(ResponseHeader {
                member_id: 0xa,
                revision: 9,
                ..Default::default()
            }),
            version: "3.5.30".to_owned(),
            db_size: 24_576,
            leader: 0xa,
            raft_index: 12,
            raft_term: 3,
            raft_applied_index: 11,
            db_size_in_use: 100,
            ..StatusResponse::default()
        };
        let statuses = [
            MemberStatus {
                address: address("h:1"),
                answer: Ok(answer),
                refusal: None,
                took: Duration::ZERO,
            },
            MemberStatus {
                address: address("h:2"),
                answer: Err("connection refused".to_owned()),
                refusal: None,
                took: Duration::ZERO,
            },
        ];
        let members = [Member {
            id: 0xa,
            name: "almadia-0".to_owned(),
            ..Member::default()
        }];
        let report = render(&statuses, &members, None);
        let expected = "\
ENDPOINT  NAME       ORDINAL  ID  VERSION  ROLE    TERM  COMMITTED  APPLIED  LAG  REVISION  SIZE      IN USE  ERRORS
h:1       almadia-0  0        a   3.5.30   leader  3     12         11       1    9         24.0 KiB  100 B
h:2                                                                                                           connection refused
";
        assert_eq!(String::from_utf8(report.text).expect("UTF-8"), expected);
        assert_eq!(report.exit_code, EXIT_FAILED);
        assert_eq!(report.json["members"][0]["leader_name"], "almadia-0");
        assert_eq!(report.json["members"][1]["error"], "connection refused");
    }
}
