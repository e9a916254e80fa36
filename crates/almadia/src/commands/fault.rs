//! `almadia fault`: exercises with members that were started with `--enable-fault-injection`. Cut them off their peers, heal
//! that, kill them.
//!
//! Each member is asked directly: a member that is cut off its peers still answers its clients.

use std::time::Duration;

use almadia_etcd::proto::almadia_v1::admin_client::AdminClient;
use almadia_etcd::proto::almadia_v1::{
    CrashRequest, FaultsRequest, FaultsResponse, HealRequest, IsolateRequest,
};
use almadia_etcd::proto::etcdserverpb::Member;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::each::{self, Asked};
use super::error::{CommandError, EXIT_FAILED};
use super::global::{Address, duration};
use super::members;
use super::output::{Report, table};

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
#[command(after_help = "\
Members must have been started with --enable-fault-injection. A member is named by its name, its ordinal (1 for almadia-1),
its id, or its client address.

Examples:
  almadia fault status
  almadia fault isolate almadia-1             cut off from all others; it still answers its clients
  almadia fault isolate 1 --from 0 --for 30s  from one other only, for half a minute
  almadia fault heal                          all members
  almadia fault crash almadia-1               as kill -9 does")]
pub enum FaultCommand {
    /// Cut members off their peers; their processes live on.
    Isolate(IsolateArguments),
    /// End that, for these members or for all.
    Heal(HealArguments),
    /// Which members allow exercises, and who is cut off from whom.
    Status,
    /// Kill members' processes, as kill -9 does.
    Crash(CrashArguments),
}

/// Whom to cut off.
#[derive(Clone, Debug, clap::Args)]
pub struct IsolateArguments {
    /// Whom.
    #[arg(required = true, value_name = "MEMBER")]
    pub members: Vec<String>,
    /// From these peers only.
    #[arg(long, value_name = "MEMBER,…", value_delimiter = ',')]
    pub from: Vec<String>,
    /// Heal by itself after this time; without it the cut stays until it is healed or the member restarted.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub heal_after: Option<Duration>,
}

/// Whom to heal.
#[derive(Clone, Debug, clap::Args)]
pub struct HealArguments {
    /// Whom; nobody named means all.
    #[arg(value_name = "MEMBER")]
    pub members: Vec<String>,
}

/// Whom to kill.
#[derive(Clone, Debug, clap::Args)]
pub struct CrashArguments {
    /// Whom.
    #[arg(required = true, value_name = "MEMBER")]
    pub members: Vec<String>,
}

/// What is asked of one member.
#[derive(Clone, Debug)]
pub enum Exercise {
    /// Cut yourself off.
    Isolate(IsolateRequest),
    /// End that.
    Heal,
    /// How is it?
    Status,
    /// Die.
    Crash,
}

/// Runs the command.
pub async fn run(command: &FaultCommand, cluster: &Cluster) -> Result<Report, CommandError> {
    let all = members::list(cluster, false).await?;
    let ids = |words: &[String]| -> Result<Vec<u64>, CommandError> {
        words.iter().map(|word| Ok(find(&all, word)?.id)).collect()
    };
    let (chosen, exercise) = match command {
        FaultCommand::Isolate(arguments) => {
            let heal_after_ms = arguments.heal_after.map_or(0, |time| time.as_millis() as u64);
            let peers = ids(&arguments.from)?;
            let message = IsolateRequest { peers, heal_after_ms };
            (ids(&arguments.members)?, Exercise::Isolate(message))
        }
        FaultCommand::Heal(arguments) => (ids(&arguments.members)?, Exercise::Heal),
        FaultCommand::Status => (Vec::new(), Exercise::Status),
        FaultCommand::Crash(arguments) => (ids(&arguments.members)?, Exercise::Crash),
    };
    let chosen: Vec<&Member> = all
        .iter()
        .filter(|member| chosen.is_empty() || chosen.contains(&member.id))
        .collect();
    let mut addresses = Vec::with_capacity(chosen.len());
    for member in &chosen {
        let address = members::client_addresses(std::slice::from_ref(*member), cluster.security());
        addresses.push(address.into_iter().next().ok_or_else(|| {
            CommandError::failed(format!(
                "member {:x} has no client address: it has not started yet",
                member.id
            ))
        })?);
    }
    let asked = ask(addresses, exercise, cluster).await;
    Ok(render(&chosen, &asked, &all))
}

/// Asks these members at once.
pub async fn ask(
    addresses: Vec<Address>,
    exercise: Exercise,
    cluster: &Cluster,
) -> Vec<Asked<FaultsResponse>> {
    each::ask(addresses, cluster.timeout(), cluster.login(), move |connection| {
        let exercise = exercise.clone();
        async move {
            let mut client = AdminClient::new(connection);
            match exercise {
                Exercise::Isolate(message) => client.isolate(message).await,
                Exercise::Heal => client.heal(HealRequest {}).await,
                Exercise::Status => client.faults(FaultsRequest {}).await,
                Exercise::Crash => client.crash(CrashRequest {}).await,
            }
        }
    })
    .await
}

