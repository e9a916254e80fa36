//! `almadia log`: prints a member's log, or compares the logs of all members up to the commit index (M1.9).
//!
//! Entries above the commit index may differ and are not compared. Works with Almadia's members only: etcd has no such
//! question.

use std::time::Duration;

use almadia_etcd::proto::almadia_v1::admin_client::AdminClient;
use almadia_etcd::proto::almadia_v1::log_entry::Kind;
use almadia_etcd::proto::almadia_v1::{LogEntry, LogRequest, LogResponse};
use almadia_etcd::proto::etcdserverpb::Member;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, connect};
use super::error::{CommandError, EXIT_FAILED};
use super::global::Address;
use super::log_compare::{MemberLog, Place, Verdict, compare};
use super::login::{self, Login};
use super::members;
use super::output::{Report, escaped, table};

/// Entries printed when no limit is given.
const LIMIT_DEFAULT: u64 = 20;
/// Entries asked for at once when logs are compared.
const PIECE_ENTRIES: u64 = 2000;

/// What to look at.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Without --compare: the end of the log of the first member that answers. With --compare: all members are asked; exit code
1 when two logs differ at or below the commit index both know, or when a member cannot be asked.

Examples:
  almadia log
  almadia log --from 1 --limit 100
  almadia log --compare")]
pub struct LogArguments {
    /// Compare the logs of all members up to the commit index.
    #[arg(long)]
    pub compare: bool,
    /// First log index; without it the last entries are shown, and all there are compared.
    #[arg(long, value_name = "INDEX")]
    pub from: Option<u64>,
    /// No more entries than this (default 20, when comparing: no limit).
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// Runs the command.
pub async fn run(arguments: &LogArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    if arguments.compare {
        let members = members::list(cluster, false).await?;
        let addresses = members::client_addresses(&members, cluster.security());
        let (from, limit) = (arguments.from.unwrap_or(0), arguments.limit.unwrap_or(u64::MAX));
        let mut logs = ask_all(addresses, from, limit, cluster).await;
        logs.extend(
            members
                .iter()
                .filter(|member| member.client_ur_ls.is_empty())
                .map(not_asked),
        );
        return Ok(render_comparison(&logs));
    }
    let limit = arguments.limit.unwrap_or(LIMIT_DEFAULT);
    let from = match arguments.from {
        Some(from) => from,
        None => ask(
            cluster,
            LogRequest {
                from: u64::MAX,
                limit: 1,
            },
        )
        .await?
        .last
        .saturating_sub(limit - 1)
        .max(1),
    };
    let answer = ask(cluster, LogRequest { from, limit }).await?;
    Ok(render(&answer))
}

/// A piece of the log of the first member that answers.
pub async fn ask(cluster: &Cluster, message: LogRequest) -> Result<LogResponse, CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| async move {
            AdminClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .log(message)
                .await
        })
        .await;
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(CommandError::Refused {
            code: tonic::Code::Unimplemented,
            ..
        }) => Err(CommandError::failed(
            "this server does not show its log: it is not an Almadia member",
        )),
        Err(error) => Err(error),
    }
}

/// The logs of all these members from `from` on, `limit` entries of each at most.
pub async fn ask_all(addresses: Vec<Address>, from: u64, limit: u64, cluster: &Cluster) -> Vec<MemberLog> {
    let timeout = cluster.timeout();
    let mut asked = JoinSet::new();
    for (at, address) in addresses.into_iter().enumerate() {
        let login = cluster.login();
        asked.spawn(async move {
            (
                at,
                whole_log(&address, from, limit, timeout, login.as_deref()).await,
            )
        });
    }
    let mut logs = asked.join_all().await;
    logs.sort_by_key(|(at, _)| *at);
    logs.into_iter().map(|(_, log)| log).collect()
}

