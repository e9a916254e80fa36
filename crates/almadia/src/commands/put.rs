//! `almadia put`: writes one key.

use std::io::Read;

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::{PutRequest, PutResponse};
use serde_json::json;

use super::cluster::{Cluster, Repeat, request};
use super::error::CommandError;
use super::output::{Report, pair_json, pair_line};
use super::position::Position;

/// What to write.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  almadia put color red
  almadia put config - < config.yaml          the value comes from standard input
  almadia put color green --prev              shows what was there before
  almadia put lock me --lease 694d8f1c2a3b4c  the key goes when the lease ends
  almadia put lock --ignore-value --lease 5b  another lease, same value")]
pub struct PutArguments {
    /// The key.
    pub key: String,
    /// The value; - reads it from standard input.
    #[arg(allow_negative_numbers = true, required_unless_present = "ignore_value")]
    pub value: Option<String>,
    /// Show the key as it was before.
    #[arg(long)]
    pub prev: bool,
    /// Keep the value; the key must exist.
    #[arg(long, conflicts_with = "value")]
    pub ignore_value: bool,
    /// Attach the key to this lease (hexadecimal).
    #[arg(long, value_name = "ID", value_parser = lease_id)]
    pub lease: Option<i64>,
}

impl PutArguments {
    /// The request. Reads standard input when the value is `-`.
    pub fn to_request(&self) -> Result<PutRequest, CommandError> {
        if self.key.is_empty() {
            return Err(CommandError::usage(
                "the key is missing: a key has at least one byte",
            ));
        }
        let value = match self.value.as_deref() {
            Some("-") => {
                let mut value = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut value)
                    .map_err(|error| CommandError::failed(format!("cannot read the value: {error}")))?;
                value
            }
            value => value.unwrap_or_default().into(),
        };
        Ok(PutRequest {
            key: self.key.clone().into(),
            value: value.into(),
            lease: self.lease.unwrap_or_default(),
            prev_kv: self.prev,
            ignore_value: self.ignore_value,
            ignore_lease: false,
        })
    }
}

/// Reads a lease id as it is printed: hexadecimal.
pub fn lease_id(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16)
        .map(u64::cast_signed)
        .map_err(|_| "a lease id is a hexadecimal number".to_owned())
}

/// Runs the command.
pub async fn run(arguments: &PutArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = arguments.to_request()?;
    let answer = cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move { KvClient::new(channel).put(message).await }
        })
        .await?;
    let position = Position::read(answer.metadata(), answer.get_ref().header.as_ref());
    Ok(render(answer.get_ref(), &position))
}

fn render(answer: &PutResponse, position: &Position) -> Report {
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    let mut text = format!("OK: revision {revision}{}\n", position.text());
    if let Some(prev) = &answer.prev_kv {
        text.push_str("before: ");
        text.push_str(&pair_line(prev, true));
    }
    let prev = answer.prev_kv.as_ref().map(|prev| pair_json(prev, true));
    Report::new(
        text,
        json!({ "revision": revision, "position": position.json(), "prev": prev }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::etcdserverpb::ResponseHeader;
    use almadia_etcd::proto::mvccpb::KeyValue;

    #[test]
    fn lease_ids_are_hexadecimal() {
        assert_eq!(lease_id("5b"), Ok(0x5b));
        assert_eq!(lease_id("0x5b"), Ok(0x5b));
        assert_eq!(lease_id("ffffffffffffffff"), Ok(-1));
        assert!(lease_id("xyz").is_err());
    }

    #[test]
    fn output() {
        let answer = PutResponse {
            header: Some(ResponseHeader {
                revision: 7,
                ..ResponseHeader::default()
            }),
            prev_kv: Some(KeyValue {
                key: "color".into(),
                value: "red".into(),
                ..KeyValue::default()
            }),
        };
        let position = Position {
            log_index: Some(17),
            term: Some(94),
            ..Position::default()
        };
        let report = render(&answer, &position);
        assert_eq!(
            report.text,
            b"OK: revision 7, log index 17, term 94\nbefore: color\tred\n"
        );
        assert_eq!(report.json["revision"], 7);
        assert_eq!(report.json["prev"]["value"], "red");
    }
}
