//! `almadia defrag`: gives unused disk space of members back.

use std::time::Duration;

use almadia_etcd::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use almadia_etcd::proto::etcdserverpb::{DefragmentRequest, DefragmentResponse};
use serde_json::{Value, json};

use super::cluster::{Cluster, request};
use super::each::{self, Asked, EachArguments};
use super::error::{CommandError, EXIT_FAILED};
use super::output::Report;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Members are asked one after the other: one of etcd's does not serve meanwhile (Almadia's do, and clean up by themselves).
Exit code 1 when one of them fails.

Examples:
  almadia defrag --cluster --timeout 1m")]
pub struct DefragArguments {
    /// Whom.
    #[command(flatten)]
    pub each: EachArguments,
}

/// Runs the command.
pub async fn run(arguments: &DefragArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let mut asked = Vec::new();
    for address in each::addresses(&arguments.each, cluster).await? {
        let one = each::ask(
            vec![address],
            cluster.timeout(),
            cluster.login(),
            |channel| async move {
                MaintenanceClient::new(channel)
                    .defragment(request(DefragmentRequest {}))
                    .await
            },
        );
        asked.extend(one.await);
    }
    each::somebody(&asked)?;
    Ok(render(&asked))
}

fn render(asked: &[Asked<DefragmentResponse>]) -> Report {
    let line = |asked: &Asked<DefragmentResponse>| {
        let endpoint = &asked.address.authority;
        match &asked.answer {
            Ok(_) => format!("{endpoint}: done in {}\n", took(asked.took)),
            Err(reason) => format!("{endpoint}: failed: {reason}\n"),
        }
    };
    let json = |asked: &Asked<DefragmentResponse>| {
        json!({
            "endpoint": asked.address.authority,
            "error": asked.answer.as_ref().err(),
            "took_ms": asked.took.as_secs_f64() * 1000.0,
        })
    };
    let members: Vec<Value> = asked.iter().map(json).collect();
    let text: String = asked.iter().map(line).collect();
    let mut report = Report::new(text, json!({ "members": members }));
    if asked.iter().any(|asked| asked.answer.is_err()) {
        report.exit_code = EXIT_FAILED;
    }
    report
}

/// A short time for people.
pub fn took(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::global::address;

    #[test]
    fn one_that_fails_is_an_exit_code() {
        let asked = |answer| Asked {
            address: address("h:1", &crate::commands::tls::Security::default()).expect("valid"),
            answer,
            refusal: None,
            took: Duration::from_micros(1500),
        };
        let report = render(&[
            asked(Ok(DefragmentResponse::default())),
            asked(Err("broken".to_owned())),
        ]);
        assert_eq!(report.text, b"h:1: done in 1.5 ms\nh:1: failed: broken\n");
        assert_eq!(report.exit_code, EXIT_FAILED);
    }
}
