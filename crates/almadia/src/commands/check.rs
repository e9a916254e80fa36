//! `almadia check`: writes and reads a few keys and says whether the cluster works (M3).
//!
//! It repeats a write without an answer: the same value for its own key, so that carrying it out twice does no harm.
//! The lines are fixed, since scripts look for them.

use std::time::{Duration, Instant};

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{Member, PutRequest, RangeRequest, StatusRequest};
use serde_json::json;

use super::cluster::{Cluster, Repeat, request};
use super::error::{CommandError, EXIT_FAILED};
use super::fault::ordinal_of;
use super::global::Output;
use super::members;
use super::output::{Report, print};
use super::position::Position;

/// All keys of the check begin with this.
const KEY_PREFIX: &str = "almadia-check/";
/// How many keys are written and read in turn.
const KEYS: usize = 3;
/// Longest wait for one member's answer: a member that hangs must leave time for the others.
const ATTEMPT_MAX: Duration = Duration::from_millis(1000);
/// The whole check takes no longer than this.
const CHECK_MAX: Duration = Duration::from_millis(4700);

/// How to check.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Writes three keys (almadia-check/1 to 3) and reads each back, then overwrites one and reads it back. Ends in under five
seconds, also right after a leader was killed. Exit code 0 when all is well.

Examples:
  almadia check
  almadia check --endpoints almadia-0.almadia:2379,almadia-1.almadia:2379
  almadia check --lang es | grep -o 'lider=[0-9]*'")]
pub struct CheckArguments {
    /// Language of the lines.
    #[arg(long, value_enum, default_value = "en")]
    pub lang: Language,
}

/// Language of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English.
    En,
    /// Spanish.
    Es,
}

/// Where a write came to stand, as the lines show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    index: u64,
    term: u64,
    /// Ordinal of the leader's pod.
    leader: u64,
}

/// Runs the command; prints each line when it is true.
pub async fn run(
    arguments: &CheckArguments,
    output: Output,
    cluster: &Cluster,
) -> Result<Report, CommandError> {
    let total = cluster.timeout().min(CHECK_MAX);
    let mut check = Check {
        language: arguments.lang,
        output,
        deadline: Instant::now() + total,
        cluster: cluster.again().with_attempt_max(ATTEMPT_MAX, total),
        members: Vec::new(),
        written: Vec::new(),
    };
    let outcome = check.run().await;
    if let Err(error) = &outcome {
        check.line(&format!("-> ERROR: {error}"))?;
    }
    let written: Vec<_> = check
        .written
        .iter()
        .map(|written| json!({ "index": written.index, "term": written.term, "leader": written.leader }))
        .collect();
    let error = outcome.as_ref().err().map(ToString::to_string);
    let mut report = Report::new(
        "",
        json!({ "ok": outcome.is_ok(), "error": error, "writes": written }),
    );
    report.exit_code = outcome.map_or_else(|error| error.exit_code().max(EXIT_FAILED), |()| 0);
    Ok(report)
}

struct Check {
    language: Language,
    output: Output,
    deadline: Instant,
    cluster: Cluster,
    members: Vec<Member>,
    written: Vec<Written>,
}

impl Check {
    async fn run(&mut self) -> Result<(), CommandError> {
        let es = self.language == Language::Es;
        self.line(if es {
            "--- INICIO DE PRUEBAS DE CLIENTE ---"
        } else {
            "--- CLIENT CHECK BEGINS ---"
        })?;
        for number in 1..=KEYS {
            let initial = if es { "valor_inicial" } else { "initial_value" };
            self.write_and_read(number, &format!("{initial}_{number}"))
                .await?;
        }
        self.line(if es {
            "PRUEBA DE SOBRESCRITURA"
        } else {
            "OVERWRITE CHECK"
        })?;
        self.write_and_read(1, if es { "VALOR_ACTUALIZADO" } else { "UPDATED_VALUE" })
            .await?;
        self.line(if es {
            "--- TODAS LAS PRUEBAS COMPLETADAS CON ÉXITO ---"
        } else {
            "--- ALL CHECKS COMPLETED SUCCESSFULLY ---"
        })
    }

    async fn write_and_read(&mut self, number: usize, value: &str) -> Result<(), CommandError> {
        let key = format!("{KEY_PREFIX}{number}");
        let written = self.write(&key, value).await?;
        self.written.push(written);
        self.line(&write_line(self.language, written))?;
        let read = self.read(&key).await?;
        let read = read.as_deref().unwrap_or("(none)");
        if read != value {
            return Err(CommandError::failed(format!(
                "read '{read}' where '{value}' was written"
            )));
        }
        self.line(&read_line(self.language, read, value))
    }

