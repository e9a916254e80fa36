//! `almadia del`: deletes keys.

use almadia_etcd::proto::etcdserverpb::kv_client::KvClient;
use almadia_etcd::proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};
use serde_json::{Value, json};

use super::cluster::{Cluster, MESSAGE_BYTES_MAX, Repeat, request};
use super::error::CommandError;
use super::key_range::KeyArguments;
use super::output::{Report, pair_json, pair_line};
use super::position::Position;

/// What to delete.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Prints how many keys were deleted.

Examples:
  almadia del color
  almadia del --prefix app/ --prev            shows what was deleted
  almadia del a c                             all keys from a on, before c
  almadia del --prefix \"\" --all               every key there is")]
pub struct DelArguments {
    /// Which keys.
    #[command(flatten)]
    pub keys: KeyArguments,
    /// Show the deleted keys and values.
    #[arg(long)]
    pub prev: bool,
    /// Yes, every key there is.
    #[arg(long)]
    pub all: bool,
}

impl DelArguments {
    /// The request; deleting everything must be asked for by name.
    pub fn to_request(&self) -> Result<DeleteRangeRequest, CommandError> {
        let names_nothing = self.keys.key.is_none() && !self.keys.prefix && !self.keys.from_key;
        let keys = if self.all && names_nothing {
            KeyArguments {
                prefix: true,
                ..self.keys.clone()
            }
        } else {
            self.keys.clone()
        };
        let range = keys.range()?;
        if range.is_everything() && !self.all {
            return Err(CommandError::usage(
                "this deletes every key there is; if that is what you want, add --all",
            ));
        }
        if self.all && !range.is_everything() {
            return Err(CommandError::usage(
                "--all means every key there is; leave it out, or leave the key out",
            ));
        }
        Ok(DeleteRangeRequest {
            key: range.key,
            range_end: range.end,
            prev_kv: self.prev,
        })
    }
}

/// Runs the command.
pub async fn run(arguments: &DelArguments, cluster: &Cluster) -> Result<Report, CommandError> {
    let message = arguments.to_request()?;
    let answer = cluster
        .call(Repeat::OnlyIfNotCarriedOut, |channel| {
            let message = request(message.clone());
            async move {
                KvClient::new(channel)
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .delete_range(message)
                    .await
            }
        })
        .await?;
    let position = Position::read(answer.metadata(), answer.get_ref().header.as_ref());
    Ok(render(answer.get_ref(), &position))
}

fn render(answer: &DeleteRangeResponse, position: &Position) -> Report {
    let mut json = json(answer);
    json["position"] = position.json();
    Report::new(format!("{}\n{}", answer.deleted, lines(answer)), json)
}

/// The deleted pairs, one line each.
pub fn lines(answer: &DeleteRangeResponse) -> String {
    answer.prev_kvs.iter().map(|pair| pair_line(pair, true)).collect()
}

/// For programs.
pub fn json(answer: &DeleteRangeResponse) -> Value {
    let prev: Vec<Value> = answer.prev_kvs.iter().map(|pair| pair_json(pair, true)).collect();
    json!({
        "revision": answer.header.as_ref().map_or(0, |header| header.revision),
        "deleted": answer.deleted,
        "prev": prev,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        del: DelArguments,
    }

    fn request(words: &[&str]) -> Result<DeleteRangeRequest, CommandError> {
        let words = std::iter::once(&"del").chain(words);
        Line::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{error}"))
            .del
            .to_request()
    }

    /// Promise: nobody deletes everything by mistake.
    #[test]
    fn deleting_everything_needs_its_flag() {
        for words in [&["--prefix", ""][..], &["", "--from-key"], &["--prefix"], &[]] {
            assert!(matches!(request(words), Err(CommandError::Usage(_))), "{words:?}");
        }
        for words in [
            &["--prefix", "", "--all"][..],
            &["--all"],
            &["--from-key", "", "--all"],
        ] {
            let request = request(words).expect("asked for");
            assert_eq!(
                (&request.key[..], &request.range_end[..]),
                (&b"\0"[..], &b"\0"[..])
            );
        }
        assert!(request(&["a", "--all"]).is_err());
        assert_eq!(&request(&["a", "--prefix"]).expect("valid").range_end[..], b"b");
    }

    #[test]
    fn output() {
        let answer = DeleteRangeResponse {
            deleted: 2,
            ..DeleteRangeResponse::default()
        };
        assert_eq!(render(&answer, &Position::default()).text, b"2\n");
        assert_eq!(render(&answer, &Position::default()).json["deleted"], 2);
    }
}