/// A member's log from `from` up to its commit index at the beginning, piece by piece.
async fn whole_log(
    address: &Address,
    from: u64,
    limit: u64,
    timeout: Duration,
    login: Option<&Login>,
) -> MemberLog {
    let mut log = MemberLog {
        name: address.authority.clone(),
        ..MemberLog::default()
    };
    let connected = async {
        let channel = connect(address, timeout).await?;
        let logged_in = tokio::time::timeout(timeout, login::connection(login, &channel)).await;
        let logged_in = logged_in.map_err(|_| "no answer in time".to_owned())?;
        logged_in.map_err(|status| status.message().to_owned())
    };
    let connection = match connected.await {
        Ok(connection) => connection,
        Err(reason) => {
            return MemberLog {
                failure: Some(reason),
                ..log
            };
        }
    };
    let mut client = AdminClient::new(connection).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut next = from;
    loop {
        let left = limit - log.places.len() as u64;
        let message = LogRequest {
            from: next,
            limit: left.min(PIECE_ENTRIES),
        };
        let answer = match tokio::time::timeout(timeout, client.log(message)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                return MemberLog {
                    failure: Some(status.message().to_owned()),
                    ..log
                };
            }
            Err(_) => {
                return MemberLog {
                    failure: Some("no answer in time".to_owned()),
                    ..log
                };
            }
        };
        if log.places.is_empty() {
            (log.name, log.first, log.committed) = (answer.name, answer.first, answer.committed);
        }
        let committed = log.committed;
        log.places.extend(
            answer
                .entries
                .iter()
                .map(place)
                .filter(|place| place.index <= committed),
        );
        let last = answer.entries.last().map_or(committed, |entry| entry.index);
        next = last + 1;
        if last >= committed || log.places.len() as u64 >= limit {
            return log;
        }
    }
}

/// A member that has not started yet has no client address.
fn not_asked(member: &Member) -> MemberLog {
    let failure = Some("has no client address: it has not started yet".to_owned());
    MemberLog {
        name: format!("{:x}", member.id),
        failure,
        ..MemberLog::default()
    }
}

fn place(entry: &LogEntry) -> Place {
    Place {
        index: entry.index,
        term: entry.term,
        kind: entry.kind,
        checksum: entry.checksum,
        bytes: entry.bytes,
    }
}

fn kind_name(kind: i32) -> &'static str {
    match Kind::try_from(kind) {
        Ok(Kind::Blank) => "blank",
        Ok(Kind::Command) => "command",
        Ok(Kind::Membership) => "membership",
        Err(_) => "unknown",
    }
}

fn render(answer: &LogResponse) -> Report {
    let rows: Vec<Vec<String>> = answer
        .entries
        .iter()
        .map(|entry| {
            vec![
                entry.index.to_string(),
                entry.term.to_string(),
                kind_name(entry.kind).to_owned(),
                format!("{:08x}", entry.checksum),
                entry.bytes.to_string(),
                if entry.index <= answer.committed {
                    "yes"
                } else {
                    "no"
                }
                .to_owned(),
                escaped(entry.description.as_bytes()),
            ]
        })
        .collect();
    let mut text = format!(
        "{}: entries {} to {}, committed up to {}\n",
        answer.name, answer.first, answer.last, answer.committed
    );
    text.push_str(&table(
        &[
            "INDEX",
            "TERM",
            "KIND",
            "CHECKSUM",
            "BYTES",
            "COMMITTED",
            "DESCRIPTION",
        ],
        &rows,
    ));
    let entries: Vec<Value> = answer.entries.iter().map(entry_json).collect();
    let json = json!({
        "member": format!("{:x}", answer.member_id),
        "name": answer.name,
        "first": answer.first,
        "last": answer.last,
        "committed": answer.committed,
        "entries": entries,
    });
    Report::new(text, json)
}

fn entry_json(entry: &LogEntry) -> Value {
    json!({
        "index": entry.index,
        "term": entry.term,
        "kind": kind_name(entry.kind),
        "checksum": format!("{:08x}", entry.checksum),
        "bytes": entry.bytes,
        "description": entry.description,
    })
}