    async fn write(&mut self, key: &str, value: &str) -> Result<Written, CommandError> {
        let message = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..Default::default()
        };
        let call = self.cluster.call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { KvClient::new(channel).put(message).await }
        });
        let answer = in_time(self.deadline, call).await?;
        let position = Position::read(answer.metadata(), answer.get_ref().header.as_ref());
        self.place(position).await
    }

    async fn read(&self, key: &str) -> Result<Option<String>, CommandError> {
        let message = RangeRequest {
            key: key.to_owned().into(),
            ..RangeRequest::default()
        };
        let call = self.cluster.call(Repeat::Freely, |channel| {
            let message = request(message.clone());
            async move { KvClient::new(channel).range(message).await }
        });
        let answer = in_time(self.deadline, call).await?.into_inner();
        Ok(answer
            .kvs
            .first()
            .map(|pair| String::from_utf8_lossy(&pair.value).into_owned()))
    }

    /// The position as the member told it; from a server that tells none, its status right after.
    async fn place(&mut self, position: Position) -> Result<Written, CommandError> {
        if let (Some(index), Some(term)) = (position.log_index, position.term)
            && let Some(leader) = position.leader_name.as_deref().and_then(ordinal_of)
        {
            return Ok(Written { index, term, leader });
        }
        let call = self.cluster.call(Repeat::Freely, |channel| async move {
            MaintenanceClient::new(channel).status(StatusRequest {}).await
        });
        let status = in_time(self.deadline, call).await?.into_inner();
        if self.members.is_empty() {
            self.members = in_time(self.deadline, members::list(&self.cluster, false)).await?;
        }
        let leader = position.leader.unwrap_or(status.leader);
        Ok(Written {
            index: position.log_index.unwrap_or(status.raft_index),
            term: position.term.unwrap_or(status.raft_term),
            leader: ordinal_in(&self.members, leader)
                .ok_or_else(|| CommandError::failed("the leader is not in the list of members"))?,
        })
    }

    fn line(&self, line: &str) -> Result<(), CommandError> {
        if self.output == Output::Json {
            return Ok(());
        }
        print(format!("{line}\n").as_bytes())
    }
}

async fn in_time<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    match tokio::time::timeout_at(deadline.into(), call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(CommandError::failed(
            "the check took too long; look at the cluster with 'almadia status'",
        )),
    }
}

fn write_line(language: Language, Written { index, term, leader }: Written) -> String {
    match language {
        Language::Es => format!("-> Escritura OK: idx={index}, mandato={term}, lider={leader}"),
        Language::En => format!("-> Write OK: idx={index}, term={term}, leader={leader}"),
    }
}

fn read_line(language: Language, read: &str, expected: &str) -> String {
    match language {
        Language::Es => format!("-> Lectura OK: '{read}' == '{expected}' (Esperado)"),
        Language::En => format!("-> Read OK: '{read}' == '{expected}' (expected)"),
    }
}

/// The ordinal in the member's name, else its place among the names.
pub fn ordinal_in(members: &[Member], id: u64) -> Option<u64> {
    let at = members.iter().position(|member| member.id == id)?;
    Some(ordinal_of(&members[at].name).unwrap_or(at as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: the lines that scripts look for, letter by letter (M3).
    #[test]
    fn the_lines() {
        let written = Written {
            index: 17,
            term: 94,
            leader: 1,
        };
        assert_eq!(
            write_line(Language::Es, written),
            "-> Escritura OK: idx=17, mandato=94, lider=1"
        );
        assert_eq!(
            read_line(Language::Es, "valor_inicial_1", "valor_inicial_1"),
            "-> Lectura OK: 'valor_inicial_1' == 'valor_inicial_1' (Esperado)"
        );
        assert_eq!(
            write_line(Language::En, written),
            "-> Write OK: idx=17, term=94, leader=1"
        );
    }

    #[test]
    fn ordinals() {
        assert_eq!(ordinal_of("almadia-12"), Some(12));
        assert_eq!((ordinal_of("almadia"), ordinal_of("a-b")), (None, None));
        let member = |id, name: &str| Member {
            id,
            name: name.to_owned(),
            ..Member::default()
        };
        let members = [member(9, "east"), member(5, "north"), member(7, "west-4")];
        assert_eq!(ordinal_in(&members, 5), Some(1));
        assert_eq!(ordinal_in(&members, 7), Some(4));
        assert_eq!(ordinal_in(&members, 1), None);
    }
}
