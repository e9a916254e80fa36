//! `almadia member`: changes who belongs to the cluster.
//!
//! Members are meant by name or by id. Never starts or stops one: it says how to.

use almadia_etcd::proto::etcdserverpb::cluster_client::ClusterClient;
use almadia_etcd::proto::etcdserverpb::{
    Member, MemberAddRequest, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
};
use serde_json::json;

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::members::{self, MembersArguments, is_started, list, member_json};
use super::output::Report;

/// What to do with members.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum MemberCommand {
    /// Admit a member; prints how to start it.
    Add(MemberAddArguments),
    /// Remove a member for good.
    #[command(after_help = "\
Its id is never used again: to come back it must be admitted anew, with an empty data directory.

Examples:
  almadia member remove almadia-3
  almadia member remove 8bac61c7d461607d")]
    Remove(MemberName),
    /// Change the addresses at which the others reach a member.
    #[command(after_help = "\
Examples:
  almadia member update almadia-2 --peer-urls http://10.0.0.9:2380")]
    Update(MemberUpdateArguments),
    /// Make a learner a voter, once it has caught up.
    #[command(after_help = "Examples:\n  almadia member promote almadia-3")]
    Promote(MemberName),
    /// The same as 'almadia members'.
    List(MembersArguments),
}

/// Whom to admit.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Admit one member after the other, and start each before the next is admitted. A learner receives everything but does not
count in majorities until it is promoted: the safe way to grow a cluster.

Examples:
  almadia member add almadia-3 --peer-urls http://10.0.0.4:2380 --learner
  almadia member add almadia-3 --peer-urls http://10.0.0.4:2380")]
pub struct MemberAddArguments {
    /// The name it will have; it tells it itself when it starts.
    pub name: String,
    /// Where the others will reach it.
    #[arg(long, value_name = "URL,…", value_delimiter = ',', required = true)]
    pub peer_urls: Vec<String>,
    /// Admit it as a learner.
    #[arg(long)]
    pub learner: bool,
}

/// Which member.
#[derive(Clone, Debug, clap::Args)]
pub struct MemberName {
    /// Its name or id.
    pub member: String,
}

/// Which member, and where it is.
#[derive(Clone, Debug, clap::Args)]
pub struct MemberUpdateArguments {
    /// Its name or id.
    pub member: String,
    /// Where the others will reach it.
    #[arg(long, value_name = "URL,…", value_delimiter = ',', required = true)]
    pub peer_urls: Vec<String>,
}

/// Runs the command.
pub async fn run(command: &MemberCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    match command {
        MemberCommand::Add(arguments) => add(arguments, cluster).await,
        MemberCommand::Remove(arguments) => remove(&arguments.member, cluster).await,
        MemberCommand::Update(arguments) => update(arguments, cluster).await,
        MemberCommand::Promote(arguments) => promote(&arguments.member, cluster).await,
        MemberCommand::List(arguments) => members::run(arguments, cluster).await,
    }
}

/// The member that a name or a hexadecimal id means.
pub fn find<'a>(members: &'a [Member], wanted: &str) -> Result<&'a Member, CommandError> {
    let named: Vec<&Member> = members.iter().filter(|member| member.name == wanted).collect();
    let id = u64::from_str_radix(wanted.trim_start_matches("0x"), 16).ok();
    match (&named[..], members.iter().find(|member| Some(member.id) == id)) {
        ([member], _) => Ok(*member),
        ([], Some(member)) => Ok(member),
        ([], None) => Err(CommandError::usage(format!(
            "there is no member '{wanted}'; see who there is: almadia members"
        ))),
        _ => Err(CommandError::usage(format!(
            "several members are named '{wanted}'; use the id: almadia members"
        ))),
    }
}

async fn find_now(cluster: &Cluster, wanted: &str) -> Result<Member, CommandError> {
    find(&list(cluster, false).await?, wanted).cloned()
}

