//! `almadia lease`: keys with a lifetime.

use almadia_etcd::proto::etcdserverpb::lease_client::LeaseClient;
use almadia_etcd::proto::etcdserverpb::{
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use serde_json::{Map, Value, json};

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, request};
use super::error::CommandError;
use super::global::{Output, duration};
use super::interrupt::Interrupt;
use super::lease_keeper;
use super::output::{Report, escaped, insert_bytes, print_on};
use super::put::lease_id;

/// What to do with leases.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum LeaseCommand {
    /// Make a lease; prints its id.
    Grant(GrantArguments),
    /// End leases; their keys are deleted.
    Revoke(RevokeArguments),
    /// Renew a lease again and again, until Ctrl-C.
    KeepAlive(KeepAliveArguments),
    /// What is left of a lease, and its keys.
    #[command(visible_alias = "timetolive")]
    Ttl(TtlArguments),
    /// All leases, the next to end first.
    List(ListArguments),
}

/// What lease to make.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  almadia lease grant 60                      a minute; the id alone is printed
  almadia lease grant 2h --id 5b
  id=$(almadia lease grant 60) && almadia put job/7 me --lease $id")]
pub struct GrantArguments {
    /// Its lifetime: seconds, or a time like 90s, 5m, 2h.
    #[arg(value_name = "TTL", value_parser = lifetime)]
    pub ttl: i64,
    /// Its id, hexadecimal; without it the cluster chooses one.
    #[arg(long, value_name = "ID", value_parser = lease_id)]
    pub id: Option<i64>,
}

/// Which leases.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  almadia lease revoke 694d8f1c2a3b4c")]
pub struct RevokeArguments {
    /// Their ids, hexadecimal.
    #[arg(value_name = "ID", required = true, value_parser = lease_id)]
    pub ids: Vec<i64>,
}

/// Which lease.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Renews three times in a lifetime and prints each renewal. Ctrl-C ends it with exit code 0; the lease then lives on for
its lifetime. Exit code 4 when there is no such lease (any more).

Examples:
  almadia lease keep-alive 694d8f1c2a3b4c
  almadia lease keep-alive 694d8f1c2a3b4c --once")]
pub struct KeepAliveArguments {
    /// Its id, hexadecimal.
    #[arg(value_name = "ID", value_parser = lease_id)]
    pub id: i64,
    /// Only now.
    #[arg(long)]
    pub once: bool,
}

/// Which lease.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Exit code 4 when there is no such lease (any more).

Examples:
  almadia lease ttl 694d8f1c2a3b4c
  almadia lease ttl 694d8f1c2a3b4c --keys")]
pub struct TtlArguments {
    /// Its id, hexadecimal.
    #[arg(value_name = "ID", value_parser = lease_id)]
    pub id: i64,
    /// Show the keys attached to it, too.
    #[arg(long)]
    pub keys: bool,
}

/// Nothing to choose.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  almadia lease list
  almadia lease list | xargs -n1 almadia lease ttl")]
pub struct ListArguments {}

/// Reads a lifetime in whole seconds; a part of a second counts as one.
pub fn lifetime(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    let lifetime = duration(text)?;
    Ok(lifetime.as_secs_f64().ceil() as i64)
}

/// Runs the command.
pub async fn run(command: &LeaseCommand, output: Output, cluster: &Cluster) -> Result<Report, CommandError> {
    match command {
        LeaseCommand::Grant(arguments) => grant(arguments, cluster).await,
        LeaseCommand::Revoke(arguments) => revoke(arguments, cluster).await,
        LeaseCommand::KeepAlive(arguments) => keep_alive(arguments, output, cluster).await,
        LeaseCommand::Ttl(arguments) => ttl(arguments, cluster).await,
        LeaseCommand::List(_) => list(cluster).await,
    }
}

async fn grant(arguments: &GrantArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let granted = lease_keeper::grant(cluster, arguments.ttl, arguments.id.unwrap_or_default()).await?;
    if granted.ttl != arguments.ttl {
        eprintln!(
            "almadia: the lease lives {} seconds, which is the shortest time here",
            granted.ttl
        );
    }
    Ok(Report::new(
        format!("{:x}\n", granted.id),
        json!({ "id": format!("{:x}", granted.id), "ttl": granted.ttl }),
    ))
}

