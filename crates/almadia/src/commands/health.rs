//! `almadia health`: can each member serve?
//!
//! Asks each for a linearizable read, as etcdctl does, which takes a majority; writes nothing.

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::{AlarmMember, RangeRequest, RangeResponse};
use serde_json::{Value, json};

use super::alarm;
use super::cluster::{Cluster, request};
use super::defrag::took;
use super::each::{self, Asked, EachArguments};
use super::error::{CommandError, EXIT_FAILED};
use super::output::{Report, table};

/// The key that is read; it need not exist.
const KEY: &str = "health";

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Reads a key (health) through each member, which takes a majority of the cluster, and looks for alarms. Writes nothing;
'almadia check' writes, too. Exit code 1 when a member cannot serve or an alarm is raised, 3 when none can.

Examples:
  almadia health                              of the given addresses, for a probe
  almadia health --cluster")]
pub struct HealthArguments {
    /// Whom.
    #[command(flatten)]
    pub each: EachArguments,
}

/// Runs the command.
pub async fn run(arguments: &HealthArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let addresses = each::addresses(&arguments.each, cluster).await?;
    let mut asked = each::ask(
        addresses,
        cluster.timeout(),
        cluster.login(),
        |channel| async move {
            let message = RangeRequest {
                key: KEY.into(),
                ..RangeRequest::default()
            };
            match KvClient::new(channel).range(request(message)).await {
                // Whoever may not read the key has been told so by a majority.
                Err(status) if status.message().ends_with("permission denied") => {
                    Ok(tonic::Response::new(RangeResponse::default()))
                }
                answer => answer,
            }
        },
    )
    .await;
    asked.iter_mut().for_each(|asked| {
        if let Ok(answer) = &mut asked.answer {
            answer.kvs.clear();
        }
    });
    each::somebody(&asked)?;
    let alarms = alarm::raised(cluster).await?;
    Ok(render(&asked, &alarms))
}

fn render(asked: &[Asked<RangeResponse>], alarms: &[AlarmMember]) -> Report {
    let row = |asked: &Asked<RangeResponse>| {
        vec![
            asked.address.authority.clone(),
            if asked.answer.is_ok() { "yes" } else { "no" }.to_owned(),
            took(asked.took),
            asked.answer.as_ref().err().cloned().unwrap_or_default(),
        ]
    };
    let json = |asked: &Asked<RangeResponse>| {
        json!({
            "endpoint": asked.address.authority,
            "healthy": asked.answer.is_ok(),
            "took_ms": asked.took.as_secs_f64() * 1000.0,
            "error": asked.answer.as_ref().err(),
        })
    };
    let rows: Vec<Vec<String>> = asked.iter().map(row).collect();
    let mut text = table(&["ENDPOINT", "HEALTHY", "TOOK", "ERROR"], &rows);
    for alarm in alarms {
        text.push_str(&format!(
            "alarm {} of member {:x}; see 'almadia alarm list'\n",
            alarm::name(alarm.alarm),
            alarm.member_id
        ));
    }
    let members: Vec<Value> = asked.iter().map(json).collect();
    let alarm_names: Vec<&str> = alarms.iter().map(|alarm| alarm::name(alarm.alarm)).collect();
    let is_healthy = alarms.is_empty() && asked.iter().all(|asked| asked.answer.is_ok());
    let mut report = Report::new(
        text,
        json!({ "healthy": is_healthy, "members": members, "alarms": alarm_names }),
    );
    if !is_healthy {
        report.exit_code = EXIT_FAILED;
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::global::address;
    use std::time::Duration;

    #[test]
    fn output() {
        let asked = |answer| Asked {
            address: address("h:1", &crate::commands::tls::Security::default()).expect("valid"),
            answer,
            refusal: None,
            took: Duration::from_millis(2),
        };
        let well = render(&[asked(Ok(RangeResponse::default()))], &[]);
        assert_eq!(
            (String::from_utf8_lossy(&well.text).as_ref(), well.exit_code),
            ("ENDPOINT  HEALTHY  TOOK    ERROR\nh:1       yes      2.0 ms\n", 0)
        );
        let ill = render(
            &[
                asked(Ok(RangeResponse::default())),
                asked(Err("no leader".to_owned())),
            ],
            &[],
        );
        assert_eq!(
            (ill.exit_code, &ill.json["healthy"]),
            (EXIT_FAILED, &json!(false))
        );
        let alarm = AlarmMember {
            member_id: 0xab,
            alarm: 1,
        };
        let full = render(&[asked(Ok(RangeResponse::default()))], &[alarm]);
        assert_eq!(
            (full.exit_code, &full.json["alarms"][0]),
            (EXIT_FAILED, &json!("NOSPACE"))
        );
    }
}
