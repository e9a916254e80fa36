//! `almadia txn`: several operations in one, on conditions.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::response_op::Response;
use almadia_etcd::proto::etcdserverpb::{ResponseOp, TxnRequest, TxnResponse};
use serde_json::{Value, json};

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, request};
use super::error::CommandError;
use super::output::{Report, pair_json, pair_line};
use super::position::Position;
use super::{del, get, txn_script};

/// Where the transaction is written.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The script has three parts with a blank line between them: compares (all must hold), operations if they hold, operations
if not. Operations are put, get and del as on the command line. Targets of compares: value, version, create, mod, lease.
Prints SUCCESS or FAILURE and the answers; both are exit code 0.

Examples:
  almadia txn <<'END'
  mod(\"color\") = \"7\"

  put color \"dark blue\"

  get color
  END
  almadia txn --file change.txn")]
pub struct TxnArguments {
    /// Read the transaction from this file instead of standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(arguments: &TxnArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = txn_script::parse(&script(arguments)?)?;
    let repeat = if writes(&message) {
        Repeat::OnlyIfNotCarriedOut
    } else {
        Repeat::Freely
    };
    let answer = cluster
        .call(repeat, |channel| {
            let message = request(message.clone());
            async move {
                KvClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .txn(message)
                    .await
            }
        })
        .await?;
    let position = Position::read(answer.metadata(), answer.get_ref().header.as_ref());
    Ok(render(answer.get_ref(), &position))
}

fn script(arguments: &TxnArguments) -> Result<String, CommandError> {
    if let Some(file) = &arguments.file {
        return std::fs::read_to_string(file)
            .map_err(|error| CommandError::usage(format!("cannot read {}: {error}", file.display())));
    }
    if std::io::stdin().is_terminal() {
        eprintln!(
            "compares, blank line, operations on success, blank line, operations on failure, end of input (^D):"
        );
    }
    let mut script = String::new();
    std::io::stdin()
        .read_to_string(&mut script)
        .map_err(|error| CommandError::usage(format!("cannot read the transaction: {error}")))?;
    Ok(script)
}

fn writes(message: &TxnRequest) -> bool {
    use almadia_etcd::proto::etcdserverpb::request_op::Request;
    let mut operations = message.success.iter().chain(&message.failure);
    operations.any(|operation| !matches!(operation.request, Some(Request::RequestRange(_)) | None))
}

fn render(answer: &TxnResponse, position: &Position) -> Report {
    let verdict = if answer.succeeded { "SUCCESS" } else { "FAILURE" };
    let mut text = format!("{verdict}\n");
    for operation in &answer.responses {
        text.push('\n');
        text.push_str(&operation_text(operation));
    }
    let responses: Vec<Value> = answer.responses.iter().map(operation_json).collect();
    let json = json!({
        "succeeded": answer.succeeded,
        "revision": answer.header.as_ref().map_or(0, |header| header.revision),
        "position": position.json(),
        "responses": responses,
    });
    Report::new(text, json)
}

fn operation_text(operation: &ResponseOp) -> String {
    match &operation.response {
        Some(Response::ResponsePut(put)) => {
            let prev = put
                .prev_kv
                .as_ref()
                .map(|prev| format!("before: {}", pair_line(prev, true)));
            format!("OK\n{}", prev.unwrap_or_default())
        }
        Some(Response::ResponseRange(range)) if range.kvs.is_empty() && range.count > 0 => {
            format!("{}\n", range.count)
        }
        Some(Response::ResponseRange(range)) => get::lines(range, true),
        Some(Response::ResponseDeleteRange(deleted)) => {
            format!("{}\n{}", deleted.deleted, del::lines(deleted))
        }
        Some(Response::ResponseTxn(_)) | None => String::new(),
    }
}

fn operation_json(operation: &ResponseOp) -> Value {
    match &operation.response {
        Some(Response::ResponsePut(put)) => {
            json!({ "put": { "prev": put.prev_kv.as_ref().map(|prev| pair_json(prev, true)) } })
        }
        Some(Response::ResponseRange(range)) => json!({ "get": get::json(range, true) }),
        Some(Response::ResponseDeleteRange(deleted)) => json!({ "del": del::json(deleted) }),
        Some(Response::ResponseTxn(_)) | None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::etcdserverpb::{DeleteRangeResponse, PutResponse, RangeResponse};
    use almadia_etcd::proto::mvccpb::KeyValue;

    #[test]
    fn output() {
        let pair = KeyValue {
            key: "a".into(),
            value: "1".into(),
            ..KeyValue::default()
        };
        let responses = [
            Response::ResponsePut(PutResponse {
                header: None,
                prev_kv: Some(pair.clone()),
            }),
            Response::ResponseRange(RangeResponse {
                kvs: vec![pair],
                count: 1,
                ..Default::default()
            }),
            Response::ResponseDeleteRange(DeleteRangeResponse {
                deleted: 3,
                ..Default::default()
            }),
        ];
        let responses = responses
            .map(|response| ResponseOp {
                response: Some(response),
            })
            .to_vec();
        let answer = TxnResponse {
            header: None,
            succeeded: true,
            responses,
        };
        let report = render(&answer, &Position::default());
        let text = String::from_utf8(report.text).expect("UTF-8");
        assert_eq!(text, "SUCCESS\n\nOK\nbefore: a\t1\n\na\t1\n\n3\n");
        assert_eq!(report.json["responses"][1]["get"]["kvs"][0]["value"], "1");
    }

    #[test]
    fn reads_may_be_repeated() {
        assert!(!writes(&txn_script::parse("\nget a\n\nget b\n").expect("valid")));
        assert!(writes(&txn_script::parse("\nget a\n\ndel b\n").expect("valid")));
    }
}