async fn revoke(arguments: &RevokeArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let mut text = String::new();
    for id in &arguments.ids {
        lease_keeper::revoke(cluster, *id).await?;
        text.push_str(&format!("lease {id:x} revoked\n"));
    }
    let ids: Vec<String> = arguments.ids.iter().map(|id| format!("{id:x}")).collect();
    Ok(Report::new(text, json!({ "revoked": ids })))
}

async fn keep_alive(
    arguments: &KeepAliveArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let id = arguments.id;
    let show = |ttl: i64| {
        let text = format!("lease {id:x} renewed for {ttl} seconds\n");
        print_on(output, &text, &json!({ "id": format!("{id:x}"), "ttl": ttl })).map(|_| ())
    };
    if arguments.once {
        match lease_keeper::renew(cluster, id).await? {
            ttl if ttl > 0 => show(ttl)?,
            _ => return Err(gone(id)),
        }
        return Ok(Report::printed());
    }
    let mut interrupt = Interrupt::new()?;
    tokio::select! {
        lost = lease_keeper::keep(cluster, id, None, show) => Err(lost),
        _ = interrupt.wait() => Ok(Report::printed()),
    }
}

fn gone(id: i64) -> CommandError {
    CommandError::NotFound(format!(
        "there is no lease {id:x}; to see what there is: almadia lease list"
    ))
}

async fn ttl(arguments: &TtlArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = LeaseTimeToLiveRequest {
        id: arguments.id,
        keys: arguments.keys,
    };
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(message);
            async move {
                LeaseClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .lease_time_to_live(message)
                    .await
            }
        })
        .await?
        .into_inner();
    if answer.ttl < 0 {
        return Err(gone(arguments.id));
    }
    Ok(render_ttl(&answer, arguments.keys))
}

fn render_ttl(answer: &LeaseTimeToLiveResponse, with_keys: bool) -> Report {
    let mut text = format!("{} of {} seconds left\n", answer.ttl, answer.granted_ttl);
    let mut json = json!({
        "id": format!("{:x}", answer.id),
        "ttl": answer.ttl,
        "granted_ttl": answer.granted_ttl,
    });
    if with_keys {
        let mut keys = answer.keys.clone();
        keys.sort();
        keys.iter().for_each(|key| {
            text.push_str(&escaped(key));
            text.push('\n');
        });
        json["keys"] = keys
            .iter()
            .map(|key| {
                let mut object = Map::new();
                insert_bytes(&mut object, "key", key);
                Value::Object(object)
            })
            .collect();
    }
    Report::new(text, json)
}

async fn list(cluster: &Cluster) -> Result<Report, CommandError> {
    let answer = cluster
        .call(Repeat::Freely, |channel| {
            let message = request(LeaseLeasesRequest {});
            async move {
                LeaseClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .lease_leases(message)
                    .await
            }
        })
        .await?
        .into_inner();
    Ok(render_list(&answer))
}

fn render_list(answer: &LeaseLeasesResponse) -> Report {
    let ids: Vec<String> = answer
        .leases
        .iter()
        .map(|lease| format!("{:x}", lease.id))
        .collect();
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    Report::new(text, json!({ "leases": ids }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes() {
        assert_eq!(lifetime("60"), Ok(60));
        assert_eq!(lifetime("-1"), Ok(-1));
        assert_eq!(lifetime("1500ms"), Ok(2));
        assert_eq!(lifetime("2h"), Ok(7200));
        assert!(lifetime("long").is_err());
    }

    #[test]
    fn output() {
        let answer = LeaseTimeToLiveResponse {
            id: 0x5b,
            ttl: 42,
            granted_ttl: 60,
            keys: vec!["b".into(), b"\xff"[..].into(), "a".into()],
            ..Default::default()
        };
        let report = render_ttl(&answer, true);
        assert_eq!(report.text, b"42 of 60 seconds left\na\nb\n\\xff\n");
        assert_eq!(report.json["keys"][2]["key_base64"], "/w==");
        assert_eq!(render_ttl(&answer, false).text, b"42 of 60 seconds left\n");
    }
}