async fn add(arguments: &MemberAddArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = MemberAddRequest {
        peer_ur_ls: arguments.peer_urls.clone(),
        is_learner: arguments.learner,
    };
    let answer = cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { ClusterClient::new(channel).member_add(message).await }
        })
        .await?
        .into_inner();
    let member = answer.member.unwrap_or_default();
    let initial_cluster = initial_cluster(&answer.members, &member, &arguments.name);
    let text = format!(
        "member {:x} is admitted as a {}; start it with an empty data directory:\n  almadia server --name {} \
         --initial-cluster-state existing --initial-cluster {initial_cluster}\n",
        member.id,
        if arguments.learner { "learner" } else { "voter" },
        arguments.name,
    );
    let json = json!({
        "member": member_json(&member),
        "initial_cluster": initial_cluster,
    });
    Ok(Report::new(text, json))
}

/// What the new member must be told: every member with its peer addresses.
fn initial_cluster(members: &[Member], new: &Member, name: &str) -> String {
    let entries: Vec<String> = members
        .iter()
        .filter(|member| member.id == new.id || is_started(member))
        .flat_map(|member| {
            let name = if member.id == new.id { name } else { &member.name };
            member.peer_ur_ls.iter().map(move |url| format!("{name}={url}"))
        })
        .collect();
    entries.join(",")
}

async fn remove(wanted: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let member = find_now(cluster, wanted).await?;
    let message = MemberRemoveRequest { id: member.id };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message);
            async move { ClusterClient::new(channel).member_remove(message).await }
        })
        .await?;
    Ok(changed(&member, "removed; its data directory is of no more use"))
}

async fn update(arguments: &MemberUpdateArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let mut member = find_now(cluster, &arguments.member).await?;
    member.peer_ur_ls = arguments.peer_urls.clone();
    let message = MemberUpdateRequest {
        id: member.id,
        peer_ur_ls: arguments.peer_urls.clone(),
    };
    cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { ClusterClient::new(channel).member_update(message).await }
        })
        .await?;
    Ok(changed(
        &member,
        &format!("reached at {} from now on", arguments.peer_urls.join(", ")),
    ))
}

async fn promote(wanted: &str, cluster: &Cluster) -> Result<Report, CommandError> {
    let mut member = find_now(cluster, wanted).await?;
    let message = MemberPromoteRequest { id: member.id };
    cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message);
            async move { ClusterClient::new(channel).member_promote(message).await }
        })
        .await?;
    member.is_learner = false;
    Ok(changed(&member, "a voter now"))
}

fn changed(member: &Member, what: &str) -> Report {
    Report::new(
        format!("member {:x} is {what}\n", member.id),
        json!({ "member": member_json(member) }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str) -> Member {
        Member {
            id,
            name: name.to_owned(),
            peer_ur_ls: vec![format!("http://{name}:2380")],
            ..Member::default()
        }
    }

    #[test]
    fn members_are_meant_by_name_or_id() {
        let members = [
            member(0xab, "east"),
            member(0xcd, "ab"),
            member(1, "twin"),
            member(2, "twin"),
        ];
        let id = |wanted| find(&members, wanted).map(|member| member.id).ok();
        assert_eq!(
            (id("east"), id("0xcd"), id("2")),
            (Some(0xab), Some(0xcd), Some(2))
        );
        // A name comes before an id.
        assert_eq!(id("ab"), Some(0xcd));
        assert_eq!((id("twin"), id("west")), (None, None));
    }

    #[test]
    fn a_new_member_is_told_of_all() {
        let mut new = member(3, "");
        new.peer_ur_ls = vec!["http://c:1".to_owned(), "http://c:2".to_owned()];
        let members = [member(1, "a"), new.clone(), member(9, "")];
        assert_eq!(
            initial_cluster(&members, &new, "c"),
            "a=http://a:2380,c=http://c:1,c=http://c:2"
        );
    }
}