fn render_comparison(logs: &[MemberLog]) -> Report {
    let verdict = compare(logs);
    let rows: Vec<Vec<String>> = logs
        .iter()
        .map(|log| {
            vec![
                log.name.clone(),
                log.first.to_string(),
                log.committed.to_string(),
                log.places.len().to_string(),
                log.failure.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let mut text = table(&["MEMBER", "FIRST", "COMMITTED", "COMPARED", "ERROR"], &rows);
    text.push_str(&verdict_text(&verdict, logs));
    let members: Vec<Value> = logs
        .iter()
        .map(|log| {
            json!({ "name": log.name, "first": log.first, "committed": log.committed, "error": log.failure })
        })
        .collect();
    let (same, from, to, different) = match &verdict {
        Verdict::Same { from, to } => (true, Some(*from), Some(*to), None),
        Verdict::NothingInCommon => (true, None, None, None),
        Verdict::Different { index, .. } => (false, None, None, Some(*index)),
    };
    let all_asked = logs.iter().all(|log| log.failure.is_none());
    let json = json!({
        "same": same, "from": from, "to": to, "different_at": different, "all_asked": all_asked, "members": members,
    });
    let mut report = Report::new(text, json);
    if !same || !all_asked || logs.is_empty() {
        report.exit_code = EXIT_FAILED;
    }
    report
}

fn verdict_text(verdict: &Verdict, logs: &[MemberLog]) -> String {
    let asked = logs.iter().filter(|log| log.failure.is_none()).count();
    match verdict {
        Verdict::Same { from, to } => format!("SAME: {asked} members agree from log index {from} to {to}\n"),
        Verdict::NothingInCommon => {
            format!("NOTHING TO COMPARE: {asked} members have no committed entry in common\n")
        }
        Verdict::Different { index, places } => {
            let mut text = format!("DIFFERENT at log index {index}:\n");
            for (name, place) in places {
                let what = place.as_ref().map_or("has no such entry".to_owned(), |place| {
                    let kind = kind_name(place.kind);
                    format!(
                        "term {}, {kind}, {} bytes, checksum {:08x}",
                        place.term, place.bytes, place.checksum
                    )
                });
                text.push_str(&format!("  {name}: {what}\n"));
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_one_log() {
        let entry = LogEntry {
            index: 7,
            term: 2,
            kind: Kind::Command.into(),
            checksum: 0xabc,
            bytes: 30,
            description: "put color, 3 bytes".to_owned(),
        };
        let answer = LogResponse {
            member_id: 1,
            name: "almadia-0".to_owned(),
            first: 1,
            last: 7,
            committed: 6,
            entries: vec![entry],
        };
        let expected = "\
almadia-0: entries 1 to 7, committed up to 6
INDEX  TERM  KIND     CHECKSUM  BYTES  COMMITTED  DESCRIPTION
7      2     command  00000abc  30     no         put color, 3 bytes
";
        assert_eq!(String::from_utf8(render(&answer).text).expect("UTF-8"), expected);
    }

    #[test]
    fn output_of_a_comparison() {
        let place = |checksum| Place {
            index: 1,
            term: 1,
            kind: 1,
            checksum,
            bytes: 9,
        };
        let log = |name: &str, checksum| MemberLog {
            name: name.to_owned(),
            first: 1,
            committed: 1,
            places: vec![place(checksum)],
            failure: None,
        };
        let same = render_comparison(&[log("a", 1), log("b", 1)]);
        assert_eq!(same.exit_code, 0);
        assert!(
            String::from_utf8_lossy(&same.text).ends_with("SAME: 2 members agree from log index 1 to 1\n")
        );
        let different = render_comparison(&[log("a", 1), log("b", 2)]);
        assert_eq!(different.exit_code, EXIT_FAILED);
        let text = String::from_utf8_lossy(&different.text);
        assert!(
            text.ends_with("  b: term 1, command, 9 bytes, checksum 00000002\n"),
            "{text}"
        );
        assert_eq!(different.json["different_at"], 1);
    }
}