/// The member that a word names: by name, ordinal, id, or client address.
pub fn find<'a>(members: &'a [Member], word: &str) -> Result<&'a Member, CommandError> {
    let has_address = |member: &&Member| {
        let bare = |url: &str| {
            let url = url.trim_start_matches("http://").trim_start_matches("https://");
            url.trim_end_matches('/').to_owned()
        };
        member.client_ur_ls.iter().any(|url| bare(url) == bare(word))
    };
    let ordinal: Option<u64> = word.parse().ok();
    let has_ordinal = |member: &&Member| ordinal.is_some() && ordinal_of(&member.name) == ordinal;
    let named = members.iter().find(|member| member.name == word);
    named
        .or_else(|| members.iter().find(has_ordinal))
        .or_else(|| members.iter().find(has_address))
        .map_or_else(|| super::member::find(members, word), Ok)
}

/// The ordinal in a pod's name: 1 for `almadia-1`.
pub fn ordinal_of(name: &str) -> Option<u64> {
    let (_, ordinal) = name.rsplit_once('-')?;
    ordinal.parse().ok()
}

fn render(chosen: &[&Member], asked: &[Asked<FaultsResponse>], all: &[Member]) -> Report {
    let name_of = |id: &u64| {
        let member = all.iter().find(|member| member.id == *id);
        member.map_or_else(|| format!("{id:x}"), |member| member.name.clone())
    };
    let mut rows = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    for (member, asked) in chosen.iter().zip(asked) {
        let (enabled, cut) = match &asked.answer {
            Ok(answer) if answer.isolated => (Some(answer.enabled), "all".to_owned()),
            Ok(answer) => {
                let names: Vec<String> = answer.cut_from.iter().map(name_of).collect();
                (Some(answer.enabled), names.join(","))
            }
            Err(_) => (None, String::new()),
        };
        let error = asked.answer.as_ref().err().map(|reason| explained(reason));
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        rows.push(vec![
            member.name.clone(),
            enabled.map(yes).unwrap_or_default().to_owned(),
            cut.clone(),
            error.clone().unwrap_or_default(),
        ]);
        values.push(json!({
            "name": member.name,
            "id": format!("{:x}", member.id),
            "enabled": enabled,
            "cut_off_from": cut,
            "error": error,
        }));
    }
    let text = table(&["MEMBER", "ALLOWED", "CUT OFF FROM", "ERROR"], &rows);
    let mut report = Report::new(text, json!({ "members": values }));
    if asked.iter().any(|asked| asked.answer.is_err()) {
        report.exit_code = EXIT_FAILED;
    }
    report
}

/// A server that knows no such call is not one of ours.
pub fn explained(reason: &str) -> String {
    if reason.contains("unknown service") || reason.contains("unknown method") {
        return "this server knows no exercises: it is no Almadia member, or an older one".to_owned();
    }
    reason.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str) -> Member {
        Member {
            id,
            name: name.to_owned(),
            client_ur_ls: vec![format!("http://{name}:2379")],
            ..Member::default()
        }
    }

    #[test]
    fn members_are_named_in_four_ways() {
        let members = [
            member(0xab, "almadia-0"),
            member(1, "almadia-1"),
            member(0xcd, "x"),
        ];
        for (word, id) in [
            ("almadia-1", 1),
            ("0", 0xab),
            ("1", 1),
            ("cd", 0xcd),
            ("almadia-0:2379", 0xab),
            ("http://x:2379/", 0xcd),
        ] {
            assert_eq!(find(&members, word).expect(word).id, id, "{word}");
        }
        let complaint = find(&members, "7").expect_err("nobody").to_string();
        assert!(complaint.contains("there is no member '7'"), "{complaint}");
    }

    #[test]
    fn output() {
        let members = [member(0xa, "almadia-0"), member(0xb, "almadia-1")];
        let asked = |answer| Asked {
            address: crate::commands::global::address("h:1", &Default::default()).expect("valid"),
            answer,
            refusal: None,
            took: Duration::ZERO,
        };
        let cut = FaultsResponse {
            enabled: true,
            cut_from: vec![0xb],
            ..FaultsResponse::default()
        };
        let answers = [
            asked(Ok(cut)),
            asked(Err("unknown service almadia.v1.Admin".to_owned())),
        ];
        let report = render(&members.iter().collect::<Vec<_>>(), &answers, &members);
        let expected = "\
MEMBER     ALLOWED  CUT OFF FROM  ERROR
almadia-0  yes      almadia-1
almadia-1                         this server knows no exercises: it is no Almadia member, or an older one
";
        assert_eq!(String::from_utf8(report.text).expect("UTF-8"), expected);
        assert_eq!(report.exit_code, EXIT_FAILED);
    }
}
