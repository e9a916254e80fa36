//! `almadia hashkv`: a hash over each member's history, to compare members.

use std::collections::BTreeSet;

use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{HashKvRequest, HashKvResponse};
use serde_json::{Value, json};

use super::cluster::{Cluster, request};
use super::each::{self, Asked, EachArguments};
use super::error::{CommandError, EXIT_FAILED};
use super::output::{Report, table};

/// Whom to ask, and for what.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Equal histories have equal hashes. Hashes are compared where they are over the same revisions and the same was compacted;
name a revision when the cluster is written to meanwhile. Exit code 1 when two differ or a member does not answer.

Examples:
  almadia hashkv --cluster
  almadia hashkv --cluster --rev 1200")]
pub struct HashKvArguments {
    /// Whom.
    #[command(flatten)]
    pub each: EachArguments,
    /// Up to this revision instead of now.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(i64).range(0..))]
    pub rev: i64,
}

/// Runs the command.
pub async fn run(arguments: &HashKvArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let revision = arguments.rev;
    let addresses = each::addresses(&arguments.each, cluster).await?;
    let asked = each::ask(
        addresses,
        cluster.timeout(),
        cluster.login(),
        move |channel| async move {
            MaintenanceClient::new(channel)
                .hash_kv(request(HashKvRequest { revision }))
                .await
        },
    )
    .await;
    each::somebody(&asked)?;
    Ok(render(&asked, revision))
}

/// The revision that a hash reaches to; members before 3.6 do not say.
fn reaches(answer: &HashKvResponse, asked_for: i64) -> i64 {
    let current = answer.header.as_ref().map_or(0, |header| header.revision);
    [answer.hash_revision, asked_for, current]
        .into_iter()
        .find(|revision| *revision > 0)
        .unwrap_or_default()
}

fn render(asked: &[Asked<HashKvResponse>], asked_for: i64) -> Report {
    let row = |asked: &Asked<HashKvResponse>| {
        let mut row = vec![asked.address.authority.clone()];
        match &asked.answer {
            Ok(answer) => row.extend([
                format!("{:08x}", answer.hash),
                reaches(answer, asked_for).to_string(),
                answer.compact_revision.to_string(),
                String::new(),
            ]),
            Err(reason) => row.extend([String::new(), String::new(), String::new(), reason.clone()]),
        }
        row
    };
    let json = |asked: &Asked<HashKvResponse>| match &asked.answer {
        Ok(answer) => json!({
            "endpoint": asked.address.authority,
            "hash": answer.hash,
            "revision": reaches(answer, asked_for),
            "compact_revision": answer.compact_revision,
        }),
        Err(reason) => json!({ "endpoint": asked.address.authority, "error": reason }),
    };
    let rows: Vec<Vec<String>> = asked.iter().map(row).collect();
    let members: Vec<Value> = asked.iter().map(json).collect();
    let (is_different, is_comparable) = compare(asked, asked_for);
    let mut text = table(&["ENDPOINT", "HASH", "REVISION", "COMPACTED", "ERROR"], &rows);
    if is_different {
        text.push_str("DIFFERENT\n");
    } else if is_comparable {
        text.push_str("SAME\n");
    }
    let mut report = Report::new(text, json!({ "members": members, "different": is_different }));
    if is_different || asked.iter().any(|asked| asked.answer.is_err()) {
        report.exit_code = EXIT_FAILED;
    }
    report
}

/// Whether two hashes over the same differ, and whether all (at least two) are over the same.
fn compare(asked: &[Asked<HashKvResponse>], asked_for: i64) -> (bool, bool) {
    let answers: Vec<&HashKvResponse> = asked
        .iter()
        .filter_map(|asked| asked.answer.as_ref().ok())
        .collect();
    let over = |answer: &HashKvResponse| (reaches(answer, asked_for), answer.compact_revision);
    let ranges: BTreeSet<_> = answers.iter().map(|answer| over(answer)).collect();
    let hashes: BTreeSet<_> = answers.iter().map(|answer| (over(answer), answer.hash)).collect();
    (
        hashes.len() > ranges.len(),
        answers.len() > 1 && ranges.len() == 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::global::address;
    use std::time::Duration;

    fn verdict(answers: &[(u32, i64, i64)]) -> (String, u8) {
        let asked: Vec<_> = answers
            .iter()
            .map(|(hash, hash_revision, compact_revision)| Asked {
                address: address("h:1", &crate::commands::tls::Security::default()).expect("valid"),
                answer: Ok(HashKvResponse {
                    hash: *hash,
                    hash_revision: *hash_revision,
                    compact_revision: *compact_revision,
                    ..Default::default()
                }),
                refusal: None,
                took: Duration::ZERO,
            })
            .collect();
        let report = render(&asked, 0);
        let text = String::from_utf8(report.text).expect("UTF-8");
        let last = text.lines().last().unwrap_or_default().to_owned();
        (last, report.exit_code)
    }

    /// Promise: only hashes over the same history are compared.
    #[test]
    fn hashes_are_compared() {
        assert_eq!(verdict(&[(7, 9, 2), (7, 9, 2)]), ("SAME".to_owned(), 0));
        assert_eq!(verdict(&[(7, 9, 2), (8, 9, 2)]), ("DIFFERENT".to_owned(), 1));
        assert_eq!(verdict(&[(7, 9, 2), (8, 9, 3)]).1, 0);
        assert_eq!(verdict(&[(7, 9, 2), (8, 10, 2), (6, 9, 2)]).0, "DIFFERENT");
        assert!(verdict(&[(7, 9, 2)]).0.starts_with("h:1"));
    }
}
