//! `almadia members`: who belongs to the cluster.

use almadia_etcd::proto::etcdserverpb::cluster_client::ClusterClient;
use almadia_etcd::proto::etcdserverpb::{Member, MemberListRequest};
use serde_json::{Value, json};

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::global::{Address, address};
use super::output::{Report, table};
use super::tls::Security;

/// How to ask.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  almadia members
  almadia members -o json --endpoints almadia-0.almadia:2379")]
pub struct MembersArguments {
    /// Take the answer of the member that is asked, also when it has no leader.
    #[arg(long)]
    pub serializable: bool,
}

/// Runs the command.
pub async fn run(arguments: &MembersArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let members = list(cluster, !arguments.serializable).await?;
    Ok(render(&members))
}

/// The members, sorted by name.
pub async fn list(cluster: &Cluster, linearizable: bool) -> Result<Vec<Member>, CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let mut message = request(MemberListRequest { linearizable });
            if !linearizable {
                message.metadata_mut().remove("hasleader");
            }
            async move { ClusterClient::new(channel).member_list(message).await }
        })
        .await?;
    let mut members = answer.into_inner().members;
    members.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    Ok(members)
}

/// One client address of each member that has any.
pub fn client_addresses(members: &[Member], security: &Security) -> Vec<Address> {
    members
        .iter()
        .filter_map(|member| address(member.client_ur_ls.first()?, security).ok())
        .collect()
}

/// A member that was added but has never started has no name.
pub fn is_started(member: &Member) -> bool {
    !member.name.is_empty()
}

fn render(members: &[Member]) -> Report {
    let rows: Vec<Vec<String>> = members.iter().map(row).collect();
    let json: Vec<Value> = members.iter().map(member_json).collect();
    let text = table(
        &[
            "ID",
            "NAME",
            "STATE",
            "ROLE",
            "PEER ADDRESSES",
            "CLIENT ADDRESSES",
        ],
        &rows,
    );
    Report::new(text, json!({ "members": json }))
}

fn row(member: &Member) -> Vec<String> {
    vec![
        format!("{:x}", member.id),
        member.name.clone(),
        if is_started(member) {
            "started"
        } else {
            "unstarted"
        }
        .to_owned(),
        if member.is_learner { "learner" } else { "voter" }.to_owned(),
        member.peer_ur_ls.join(","),
        member.client_ur_ls.join(","),
    ]
}

/// A member, for programs.
pub fn member_json(member: &Member) -> Value {
    json!({
        "id": format!("{:x}", member.id),
        "name": member.name,
        "started": is_started(member),
        "learner": member.is_learner,
        "peer_urls": member.peer_ur_ls,
        "client_urls": member.client_ur_ls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output() {
        let member = |id, name: &str, client: &[&str]| Member {
            id,
            name: name.to_owned(),
            peer_ur_ls: vec!["http://p:2380".to_owned()],
            client_ur_ls: client.iter().map(|url| (*url).to_owned()).collect(),
            is_learner: name.is_empty(),
        };
        let members = [member(0xab, "almadia-0", &["http://c:2379"]), member(2, "", &[])];
        let text = String::from_utf8(render(&members).text).expect("UTF-8");
        let expected = "\
ID  NAME       STATE      ROLE     PEER ADDRESSES  CLIENT ADDRESSES
ab  almadia-0  started    voter    http://p:2380   http://c:2379
2              unstarted  learner  http://p:2380
";
        assert_eq!(text, expected);
        assert_eq!(render(&members).json["members"][0]["id"], "ab");
        assert_eq!(client_addresses(&members, &Security::default()).len(), 1);
    }
}
